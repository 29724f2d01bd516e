//! Writing a bundle: laid out from the lock, filled in any order, resumable at any instruction.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use ferry_model::Digest;
use ferry_model::catalog::{Blob, Catalog, Encoding};
use ferry_model::digest::Hasher;

use crate::compress::Pool;
use crate::frame::RawBlock;
use crate::journal::{Journal, Replay};
use crate::seek_table::FrameSize;
use crate::volumes::{VOLUMES_SUFFIX, Volumes, with_suffix};
use crate::{Error, SecretKey, frame, layout};

mod sink;
mod tail;

pub use sink::{CompressedSink, StoredSink};

pub(crate) const PARTIAL: &str = ".partial";
pub(crate) const JOURNAL: &str = ".partial.journal";

/// How to write a bundle.
#[derive(Clone, Debug)]
pub struct AssemblyOptions {
    /// The final name. Until all is done, the file is called `….partial`.
    pub path: PathBuf,
    /// Write volumes of this many bytes instead of one file.
    pub volume_size: Option<u64>,
    /// The digest of the lock: the partial file of another lock is not continued.
    pub lock: Digest,
}

/// A blob to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPlan {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// How to keep it: [`Encoding::Stored`] ones come first.
    pub encoding: Encoding,
}

/// How far a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// This many content bytes are there, perhaps none.
    Begun(u64),
    /// Complete and right.
    Done,
}

/// A bundle under construction.
///
/// Stored blobs have their place from the start and may be filled all at once ([`Assembly::stored`]). Compressed ones
/// lie behind them, each right after the one before, so they are filled one after the other
/// ([`Assembly::next_compressed`], [`Assembly::compressed`]).
#[derive(Debug)]
pub struct Assembly {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: AssemblyOptions,
    blobs: Vec<BlobPlan>,
    /// Where each stored blob's first frame lies.
    offsets: Vec<u64>,
    volumes: Volumes,
    state: Mutex<State>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct State {
    journal: Journal,
    replay: Replay,
    /// Where the next compressed blob's joint goes.
    lane_offset: u64,
    /// The next compressed blob.
    lane_next: usize,
    /// Where each compressed blob that was begun lies.
    lane_places: Vec<u64>,
}

/// What [`Assembly::finish`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The files: one, or the volumes.
    pub paths: Vec<PathBuf>,
    /// Bytes of all together.
    pub file_size: u64,
    /// The digest of the catalog: what authenticates an unsigned bundle.
    pub catalog_digest: Digest,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

impl Assembly {
    /// Begins a bundle, or goes on with one that an earlier process left.
    pub fn open(options: AssemblyOptions, blobs: Vec<BlobPlan>) -> Result<Self, Error> {
        let first_compressed =
            blobs.iter().position(|blob| blob.encoding != Encoding::Stored).unwrap_or(blobs.len());
        for blob in &blobs[first_compressed..] {
            if blob.encoding != Encoding::Zstd {
                let problem = format!("blob {} is `{}` behind compressed ones", blob.digest, blob.encoding);
                return Err(Error::Inconsistent(problem));
            }
        }
        let (offsets, lane_start) = stored_offsets(&blobs[..first_compressed]);
        let most = upper_bound(&blobs);
        let volumes = Volumes::create(&options.path, PARTIAL, options.volume_size, most)?;
        let journal_path = with_suffix(&options.path, JOURNAL);
        let volume_size = options.volume_size.unwrap_or(0);
        let (journal, mut replay) = Journal::open(&journal_path, options.lock, volume_size, blobs.len())?;
        if let Some(count) = replay.finishing {
            // What was taken back is believed only after it was hashed: it might be an earlier bundle's.
            replay.doubtful |= take_back_names(&volumes, count)?;
        }
        let state = State {
            journal,
            replay,
            lane_offset: lane_start,
            lane_next: first_compressed,
            lane_places: Vec::new(),
        };
        let shared = Shared {
            options,
            blobs,
            offsets,
            volumes,
            state: Mutex::new(state),
            pool: Arc::new(Pool::new()),
        };
        let assembly = Self { shared: Arc::new(shared) };
        assembly.restore()?;
        Ok(assembly)
    }

