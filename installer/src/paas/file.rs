//! Files in pods: brought there in one stream, proven by size and digest, and taken away again.

use bytes::Bytes;
use ferry_bundle::Bundle;
use ferry_model::Digest;
use ferry_model::event::{Events, Task};
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

/// Runs a command that takes a file as its last argument. The file is gone afterwards.
pub(crate) async fn use_file(
    pod: &Pod,
    wanted: Wanted<'_>,
    input: impl Input,
    command: &[&str],
) -> Result<Ended, Failed> {
    let (script, size, digest) = (format!("{WRITE}{USE}"), wanted.size.to_string(), wanted.digest.hex());
    let all = [&["sh", "-c", &script, "ferry", wanted.name, &size, &digest], command].concat();
    let ended = pod.run_with(Run { command: &all, limit: 2 * LONG }, input, |_| ()).await?;
    arrived(pod, wanted, ended)
}

/// A file that lies in a pod among others.
#[derive(Debug)]
pub(crate) struct File<'a> {
    pod: &'a Pod,
    path: String,
}

impl<'a> File<'a> {
    /// Brings it there.
    pub(crate) async fn put(
        pod: &'a Pod,
        folder: &str,
        wanted: Wanted<'_>,
        input: impl Input,
    ) -> Result<Self, Failed> {
        let (script, size, digest) = (format!("{WRITE}{PUT}"), wanted.size.to_string(), wanted.digest.hex());
        let command = ["sh", "-c", &script, "ferry", wanted.name, &size, &digest, folder];
        let ended = pod.run_with(Run { command: &command, limit: LONG }, input, |_| ()).await?;
        let file = Self { pod, path: format!("{folder}/{}", wanted.name) };
        match arrived(pod, wanted, ended)? {
            Ended { code: 0, .. } => Ok(file),
            ended => Err(not_there(pod, wanted, &ended)),
        }
    }

    /// Takes it away. That it could not be is no reason to fail.
    pub(crate) async fn remove(self, events: &Events) {
        let command = ["rm", "-rf", "--", &self.path];
        let trouble = match self.pod.run(Run { command: &command, limit: SHORT }).await {
            Ok(ended) if ended.code == 0 => return,
            Ok(ended) => ended.stderr,
            Err(failed) => failed.message,
        };
        events.warn(format!("{} stays in {}: {}", self.path, self.pod, trouble.trim()));
    }
}

fn arrived(pod: &Pod, wanted: Wanted<'_>, ended: Ended) -> Result<Ended, Failed> {
    if ended.code == NOT_THERE { Err(not_there(pod, wanted, &ended)) } else { Ok(ended) }
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
