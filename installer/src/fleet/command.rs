//! One command on a node, with a time limit and bounded memory. Nothing that hangs holds up anything else.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::report::Failed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::lock;

/// The most that a node may say. A report with the diffs of a dozen files has some kilobytes.
pub(super) const MOST_OUTPUT: u64 = 8 << 20;
/// Of what it complains about, the end counts.
const MOST_ERRORS: usize = 16 << 10;
/// How much of a file is sent in one piece.
const PIECE: usize = 64 << 10;
/// A connection that is kept for later commands may keep the pipe for errors open when the command has ended.
const STRAGGLERS: Duration = Duration::from_millis(200);

/// What a command reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input<'a> {
    Bytes(&'a [u8]),
    File(&'a Path),
}

/// A command to be.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) node: &'a Host,
    /// `ssh` or `sh`.
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
    /// What it reads first. A password may be in it, which nobody else shall see.
    pub(super) head: Vec<u8>,
    pub(super) input: Input<'a>,
    /// How long it may take; where it reads a file, how long it may take nothing of that.
    pub(super) limit: Duration,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: ExitStatus,
    pub(super) output: Vec<u8>,
    /// The end of its standard error.
    pub(super) errors: String,
}

impl Answer {
    pub(super) fn is_good(&self) -> bool {
        self.status.success()
    }
}

impl Job<'_> {
    /// Runs it to its end, or to its limit.
    pub(super) async fn run(self) -> Result<Answer, Failed> {
        let mut command = Command::new(self.program);
        command.args(&self.arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            Failed::because(Class::Local, format!("{} cannot be started: {error}", self.program))
                .hint("install the ssh client, or configure this machine alone: `nodes: {via: local}`")
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failed::because(Class::Internal, "a command was started without its pipes"));
        };
        let errors = Arc::new(Mutex::new(Vec::new()));
        let complaints = tokio::spawn(keep_tail(stderr, Arc::clone(&errors)));
        let taken = AtomicU64::new(0);
        let work = async {
            let (fed, output) = tokio::join!(self.feed(stdin, &taken), read(stdout));
            (child.wait().await, fed, output)
        };
        let ended = in_time(self.limit, work, &taken).await;
        let abort = complaints.abort_handle();
        if timeout(STRAGGLERS, complaints).await.is_err() {
            abort.abort();
        }
        let errors = String::from_utf8_lossy(&lock(&errors)).into_owned();
        let Some((status, fed, output)) = ended else { return Err(too_slow(self.node, self.limit, &errors)) };
        let broken = |error: std::io::Error| {
            Failed::because(Class::Transient, format!("the connection to node {} broke: {error}", self.node))
        };
        let status = status.map_err(broken)?;
        // Why a node stopped listening is worth more than that it did; and what ended well has read all that it needs.
        match fed {
            Err(error) if status.success() && error.kind() != ErrorKind::BrokenPipe => {
                return Err(broken(error));
            }
            _ => {}
        }
        let Some(output) = output.map_err(broken)? else {
            let message = format!("node {} says more than {} MiB", self.node, MOST_OUTPUT >> 20);
            return Err(Failed::because(Class::Protocol, message));
        };
        Ok(Answer { status, output, errors })
    }

    async fn feed(&self, mut pipe: ChildStdin, taken: &AtomicU64) -> std::io::Result<()> {
        pipe.write_all(&self.head).await?;
        match self.input {
            Input::Bytes(bytes) => pipe.write_all(bytes).await?,
            Input::File(path) => {
                let mut file = tokio::fs::File::open(path).await?;
                let mut piece = vec![0; PIECE];
                while let count @ 1.. = file.read(&mut piece).await? {
                    pipe.write_all(&piece[..count]).await?;
                    taken.fetch_add(count as u64, Ordering::Relaxed);
                }
            }
        }
        pipe.shutdown().await
    }
}

/// What comes of the work, unless the node neither ends it nor takes anything of its input for the whole limit.
pub(super) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = T>,
    taken: &AtomicU64,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut before = 0;
    loop {
        if let Ok(ended) = timeout(limit, &mut work).await {
            return Some(ended);
        }
        let now = taken.load(Ordering::Relaxed);
        if now == before {
            return None;
        }
        before = now;
    }
}

