//! Content out of frames: of raw blocks, and compressed.

use std::collections::VecDeque;

use bytes::Bytes;
use ferry_model::catalog::Blob;

use crate::frame::{self, BLOCK_CONTENT, RawBlock};
use crate::seek_table::FrameSize;
use crate::{Error, Volumes};

/// Raw blocks that are read at once: 1 MiB.
const BLOCKS_AT_ONCE: u64 = 8;
/// What is read ahead of a compressed frame: one that Ferry wrote fits.
const READ_AHEAD: u64 = (1 << 20) + (8 << 10);
/// More than a frame of 4 MiB can take compressed (`ZSTD_COMPRESSBOUND`).
const FRAME_BOUND: u64 = frame::FRAME_CONTENT + (frame::FRAME_CONTENT >> 8) + 1024;

/// Content out of raw frames: headers are compared with what they must be, and dropped.
#[derive(Debug)]
pub(super) struct StoredBlocks {
    offset: u64,
    size: u64,
    position: u64,
    ready: VecDeque<Bytes>,
}

impl StoredBlocks {
    /// From content byte `position`, the first of a block.
    pub(super) fn new(blob: &Blob, position: u64) -> Self {
        Self { offset: blob.offset, size: blob.size, position, ready: VecDeque::new() }
    }

    pub(super) fn next(&mut self, volumes: &Volumes) -> Result<Option<Bytes>, Error> {
        if self.ready.is_empty() && self.position < self.size {
            self.fill(volumes)?;
        }
        Ok(self.ready.pop_front())
    }

    /// Where the blob lies, for errors.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    fn fill(&mut self, volumes: &Volumes) -> Result<(), Error> {
        let blocks: Vec<RawBlock> = (0..BLOCKS_AT_ONCE)
            .map(|index| self.position + index * BLOCK_CONTENT)
            .take_while(|position| *position < self.size)
            .map(|position| RawBlock::at(position, self.size))
            .collect();
        let (first, last) = (blocks[0], blocks[blocks.len() - 1]);
        let length = last.start + last.header_size + last.content - first.start;
        let mut run = vec![0; usize::try_from(length).expect("about 1 MiB")];
        volumes.read_exact_at(self.offset + first.start, &mut run)?;
        let run = Bytes::from(run);
        for block in blocks {
            let at = |offset: u64| usize::try_from(offset - first.start).expect("about 1 MiB");
            let content = at(block.start + block.header_size);
            if !block.headers_match(&run[at(block.start)..content]) {
                let offset = self.offset + block.start;
                return Err(Error::Frame {
                    offset,
                    reason: "the headers of a stored block are damaged".into(),
                });
            }
            self.ready.push_back(run.slice(content..content + at(first.start + block.content)));
            self.position += block.content;
        }
        Ok(())
    }
}

/// Walks compressed frames, reading ahead no more than one can take.
#[derive(Debug)]
pub(crate) struct ZstdFrames {
    /// Where `buffer` begins in the file.
    offset: u64,
    /// Stored bytes from there to the end of the run.
    remaining: u64,
    buffer: Vec<u8>,
    /// Bytes of the buffer that the last frame took.
    taken: usize,
}

/// One compressed frame, borrowed until the next is asked for.
#[derive(Debug)]
pub(crate) struct StoredFrame<'a> {
    /// Where it lies.
    pub(crate) offset: u64,
    /// The content that it declares, at most 4 MiB.
    pub(crate) content: u64,
    bytes: &'a [u8],
}

impl StoredFrame<'_> {
    pub(crate) fn sizes(&self) -> FrameSize {
        let narrow = |value: u64| u32::try_from(value).expect("a frame is about 4 MiB");
        FrameSize { stored: narrow(self.bytes.len() as u64), content: narrow(self.content) }
    }

    /// The content: never more than declared.
    pub(crate) fn decompress(&self) -> Result<Vec<u8>, Error> {
        let damaged = |reason: String| Error::Frame { offset: self.offset, reason };
        let capacity = usize::try_from(self.content).expect("at most 4 MiB");
        let content =
            zstd::bulk::decompress(self.bytes, capacity).map_err(|error| damaged(error.to_string()))?;
        if content.len() == capacity {
            Ok(content)
        } else {
            Err(damaged("it has less content than it declares".into()))
        }
    }
}

impl ZstdFrames {
    pub(crate) fn new(offset: u64, stored_size: u64) -> Self {
        Self { offset, remaining: stored_size, buffer: Vec::new(), taken: 0 }
    }

    /// Where the last frame lies, for errors.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Stored bytes behind the last frame.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining - self.taken as u64
    }

    /// The next frame.
    pub(crate) fn next(&mut self, volumes: &Volumes) -> Result<Option<StoredFrame<'_>>, Error> {
        self.buffer.drain(..self.taken);
        self.offset += self.taken as u64;
        self.remaining -= self.taken as u64;
        self.taken = 0;
        if self.remaining == 0 {
            return Ok(None);
        }
        self.read_to(volumes, READ_AHEAD)?;
        let content = frame::declared_content(&self.buffer, self.offset)?;
        let mut length = frame_length(&self.buffer);
        if length.is_none() {
            self.read_to(volumes, FRAME_BOUND)?;
            length = frame_length(&self.buffer);
        }
        let damaged = || Error::Frame { offset: self.offset, reason: "a compressed frame is damaged".into() };
        self.taken = length.ok_or_else(damaged)?;
        Ok(Some(StoredFrame { offset: self.offset, content, bytes: &self.buffer[..self.taken] }))
    }

    /// Fills the buffer up to `length` bytes, or to the end of the run.
    fn read_to(&mut self, volumes: &Volumes, length: u64) -> Result<(), Error> {
        let have = self.buffer.len();
        let length = usize::try_from(length.min(self.remaining)).expect("about 4 MiB");
        if length > have {
            self.buffer.resize(length, 0);
            volumes.read_exact_at(self.offset + have as u64, &mut self.buffer[have..])?;
        }
        Ok(())
    }
}

/// The length of the frame that `bytes` begin with, if all of it is there.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    zstd::zstd_safe::find_frame_compressed_size(bytes).ok()
}
