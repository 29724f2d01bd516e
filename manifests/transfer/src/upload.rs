use std::fmt;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::failure::{Class, Failure};

/// Where the bytes of an upload come from. Blocking: it is called on a thread of its own.
pub trait BlobSource: Send + Sync {
    /// Reads from byte `from` to the end.
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError>;
}

/// Hands on a blob in chunks of 1 MiB at most, `None` at its end.
pub trait ChunkReader: Send {
    /// The next chunk.
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError>;
}

/// Why a source could not be read.
#[derive(Debug)]
pub struct SourceError(Box<dyn Failure + Send + Sync>);

impl SourceError {
    /// Wraps the source's own error; its class and hints stay.
    pub fn new(failure: impl Failure + Send + Sync + 'static) -> Self {
        Self(Box::new(failure))
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Failure for SourceError {
    fn class(&self) -> Class {
        self.0.class()
    }
    fn hints(&self) -> Vec<String> {
        self.0.hints()
    }
}

/// A registry's answer to a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushedManifest {
    /// The manifest's digest.
    pub digest: Digest,
    /// Whether the registry has put it on the list of its subject's referrers by itself.
    pub lists_referrers: bool,
}
