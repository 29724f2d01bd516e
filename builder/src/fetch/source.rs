//! Where blobs come from: an earlier bundle, registries, URLs, files, archives, the lock itself.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ferry_bundle::{Bundle, Salvage};
use ferry_model::event::{Events, Task};
use ferry_model::failure::{Class, Failure as _};
use ferry_model::lock::{BlobSource, LockedBlob};
use ferry_model::{Digest, ImageReference};
use ferry_transfer::{Client, Daemon, Expected, Options, Resume, Sink};

use crate::Error;
use crate::archive::Archive;

/// Everything that a blob can come from.
#[derive(Debug)]
pub struct Sources {
    /// The way out.
    pub client: Client,
    /// For the docker daemon.
    pub transfer: Options,
    /// The spec's folder.
    pub folder: PathBuf,
    /// Documents that were fetched while resolving.
    pub kept: HashMap<Digest, Bytes>,
    /// Earlier bundles that hold some of the blobs.
    pub reuse: Vec<Bundle>,
    /// What a run with another lock left.
    pub salvage: Option<Arc<Salvage>>,
    /// Where to tell of what could not be reused.
    pub events: Events,
    /// Archives, opened on first use.
    pub archives: Mutex<HashMap<String, Arc<Archive>>>,
}

/// Feeds bytes of this machine into a sink the way a download does: hashed as they flow.
struct Feed<'a> {
    sink: &'a mut dyn Sink,
    task: &'a Task,
    resume: Resume,
    /// Why the sink took no more: it ends the feed, but is no fault of the source.
    refused: Option<io::Error>,
}

impl Feed<'_> {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.sink.write(bytes) {
            self.refused = Some(error);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.resume.hasher.update(bytes);
        self.resume.position += bytes.len() as u64;
        self.task.advance(bytes.len() as u64);
        Ok(())
    }
}

impl Sources {
    /// Fetches one blob from where the lock says it is. Returns its digest, which is the blob's.
    pub async fn fetch(
        &self,
        blob: &LockedBlob,
        resume: Resume,
        sink: &mut dyn Sink,
        task: &Task,
    ) -> Result<Digest, Error> {
        if let Some(bytes) = self.kept.get(&blob.digest) {
            return local(blob, "a document", resume, sink, task, |feed| feed_bytes(feed, bytes));
        }
        let mut resume = resume;
        for earlier in self.earlier(&blob.digest) {
            let taken = local(blob, &earlier.name(), resume, sink, task, |feed| earlier.feed(feed, blob));
            match taken {
                Err(error @ Error::Bundle(_)) => return Err(error),
                // Damaged, or less than its journal says. The blob's own source has it still.
                Err(error) => self.events.warn(format!("{} is fetched anew: {error}", blob.digest)),
                Ok(digest) => return Ok(digest),
            }
            sink.restart().map_err(refusal)?;
            task.reset(0);
            resume = Resume::default();
        }
        match &blob.source {
            BlobSource::Content(text) => {
                local(blob, "the lock", resume, sink, task, |feed| feed_bytes(feed, text.as_bytes()))
            }
            BlobSource::Path(path) => {
                let path = self.folder.join(path);
                local(blob, &path.display().to_string(), resume, sink, task, |feed| feed_file(feed, &path))
            }
            BlobSource::Member { archive, member } => {
                let opened = self.archive(archive)?;
                local(blob, archive, resume, sink, task, |feed| {
                    let position = feed.resume.position;
                    opened.read(member, position, &mut |chunk| feed.take(chunk))
                })
            }
            BlobSource::Url(url) => {
                let expected = Expected { digest: Some(blob.digest), size: Some(blob.size) };
                Ok(self.client.fetch_url(url, expected, resume, sink, task).await?.0)
            }
            BlobSource::Blob(name) => {
                let repository = self.repository(name)?;
                Ok(repository.fetch_blob(&blob.digest, Some(blob.size), resume, sink, task).await?.0)
            }
            BlobSource::Manifest(name) => {
                let raw = self.repository(name)?.manifest(&blob.digest.to_string()).await?;
                local(blob, name, Resume::default(), sink, task, |feed| feed_bytes(feed, &raw.bytes))
            }
        }
    }

