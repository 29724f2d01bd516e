//! A process that serves in the background and cannot outlive the tests.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// Runs a shell script when dropped, and also when this process ends in any other way: a shell waits at the other
/// end of a pipe that only this process holds open.
#[derive(Debug)]
pub(super) struct Watchdog(Child);

impl Watchdog {
    pub(super) fn new(script: &str) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", &format!("read -r line; {script}")])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of the terminal's interrupt.
            .process_group(0)
            .spawn()
            .context("cannot start a shell")?;
        Ok(Self(shell))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A server of its own process group, which ends with its handle.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    watchdog: Option<Watchdog>,
    log: PathBuf,
}

impl Daemon {
    pub(super) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        let watchdog = Watchdog::new(&format!("kill -9 -- -{0} || kill -9 {0}", child.id()))?;
        Ok(Self { child, watchdog: Some(watchdog), log: log.to_owned() })
    }

    /// The process's number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.watchdog.take());
        let _ = self.child.wait();
    }
}
