//! Runs programs as a shell would: with a time limit, and keeping what they said, how they ended and what they
//! used.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// No command of a test may take longer.
const LIMIT: Duration = Duration::from_secs(120);

/// A command to be.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    inherits: bool,
    folder: Option<PathBuf>,
    limit: Duration,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it took.
    pub elapsed: Duration,
    /// The most memory that it held, in KiB.
    pub peak_memory: u64,
    /// Bytes that it had the kernel write to storage.
    pub bytes_written: u64,
    command: String,
}

impl Program {
    /// A program found on `PATH`, or by its path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            inherits: true,
            folder: None,
            limit: LIMIT,
        }
    }

    /// The built `ferry-builder`.
    pub fn builder() -> Self {
        Self::new(binary("ferry-builder"))
    }

    /// The built `ferry-installer`.
    pub fn installer() -> Self {
        Self::new(binary("ferry-installer"))
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gets no variable but those that are set with [`Program::env`].
    #[must_use]
    pub fn without_environment(mut self) -> Self {
        self.inherits = false;
        self
    }

    /// Runs in this folder.
    #[must_use]
    pub fn within(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// May take this long.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The same, to be killed when one of its threads enters this system call for the `number`th time, the first being 1, before
    /// the call does anything; wherever the program does its work. `call` is what strace calls a trace expression. Needs strace.
    #[must_use]
    pub fn killed_at(mut self, call: &str, number: usize) -> Self {
        let strace = ["-f", "-q", "-o", "/dev/null", "-e"].map(OsString::from);
        let inject = format!("inject={call}:signal=SIGKILL:when={number}");
        let trace = [format!("trace={call}").into(), "-e".into(), inject.into()];
        let program = std::mem::replace(&mut self.path, "strace".into()).into_os_string();
        self.arguments.splice(0..0, strace.into_iter().chain(trace).chain([program]));
        self
    }

    /// The command, for `std`.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::null());
        if !self.inherits {
            command.env_clear();
        }
        // What the machine has set must not reach into a test.
        for name in
            ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_COLOR"]
        {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self) -> Result<Outcome> {
        self.start()?.finish(self.limit)
    }

    /// Runs it and expects exit code 0.
    pub fn succeed(&self) -> Result<Outcome> {
        let outcome = self.run()?;
        ensure!(outcome.code == Some(0), "{outcome}");
        Ok(outcome)
    }

    /// Runs it and expects this exit code.
    pub fn fail_with(&self, code: i32) -> Result<Outcome> {
        let outcome = self.run()?;
        ensure!(outcome.code == Some(code), "expected exit code {code}: {outcome}");
        Ok(outcome)
    }

    /// Runs it, and kills it with SIGKILL after `delay` unless it has ended by then.
    pub fn kill_after(&self, delay: Duration) -> Result<Outcome> {
        let running = self.start()?;
        let pid = running.pid()?;
        let deadline = Instant::now() + delay;
        while Instant::now() < deadline && !has_exited(pid) {
            thread::sleep(Duration::from_millis(1).min(deadline - Instant::now()));
        }
        // It is not reaped yet, so the number is still its own.
        let _ = kill_process(pid, Signal::KILL);
        running.finish(self.limit)
    }

    /// Starts it.
    pub fn start(&self) -> Result<Running> {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {self}"))?;
        let stdout = drain(child.stdout.take().context("a pipe was asked for")?);
        let stderr = drain(child.stderr.take().context("a pipe was asked for")?);
        Ok(Running {
            child: KilledOnDrop(child),
            stdout,
            stderr,
            begun: Instant::now(),
            command: self.to_string(),
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.file_name().unwrap_or_default().to_string_lossy())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.to_string_lossy()))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
        let (command, elapsed) = (&self.command, self.elapsed);
        writeln!(f, "`{command}` ended with {code} after {elapsed:.1?}")?;
        write!(f, "--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

impl Outcome {
    /// Standard output as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON on standard output: {self}"))
    }

    /// Expects `text` somewhere on standard error.
    pub fn says(&self, text: &str) -> Result<&Self> {
        ensure!(self.stderr.contains(text), "`{text}` is not on standard error: {self}");
        Ok(self)
    }

    /// Expects `text` somewhere on standard output.
    pub fn prints(&self, text: &str) -> Result<&Self> {
        ensure!(self.stdout.contains(text), "`{text}` is not on standard output: {self}");
        Ok(self)
    }
}

/// A program under way; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: KilledOnDrop,
    stdout: thread::JoinHandle<String>,
    stderr: thread::JoinHandle<String>,
    begun: Instant,
    command: String,
}

/// No test leaves a process behind.
#[derive(Debug)]
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Both do nothing to a child that was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.child.0.id())?).context("a process has a number")
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Waits for its end, watching what it uses.
    pub fn finish(mut self, limit: Duration) -> Result<Outcome> {
        let pid = self.pid()?;
        let mut peak_memory = 0;
        while !has_exited(pid) {
            peak_memory = peak_memory.max(high_water_mark(pid));
            if self.begun.elapsed() > limit {
                let Self { child, stderr, command, .. } = self;
                drop(child);
                bail!("`{command}` did not end within {limit:?}; it said: {}", join(stderr));
            }
            // Often enough to time short runs well, seldom enough not to disturb long ones.
            let pause = self.begun.elapsed() / 50;
            thread::sleep(pause.clamp(Duration::from_micros(200), Duration::from_millis(10)));
        }
        let elapsed = self.begun.elapsed();
        // The kernel keeps this account until the process is reaped.
        let bytes_written = write_bytes(pid);
        let status = self.child.0.wait()?;
        Ok(Outcome {
            code: status.code(),
            stdout: join(self.stdout),
            stderr: join(self.stderr),
            elapsed,
            peak_memory,
            bytes_written,
            command: self.command,
        })
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn join(reader: thread::JoinHandle<String>) -> String {
    reader.join().unwrap_or_default()
}

/// Whether the process has ended, without reaping it.
fn has_exited(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

fn proc_value(pid: Pid, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The most memory it has held so far, in KiB. For a moment after it was started a process may still have the memory of
/// the one that started it; that is not counted.
fn high_water_mark(pid: Pid) -> u64 {
    let program = std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())).ok();
    if program == std::env::current_exe().ok() { 0 } else { proc_value(pid, "status", "VmHWM:") }
}

fn write_bytes(pid: Pid) -> u64 {
    proc_value(pid, "io", "write_bytes:")
}

/// The path of a built program. `FERRY_BIN_DIR` names the folder where it is; without it, cargo builds the
/// programs first, so that a plain `cargo test` never runs an old one.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| match std::env::var_os("FERRY_BIN_DIR") {
            Some(folder) => folder.into(),
            None => build().expect("the programs build"),
        })
        .join(name)
}

