//! What a half-filled bundle holds: a text file beside it, one line per fact, appended as facts come true.
//!
//! ```text
//! ferry-journal 1 <boot> <lock> <volume size or 0>
//! stored <index> <bytes>          content bytes of a stored blob that are in the file
//! frame <index> <stored> <bytes>  one more frame of a compressed blob, and its content bytes
//! done <index> [<digest> <offset> <bytes>]   a blob is complete and its digest was right; where, if it is stored
//! restart <index>                 the frames of a compressed blob are void
//! finishing <count>               all blobs are done; that many files may have their final names
//! doubt                           a write failed late: nothing above is sure
//! ```
//!
//! Lines are not synced: after `kill -9` the page cache still has the data and the lines. Only a crash of the whole
//! machine can lose data that a line speaks of, and then `<boot>` (the kernel's boot id) differs, and everything is
//! hashed again before it is believed.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use ferry_model::Digest;

use crate::Error;
use crate::seek_table::FrameSize;

/// What the journal says, replayed.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Per blob: content bytes of a stored blob that are there.
    pub(crate) stored: Vec<u64>,
    /// Per blob: frames of a compressed blob that are there.
    pub(crate) frames: Vec<Vec<FrameSize>>,
    /// Per blob: complete.
    pub(crate) done: Vec<bool>,
    /// This many files may have their final names.
    pub(crate) finishing: Option<usize>,
    /// The machine was restarted since, or a write failed late: data may be lost.
    pub(crate) doubtful: bool,
}

/// The journal, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

fn boot_id() -> String {
    // Without one (no /proc), nothing that an earlier process wrote is trusted unhashed.
    let unknown = || format!("unknown-{}", std::process::id());
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| unknown(), |id| id.trim().to_owned())
}

