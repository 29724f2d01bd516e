//! Replacing files of this machine: whole or not at all, never readable by others for a moment that they should not be, and
//! with all that the file replaced has beside its bytes: its owner, its access list, its label, what people noted on it.

mod attributes;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

pub(crate) use attributes::Attributes;
#[cfg(test)]
pub(crate) use attributes::testing;

/// What a file shall be beside its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Guise {
    /// Its permission bits.
    pub(crate) mode: u32,
    /// User and group; those of the file replaced where absent.
    pub(crate) owner: Option<(u32, u32)>,
    /// Its extended attributes; those of the file replaced where absent.
    pub(crate) attributes: Option<Attributes>,
}

impl Guise {
    /// With these permission bits, and all else as the file replaced has it.
    pub(crate) fn with_mode(mode: u32) -> Self {
        Self { mode, owner: None, attributes: None }
    }
}

/// Writes a file; on disk when this returns. A link is followed.
pub(crate) fn write_file(path: &Path, bytes: &[u8], guise: &Guise) -> io::Result<()> {
    let mut replacement = Replacement::begin(path, guise)?;
    replacement.write_all(bytes)?;
    replacement.finish()
}

/// A file that is being written beside the one that it replaces. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Replacement {
    file: fs::File,
    target: PathBuf,
    temporary: PathBuf,
    mode: u32,
    attributes: Option<Attributes>,
    is_finished: bool,
}

impl Replacement {
    /// Begins it. A link is followed.
    pub(crate) fn begin(path: &Path, guise: &Guise) -> io::Result<Self> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let has_now = || fs::metadata(&target).ok().map(|metadata| (metadata.uid(), metadata.gid()));
        let owner = guise.owner.or_else(has_now);
        let attributes = match &guise.attributes {
            Some(attributes) => Some(attributes.clone()),
            None => Attributes::of(&target)?.map(Attributes::for_other_content),
        };
        let temporary = temporary(&target);
        // What a killed process left there may have another mode.
        remove_one(&temporary)?;
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let replacement = Self { file, target, temporary, mode: guise.mode, attributes, is_finished: false };
        // A new owner takes the bits of setuid and setgid away, and an access list changes the mode; all while it is empty.
        if let Some((user, group)) = owner {
            std::os::unix::fs::fchown(&replacement.file, Some(user), Some(group))?;
        }
        if let Some(attributes) = &replacement.attributes {
            attributes.put_on(&replacement.file, &replacement.temporary)?;
        }
        replacement.file.set_permissions(fs::Permissions::from_mode(guise.mode & 0o777))?;
        Ok(replacement)
    }

    /// Puts it where it belongs; on disk when this returns.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        // Writing takes these away again.
        if let Some(attributes) = &self.attributes {
            attributes.put_powers_on(&self.file)?;
        }
        self.file.set_permissions(fs::Permissions::from_mode(self.mode & 0o7777))?;
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        self.is_finished = true;
        self.target.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    }
}

impl io::Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_finished {
            remove_one(&self.temporary).ok();
        }
    }
}

/// Removes what a killed process left of writing a file, which may be a link. Most often there is nothing.
pub(crate) fn clear_beside(path: &Path) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match remove_one(&temporary(&target)) {
        // Without its folder, or where no file can be, it has none.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(()),
        cleared => cleared,
    }
}

/// Removes a file, and what a killed process left of writing it. One that is not there is no failure.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    remove_one(&temporary(path))?;
    remove_one(path)
}

fn remove_one(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Beside the file, so that renaming it moves no bytes.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".ferry-new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn all_bits_of_the_mode_are_set_and_half_a_file_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for bits in [0o600, 0o6750, 0o444, 0o200, 0o644] {
            fs::write(temporary(&path), "half").unwrap();
            write_file(&path, b"whole", &Guise::with_mode(bits)).unwrap();
            assert_eq!(mode(&path), bits, "{bits:o}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        fs::write(temporary(&path), "half").unwrap();
        for _ in 0..2 {
            remove_file(&path).unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (link, path) = (folder.path().join("link"), folder.path().join("file"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        write_file(&link, b"new", &Guise::with_mode(0o640)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o640));
    }
}
