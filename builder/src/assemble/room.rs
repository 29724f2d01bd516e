//! What a build will fetch and write, and whether there is room for it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ferry_bundle::{Assembly, BlobState, Salvage};
use ferry_model::catalog::Encoding;
use ferry_model::lock::BlobSource;
use ferry_model::size::ByteSize;

use super::Request;
use crate::Error;

/// What is left to be done, in bytes.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) blobs: u64,
    pub(super) write: u64,
    fetch: u64,
    reused: u64,
    /// What will be compressed may take less; this will not.
    surely: u64,
}

impl Work {
    pub(super) fn left(request: &Request, assembly: &Assembly, salvage: Option<&Salvage>) -> Self {
        let mut work = Self::default();
        for (index, blob) in request.lock.blobs.iter().enumerate() {
            let BlobState::Begun(have) = assembly.state(index) else { continue };
            let left = blob.size - have.min(blob.size);
            work.blobs += 1;
            work.write += left;
            if blob.encoding == Encoding::Stored {
                work.surely += left;
            }
            let remote =
                matches!(blob.source, BlobSource::Url(_) | BlobSource::Blob(_) | BlobSource::Manifest(_));
            let salvaged = salvage.is_some_and(|salvage| salvage.holds(&blob.digest));
            if salvaged || request.reuse.iter().any(|bundle| bundle.blob(&blob.digest).is_some()) {
                work.reused += left;
            } else if remote && !request.kept.contains_key(&blob.digest) {
                work.fetch += left;
            }
        }
        work
    }

    /// For people, before anything starts.
    pub(super) fn text(&self, folder: &Path, free: Option<u64>) -> String {
        let mut text = format!(
            "{} to fetch, {} to write in {}, {} free",
            ByteSize(self.fetch),
            ByteSize(self.write),
            folder.display(),
            free.map_or_else(|| "unknown".to_owned(), |free| ByteSize(free).to_string())
        );
        if self.reused > 0 {
            text.push_str(&format!("; {} come from earlier bundles and runs", ByteSize(self.reused)));
        }
        text
    }

    /// Refuses to begin what is sure not to fit beside `output`. Tells whether the rest is sure to fit.
    pub(super) fn fits(&self, output: &Path, free: Option<u64>) -> Result<bool, Error> {
        match free {
            Some(free) if self.surely > free => Err(Error::Disk {
                path: folder_of(output).to_owned(),
                needed: self.surely,
                free,
                salvage: set_aside(output),
            }),
            Some(free) => Ok(self.write <= free),
            None => Ok(true),
        }
    }
}

pub(super) fn folder_of(output: &Path) -> &Path {
    output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn free_space(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The files of a run with another lock, which wait there to be taken from, each with the bytes that it occupies.
fn set_aside(output: &Path) -> Vec<(PathBuf, u64)> {
    let Some(name) = output.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let is_of_output = |entry: &std::fs::DirEntry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        file.strip_prefix(&name)
            .is_some_and(|rest| rest.ends_with(".salvage") || rest.ends_with(".salvage.journal"))
    };
    let entries = std::fs::read_dir(folder_of(output)).into_iter().flatten().flatten();
    let mut files: Vec<(PathBuf, u64)> = entries
        .filter(is_of_output)
        // Half-filled files have holes, which take no room.
        .map(|entry| (entry.path(), entry.metadata().map_or(0, |metadata| metadata.blocks() * 512)))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use ferry_model::failure::Failure as _;

    use super::*;

    #[test]
    fn a_small_disk_names_what_may_be_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("b.zst");
        let work = Work { surely: 60_000, write: 70_000, ..Work::default() };
        assert!(work.fits(&output, Some(70_000)).unwrap());
        assert!(!work.fits(&output, Some(60_000)).unwrap());
        let plain = work.fits(&output, Some(50_000)).unwrap_err();
        assert!(!plain.to_string().contains("salvage"), "{plain}");

        for (name, size) in
            [("b.zst.001.salvage", 8192), ("b.zst.salvage.journal", 10), ("other.zst.salvage", 10)]
        {
            std::fs::write(folder.path().join(name), vec![1; size]).unwrap();
        }
        let error = work.fits(&output, Some(50_000)).unwrap_err();
        assert!(error.to_string().contains("an earlier run left"), "{error}");
        let hints = error.hints().join("\n");
        assert!(hints.contains("b.zst.001.salvage") && hints.contains("b.zst.salvage.journal"), "{hints}");
        assert!(!hints.contains("other.zst"), "{hints}");
    }
}