impl Journal {
    /// Opens or creates the journal, and keeps other processes off it. A journal of another lock or another volume
    /// size is an error.
    pub(crate) fn open(
        path: &Path,
        lock: Digest,
        volume_size: u64,
        blobs: usize,
    ) -> Result<(Self, Replay), Error> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = file.map_err(Error::io("creating", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::Busy { path: path.to_owned() }),
            Err(std::fs::TryLockError::Error(error)) => return Err(Error::io("locking", path)(error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(Error::io("reading", path))?;
        let mut journal = Self { file, path: path.to_owned() };
        let boot = boot_id();
        let mut replay = Replay {
            stored: vec![0; blobs],
            frames: vec![Vec::new(); blobs],
            done: vec![false; blobs],
            ..Replay::default()
        };
        // A line without its end was cut off by a kill.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut lines = complete.lines();
        match lines.next() {
            None => journal.start(&boot, lock, volume_size)?,
            Some(header) => {
                let (old_boot, rest) = header
                    .strip_prefix("ferry-journal 1 ")
                    .and_then(|rest| rest.split_once(' '))
                    .unwrap_or_default();
                if rest != format!("{lock} {volume_size}") {
                    return Err(Error::OtherPartial { path: path.with_extension("") });
                }
                replay.doubtful = old_boot != boot;
                lines.for_each(|line| replay.take(line));
                if complete.len() + 1 != text.len() {
                    journal.file.set_len(complete.len() as u64 + 1).map_err(Error::io("writing", path))?;
                }
            }
        }
        Ok((journal, replay))
    }

    fn start(&mut self, boot: &str, lock: Digest, volume_size: u64) -> Result<(), Error> {
        self.file.set_len(0).map_err(Error::io("writing", &self.path))?;
        self.line(&format!("ferry-journal 1 {boot} {lock} {volume_size}"))
    }

    /// Writes the journal anew, with what was hashed again and found right. The old one stands until the new one is
    /// whole.
    pub(crate) fn rewrite(
        &mut self,
        lock: Digest,
        volume_size: u64,
        replay: &Replay,
        place: impl Fn(usize) -> Option<(Digest, u64, u64)>,
    ) -> Result<(), Error> {
        let path = crate::volumes::with_suffix(&self.path, ".new");
        let file = File::create(&path).map_err(Error::io("creating", &path))?;
        file.try_lock().map_err(|_| Error::Busy { path: path.clone() })?;
        let mut new = Self { file, path: path.clone() };
        new.start(&boot_id(), lock, volume_size)?;
        for index in 0..replay.done.len() {
            if replay.stored[index] > 0 {
                new.stored(index, replay.stored[index])?;
            }
            replay.frames[index].iter().try_for_each(|frame| new.frame(index, *frame))?;
            if replay.done[index] {
                new.done(index, place(index))?;
            }
        }
        std::fs::rename(&path, &self.path).map_err(Error::io("renaming", path))?;
        self.file = new.file;
        Ok(())
    }

    pub(crate) fn stored(&mut self, index: usize, bytes: u64) -> Result<(), Error> {
        self.line(&format!("stored {index} {bytes}"))
    }

    pub(crate) fn frame(&mut self, index: usize, frame: FrameSize) -> Result<(), Error> {
        self.line(&format!("frame {index} {} {}", frame.stored, frame.content))
    }

    /// Forgets a compressed blob's frames: it starts over.
    pub(crate) fn restart(&mut self, index: usize) -> Result<(), Error> {
        self.line(&format!("restart {index}"))
    }

    /// `place` says where a stored blob lies, for a later run with another layout.
    pub(crate) fn done(&mut self, index: usize, place: Option<(Digest, u64, u64)>) -> Result<(), Error> {
        match place {
            Some((digest, offset, size)) => self.line(&format!("done {index} {digest} {offset} {size}")),
            None => self.line(&format!("done {index}")),
        }
    }

    pub(crate) fn finishing(&mut self, count: usize) -> Result<(), Error> {
        self.line(&format!("finishing {count}"))
    }

    pub(crate) fn doubt(&mut self) -> Result<(), Error> {
        self.line("doubt")
    }

    /// One write call per line, so that a kill never leaves two halves.
    fn line(&mut self, line: &str) -> Result<(), Error> {
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io("writing", &self.path))
    }

    /// Removes the journal: the bundle is finished, or given up.
    pub(crate) fn remove(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(Error::io("removing", &self.path))
    }
}

impl Replay {
    /// Takes one line. A line that makes no sense is as if it were not there: less is believed, nothing is broken.
    fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        let Some(verb) = words.next() else { return };
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        match verb {
            "finishing" => {
                self.finishing = number().and_then(|count| usize::try_from(count).ok());
                return;
            }
            "doubt" => {
                self.doubtful = true;
                return;
            }
            _ => {}
        }
        let Some(index) =
            number().and_then(|index| usize::try_from(index).ok()).filter(|index| *index < self.done.len())
        else {
            return;
        };
        match verb {
            "stored" => self.stored[index] = number().unwrap_or(0),
            "frame" => {
                let narrow = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok());
                if let (Some(stored), Some(content)) = (narrow(number()), narrow(number())) {
                    self.frames[index].push(FrameSize { stored, content });
                }
            }
            "restart" => self.frames[index].clear(),
            "done" => self.done[index] = true,
            _ => {}
        }
    }
}

/// The volume size (`None` for one file) and the words of each further line of a journal that is not in use.
fn read_lines(path: &Path) -> Result<(Option<u64>, String), Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("reading", path))?;
    let header = text.lines().next().unwrap_or_default();
    let volume_size = header.rsplit(' ').next().and_then(|word| word.parse().ok()).filter(|size| *size > 0);
    Ok((volume_size, text))
}

/// The files that a run wrote, whose journal this is.
pub(crate) fn volume_paths(journal: &Path, base: &Path, suffix: &str) -> Result<Vec<PathBuf>, Error> {
    let (volume_size, _) = read_lines(journal)?;
    let with_number = |index: usize| PathBuf::from(format!("{}.{:03}{suffix}", base.display(), index + 1));
    Ok(match volume_size {
        None => vec![PathBuf::from(format!("{}{suffix}", base.display()))],
        // Volumes are created on first use and in any order, so there may be gaps.
        Some(_) => (0..crate::volumes::MAX_VOLUMES).map(with_number).filter(|path| path.exists()).collect(),
    })
}

/// Offset and size of stored blobs.
pub(crate) type Places = HashMap<Digest, (u64, u64)>;

/// The volume size and the finished stored blobs of a run.
pub(crate) fn finished_blobs(journal: &Path) -> Result<(Option<u64>, Places), Error> {
    let (volume_size, text) = read_lines(journal)?;
    let parse = |line: &str| {
        let mut words = line.strip_prefix("done ")?.split(' ').skip(1);
        let digest = words.next()?.parse().ok()?;
        Some((digest, (words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
    };
    Ok((volume_size, text.lines().filter_map(parse).collect()))
}
