//! The edge to a machine that is looked at: this one, a fake one in tests, and nodes over ssh.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The longest that a command may take: those that are asked for answer at once, or hang.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);
/// The most that is read of a file, and of what a command says.
const MOST: u64 = 4 << 20;

/// A machine that can be looked at. Blocking; nothing of it changes anything.
pub trait Machine {
    /// What a file holds; links are followed.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Where a link points to.
    fn link(&self, path: &Path) -> io::Result<PathBuf>;

    /// Whether a file or folder is there.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Runs a command and waits for its end, for a few seconds. A program that is not there is
    /// [`NotFound`](io::ErrorKind::NotFound).
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Ran>;

    /// The file system that a folder lies on, or would, where it is not there yet.
    fn file_system(&self, folder: &Path) -> io::Result<FileSystem>;
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystem {
    /// The number by which two folders on one file system are known.
    pub device: u64,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Bytes that are free for everybody.
    pub free: u64,
    /// Its inodes; 0 where it has no fixed number of them.
    pub inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
}

/// The machine that this program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Ran> {
        run(program, arguments, COMMAND_LIMIT)
    }

    fn file_system(&self, folder: &Path) -> io::Result<FileSystem> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no folder above it is there");
        let mut there =
            folder.ancestors().filter_map(|folder| Some((folder, fs::metadata(folder).ok()?.dev())));
        let (nearest, device) = there.next().ok_or_else(missing)?;
        let mount =
            there.take_while(|(_, other)| *other == device).last().map_or(nearest, |(folder, _)| folder);
        let found = rustix::fs::statvfs(nearest)?;
        Ok(FileSystem {
            device,
            mount: mount.to_owned(),
            size: found.f_blocks.saturating_mul(found.f_frsize),
            free: found.f_bavail.saturating_mul(found.f_frsize),
            inodes: found.f_files,
            free_inodes: found.f_favail,
        })
    }
}

fn run(program: &str, arguments: &[&str], limit: Duration) -> io::Result<Ran> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut child = Command::new(program)
        .args(arguments)
        // What ordinary users run lacks the folders of the administrator's programs.
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = wait(&mut child, limit);
    if status.is_err() {
        // Both do nothing to a child that has ended.
        let _ = child.kill();
        let _ = child.wait();
    }
    let code = status?.code();
    // A process that it left behind may keep its pipes open: what came until now counts.
    let text = |pipe: Receiver<Vec<u8>>| {
        let bytes = pipe.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Ran { code, stdout: text(stdout), stderr: text(stderr) })
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<std::process::ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > limit {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer in {} s", limit.as_secs_f32()),
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Reads on a thread of its own, which ends with the pipe.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(MOST).read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A machine made of a folder and of what its commands say.
    pub(in super::super) struct Fake {
        pub(in super::super) root: PathBuf,
        /// By the command's line.
        pub(in super::super) commands: BTreeMap<String, io::Result<Ran>>,
        pub(in super::super) file_systems: BTreeMap<PathBuf, FileSystem>,
    }

    impl Fake {
        fn below(&self, path: &Path) -> PathBuf {
            self.root.join(path.strip_prefix("/").unwrap())
        }
    }

    impl Machine for Fake {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            fs::read(self.below(path))
        }

        fn link(&self, path: &Path) -> io::Result<PathBuf> {
            fs::read_link(self.below(path))
        }

        fn exists(&self, path: &Path) -> io::Result<bool> {
            self.below(path).try_exists()
        }

        fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Ran> {
            match self.commands.get(&format!("{program} {}", arguments.join(" "))) {
                Some(Ok(ran)) => Ok(ran.clone()),
                Some(Err(error)) => Err(error.kind().into()),
                None => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn file_system(&self, folder: &Path) -> io::Result<FileSystem> {
            let mut found = folder.ancestors().filter_map(|folder| self.file_systems.get(folder));
            found.next().cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn commands_end_one_way_or_the_other() {
        let ran = run("sh", &["-c", "echo out; echo err >&2; exit 3"], COMMAND_LIMIT).unwrap();
        assert_eq!(ran, Ran { code: Some(3), stdout: "out\n".into(), stderr: "err\n".into() });
        let much = run("sh", &["-c", "head -c 500000 /dev/zero"], COMMAND_LIMIT).unwrap();
        assert_eq!(much.stdout.len(), 500_000);
        let begun = Instant::now();
        let hung = run("sleep", &["30"], Duration::from_millis(50)).unwrap_err();
        assert_eq!(hung.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(10));
        let absent = run("ferry-no-such-program", &[], COMMAND_LIMIT).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_lies_where_its_parent_does() {
        let folder = tempfile::tempdir().unwrap();
        let there = ThisMachine.file_system(folder.path()).unwrap();
        let later = ThisMachine.file_system(&folder.path().join("not/there/yet")).unwrap();
        assert_eq!((there.device, &there.mount), (later.device, &later.mount));
        assert!(there.size >= there.free && folder.path().starts_with(&there.mount));
        let proc = ThisMachine.file_system(Path::new("/proc/self")).unwrap();
        assert_eq!(proc.mount, Path::new("/proc"));
    }
}