/// A command has come to no end in its time.
pub(super) fn too_slow(node: &Host, limit: Duration, errors: &str) -> Failed {
    let last = last_line(errors).map(|line| format!("; it said: {line}")).unwrap_or_default();
    let message = format!("node {node} gave no answer in {} s{last}", limit.as_secs());
    Failed::because(Class::Transient, message)
        .hint("see what it is busy with; `nodes: {timeLimit: SECONDS}` gives it longer")
}

/// What it says, if that is no more than it may be.
async fn read(pipe: ChildStdout) -> std::io::Result<Option<Vec<u8>>> {
    let mut output = Vec::new();
    pipe.take(MOST_OUTPUT + 1).read_to_end(&mut output).await?;
    Ok((output.len() as u64 <= MOST_OUTPUT).then_some(output))
}

/// Keeps the end of what comes.
async fn keep_tail(mut pipe: ChildStderr, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let mut kept = lock(&kept);
        kept.extend_from_slice(&buffer[..count]);
        let surplus = kept.len().saturating_sub(MOST_ERRORS);
        kept.drain(..surplus);
    }
}

/// The last thing that was said, fit to be shown.
pub(crate) fn last_line(text: &str) -> Option<String> {
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(last.chars().filter(|c| !c.is_control()).take(300).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn sh(script: &str, input: Input<'_>, limit: Duration) -> Result<Answer, Failed> {
        let node: Host = "n1".parse().unwrap();
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        Job { node: &node, program: "sh", arguments, head: b"head\n".to_vec(), input, limit }.run().await
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_reads_and_says() {
        let answer = sh("cat; echo trouble >&2", Input::Bytes(b"rest"), LONG).await.unwrap();
        assert!(answer.is_good());
        assert_eq!((answer.output.as_slice(), answer.errors.as_str()), (&b"head\nrest"[..], "trouble\n"));
        // It need not read what it is given, whether it ends well or not.
        let answer = sh("echo done", Input::Bytes(&vec![0; 1 << 20]), LONG).await.unwrap();
        assert_eq!(answer.output, b"done\n");
        let much = vec![0; 1 << 20];
        let answer = sh("echo 'disk full' >&2; exit 3", Input::Bytes(&much), LONG).await.unwrap();
        assert_eq!(
            (answer.status.code(), last_line(&answer.errors).as_deref()),
            (Some(3), Some("disk full"))
        );
    }

    #[tokio::test]
    async fn nothing_waits_for_a_command_that_hangs() {
        let begun = Instant::now();
        let failed =
            sh("echo why >&2; exec sleep 60", Input::Bytes(b""), Duration::from_secs(1)).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(failed.message, "node n1 gave no answer in 1 s; it said: why");
        // Nor for what it left behind with its pipe for errors.
        let begun = Instant::now();
        let answer = sh("sleep 5 >/dev/null & echo done", Input::Bytes(b""), LONG).await.unwrap();
        assert_eq!(answer.output, b"done\n");
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[tokio::test]
    async fn what_is_taken_slowly_is_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, vec![b'x'; 6 * PIECE]).unwrap();
        let slow = format!(
            "read head; for piece in 1 2 3 4 5 6; do dd bs={PIECE} count=1 iflag=fullblock status=none >&2; sleep 0.5; done"
        );
        let limit = Duration::from_secs(1);
        let answer = sh(&slow, Input::File(file.path()), limit).await.unwrap();
        assert!(answer.is_good(), "{}", answer.errors);
        let failed = sh("exec sleep 60", Input::File(file.path()), limit).await.unwrap_err();
        assert!(failed.message.contains("no answer in 1 s"), "{failed}");
    }

    #[tokio::test]
    async fn what_a_node_says_has_bounds() {
        let failed = sh("yes | head -c 9000000", Input::Bytes(b""), LONG).await.unwrap_err();
        assert!(failed.message.contains("more than 8 MiB"), "{failed}");
        let answer = sh("yes | head -c 100000 >&2; echo last >&2", Input::Bytes(b""), LONG).await.unwrap();
        assert!(answer.errors.len() <= MOST_ERRORS && last_line(&answer.errors).as_deref() == Some("last"));
    }
}
