//! One run at a time on a site. The lock is the kernel's, on an open file, so it goes with the process that holds it,
//! however that ends.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::Error;

/// A question who holds the lock takes it for a moment: no reason to turn a run away.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// The right to change a site, for as long as it lives.
#[derive(Debug)]
pub struct SiteLock {
    _file: fs::File,
}

impl SiteLock {
    /// Takes the lock of a site's state folder, or tells who has it. The folder is its owner's alone from then on.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        create_private(folder).map_err(Error::io("creating", folder))?;
        make_private(folder)?;
        let path = lock_file(folder);
        let mut file = open(&path, OFlags::RDWR | OFlags::CREATE).map_err(Error::io("opening", &path))?;
        if !try_to_lock(&file).map_err(Error::io("locking", &path))? {
            return Err(Error::Locked { path, holder: read_holder(&mut file) });
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

/// Who is changing the site now: `process 123 on host`. Waits for nobody and changes nothing.
pub fn holder(folder: &Path) -> Result<Option<String>, Error> {
    let path = lock_file(folder);
    let mut file = match open(&path, OFlags::RDONLY) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("opening", &path)(error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(Some(read_holder(&mut file))),
        Err(error) => Err(Error::io("locking", &path)(error.into())),
    }
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("lock")
}

fn open(path: &Path, flags: OFlags) -> std::io::Result<fs::File> {
    // No link is followed: what stands behind it would be emptied.
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Locks the file, unless another run has it.
fn try_to_lock(file: &fs::File) -> std::io::Result<bool> {
    for _ in 0..TRIES {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn read_holder(file: &mut fs::File) -> String {
    let mut holder = String::new();
    let _ = file.take(200).read_to_string(&mut holder);
    let holder = holder.trim();
    // Between taking the lock and noting who did.
    if holder.is_empty() { "another process".to_owned() } else { holder.to_owned() }
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

/// Takes an existing folder from all but its owner. Whoever can write to it decides what an undo brings back, and who can read
/// it reads what private files held.
fn make_private(folder: &Path) -> Result<(), Error> {
    let opened = fs::File::open(folder).map_err(Error::io("opening", folder))?;
    let metadata = opened.metadata().map_err(Error::io("reading", folder))?;
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let shown = folder.display();
    if owner != me && owner != 0 {
        return Err(Error::State {
            problem: format!("the state folder {shown} belongs to user {owner}, and this is user {me}"),
            hint: format!(
                "run it as that user, or make the folder this user's: `chown -R {me} {shown} && chmod 700 {shown}`"
            ),
        });
    }
    let mode = metadata.mode() & 0o7777;
    let private = mode & !0o077;
    if mode == private {
        return Ok(());
    }
    let tightened = opened.set_permissions(fs::Permissions::from_mode(private));
    tightened.map_err(|error| Error::State {
        problem: format!(
            "others can use the state folder {shown} (its mode is {mode:04o}), and that cannot be changed: {error}"
        ),
        hint: format!("as its owner: `chmod 700 {shown}`; or keep the site file on a disk with permissions"),
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
    fn a_folder_that_others_could_use_is_tightened() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o755, 0o2775, 0o700, 0o500 | 0o007] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            // Even a run that is turned away leaves it so.
            let lock = SiteLock::take(folder.path());
            let now = fs::metadata(folder.path()).unwrap().mode() & 0o7777;
            assert_eq!(now, mode & !0o077, "{mode:o}: {lock:?}");
        }
    }

    #[test]
    fn who_holds_it_can_be_asked_without_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert_eq!(holder(&state).unwrap(), None);
        assert!(!state.exists(), "asking made it");
        let lock = SiteLock::take(&state).unwrap();
        let asked = holder(&state).unwrap().unwrap();
        assert!(asked.starts_with(&format!("process {} on ", std::process::id())), "{asked}");
        drop(lock);
        assert_eq!(holder(&state).unwrap(), None);
        // The question, which itself holds the lock for a moment, is waited for.
        let asking = fs::File::open(state.join("lock")).unwrap();
        flock(&asking, FlockOperation::NonBlockingLockShared).unwrap();
        let asked = std::thread::spawn(move || {
            std::thread::sleep(PAUSE);
            drop(asking);
        });
        SiteLock::take(&state).unwrap();
        asked.join().unwrap();
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        // Only root can give a folder away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(1234), None).unwrap();
            let error = SiteLock::take(folder.path()).unwrap_err();
            assert!(error.to_string().contains("user 1234"), "{error}");
            let hints = ferry_model::failure::Failure::hints(&error);
            assert!(hints[0].contains("chown -R 0 ") && hints[0].contains("chmod 700 "), "{hints:?}");
        }
    }
}