    /// Removes the journal of a bundle that is finished: a kill between the last two steps leaves it. One that
    /// belongs to an unfinished bundle stays.
    pub fn tidy(path: &Path) -> Result<(), Error> {
        let journal = with_suffix(path, JOURNAL);
        let unfinished = [PARTIAL, ".001.partial"].iter().any(|suffix| with_suffix(path, suffix).exists());
        if unfinished {
            return Ok(());
        }
        match std::fs::remove_file(&journal) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("removing", journal)(error))
            }
            _ => Ok(()),
        }
    }

    /// Believes what the journal says, where the data can only be there: this machine has not been restarted since, no
    /// write has failed, and the files are as long as they must be. Otherwise everything is hashed again.
    fn restore(&self) -> Result<(), Error> {
        let doubtful = self.shared.lock().replay.doubtful || !self.is_covered();
        if doubtful {
            self.hash_again()?;
        }
        let mut state = self.shared.lock();
        while state.lane_next < self.shared.blobs.len() && state.replay.done[state.lane_next] {
            let index = state.lane_next;
            self.shared.place_compressed(&mut state, index);
            state.lane_offset += stored_bytes(&state.replay.frames[index]);
            state.lane_next += 1;
        }
        Ok(())
    }

    /// Whether the files are long enough for all that the journal speaks of: someone may have removed one.
    fn is_covered(&self) -> bool {
        let lengths = self.shared.volumes.lengths();
        let state = self.shared.lock();
        let stored = self.shared.offsets.iter().enumerate().all(|(index, offset)| {
            let size = self.shared.blobs[index].size;
            let content = if state.replay.done[index] { size } else { state.replay.stored[index].min(size) };
            let length = if content == 0 { 0 } else { RawBlock::end_of(content, size) };
            self.shared.volumes.covers(&lengths, *offset, length)
        });
        let compressed: u64 = state.replay.frames.iter().map(|frames| stored_bytes(frames)).sum();
        stored && self.shared.volumes.covers(&lengths, state.lane_offset, compressed)
    }

    /// Takes back what does not have its digest. Beginnings of blobs stay: a wrong one shows at the blob's end, and the
    /// blob then starts over.
    fn hash_again(&self) -> Result<(), Error> {
        for (index, blob) in self.shared.blobs.iter().enumerate().take(self.shared.offsets.len()) {
            let claimed = self.shared.lock().replay.done[index];
            let hash = || sink::hash_stored(&self.shared, index, blob.size).map(Hasher::finish);
            if claimed && hash().ok() != Some(blob.digest) {
                let mut state = self.shared.lock();
                state.replay.done[index] = false;
                state.replay.stored[index] = 0;
            }
        }
        let good = self.good_compressed();
        let mut state = self.shared.lock();
        state.replay.done[good..].fill(false);
        state.replay.frames[good..].iter_mut().for_each(Vec::clear);
        let volume_size = self.shared.options.volume_size.unwrap_or(0);
        let State { journal, replay, .. } = &mut *state;
        let place = |index| self.shared.stored_place(index);
        journal.rewrite(self.shared.options.lock, volume_size, replay, place)
    }

    /// The first compressed blob that is not there, or not right.
    fn good_compressed(&self) -> usize {
        let (mut index, mut offset) = {
            let state = self.shared.lock();
            (state.lane_next, state.lane_offset)
        };
        while let Some(blob) = self.shared.blobs.get(index) {
            let (done, frames) = {
                let state = self.shared.lock();
                (state.replay.done[index], state.replay.frames[index].clone())
            };
            offset += layout::joint_size(Some(self.shared.previous_size(index)));
            let digest = || sink::hash_frames(&self.shared, offset, &frames).map(Hasher::finish);
            if !done || digest() != Some(blob.digest) {
                break;
            }
            offset += stored_bytes(&frames);
            index += 1;
        }
        index
    }

    /// How far a blob is.
    pub fn state(&self, index: usize) -> BlobState {
        let state = self.shared.lock();
        if state.replay.done[index] {
            return BlobState::Done;
        }
        let frames: u64 = state.replay.frames[index].iter().map(|frame| u64::from(frame.content)).sum();
        BlobState::Begun(state.replay.stored[index].min(self.shared.blobs[index].size) + frames)
    }

    /// The most bytes that the finished file can have.
    pub fn size_at_most(&self) -> u64 {
        upper_bound(&self.shared.blobs)
    }

    /// Opens a stored blob for filling, where it stopped.
    pub fn stored(&self, index: usize) -> StoredSink {
        StoredSink::new(Arc::clone(&self.shared), index)
    }

    /// The compressed blob that is due; `None` when all are done.
    pub fn next_compressed(&self) -> Option<usize> {
        let next = self.shared.lock().lane_next;
        (next < self.shared.blobs.len()).then_some(next)
    }

    /// Opens the compressed blob that is due, where it stopped.
    pub fn compressed(&self) -> Option<CompressedSink> {
        self.next_compressed().map(|index| CompressedSink::new(Arc::clone(&self.shared), index))
    }

    /// Writes index, catalog, signature, locator and seek table, and gives the file its final name. `catalog.blobs`
    /// is filled in here. All blobs must be done.
    pub fn finish(self, catalog: Catalog, key: Option<&SecretKey>) -> Result<Finished, Error> {
        let shared = Arc::into_inner(self.shared).expect("no sink outlives the filling of its blob");
        tail::finish(shared, catalog, key)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while it held the lock left at most a line unwritten.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Bytes of the member before `index` in the archive.
    fn previous_size(&self, index: usize) -> u64 {
        index
            .checked_sub(1)
            .map_or(layout::OCI_LAYOUT_CONTENT.len() as u64, |previous| self.blobs[previous].size)
    }

    /// Where a stored blob lies, as the journal notes it.
    fn stored_place(&self, index: usize) -> Option<(Digest, u64, u64)> {
        let offset = self.offsets.get(index)?;
        Some((self.blobs[index].digest, *offset, self.blobs[index].size))
    }

    /// Fixes where a compressed blob's frames begin: behind its joint.
    fn place_compressed(&self, state: &mut State, index: usize) {
        state.lane_offset += layout::joint_size(Some(self.previous_size(index)));
        state.lane_places.push(state.lane_offset);
    }

    /// Where every blob lies, once all are done.
    fn placements(&self, state: &State) -> Result<Vec<Blob>, Error> {
        let first_compressed = self.offsets.len();
        let place = |(index, blob): (usize, &BlobPlan)| {
            if !state.replay.done[index] {
                return Err(Error::Inconsistent(format!("blob {} is not there yet", blob.digest)));
            }
            let (offset, stored_size) = match index.checked_sub(first_compressed) {
                None => (self.offsets[index], frame::raw_size(blob.size)),
                Some(lane) => {
                    let frames = &state.replay.frames[index];
                    (state.lane_places[lane], stored_bytes(frames))
                }
            };
            let (digest, size, encoding) = (blob.digest, blob.size, blob.encoding.clone());
            Ok(Blob { digest, size, offset, stored_size, encoding })
        };
        self.blobs.iter().enumerate().map(place).collect()
    }

    /// The frames of one blob, for the seek table.
    fn frames(&self, state: &State, index: usize) -> Vec<FrameSize> {
        match self.blobs[index].encoding {
            Encoding::Stored => layout::raw_frame_sizes(self.blobs[index].size).collect(),
            _ => state.replay.frames[index].clone(),
        }
    }
}

