//! Moving named content: manifests and blobs of registries, files of web servers, images of a docker daemon.
//!
//! The flow of a request, and where each step is:
//!
//! 1. A [`Client`] is made once from [`Options`]: whom to trust (`trust`), whom to talk plain HTTP to, how patient to
//!    be. A [`Repository`] of it pulls (`registry`) and pushes (`upload`); [`Client::fetch_url`] downloads files.
//! 2. `limits` decides how many requests run at once to one host: fewer after failures that tell of overload.
//! 3. `auth` shows who we are, the way the host's challenge asks for, with `credentials` as docker keeps them.
//! 4. `exchange` sends one request, follows redirects, watches for silence, and turns each status into an [`Error`]
//!    whose class says whether to try again.
//! 5. `retry`, the one policy, pauses and counts; `download` and `upload` go on where they stopped.
//! 6. Downloads are hashed as they flow into a [`Sink`] and checked at their end. Uploads come from a [`BlobSource`],
//!    read on a thread of its own by the one `bridge` between blocking code and the network.
//!
//! Manifests and error envelopes are `oci-client`'s types, turned into our own at the edge ([`manifest`]). Its HTTP
//! client is not used: it hides `Retry-After`, the status of a range request and the position of an upload, and knows
//! no stall timer.
//!
//! BlueKing's artifact repository (`bkrepo`) and the upload interfaces of helm repositories (`helm_repository`) use the
//! same steps: who we are is said with each request, and each refusal is read by its status and its code together.
//!
//! What this crate does not do: decide what to move, read or write files, print.
#![deny(missing_docs)]

mod auth;
mod bkrepo;
mod bridge;
#[cfg(feature = "cli")]
pub mod cli;
mod client;
mod credentials;
mod docker;
mod download;
mod error;
mod exchange;
mod helm_repository;
mod json;
mod limits;
mod look;
pub mod manifest;
mod registry;
mod retry;
mod trust;
mod upload;
mod url;

pub use bkrepo::{
    Bkrepo, BkrepoError, BkrepoLogin, BkrepoProblem, Blocks, Created, FileUpload, Listing, NewRepository,
    Node, OnUploadId, Overwrite, RepositoryInfo, Uploaded,
};
pub use client::{CaFile, Client, Login, Options, Probe, RefusedLogins};
pub use docker::{
    Bind, ContainerSpec, ContainerState, Daemon, DaemonRegistries, DaemonVersion, Network, Port, Restart,
};
pub use download::{Expected, Resume, Sink};
pub use error::{Error, TlsProblem};
pub use helm_repository::{ChartArchive, Charts, HelmRepository, HelmRepositoryError, HelmRepositoryProblem};
pub use look::{Look, PushProbe};
pub use manifest::{Descriptor, Parsed};
pub use registry::{Quota, RawManifest, Repository, referrers_tag};
pub use retry::RetryPolicy;
pub use upload::{BlobSource, ChunkReader, PushedManifest, SourceError};

pub use self::url::SafeUrl;
