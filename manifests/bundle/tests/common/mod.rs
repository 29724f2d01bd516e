//! Small bundles, made in memory from a seed.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};

use ferry_bundle::{Assembly, AssemblyOptions, BlobPlan, Bundle, Finished, SecretKey, Trust, generate_keys};
use ferry_model::Digest;
use ferry_model::catalog::{CATALOG_VERSION, Catalog, Encoding, File, FileKind};

/// Content that is half noise, half repetition.
pub fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(size);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
        out.extend_from_slice(b"ferry---");
    }
    out.truncate(size);
    out
}

pub struct Sample {
    pub blobs: Vec<(BlobPlan, Vec<u8>)>,
}

impl Sample {
    pub fn new(stored: &[usize], compressed: &[usize]) -> Self {
        let blob = |(index, size, encoding): (usize, usize, Encoding)| {
            let content = content(index as u64 + 1, size);
            (BlobPlan { digest: Digest::of(&content), size: size as u64, encoding }, content)
        };
        let stored = stored.iter().enumerate().map(|(index, size)| (index, *size, Encoding::Stored));
        let compressed =
            compressed.iter().enumerate().map(|(index, size)| (1000 + index, *size, Encoding::Zstd));
        Self { blobs: stored.chain(compressed).map(blob).collect() }
    }

    pub fn plans(&self) -> Vec<BlobPlan> {
        self.blobs.iter().map(|(plan, _)| plan.clone()).collect()
    }

    pub fn catalog(&self) -> Catalog {
        let file = |(index, (plan, _)): (usize, &(BlobPlan, Vec<u8>))| File {
            kind: FileKind::File,
            repository: None,
            path: format!("files/{index}").parse().unwrap(),
            name: None,
            version: None,
            source: "test".into(),
            digest: plan.digest,
            size: plan.size,
        };
        Catalog {
            format_version: CATALOG_VERSION,
            name: "sample".parse().unwrap(),
            version: "1".parse().unwrap(),
            lock: Digest::of(b"lock"),
            missing: vec![],
            images: vec![],
            charts: vec![],
            files: self.blobs.iter().enumerate().map(file).collect(),
            blobs: vec![],
        }
    }

    pub fn open(&self, path: &Path, volume_size: Option<u64>) -> Assembly {
        let options = AssemblyOptions { path: path.to_owned(), volume_size, lock: Digest::of(b"lock") };
        Assembly::open(options, self.plans()).unwrap()
    }

    /// Fills what is missing, `step` bytes at a time.
    pub fn fill(&self, assembly: &Assembly, step: usize) {
        for (index, (plan, content)) in self.blobs.iter().enumerate() {
            if assembly.state(index) == ferry_bundle::BlobState::Done {
                continue;
            }
            if plan.encoding == Encoding::Stored {
                let mut sink = assembly.stored(index);
                let mut hasher = sink.resume();
                for chunk in content[sink.position() as usize..].chunks(step) {
                    sink.write(chunk).unwrap();
                    hasher.update(chunk);
                }
                sink.finish(hasher.finish()).unwrap();
            } else {
                let mut sink = assembly.compressed().unwrap();
                assert_eq!(sink.index(), index);
                let mut hasher = sink.resume().unwrap();
                for chunk in content[sink.position() as usize..].chunks(step) {
                    sink.write(chunk).unwrap();
                    hasher.update(chunk);
                }
                sink.finish(hasher.finish()).unwrap();
            }
        }
    }

    pub fn build(&self, path: &Path, volume_size: Option<u64>, key: Option<&SecretKey>) -> Finished {
        let assembly = self.open(path, volume_size);
        self.fill(&assembly, 100_000);
        assembly.finish(self.catalog(), key).unwrap()
    }

    /// Compares all content with what went in.
    pub fn assert_in(&self, bundle: &Bundle) {
        for (plan, content) in &self.blobs {
            assert_eq!(&bundle.read_all(&plan.digest, u64::MAX).unwrap(), content);
        }
    }
}

pub fn key(folder: &Path) -> (SecretKey, ferry_bundle::PublicKey) {
    let (secret, public) = generate_keys(None).unwrap();
    let path: PathBuf = folder.join("test.key");
    std::fs::write(&path, secret).unwrap();
    (SecretKey::read(&path, None).unwrap(), ferry_bundle::PublicKey::parse(&public, &path).unwrap())
}

pub fn open(path: &Path) -> Result<Bundle, ferry_bundle::Error> {
    Bundle::open(path, &Trust::default())
}
