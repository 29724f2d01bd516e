//! What a half-filled bundle of another lock still holds: after a change of the spec, finished downloads are taken
//! from there and not fetched again.

use std::path::{Path, PathBuf};

use ferry_model::Digest;

use crate::assembly::{AssemblyOptions, JOURNAL, PARTIAL};
use crate::frame::{BLOCK_CONTENT, RawBlock};
use crate::volumes::{Volumes, with_suffix};
use crate::{Error, journal};

/// What the files of the old run are called while a new one takes from them.
const SALVAGE: &str = ".salvage";
const SALVAGE_JOURNAL: &str = ".salvage.journal";

/// Finished stored blobs of a run that was given up.
#[derive(Debug)]
pub struct Salvage {
    volumes: Volumes,
    journal: PathBuf,
    blobs: journal::Places,
}

impl Salvage {
    /// Puts the partial files under `options.path` aside, over any that were put aside before.
    pub fn set_aside(options: &AssemblyOptions) -> Result<(), Error> {
        let journal = with_suffix(&options.path, JOURNAL);
        for part in journal::volume_paths(&journal, &options.path, PARTIAL)? {
            let aside = PathBuf::from(part.to_string_lossy().trim_end_matches(PARTIAL).to_owned() + SALVAGE);
            match std::fs::rename(&part, aside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("renaming", part)(error));
                }
                _ => {}
            }
        }
        std::fs::rename(&journal, with_suffix(&options.path, SALVAGE_JOURNAL))
            .map_err(Error::io("renaming", journal))
    }

    /// Opens what was put aside; `None` where nothing was.
    pub fn open(path: &Path) -> Result<Option<Self>, Error> {
        let journal = with_suffix(path, SALVAGE_JOURNAL);
        if !journal.exists() {
            return Ok(None);
        }
        let (volume_size, blobs) = journal::finished_blobs(&journal)?;
        let most =
            blobs.values().map(|(offset, size)| offset + crate::frame::raw_size(*size)).max().unwrap_or(0);
        let volumes = Volumes::create(path, SALVAGE, volume_size, most.max(1))?;
        Ok(Some(Self { volumes, journal, blobs }))
    }

    /// Whether it holds a blob.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    /// Hands on the content of a blob from byte `from` on. Nothing is checked here: the caller hashes what it takes.
    pub fn read(
        &self,
        digest: &Digest,
        from: u64,
        take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let (offset, size) = *self.blobs.get(digest).ok_or(std::io::ErrorKind::NotFound)?;
        let mut buffer = vec![0; usize::try_from(BLOCK_CONTENT).expect("128 KiB")];
        let mut position = from;
        while position < size {
            let block = RawBlock::at(position, size);
            let inner = position % BLOCK_CONTENT;
            let length = usize::try_from(block.content - inner).expect("a block is small");
            let at = offset + block.start + block.header_size + inner;
            self.volumes.read_exact_at(at, &mut buffer[..length]).map_err(std::io::Error::other)?;
            take(&buffer[..length])?;
            position += length as u64;
        }
        Ok(())
    }

    /// Removes the old run's files: the new bundle is finished.
    pub fn remove(self) -> Result<(), Error> {
        for path in self.volumes.paths().chain([self.journal.as_path()]) {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("removing", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
