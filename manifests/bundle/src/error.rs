//! What can be wrong with a bundle.

use std::io;
use std::path::PathBuf;

use ferry_model::failure::{Class, Failure};
use ferry_model::{Digest, FormatVersion};

/// A failure of reading or writing a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{action} {}", path.display())]
    Io {
        /// `reading`, `writing`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a bundle at all.
    #[error("{} is not a Ferry bundle: {reason}", path.display())]
    NotABundle {
        /// The file.
        path: PathBuf,
        /// What is not as it should be.
        reason: &'static str,
    },
    /// It begins as a bundle does and has no end.
    #[error("{} is not a Ferry bundle, or not all of one: its end is missing, so it was probably truncated", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// A volume that is not the first, which alone names a bundle.
    #[error("{} is a later volume of a bundle, and its first one stands for all", path.display())]
    LaterVolume {
        /// The volume.
        path: PathBuf,
        /// What to name instead.
        first: PathBuf,
    },
    /// The file is shorter or longer than it was when it was written.
    #[error("{} has {actual} bytes, but was written with {expected}", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// As written.
        expected: u64,
        /// As found.
        actual: u64,
    },
    /// Volumes are missing or not as they were written.
    #[error("volumes of {} are missing or damaged: {}", base.display(), problems.join("; "))]
    Volumes {
        /// The name that the volumes share.
        base: PathBuf,
        /// One sentence for each bad volume.
        problems: Vec<String>,
    },
    /// Written by a newer Ferry.
    #[error("{what} has format version {found}; this program reads {known}")]
    Version {
        /// Which part.
        what: &'static str,
        /// The bundle's.
        found: FormatVersion,
        /// Ours.
        known: FormatVersion,
    },
    /// A number is beyond what any honest bundle needs.
    #[error("{what} is {value}, over the limit of {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// As found.
        value: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// The catalog's bytes are not those that the locator, or the caller, names.
    #[error("the catalog has digest {actual}, expected {expected}")]
    CatalogDigest {
        /// As named.
        expected: Digest,
        /// As found.
        actual: Digest,
    },
    /// A public key was given and the bundle has no signature.
    #[error("the bundle is not signed, but a public key was given to check it with")]
    Unsigned,
    /// The signature does not hold.
    #[error("the signature of the catalog does not hold: {reason}")]
    Signature {
        /// Why.
        reason: String,
    },
    /// A key file cannot be used.
    #[error("key {}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The catalog is not of the catalog's form.
    #[error("the catalog cannot be read")]
    CatalogForm(#[source] serde_json::Error),
    /// The catalog contradicts itself or the file.
    #[error("the catalog is not consistent: {0}")]
    Inconsistent(String),
    /// A blob is kept in a way that this program does not know.
    #[error("blob {digest} is encoded as `{encoding}`, which this program does not know")]
    UnknownEncoding {
        /// The blob.
        digest: Digest,
        /// Its encoding.
        encoding: String,
    },
    /// The bundle has no such blob.
    #[error("the bundle has no blob {0}")]
    NoSuchBlob(Digest),
    /// Frames are damaged.
    #[error("damaged at byte {offset}: {reason}")]
    Frame {
        /// From the start of the bundle.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A blob's content is not what its digest says.
    #[error("blob {expected} is damaged: its content has digest {actual}")]
    BlobDigest {
        /// As it should be.
        expected: Digest,
        /// As found.
        actual: Digest,
    },
    /// Something is wrong with this bundle.
    #[error("{}: {source}", path.display())]
    InBundle {
        /// Its first file.
        path: PathBuf,
        /// What is wrong.
        source: Box<Error>,
    },
    /// The unfinished bundle belongs to another lock, so its layout differs.
    #[error("{} is the beginning of another bundle", path.display())]
    OtherPartial {
        /// The partial file.
        path: PathBuf,
    },
    /// Another process is filling the same file.
    #[error("{} is being written by another process", path.display())]
    Busy {
        /// The partial file.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// What to do with a bundle that is damaged.
pub(crate) const COPY_AGAIN: &str =
    "copy it again from the medium, and compare its size and `sha256sum` with the original's";

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Class::NotFound,
            Self::Io { .. } | Self::Busy { .. } | Self::OtherPartial { .. } => Class::Local,
            Self::NoSuchBlob(_) => Class::NotFound,
            Self::InBundle { source, .. } => source.class(),
            Self::Key { .. } | Self::LaterVolume { .. } => Class::Input,
            Self::Version { .. } | Self::UnknownEncoding { .. } => Class::Protocol,
            Self::NotABundle { .. }
            | Self::Truncated { .. }
            | Self::WrongSize { .. }
            | Self::Volumes { .. }
            | Self::Limit { .. }
            | Self::CatalogDigest { .. }
            | Self::Unsigned
            | Self::Signature { .. }
            | Self::CatalogForm(_)
            | Self::Inconsistent(_)
            | Self::Frame { .. }
            | Self::BlobDigest { .. } => Class::Verification,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free space there, then run the same command again; it goes on where it stopped"
            }
            Self::Truncated { .. }
            | Self::WrongSize { .. }
            | Self::Frame { .. }
            | Self::BlobDigest { .. } => COPY_AGAIN,
            Self::LaterVolume { first, .. } => return vec![format!("name that: {}", first.display())],
            Self::Volumes { .. } => "copy the volumes named above again; the others can stay",
            Self::Version { .. } | Self::UnknownEncoding { .. } => {
                "use the Ferry that came with the bundle, or a newer one"
            }
            Self::Unsigned => "build with `--key`, or, if you trust the medium, leave `--public-key` away",
            Self::Signature { .. } => {
                "make sure that the public key is the builder's; otherwise do not use this bundle"
            }
            Self::NotABundle { .. } => {
                "a bundle is the file that `ferry-builder build -o` wrote, its first volume, or its .volumes.json"
            }
            Self::InBundle { source, .. } => return source.hints(),
            Self::CatalogDigest { .. } => {
                "compare the digest with what `ferry-builder build` printed; if it is right, do not use this bundle"
            }
            Self::CatalogForm(_) | Self::Inconsistent(_) | Self::Limit { .. } => {
                "this bundle was not written by Ferry as it is, or was damaged; get it again from whoever built it"
            }
            Self::Key { .. } => {
                "keys are minisign's: `ferry-builder keygen` makes a pair; FERRY_KEY_PASSWORD opens an encrypted one"
            }
            Self::OtherPartial { .. } => {
                "the lock has changed since; delete the partial file and its journal to start over"
            }
            Self::Busy { .. } => "wait for the other process, or stop it",
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
