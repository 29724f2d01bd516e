//! Files in pods: brought there in one stream, proven by size and digest, and taken away again.

use bytes::Bytes;
use ferry_bundle::Bundle;
use ferry_model::Digest;
use ferry_model::event::{Events, Task};
use ferry_model::failure::Class;
use ferry_model::report::Failed;
use tokio::sync::mpsc;

use super::{LONG, SHORT};
use crate::cluster::{Input, Pod, Run};

/// Makes the folder anew where `$2` says so, writes standard input into a file, and says how many bytes it has and what their
/// digest is. Images without `sha256sum` have Python.
const WRITE: &str = r#"umask 077
[ "$2" = shared ] || rm -rf -- "$1"
mkdir -p -- "$1" && head -c "$4" >"$1/$3" && wc -c <"$1/$3" || exit 1
sha256sum <"$1/$3" 2>/dev/null || python -c 'import hashlib,sys
h=hashlib.sha256()
for b in iter(lambda: sys.stdin.buffer.read(1<<20), b""): h.update(b)
print(h.hexdigest())' <"$1/$3""#;

/// Chunks that are read ahead.
const AHEAD: usize = 4;

/// A file that was brought into a pod.
#[derive(Debug)]
pub(crate) struct File<'a> {
    pod: &'a Pod,
    /// What is removed: the folder, or where others keep theirs in it, the file.
    rubbish: String,
    path: String,
}

/// What a file shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

impl<'a> File<'a> {
    /// Brings a file into a folder of its own. What an earlier try left there goes first.
    pub(crate) async fn alone(pod: &'a Pod, wanted: Wanted<'_>, input: impl Input) -> Result<Self, Failed> {
        let folder = format!("/tmp/ferry-{}", &wanted.digest.hex()[..16]);
        write(pod, (&folder, "alone"), wanted, input).await?;
        Ok(Self { pod, path: format!("{folder}/{}", wanted.name), rubbish: folder })
    }

    /// Brings a file into a folder that has others too.
    pub(crate) async fn among(
        pod: &'a Pod,
        folder: &str,
        wanted: Wanted<'_>,
        input: impl Input,
    ) -> Result<Self, Failed> {
        write(pod, (folder, "shared"), wanted, input).await?;
        let path = format!("{folder}/{}", wanted.name);
        Ok(Self { pod, rubbish: path.clone(), path })
    }

    /// A text that is short.
    pub(crate) async fn text(pod: &'a Pod, name: &str, text: &str) -> Result<Self, Failed> {
        let wanted = Wanted { name, size: text.len() as u64, digest: Digest::of(text.as_bytes()) };
        Self::alone(pod, wanted, Bytes::copy_from_slice(text.as_bytes())).await
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Takes it away. That it could not be is no reason to fail.
    pub(crate) async fn remove(self, events: &Events) {
        let command = ["rm", "-rf", "--", &self.rubbish];
        let trouble = match self.pod.run(Run { command: &command, limit: SHORT }).await {
            Ok(ended) if ended.code == 0 => return,
            Ok(ended) => ended.stderr,
            Err(failed) => failed.message,
        };
        events.warn(format!("{} stays in {}: {}", self.rubbish, self.pod, trouble.trim()));
    }
}

async fn write(
    pod: &Pod,
    (folder, manner): (&str, &str),
    wanted: Wanted<'_>,
    input: impl Input,
) -> Result<(), Failed> {
    let size = wanted.size.to_string();
    let command = ["sh", "-c", WRITE, "ferry", folder, manner, wanted.name, &size];
    let ended = pod.run_with(Run { command: &command, limit: LONG }, input, |_| ()).await?;
    let mut words = ended.stdout.split_whitespace();
    let (there, digest) = (words.next(), words.next().and_then(|word| word.parse::<HexDigest>().ok()));
    let what = |problem: String| {
        let message = format!("{} could not be brought into {pod}: {problem}", wanted.name);
        let failed = Failed::because(Class::Local, message);
        if ended.stderr.contains("No space left") {
            return failed.hint("the node that it runs on has no room for it: free some, and try again");
        }
        failed.hint("try again")
    };
    if ended.code != 0 || there.is_none() {
        return Err(what(ended.stderr.trim().to_owned()));
    }
    if there != Some(size.as_str()) {
        return Err(what(format!("{} of {size} bytes arrived", there.unwrap_or("none"))));
    }
    match digest {
        Some(HexDigest(digest)) if digest == wanted.digest.hex() => Ok(()),
        Some(HexDigest(digest)) => Err(what(format!("it arrived with the digest {digest}"))),
        None => Err(what("its digest cannot be found out there".into())),
    }
}

/// 64 hexadecimal digits.
struct HexDigest(String);

impl std::str::FromStr for HexDigest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex { Ok(Self(text.to_ascii_lowercase())) } else { Err(()) }
    }
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
