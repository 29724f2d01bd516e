//! One image out of a bundle, as an archive that other programs load: `docker load`, `ctr images import`, `skopeo`; or one chart or
//! file as it is ([`find_plain`]).
//!
//! 1. [`find_image`] finds the image by whatever name people write.
//! 2. [`docker_archive`] or [`oci_archive`] decides what the archive is made of, so that its size is known beforehand.
//! 3. [`Archive::write`] writes it, or [`Archive::open`] hands it out in chunks: out of the bundle, verified, a few
//!    MiB at a time. The same image gives the same bytes.

mod archive;
mod contents;
mod error;
mod find;
mod format;
mod plain;

pub use archive::{Archive, ArchiveReader};
pub(crate) use contents::choose;
pub use contents::{Choice, host_platform};
pub use error::ExportError;
pub use find::find_image;
pub use format::{docker_archive, oci_archive, write_docker_archive};
pub use plain::{Plain, find_plain};

#[cfg(test)]
mod tests;
