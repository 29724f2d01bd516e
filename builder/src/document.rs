//! The spec and the lock as files.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::lock::Lock;
use ferry_model::spec::Spec;

use crate::Error;

/// A spec with its place; paths in it are relative to its folder.
#[derive(Clone, Debug)]
pub struct SpecFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub spec: Spec,
}

impl SpecFile {
    /// Reads and parses a spec.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = String::from_utf8(std::fs::read(path).map_err(Error::io("reading", path))?);
        let text = text.map_err(|_| {
            let problem = format!("{} is no spec: it is no text", path.display());
            Error::input(
                problem,
                "a spec is YAML, as `ferry-builder init` prints one; `inspect` shows a bundle",
            )
        })?;
        let spec = Spec::parse(&text).map_err(|source| Error::Spec { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), spec })
    }

    /// The folder that relative paths start from.
    pub fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Where its lock is: `bkce.yaml` has `bkce.lock`.
    pub fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }
}

/// Reads a lock; `None` where there is none yet.
pub fn read_lock(path: &Path) -> Result<Option<Lock>, Error> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::io("reading", path))?,
    };
    Lock::parse(&text).map(Some).map_err(|source| Error::Lock { path: path.to_owned(), source })
}

/// Writes a file as a whole or not at all, with the owner and the mode that it has. Returns whether its content is new.
pub fn write_whole(path: &Path, text: &str) -> Result<bool, Error> {
    if std::fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(false);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let write = || {
        let mut file = std::fs::File::create(&partial)?;
        if let Ok(metadata) = std::fs::metadata(path) {
            // Only root gives files away; for others it stays theirs. Before the mode, of which a new owner takes a part.
            let _ = std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid()));
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(Error::io("writing", path))?;
    Ok(true)
}

/// Writes a file that is not there yet. Never over another: what a person wrote, or a key, is there once.
pub fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => is_there(path),
        _ => Error::io("creating", path)(error),
    })
}

/// That a file is there which would have to be replaced.
pub fn is_there(path: &Path) -> Error {
    let problem = format!("{} is there already, and is not replaced", path.display());
    let hint = Some("give another name, or move that file away".to_owned());
    Error::Entry { problem, hint, class: Class::Local }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_keeps_its_owner_and_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spec.yaml");
        std::fs::write(&path, "a").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let is_root = std::fs::metadata(&path).unwrap().uid() == 0;
        if is_root {
            std::os::unix::fs::chown(&path, Some(1234), Some(1235)).unwrap();
        }
        assert!(write_whole(&path, "b").unwrap() && !write_whole(&path, "b").unwrap());
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o600);
        assert!(!is_root || (metadata.uid(), metadata.gid()) == (1234, 1235));
    }
}
