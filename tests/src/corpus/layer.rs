//! Layers: small root file systems that dockerd and containerd unpack.

use std::io::Write as _;

use bytes::Bytes;
use ferry_model::Digest;
use flate2::{Compression, GzBuilder};

use crate::random::Random;

/// One layer, both ways.
#[derive(Clone, Debug)]
pub struct Layer {
    /// As a registry holds it.
    pub bytes: Bytes,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The tar archive.
    pub tar: Bytes,
    /// The digest of `tar`, as a config lists it.
    pub diff_id: Digest,
    /// Whether `bytes` are `tar` through gzip.
    pub is_gzip: bool,
}

impl Layer {
    /// A gzip layer with about `size` bytes of files.
    pub fn gzip(seed: u64, size: usize, compressible: u32) -> Self {
        let tar = tar(seed, size, compressible);
        let mut encoder = GzBuilder::new().mtime(0).write(Vec::with_capacity(size), Compression::fast());
        encoder.write_all(&tar).expect("writing to memory");
        Self::new(tar, encoder.finish().expect("writing to memory"), true)
    }

    /// A layer that is not compressed.
    pub fn plain(seed: u64, size: usize, compressible: u32) -> Self {
        let tar = tar(seed, size, compressible);
        Self::new(tar.clone(), tar, false)
    }

    fn new(tar: Vec<u8>, bytes: Vec<u8>, is_gzip: bool) -> Self {
        let (digest, diff_id) = (Digest::of(&bytes), Digest::of(&tar));
        Self { bytes: bytes.into(), digest, tar: tar.into(), diff_id, is_gzip }
    }
}

/// A tar archive of three files and their folders, without anything of this machine in it.
fn tar(seed: u64, size: usize, compressible: u32) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut archive = tar::Builder::new(Vec::with_capacity(size + 8192));
    let mut entry = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content).expect("writing to memory");
    };
    for folder in ["etc/", "usr/", "usr/share/"] {
        entry(folder, tar::EntryType::Directory, 0o755, b"");
    }
    entry(&format!("etc/layer-{seed}"), tar::EntryType::Regular, 0o644, format!("{seed}\n").as_bytes());
    for (number, part) in [size / 2, size - size / 2].into_iter().enumerate() {
        let mut content = Vec::with_capacity(part + 16);
        random.fill(&mut content, part, compressible);
        entry(&format!("usr/share/data-{seed}-{number}"), tar::EntryType::Regular, 0o644, &content);
    }
    archive.into_inner().expect("writing to memory")
}
