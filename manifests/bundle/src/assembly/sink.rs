//! Filling one blob.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferry_model::Digest;
use ferry_model::digest::Hasher;

use super::Shared;
use crate::compress::{FRAME, InOrder};
use crate::frame::{BLOCK_CONTENT, RawBlock};
use crate::seek_table::FrameSize;
use crate::{Error, layout};

/// Bytes that are gathered before they are written: fewer system calls, and little lost by a kill.
const BUFFER: usize = 256 << 10;
/// Content bytes between two lines of the journal, on a fast line.
const JOURNAL_STEP: u64 = 8 << 20;
/// Time between two lines of the journal, on a slow one, so that a kill costs no more than this.
const JOURNAL_TIME: Duration = Duration::from_secs(1);

/// Fills a stored blob: content goes in, raw frames come out at its place in the file.
#[derive(Debug)]
pub struct StoredSink {
    shared: Arc<Shared>,
    index: usize,
    position: u64,
    journaled: u64,
    journaled_at: Instant,
    buffer: Vec<u8>,
    buffer_offset: u64,
}

impl StoredSink {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let position = shared.lock().replay.stored[index].min(shared.blobs[index].size);
        let mut sink = Self {
            shared,
            index,
            position: 0,
            journaled: 0,
            journaled_at: Instant::now(),
            buffer: Vec::new(),
            buffer_offset: 0,
        };
        sink.seek(position);
        sink
    }

    fn seek(&mut self, position: u64) {
        let size = self.shared.blobs[self.index].size;
        self.position = position;
        self.journaled = position;
        self.buffer.clear();
        self.buffer_offset = self.shared.offsets[self.index];
        if position < size {
            let block = RawBlock::at(position, size);
            let inner = position % BLOCK_CONTENT;
            self.buffer_offset += block.start + if inner == 0 { 0 } else { block.header_size + inner };
        }
    }

    /// Content bytes that are there.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The hash of what is there, read back from the file. If that fails, the blob starts over.
    pub fn resume(&mut self) -> Hasher {
        hash_stored(&self.shared, self.index, self.position).unwrap_or_else(|_| {
            self.seek(0);
            Hasher::default()
        })
    }

    /// Forgets what is there.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.seek(0);
        self.shared.lock().journal.stored(self.index, 0)
    }

    /// Takes the next bytes of content.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let size = self.shared.blobs[self.index].size;
        while !bytes.is_empty() {
            if self.position >= size {
                return Err(Error::Limit {
                    what: "the content of a blob",
                    value: size + bytes.len() as u64,
                    limit: size,
                });
            }
            let block = RawBlock::at(self.position, size);
            let inner = self.position % BLOCK_CONTENT;
            if inner == 0 {
                block.write_headers(&mut self.buffer);
            }
            let room = usize::try_from(block.content - inner).expect("a block is small");
            let (head, tail) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(head);
            self.position += head.len() as u64;
            bytes = tail;
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        if self.position - self.journaled >= JOURNAL_STEP || self.journaled_at.elapsed() >= JOURNAL_TIME {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.shared.volumes.write_all_at(self.buffer_offset, &self.buffer)?;
        self.buffer_offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes all that was taken, and notes in the journal that it is there.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        self.flush()?;
        let mut state = self.shared.lock();
        state.journal.stored(self.index, self.position)?;
        state.replay.stored[self.index] = self.position;
        self.journaled = self.position;
        self.journaled_at = Instant::now();
        Ok(())
    }

    /// Ends the blob. `digest` is the caller's hash of all content.
    pub fn finish(mut self, digest: Digest) -> Result<(), Error> {
        self.checkpoint()?;
        self.shared.complete(self.index, self.position, digest)
    }
}

impl Shared {
    fn complete(&self, index: usize, position: u64, actual: Digest) -> Result<(), Error> {
        let blob = &self.blobs[index];
        if actual != blob.digest || position != blob.size {
            return Err(Error::BlobDigest { expected: blob.digest, actual });
        }
        let mut state = self.lock();
        state.journal.done(index, self.stored_place(index))?;
        state.replay.done[index] = true;
        Ok(())
    }
}

/// Hashes the first `length` content bytes of a stored blob, as they are in the file.
pub(super) fn hash_stored(shared: &Shared, index: usize, length: u64) -> Result<Hasher, Error> {
    let (size, offset) = (shared.blobs[index].size, shared.offsets[index]);
    let mut hasher = Hasher::default();
    let mut position = 0;
    let mut buffer = vec![0; usize::try_from(BLOCK_CONTENT).expect("128 KiB")];
    while position < length {
        let block = RawBlock::at(position, size);
        let wanted = usize::try_from(block.content.min(length - position)).expect("a block is small");
        shared.volumes.read_exact_at(offset + block.start + block.header_size, &mut buffer[..wanted])?;
        hasher.update(&buffer[..wanted]);
        position += wanted as u64;
    }
    Ok(hasher)
}

