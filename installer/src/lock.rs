//! One run at a time on a site. The lock is the kernel's, on an open file, so it goes with the process that holds it,
//! however that ends.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// The right to change a site, for as long as it lives.
#[derive(Debug)]
pub struct SiteLock {
    _file: fs::File,
}

impl SiteLock {
    /// Takes the lock of a site's state folder, or tells who has it.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
        let path: PathBuf = folder.join("lock");
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
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
}
