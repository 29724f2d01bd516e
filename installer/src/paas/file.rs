//! Files in pods: brought there in one stream, proven by size and digest, and taken away again.

use bytes::Bytes;
use ferry_bundle::Bundle;
use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::report::Failed;
use tokio::sync::mpsc;

use super::{LONG, SHORT};
use crate::cluster::{Ended, Input, Pod, Run};

/// Writes standard input into a file `$1/$2`, and proves it: `$3` bytes with the digest `$4`. Images without `sha256sum` have Python.
const WRITE: &str = r#"
write() {
  head -c "$3" >"$1/$2" || exit 97
  there=$(wc -c <"$1/$2")
  [ "$there" -eq "$3" ] || { echo "ferry: $there of $3 bytes arrived" >&2; exit 97; }
  sum=$(sha256sum <"$1/$2" 2>/dev/null || python -c 'import hashlib,sys
h=hashlib.sha256()
for b in iter(lambda: sys.stdin.buffer.read(1<<20), b""): h.update(b)
print(h.hexdigest())' <"$1/$2")
  [ "${sum%% *}" = "$4" ] || { echo "ferry: it arrived with the digest ${sum%% *}" >&2; exit 97; }
}
umask 077
"#;

/// Runs a command with the file as its last argument, and removes the file whatever happens: also when nobody listens any more.
const USE: &str = r#"
folder=$(mktemp -d "${TMPDIR:-/tmp}/ferry.XXXXXX") || exit 97
trap 'rm -rf -- "$folder"' EXIT
trap 'exit 97' HUP INT TERM
write "$folder" "$1" "$2" "$3"
file=$folder/$1
shift 3
"$@" "$file" </dev/null
"#;

/// Leaves the file where others are.
const PUT: &str = r#"
mkdir -p -- "$4" && write "$4" "$1" "$2" "$3"
"#;

/// How the scripts end when the file did not get there.
const NOT_THERE: i32 = 97;
/// Chunks that are read ahead.
const AHEAD: usize = 4;

/// What a file shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

impl<'a> Wanted<'a> {
    /// A text.
    pub(crate) fn text(name: &'a str, text: &str) -> Self {
        Self { name, size: text.len() as u64, digest: Digest::of(text.as_bytes()) }
    }
}

/// What became of a command that takes a file.
#[derive(Debug)]
pub(crate) enum Used {
    /// It was run, and ended.
    Ended(Ended),
    /// The file did not get there, so it was not run.
    NotRun(Failed),
}

impl Used {
    /// How it ended.
    pub(crate) fn ended(self) -> Result<Ended, Failed> {
        match self {
            Self::Ended(ended) => Ok(ended),
            Self::NotRun(failed) => Err(failed),
        }
    }
}

/// Runs a command that takes a file as its last argument. The file is gone afterwards. An error leaves open whether it was run.
pub(crate) async fn use_file(
    pod: &Pod,
    wanted: Wanted<'_>,
    input: impl Input,
    command: &[&str],
) -> Result<Used, Failed> {
    let (script, size, digest) = (format!("{WRITE}{USE}"), wanted.size.to_string(), wanted.digest.hex());
    let all = [&["sh", "-c", &script, "ferry", wanted.name, &size, &digest], command].concat();
    let ended = pod.run_with(Run { command: &all, limit: 2 * LONG }, input, |_| ()).await?;
    Ok(arrived(pod, wanted, ended))
}

/// Brings a file into a folder that others of its step lie in.
pub(crate) async fn put_file(
    pod: &Pod,
    folder: &str,
    wanted: Wanted<'_>,
    input: impl Input,
) -> Result<(), Failed> {
    let (script, size, digest) = (format!("{WRITE}{PUT}"), wanted.size.to_string(), wanted.digest.hex());
    let command = ["sh", "-c", &script, "ferry", wanted.name, &size, &digest, folder];
    let ended = pod.run_with(Run { command: &command, limit: LONG }, input, |_| ()).await?;
    match arrived(pod, wanted, ended).ended()? {
        Ended { code: 0, .. } => Ok(()),
        ended => Err(not_there(pod, wanted, &ended)),
    }
}

/// Takes a step's folder away, with all that lies in it.
pub(crate) async fn remove_folder(pod: &Pod, folder: &str) -> Result<(), Failed> {
    let command = ["rm", "-rf", "--", folder];
    let ended = pod.run(Run { command: &command, limit: SHORT }).await?;
    if ended.code == 0 {
        return Ok(());
    }
    let message = format!("{folder} stays in {pod}: {}", ended.stderr.trim());
    Err(Failed::because(Class::Local, message))
}

fn arrived(pod: &Pod, wanted: Wanted<'_>, ended: Ended) -> Used {
    if ended.code == NOT_THERE { Used::NotRun(not_there(pod, wanted, &ended)) } else { Used::Ended(ended) }
}

fn not_there(pod: &Pod, wanted: Wanted<'_>, ended: &Ended) -> Failed {
    let said = ended.stderr.trim();
    let why = said.lines().last().unwrap_or("nobody says why").trim_start_matches("ferry: ");
    let message = format!("{} could not be brought into {pod}: {why}", wanted.name);
    let failed = Failed::because(Class::Local, message);
    if said.contains("No space left") {
        return failed.hint("the node that it runs on has no room for it: free some, and try again");
    }
    failed.hint("try again")
}

/// A blob of the bundle as a command's input.
#[derive(Debug)]
pub(crate) struct Blob {
    chunks: mpsc::Receiver<Result<Bytes, Failed>>,
    task: Task,
}

impl Blob {
    /// Reads it from where it lies, no faster than it is taken.
    pub(crate) fn open(bundle: &Bundle, digest: Digest, task: &Task) -> Self {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let bundle = bundle.clone();
        tokio::task::spawn_blocking(move || {
            let mut reader = match bundle.reader(&digest) {
                Ok(reader) => reader,
                Err(error) => return drop(sender.blocking_send(Err(Failed::new(&error)))),
            };
            loop {
                let chunk = reader.next_chunk().map_err(|error| Failed::new(&error)).transpose();
                let Some(chunk) = chunk else { return };
                let is_last = chunk.is_err();
                if sender.blocking_send(chunk).is_err() || is_last {
                    return;
                }
            }
        });
        Self { chunks, task: task.clone() }
    }
}

impl Input for Blob {
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        let chunk = self.chunks.recv().await.transpose()?;
        if let Some(chunk) = &chunk {
            self.task.advance(chunk.len() as u64);
        }
        Ok(chunk)
    }
}
