//! Moving named content: manifests and blobs of registries, files of web servers, images of a docker daemon.
#![deny(missing_docs)]

mod client;
mod docker;
mod download;
mod error;
pub mod manifest;
mod registry;
mod retry;
mod upload;

pub use client::{CaFile, Client, Options};
pub use docker::Daemon;
pub use download::{Expected, Probe, Resume, Sink};
pub use error::Error;
pub use manifest::{Descriptor, Parsed};
pub use registry::{Quota, RawManifest, Repository};
pub use retry::RetryPolicy;
pub use upload::{BlobSource, ChunkReader, PushedManifest, SourceError};