    /// What was made before and holds a blob, the nearest first.
    fn earlier(&self, digest: &Digest) -> impl Iterator<Item = Earlier<'_>> {
        let run = self.salvage.as_deref().filter(|salvage| salvage.holds(digest)).map(Earlier::Run);
        let bundle = self.reuse.iter().find(|bundle| bundle.blob(digest).is_some()).map(Earlier::Bundle);
        run.into_iter().chain(bundle)
    }

    fn repository(&self, name: &str) -> Result<ferry_transfer::Repository, Error> {
        let reference: ImageReference = name.parse().map_err(|_| {
            Error::input(format!("the lock names a repository `{name}`"), "run `ferry-builder lock` again")
        })?;
        Ok(self.client.repository(reference.registry(), reference.repository()))
    }

    /// Lets go of remote archives, which hold a connection each.
    pub(crate) fn close_archives(&self) {
        let mut archives = self.archives.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        archives.retain(|name, _| !name.starts_with("url:"));
    }

    fn archive(&self, name: &str) -> Result<Arc<Archive>, Error> {
        let mut archives = self.archives.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(open) = archives.get(name) {
            return Ok(Arc::clone(open));
        }
        let (transport, rest) = name.split_once(':').unwrap_or_default();
        let archive = match transport {
            "oci-archive" | "docker-archive" => {
                let path = self.folder.join(rest);
                tokio::task::block_in_place(|| Archive::open(&path)).map_err(Error::io("opening", path))?
            }
            "docker-daemon" => {
                let daemon = Daemon::from_environment(&self.transfer)?;
                let name = rest.to_owned();
                let handle = tokio::runtime::Handle::current();
                Archive::sequential(Box::new(move || {
                    let _inside = handle.enter();
                    let silent = Events::none().start(name.clone(), None);
                    Ok(Box::new(daemon_stream(daemon.clone(), name.clone(), silent)))
                }))
            }
            "url" => {
                // One that is half read holds a connection; members come archive by archive.
                archives.retain(|name, _| !name.starts_with("url:"));
                let (client, url) = (self.client.clone(), rest.to_owned());
                let handle = tokio::runtime::Handle::current();
                Archive::sequential(Box::new(move || {
                    let _inside = handle.enter();
                    let stream = remote_stream(client.clone(), url.clone());
                    crate::archive::decompressed(Box::new(stream))
                }))
            }
            _ => {
                return Err(Error::input(
                    format!("the lock names an archive `{name}`"),
                    "run `ferry-builder lock` again",
                ));
            }
        };
        let archive = Arc::new(archive);
        archives.insert(name.to_owned(), Arc::clone(&archive));
        Ok(archive)
    }
}

/// What was made before and may hold a blob.
enum Earlier<'a> {
    Run(&'a Salvage),
    Bundle(&'a Bundle),
}

impl Earlier<'_> {
    fn name(&self) -> String {
        match self {
            Self::Run(_) => "the earlier run".to_owned(),
            Self::Bundle(bundle) => bundle.path().display().to_string(),
        }
    }

    fn feed(&self, feed: &mut Feed<'_>, blob: &LockedBlob) -> io::Result<()> {
        match self {
            Self::Run(salvage) => {
                let position = feed.resume.position;
                salvage.read(&blob.digest, position, &mut |chunk| feed.take(chunk))
            }
            Self::Bundle(bundle) => feed_bundle(feed, bundle, blob),
        }
    }
}

