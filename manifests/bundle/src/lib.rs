//! The bundle: one file that carries everything across the gap, read where it lies.
//!
//! # The format, version 1.0
//!
//! A tar archive in the [zstd seekable format][seekable], so any `tar` with zstd lists and extracts it; extracted, it
//! is an [OCI image layout][layout]. In this order:
//!
//! 1. `oci-layout`, the layout's marker;
//! 2. `blobs/sha256/<hex>`, each blob once, in the lock's order;
//! 3. `index.json`, the OCI index of images and charts with their names;
//! 4. `bundle.json`, the [catalog](ferry_model::catalog);
//! 5. `bundle.json.minisig`, its [minisign] signature, in a signed bundle;
//! 6. behind the archive: the *locator* (a skippable frame, [`locator`]) and the seek table (another, [`seek_table`]).
//!
//! Content begins and ends on frame boundaries, in frames of at most 4 MiB of content ([`frame`]). Between two
//! contents lies one frame of raw blocks with the padding of the first and the tar header of the second. Blobs that
//! are compressed already lie in frames of raw blocks, so their place follows from sizes alone; others are
//! compressed. Times are 0, owners 0, modes 0644: the same lock gives the same bytes.
//!
//! # Writing and reading
//!
//! - [`Assembly`] lays a bundle out, is filled in any order, keeps its own resume state, and [`Assembly::finish`]es
//!   into the final name.
//! - [`Bundle::open`] reads the tail, authenticates the catalog, and checks it; [`Bundle::reader`] hands out verified
//!   content; [`verify`](verify::verify) checks every byte of the file.
//! - [`Volumes`] makes a row of files look like one to both.
//!
//! # What it withstands
//!
//! Everything in a bundle is foreign input. The catalog is authenticated by signature or digest, where the caller
//! has one, before it is parsed. Each attack has its own error ([`Error`]) and a test that mounts it:
//!
//! | attack | defence |
//! |---|---|
//! | truncated or extended file, missing volume | the locator states the file's size; `volumes.json` each volume's |
//! | flipped bits | every blob is hashed as it is read; [`verify`](verify::verify) compares all else with what the catalog implies |
//! | re-ordered, overlapping or out-of-range blobs | offsets must be exactly those that the sizes imply |
//! | spliced from two bundles | the catalog's digest stands in the locator and under the signature |
//! | absurd sizes and counts | checked against limits and the file's size before anything is allocated |
//! | zip bombs | a frame declares its content, at most 4 MiB, or is refused; a blob never yields more than its size |
//! | hostile names (`../`, absolute, NUL, endless depth) | names are types that refuse them on parsing; nothing is ever extracted |
//! | swapped or stripped signature | with a public key given, only a good signature by it opens the bundle |
//!
//! Not defended against: someone who can replace both the bundle and the public key; a bundle that is changed while
//! it is read (each read is still checked against the catalog that was authenticated).
//!
//! # What this crate does not do
//!
//! Talk to anything but files, or be asynchronous.
//!
//! [seekable]: https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md
//! [layout]: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
//! [minisign]: https://jedisct1.github.io/minisign/
#![deny(missing_docs)]

mod assembly;
mod check;
#[cfg(feature = "cli")]
pub mod cli;
mod compress;
mod error;
pub mod frame;
mod journal;
pub mod layout;
pub mod locator;
mod oci;
mod open;
mod read;
mod salvage;
pub mod seek_table;
mod signature;
pub mod smart;
pub mod tarball;
pub mod verify;
mod volumes;

pub use assembly::{Assembly, AssemblyOptions, BlobPlan, BlobState, CompressedSink, Finished, StoredSink};
pub use error::Error;
pub use oci::oci_index;
pub use open::{Bundle, Trust};
pub use read::BlobReader;
pub use salvage::Salvage;
pub use signature::{PublicKey, SecretKey, SignatureState, generate_keys};
pub use volumes::{VOLUMES_SUFFIX, VolumeList, Volumes};