/// Bytes that frames take in the file.
fn stored_bytes(frames: &[FrameSize]) -> u64 {
    frames.iter().map(|frame| u64::from(frame.stored)).sum()
}

/// A kill while `count` files were renamed leaves some under their final names.
fn take_back_names(volumes: &Volumes, count: usize) -> Result<bool, Error> {
    let mut taken = false;
    for partial in volumes.paths().take(count) {
        let finished = tail::final_name(partial);
        if !partial.exists() && finished.exists() {
            std::fs::rename(&finished, partial).map_err(Error::io("renaming", finished))?;
            taken = true;
        }
    }
    Ok(taken)
}

/// Where stored blobs lie, and where what follows them begins.
fn stored_offsets(blobs: &[BlobPlan]) -> (Vec<u64>, u64) {
    let mut previous = layout::OCI_LAYOUT_CONTENT.len() as u64;
    let mut end = layout::joint_size(None) + frame::raw_size(previous);
    let mut offsets = Vec::with_capacity(blobs.len());
    for blob in blobs {
        let offset = end + layout::joint_size(Some(previous));
        offsets.push(offset);
        end = offset + frame::raw_size(blob.size);
        previous = blob.size;
    }
    (offsets, end)
}

/// More than the file can take: compressed data never grows by more than 1/128, and the catalog takes under 1 KiB per
/// blob.
fn upper_bound(blobs: &[BlobPlan]) -> u64 {
    let content: u64 = blobs.iter().map(|blob| frame::raw_size(blob.size) + blob.size / 128 + 4096).sum();
    content + (1 << 20)
}