/// Runs a blocking feed and compares the digest at its end. What was there already may be what is wrong, so then the
/// feed runs once more from its start.
fn local(
    blob: &LockedBlob,
    from: &str,
    resume: Resume,
    sink: &mut dyn Sink,
    task: &Task,
    run: impl Fn(&mut Feed<'_>) -> io::Result<()>,
) -> Result<Digest, Error> {
    let resumed = resume.position > 0;
    let digest = local_once(blob, from, resume, sink, task, &run);
    let wrong = match &digest {
        Ok(digest) => *digest != blob.digest,
        Err(error) => error.class() == Class::Verification,
    };
    let digest = if wrong && resumed {
        sink.restart().map_err(refusal)?;
        task.reset(0);
        local_once(blob, from, Resume::default(), sink, task, &run)?
    } else {
        digest?
    };
    if digest == blob.digest { Ok(digest) } else { Err(changed(blob, from, &format!("digest {digest}"))) }
}

fn local_once(
    blob: &LockedBlob,
    from: &str,
    resume: Resume,
    sink: &mut dyn Sink,
    task: &Task,
    run: &impl Fn(&mut Feed<'_>) -> io::Result<()>,
) -> Result<Digest, Error> {
    let mut feed = Feed { sink, task, resume, refused: None };
    let result = tokio::task::block_in_place(|| run(&mut feed));
    match (feed.refused, result) {
        (Some(error), _) => Err(match refusal(error) {
            Error::Bundle(ferry_bundle::Error::Limit { .. }) => changed(blob, from, "more bytes than that"),
            other => other,
        }),
        (None, Err(error)) => Err(Error::io("reading", from)(error)),
        (None, Ok(())) => Ok(feed.resume.hasher.finish()),
    }
}

/// What a sink refused for: the bundle's own error where it is one.
fn refusal(error: io::Error) -> Error {
    let kind = error.kind();
    match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<ferry_bundle::Error>) {
        Some(Ok(error)) => Error::Bundle(*error),
        Some(Err(other)) => Error::io("writing", "the bundle")(io::Error::new(kind, other)),
        None => Error::io("writing", "the bundle")(kind.into()),
    }
}

fn changed(blob: &LockedBlob, from: &str, found: &str) -> Error {
    let problem = format!("{from} has {found}, the lock says {} of {} bytes", blob.digest, blob.size);
    Error::verification(problem, "it changed since it was locked: run `ferry-builder lock` again")
}

fn feed_bytes(feed: &mut Feed<'_>, bytes: &[u8]) -> io::Result<()> {
    let from = usize::try_from(feed.resume.position).unwrap_or(usize::MAX).min(bytes.len());
    feed.take(&bytes[from..])
}

fn feed_file(feed: &mut Feed<'_>, path: &Path) -> io::Result<()> {
    use std::io::Seek as _;
    let mut file = std::fs::File::open(path)?;
    file.seek(io::SeekFrom::Start(feed.resume.position))?;
    let mut buffer = vec![0; 512 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => feed.take(&buffer[..count])?,
        }
    }
}

/// Content of an earlier bundle, verified as it is read. It is laid out anew and not copied frame by frame: an older
/// Ferry may have compressed it differently, and the same lock must give the same bytes.
fn feed_bundle(feed: &mut Feed<'_>, bundle: &Bundle, blob: &LockedBlob) -> io::Result<()> {
    let mut skip = feed.resume.position;
    let mut reader = bundle.reader(&blob.digest).map_err(io::Error::other)?;
    while let Some(chunk) = reader.next_chunk().map_err(io::Error::other)? {
        let drop = skip.min(chunk.len() as u64);
        skip -= drop;
        feed.take(&chunk[usize::try_from(drop).expect("a chunk is small")..])?;
    }
    Ok(())
}

/// Reads what a task sends.
pub(crate) struct ChannelReader {
    receiver: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    position: usize,
}

impl ChannelReader {
    pub(crate) fn new(receiver: Receiver<io::Result<Vec<u8>>>) -> Self {
        Self { receiver, chunk: Vec::new(), position: 0 }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.chunk.len() {
            match self.receiver.recv() {
                Ok(chunk) => (self.chunk, self.position) = (chunk?, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.position);
        buffer[..count].copy_from_slice(&self.chunk[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

struct ChannelSink(SyncSender<io::Result<Vec<u8>>>);

impl Sink for ChannelSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        tokio::task::block_in_place(|| self.0.send(Ok(bytes.to_vec()))).map_err(gone)
    }
    fn restart(&mut self) -> io::Result<()> {
        Err(io::Error::other("the stream broke off and cannot be resumed; run the same command again"))
    }
}

/// An image of the docker daemon as the tar stream that `docker save` writes. Call it on the runtime; read it on a
/// thread of its own.
pub(crate) fn daemon_stream(daemon: Daemon, name: String, task: Task) -> impl Read + Send + 'static {
    let (sender, receiver) = sync_channel(8);
    tokio::spawn(async move {
        let mut sink = ChannelSink(sender);
        if let Err(error) = daemon.save(&name, &mut sink, &task).await {
            // A reader that has what it wants hangs up.
            let _ = tokio::task::block_in_place(|| sink.0.send(Err(io::Error::other(error))));
        }
    });
    ChannelReader::new(receiver)
}

/// A file over HTTP(S) as a stream. Call it on the runtime; read it on a thread of its own.
fn remote_stream(client: Client, url: String) -> impl Read + Send + 'static {
    let (sender, receiver) = sync_channel(8);
    tokio::spawn(async move {
        let task = Events::none().start(url.clone(), None);
        let mut sink = ChannelSink(sender);
        // Its members have digests in the lock; the file as a whole needs none.
        let fetched = client.fetch_url(&url, Expected::default(), Resume::default(), &mut sink, &task).await;
        if let Err(error) = fetched {
            let _ = tokio::task::block_in_place(|| sink.0.send(Err(io::Error::other(error))));
        }
    });
    ChannelReader::new(receiver)
}
