//! One run at a time on a site. The lock is the kernel's, on an open file, so it goes with the process that holds it,
//! however that ends.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::Error;

/// The right to change a site, for as long as it lives.
#[derive(Debug)]
pub struct SiteLock {
    _file: fs::File,
}

impl SiteLock {
    /// Takes the lock of a site's state folder, or tells who has it.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        create_private(folder).map_err(Error::io("creating", folder))?;
        check_owner(folder)?;
        let path: PathBuf = folder.join("lock");
        // No link is followed: what stands behind it would be emptied.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
        let mut file = fs::File::from(opened.map_err(|error| Error::io("opening", &path)(error.into()))?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(Error::Locked { path, holder: holder.trim().chars().take(200).collect() });
            }
            Err(error) => return Err(Error::io("locking", &path)(error.into())),
        }
        // Only for the message that another gets; the lock is the kernel's.
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "process {} on {}", std::process::id(), host_name()));
        noted.map_err(Error::io("writing", &path))?;
        Ok(Self { _file: file })
    }
}

/// Creates the folder where there is none, for its owner alone: it keeps what files held before.
fn create_private(folder: &Path) -> std::io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Whoever owns the folder decides what an undo brings back.
fn check_owner(folder: &Path) -> Result<(), Error> {
    let metadata = fs::metadata(folder).map_err(Error::io("reading", folder))?;
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == me || owner == 0 {
        return Ok(());
    }
    Err(Error::Usage {
        problem: format!(
            "the state folder {} belongs to user {owner}, and this is user {me}",
            folder.display()
        ),
        hint: format!(
            "run it as that user, or make the folder this user's: `chown -R {me} {}`",
            folder.display()
        ),
    })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = SiteLock::take(folder.path()).unwrap();
        let error = SiteLock::take(folder.path()).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(first);
        SiteLock::take(folder.path()).unwrap();
    }

    #[test]
    fn the_folder_is_private_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("var/state");
        drop(SiteLock::take(&state).unwrap());
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        fs::remove_file(state.join("lock")).unwrap();
        std::os::unix::fs::symlink(&victim, state.join("lock")).unwrap();
        let error = SiteLock::take(&state).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        // Only root can give a folder away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(1234), None).unwrap();
            let error = SiteLock::take(folder.path()).unwrap_err();
            assert!(error.to_string().contains("user 1234"), "{error}");
        }
    }
}