fn build() -> Result<PathBuf> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--bins", "-p", "ferry-builder", "-p", "ferry-installer"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
        .status()?;
    ensure!(status.success(), "cargo build failed");
    // target/debug/deps/this-test
    let test = std::env::current_exe()?;
    let deps = test.parent().context("a program lies in a folder")?;
    Ok(deps.parent().context("deps lies in target/debug")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("sh").args(["-c", script])
    }

    #[test]
    fn keeps_what_was_said() {
        let outcome = shell("echo out; echo err >&2; exit 3").run().unwrap();
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()),
            (Some(3), "out\n", "err\n")
        );
    }

    #[test]
    fn kills_and_limits() {
        let killed = shell("exec sleep 60").kill_after(Duration::from_millis(20)).unwrap();
        assert_eq!(killed.code, None);
        let error =
            shell("echo stuck >&2; exec sleep 60").limit(Duration::from_millis(50)).run().unwrap_err();
        assert!(error.to_string().contains("stuck"), "{error}");
    }

    #[test]
    fn measures_memory_and_writes() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let outcome =
            shell("head -c 4000000 /dev/zero > f; sleep 0.05").within(folder.path()).succeed().unwrap();
        assert!(outcome.peak_memory > 100, "{}", outcome.peak_memory);
        // `head` is a child of the shell and reaped by it, so its bytes count.
        assert!(outcome.bytes_written >= 4_000_000, "{}", outcome.bytes_written);
    }
}