/// Hashes the content of frames that lie behind one another, as they are in the file; `None` where they are damaged.
pub(super) fn hash_frames(shared: &Shared, start: u64, frames: &[FrameSize]) -> Option<Hasher> {
    let mut hasher = Hasher::default();
    let mut offset = start;
    for frame in frames {
        let mut stored = vec![0; frame.stored as usize];
        shared.volumes.read_exact_at(offset, &mut stored).ok()?;
        let content = zstd::bulk::decompress(&stored, frame.content as usize).ok()?;
        if content.len() != frame.content as usize {
            return None;
        }
        hasher.update(&content);
        offset += u64::from(frame.stored);
    }
    Some(hasher)
}

/// Fills a compressed blob: content goes in, frames come out behind the blob before.
pub struct CompressedSink {
    shared: Arc<Shared>,
    index: usize,
    /// Where the blob's first frame lies.
    start: u64,
    /// Where the next frame goes.
    end: u64,
    /// Content bytes taken in all.
    position: u64,
    /// Content bytes of each frame handed out, not yet back.
    sizes: std::collections::VecDeque<u32>,
    chunk: Vec<u8>,
    frames: InOrder,
}

impl std::fmt::Debug for CompressedSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompressedSink")
            .field("index", &self.index)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl CompressedSink {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let frames = InOrder::new(Arc::clone(&shared.pool));
        let (start, end, position) = {
            let state = shared.lock();
            let start = state.lane_offset + layout::joint_size(Some(shared.previous_size(index)));
            let there = &state.replay.frames[index];
            let stored: u64 = there.iter().map(|frame| u64::from(frame.stored)).sum();
            (start, start + stored, there.iter().map(|frame| u64::from(frame.content)).sum())
        };
        let sizes = std::collections::VecDeque::new();
        Self { shared, index, start, end, position, sizes, chunk: Vec::new(), frames }
    }

    /// Which blob of the plan it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Content bytes that are there.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The hash of what is there, read back from the file. If that fails, the blob starts over.
    pub fn resume(&mut self) -> Result<Hasher, Error> {
        let frames = self.shared.lock().replay.frames[self.index].clone();
        match hash_frames(&self.shared, self.start, &frames) {
            Some(hasher) => Ok(hasher),
            None => {
                self.restart()?;
                Ok(Hasher::default())
            }
        }
    }

    /// Forgets what is there.
    pub fn restart(&mut self) -> Result<(), Error> {
        while self.frames.pop().is_some() {}
        self.sizes.clear();
        self.chunk.clear();
        (self.end, self.position) = (self.start, 0);
        let mut state = self.shared.lock();
        state.replay.frames[self.index].clear();
        state.journal.restart(self.index)
    }

    /// Takes the next bytes of content. Blocks while all cores are busy.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let size = self.shared.blobs[self.index].size;
        if self.position + bytes.len() as u64 > size {
            return Err(Error::Limit {
                what: "the content of a blob",
                value: self.position + bytes.len() as u64,
                limit: size,
            });
        }
        self.position += bytes.len() as u64;
        while !bytes.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(FRAME - self.chunk.len()));
            self.chunk.extend_from_slice(head);
            bytes = tail;
            if self.chunk.len() == FRAME {
                self.submit()?;
            }
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<(), Error> {
        let chunk = std::mem::take(&mut self.chunk);
        self.sizes.push_back(u32::try_from(chunk.len()).expect("a frame is small"));
        match self.frames.push(chunk) {
            Some(frame) => self.append(frame),
            None => Ok(()),
        }
    }

    /// Writes a frame that came back.
    fn append(&mut self, frame: std::io::Result<Vec<u8>>) -> Result<(), Error> {
        let frame = frame.map_err(Error::io("compressing for", self.shared.volumes.path()))?;
        let content = self.sizes.pop_front().expect("one size for each frame handed out");
        self.shared.volumes.write_all_at(self.end, &frame)?;
        self.end += frame.len() as u64;
        let size = FrameSize { stored: u32::try_from(frame.len()).expect("a frame is small"), content };
        let mut state = self.shared.lock();
        state.journal.frame(self.index, size)?;
        state.replay.frames[self.index].push(size);
        Ok(())
    }

    /// Ends the blob. `digest` is the caller's hash of all content.
    pub fn finish(mut self, digest: Digest) -> Result<(), Error> {
        if !self.chunk.is_empty() {
            self.submit()?;
        }
        while let Some(frame) = self.frames.pop() {
            self.append(frame)?;
        }
        self.shared.complete(self.index, self.position, digest)?;
        let mut state = self.shared.lock();
        self.shared.place_compressed(&mut state, self.index);
        state.lane_offset = self.end;
        state.lane_next = self.index + 1;
        Ok(())
    }
}
