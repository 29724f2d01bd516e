//! The bytes that a run keeps for its undo: files in a folder that nobody else may read, each under its digest.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ferry_model::Digest;
use ferry_model::failure::Class;
use ferry_model::report::Failed;
use serde::de::DeserializeOwned;

/// A run's `before` folder.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// In this folder, which is made with the first thing to keep.
    pub(crate) fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Keeps `bytes`; on disk when this returns. Gives the name to find them by.
    pub(crate) fn save(&self, bytes: &[u8]) -> Result<String, Failed> {
        let name = Digest::of(bytes).hex();
        let path = self.path(&name);
        let written = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let temporary = self.folder.join(format!("{name}.new"));
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        if !path.exists() {
            written().map_err(|error| self.failed("kept", &path, &error))?;
        }
        Ok(name)
    }

    /// What was kept under `name`; its digest is checked.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, Failed> {
        let path = self.path(name);
        let bytes = fs::read(&path).map_err(|error| self.failed("read", &path, &error))?;
        if Digest::of(&bytes).hex() != name {
            let message = format!("{} is not what was kept there", path.display());
            return Err(Failed::because(Class::Verification, message));
        }
        Ok(bytes)
    }

    /// The document that was kept under `name`, as JSON.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failed> {
        serde_json::from_slice(&self.read(name)?).map_err(|error| {
            let message = format!("{} cannot be read: {error}", self.path(name).display());
            Failed::because(Class::Local, message)
        })
    }

    /// The file of that name, for people.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn failed(&self, action: &str, path: &Path, error: &io::Error) -> Failed {
        Failed::because(Class::Local, format!("{} cannot be {action}: {error}", path.display()))
            .hint(format!("see to room and rights in {}", self.folder.display()))
    }
}
