//! The room that the bundle's images take where a registry keeps them.

use std::collections::BTreeSet;
use std::path::Path;

use ferry_model::catalog::Image;
use ferry_model::size::ByteSize;

use super::Ground;

/// Bytes of all images, each blob once. Charts are too small to count.
pub(super) fn bytes_to_store(ground: &Ground<'_>) -> u64 {
    let manifests = ground.catalog.images.iter().flat_map(Image::all_manifests);
    let needed: BTreeSet<_> = manifests.flat_map(|manifest| manifest.blobs.iter()).collect();
    ground.catalog.blobs.iter().filter(|blob| needed.contains(&blob.digest)).map(|blob| blob.size).sum()
}

/// What is left to the operator where the images will lie on another machine.
pub(super) fn elsewhere(ground: &Ground<'_>, folder: &Path, machine: &str) -> String {
    let (folder, bytes) = (folder.display(), ByteSize(bytes_to_store(ground)));
    format!("see that {folder} of {machine} has room for {bytes}: it cannot be looked at from here")
}
