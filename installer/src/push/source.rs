//! Blobs of a bundle as the source of uploads.

use bytes::Bytes;
use ferry_bundle::{BlobReader, Bundle};
use ferry_model::Digest;
use ferry_transfer::{BlobSource, ChunkReader, SourceError};

/// One blob, read from where it lies in the bundle.
pub(crate) struct BundleBlob {
    pub(crate) bundle: Bundle,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

struct Chunks(BlobReader);

impl BlobSource for BundleBlob {
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError> {
        let reader = if from == 0 {
            self.bundle.reader(&self.digest)
        } else {
            self.bundle.range(&self.digest, from, self.size.saturating_sub(from))
        };
        Ok(Box::new(Chunks(reader.map_err(SourceError::new)?)))
    }
}

impl ChunkReader for Chunks {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        self.0.next_chunk().map_err(SourceError::new)
    }
}
