//! Makes a bundle of 1 TiB in 100,000 blobs and measures how long opening it takes. The file is sparse: its blobs are
//! holes, so it needs some 500 MB of disk, and would not verify.
//!
//! `cargo run --release -p ferry-bundle --example terabyte -- FILE`

use std::fmt::Write as _;
use std::time::Instant;

use ferry_bundle::{Assembly, AssemblyOptions, BlobPlan, Bundle, Trust};
use ferry_model::catalog::{CATALOG_VERSION, Catalog, Encoding, Image, Manifest};
use ferry_model::{Digest, ImageReference};

const BLOBS: u64 = 100_000;
const SIZE: u64 = (1 << 40) / BLOBS;
const LAYERS: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: std::path::PathBuf = std::env::args().nth(1).ok_or("usage: terabyte FILE")?.into();
    let lock = Digest::of(b"terabyte");
    let plans: Vec<BlobPlan> = (0..BLOBS)
        .map(|index| BlobPlan {
            digest: Digest::of(&index.to_le_bytes()),
            size: SIZE,
            encoding: Encoding::Stored,
        })
        .collect();
    pretend_filled(&path, lock)?;
    let assembly =
        Assembly::open(AssemblyOptions { path: path.clone(), volume_size: None, lock }, plans.clone())?;
    assembly.finish(catalog(&plans, lock)?, None)?;
    let start = Instant::now();
    let bundle = Bundle::open(&path, &Trust::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let report = serde_json::json!({
        "bytes": bundle.file_size(), "blobs": bundle.catalog().blobs.len(), "images": bundle.catalog().images.len(),
        "openSeconds": seconds,
    });
    std::io::Write::write_all(&mut std::io::stdout(), format!("{report}\n").as_bytes())?;
    Ok(())
}

/// A hole as long as the bundle, and a journal that says that every blob is there.
fn pretend_filled(path: &std::path::Path, lock: Digest) -> std::io::Result<()> {
    std::fs::File::create(format!("{}.partial", path.display()))?.set_len(2 << 40)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let mut journal = format!("ferry-journal 1 {} {lock} 0\n", boot.trim());
    for index in 0..BLOBS {
        let _ = writeln!(journal, "done {index}");
    }
    std::fs::write(format!("{}.partial.journal", path.display()), journal)
}

fn catalog(plans: &[BlobPlan], lock: Digest) -> Result<Catalog, Box<dyn std::error::Error>> {
    let mut images = Vec::new();
    for (index, blobs) in plans.chunks(LAYERS + 1).enumerate() {
        let reference: ImageReference = format!("registry.example.com/team/app-{index:05}:1.0.0").parse()?;
        let manifest = Manifest {
            digest: blobs[0].digest,
            size: SIZE,
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            platform: Some("linux/amd64".parse()?),
            blobs: blobs[1..].iter().map(|blob| blob.digest).collect(),
        };
        images.push(Image {
            repository: reference.repository().to_owned(),
            tag: reference.tag().map(str::to_owned),
            reference,
            digest: blobs[0].digest,
            source_index: None,
            manifests: vec![manifest],
            attachments: Vec::new(),
        });
    }
    let (name, version) = ("terabyte".parse()?, "1".parse()?);
    let format_version = CATALOG_VERSION;
    Ok(Catalog {
        format_version,
        name,
        version,
        lock,
        missing: vec![],
        images,
        charts: vec![],
        files: vec![],
        blobs: vec![],
    })
}
