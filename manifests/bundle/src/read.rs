//! Reading blobs out of a bundle, verified.

mod source;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::catalog::{Blob, Encoding};
use ferry_model::digest::Hasher;

use crate::frame::BLOCK_CONTENT;
use crate::open::Inner;
use crate::seek_table::FrameSize;
use crate::{Bundle, Error};

use source::StoredBlocks;
pub(crate) use source::ZstdFrames;

/// What hashing a blob taught about its frames: the sizes of compressed ones; nothing for stored ones.
#[derive(Debug, Default)]
pub(crate) struct Frames(pub(crate) Vec<FrameSize>);

/// Hands out the content of a blob in chunks, or a part of it. Errors instead of handing out the last chunk of a
/// blob whose digest is wrong.
#[derive(Debug)]
pub struct BlobReader {
    bundle: Arc<Inner>,
    digest: Digest,
    source: Source,
    /// Content bytes still to be dropped from the front.
    skip: u64,
    /// Content bytes still to be handed out.
    remaining: u64,
    /// For whole blobs.
    check: Option<(Hasher, Frames)>,
    /// What [`io::Read`] has not taken yet.
    leftover: Bytes,
}

#[derive(Debug)]
enum Source {
    Stored(StoredBlocks),
    Zstd(ZstdFrames),
}

impl BlobReader {
    pub(crate) fn whole(bundle: &Bundle, blob: &Blob) -> Result<Self, Error> {
        let source = match &blob.encoding {
            Encoding::Stored => Source::Stored(StoredBlocks::new(blob, 0)),
            Encoding::Zstd => Source::Zstd(ZstdFrames::new(blob.offset, blob.stored_size)),
            Encoding::Unknown(name) => {
                return Err(Error::UnknownEncoding { digest: blob.digest, encoding: name.clone() });
            }
        };
        Ok(Self {
            bundle: Arc::clone(&bundle.inner),
            digest: blob.digest,
            source,
            skip: 0,
            remaining: blob.size,
            check: Some((Hasher::default(), Frames::default())),
            leftover: Bytes::new(),
        })
    }

    pub(crate) fn part(bundle: &Bundle, blob: &Blob, start: u64, length: u64) -> Result<Self, Error> {
        let start = start.min(blob.size);
        let remaining = length.min(blob.size - start);
        let frames = verified_frames(bundle, blob)?;
        let (source, skip) = if blob.encoding == Encoding::Stored {
            let begin = start / BLOCK_CONTENT * BLOCK_CONTENT;
            (Source::Stored(StoredBlocks::new(blob, begin)), start - begin)
        } else {
            let (mut offset, mut content) = (blob.offset, 0);
            for frame in &frames.0 {
                if content + u64::from(frame.content) > start {
                    break;
                }
                offset += u64::from(frame.stored);
                content += u64::from(frame.content);
            }
            let stored = blob.stored_size - (offset - blob.offset);
            (Source::Zstd(ZstdFrames::new(offset, stored)), start - content)
        };
        Ok(Self {
            bundle: Arc::clone(&bundle.inner),
            digest: blob.digest,
            source,
            skip,
            remaining,
            check: None,
            leftover: Bytes::new(),
        })
    }

    /// The next chunk, at most 1 MiB (4 MiB for a compressed frame of a foreign writer); `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.remaining == 0 {
                // A blob of no bytes has no last chunk to hold back.
                return self.finish_check().map(|()| None);
            }
            let Some(mut chunk) = self.source_chunk()? else {
                return Err(self.damaged("it has less content than the catalog says"));
            };
            if self.skip > 0 {
                let drop = self.skip.min(chunk.len() as u64);
                self.skip -= drop;
                chunk = chunk.slice(usize::try_from(drop).expect("a chunk is small")..);
                if chunk.is_empty() {
                    continue;
                }
            }
            if chunk.len() as u64 > self.remaining {
                if self.check.is_some() {
                    return Err(self.damaged("it has more content than the catalog says"));
                }
                chunk.truncate(usize::try_from(self.remaining).expect("a chunk is small"));
            }
            self.remaining -= chunk.len() as u64;
            if let Some((hasher, _)) = &mut self.check {
                hasher.update(&chunk);
            }
            if self.remaining == 0 {
                self.finish_check()?;
            }
            return Ok(Some(chunk));
        }
    }

    fn source_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match &mut self.source {
            Source::Stored(blocks) => blocks.next(&self.bundle.volumes),
            Source::Zstd(frames) => {
                let Some(frame) = frames.next(&self.bundle.volumes)? else { return Ok(None) };
                if let Some((_, Frames(sizes))) = &mut self.check {
                    sizes.push(frame.sizes());
                }
                frame.decompress().map(|content| Some(content.into()))
            }
        }
    }

    fn damaged(&self, reason: &str) -> Error {
        let offset = match &self.source {
            Source::Stored(blocks) => blocks.offset(),
            Source::Zstd(frames) => frames.offset(),
        };
        Error::Frame { offset, reason: format!("blob {}: {reason}", self.digest) }
    }

    /// Compares the digest at the end of a whole blob, and remembers that it was right.
    fn finish_check(&mut self) -> Result<(), Error> {
        let Some((hasher, frames)) = self.check.take() else { return Ok(()) };
        let actual = hasher.finish();
        if actual != self.digest {
            return Err(Error::BlobDigest { expected: self.digest, actual });
        }
        if let Source::Zstd(rest) = &self.source
            && rest.remaining() > 0
        {
            return Err(self.damaged("there are frames behind its content"));
        }
        self.bundle.lock_verified().insert(self.digest, Arc::new(frames));
        Ok(())
    }
}

impl Inner {
    pub(crate) fn lock_verified(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::HashMap<Digest, Arc<Frames>>> {
        self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The frames of a blob that was hashed by this process, hashing it now if need be.
pub(crate) fn verified_frames(bundle: &Bundle, blob: &Blob) -> Result<Arc<Frames>, Error> {
    let known = |bundle: &Bundle| bundle.inner.lock_verified().get(&blob.digest).cloned();
    if let Some(frames) = known(bundle) {
        return Ok(frames);
    }
    let mut reader = BlobReader::whole(bundle, blob)?;
    while reader.next_chunk()?.is_some() {}
    Ok(known(bundle).expect("a blob read to its end is known"))
}

impl io::Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.leftover.is_empty() {
            match self.next_chunk().map_err(io::Error::other)? {
                None => return Ok(0),
                Some(chunk) => self.leftover = chunk,
            }
        }
        let count = buffer.len().min(self.leftover.len());
        buffer[..count].copy_from_slice(&self.leftover.split_to(count));
        Ok(count)
    }
}
