//! Filling a bundle: every blob from where the lock says it is, many at once.

mod adapter;
mod source;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ferry_bundle::{Assembly, BlobState};
use ferry_model::Digest;
use ferry_model::catalog::Encoding;
use ferry_model::digest::Hasher;
use ferry_model::event::{Events, Task};
use ferry_model::failure::{Class, Failure as _};
use ferry_model::lock::{BlobSource, Lock, LockedBlob};
use ferry_transfer::Resume;
use futures_util::{StreamExt as _, stream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{Error, Failed};

pub(crate) use adapter::Memory;
pub use source::Sources;
pub(crate) use source::{ChannelReader, daemon_stream};

use adapter::{CompressedAdapter, StoredAdapter};

/// Compressed blobs of up to this size are fetched ahead of their turn; manifests and configs are.
const AHEAD: u64 = 256 << 10;

/// A run of the fetching stage.
#[derive(Debug)]
pub struct Fetch {
    /// Where blobs come from.
    pub sources: Sources,
    /// What is to be filled.
    pub assembly: Arc<Assembly>,
    /// What to fill it with.
    pub lock: Arc<Lock>,
    /// Blobs at once.
    pub jobs: usize,
    /// Where to tell what happens.
    pub events: Events,
}

struct Run {
    fetch: Fetch,
    owners: HashMap<Digest, String>,
    failures: Mutex<Vec<Failed>>,
    /// Set when going on is pointless: the bundle cannot be written.
    stop: AtomicBool,
}

/// Fills every blob that is not there yet. What fails is reported together; all else is finished.
pub async fn fill(fetch: Fetch) -> Result<(), Error> {
    let mut owners = HashMap::new();
    for (owner, digest) in fetch.lock.needs() {
        owners.entry(digest).or_insert(owner);
    }
    let jobs = Arc::new(Semaphore::new(fetch.jobs.max(1)));
    let run = Arc::new(Run { fetch, owners, failures: Mutex::default(), stop: AtomicBool::new(false) });
    let mut tasks = JoinSet::new();
    let compressed = Arc::clone(&run);
    tasks.spawn(compressed.fill_compressed());
    for index in run.stored_by_size() {
        let permit = Arc::clone(&jobs).acquire_owned().await.expect("the semaphore is never closed");
        if run.stop.load(Ordering::Relaxed) {
            break;
        }
        let run = Arc::clone(&run);
        tasks.spawn(async move {
            run.fill_stored(index).await;
            drop(permit);
        });
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            run.failed(
                "a task",
                Error::Entry { problem: error.to_string(), hint: None, class: Class::Internal },
            );
        }
    }
    let failures = std::mem::take(&mut *run.lock_failures());
    Error::collect(failures)
}

/// A small blob being fetched ahead of its turn; given up when nobody wants it any more.
struct Ahead(tokio::task::JoinHandle<Result<Option<Vec<u8>>, Error>>);

impl Ahead {
    async fn content(mut self) -> Result<Option<Vec<u8>>, Error> {
        let internal = |error: tokio::task::JoinError| Error::Entry {
            problem: error.to_string(),
            hint: None,
            class: Class::Internal,
        };
        (&mut self.0).await.map_err(internal)?
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether it is the bundle that could not be written, and not a source that could not be read.
fn is_of_sink(error: &Error) -> bool {
    match error {
        Error::Bundle(error) => error.class() == Class::Local,
        Error::Transfer(error) => matches!(error, ferry_transfer::Error::Sink { .. }),
        _ => false,
    }
}

impl Run {
    fn lock_failures(&self) -> std::sync::MutexGuard<'_, Vec<Failed>> {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn failed(&self, name: impl Into<String>, error: Error) {
        if is_of_sink(&error) {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.lock_failures().push(Failed { name: name.into(), error: Box::new(error) });
    }

    /// Stored blobs that are not done, largest first: the last ones to end are then short.
    fn stored_by_size(&self) -> Vec<usize> {
        let blobs = &self.fetch.lock.blobs;
        let mut due: Vec<usize> = (0..blobs.len())
            .filter(|index| {
                blobs[*index].encoding == Encoding::Stored
                    && self.fetch.assembly.state(*index) != BlobState::Done
            })
            .collect();
        due.sort_by_key(|index| std::cmp::Reverse(blobs[*index].size));
        due
    }

    fn name(&self, blob: &LockedBlob) -> String {
        let owner = self.owners.get(&blob.digest).map_or("unused", String::as_str);
        format!("{owner} {}", blob.digest.short())
    }

    async fn fill_stored(&self, index: usize) {
        let blob = &self.fetch.lock.blobs[index];
        let task = self.fetch.events.start(self.name(blob), Some(blob.size));
        let result = self.stored(index, blob, &task).await;
        self.end(blob, task, result);
    }

    fn end(&self, blob: &LockedBlob, task: Task, result: Result<(), Error>) {
        match result {
            Ok(()) => task.finish(),
            Err(error) => {
                task.fail(&error);
                self.failed(self.name(blob), error);
            }
        }
    }

    async fn stored(&self, index: usize, blob: &LockedBlob, task: &Task) -> Result<(), Error> {
        let mut sink = self.fetch.assembly.stored(index);
        let hasher = if sink.position() > 0 {
            tokio::task::block_in_place(|| sink.resume())
        } else {
            Hasher::default()
        };
        let resume = Resume { position: sink.position(), hasher };
        task.reset(resume.position);
        let mut adapter = StoredAdapter(sink);
        let result = self.fetch.sources.fetch(blob, resume, &mut adapter, task).await;
        match result {
            Ok(digest) => Ok(adapter.0.finish(digest)?),
            Err(error) if is_of_sink(&error) => Err(error),
            Err(error) => {
                // What did arrive stays for the next run, unless it is known to be wrong.
                match error.class() {
                    Class::Verification => adapter.0.restart()?,
                    _ => adapter.0.checkpoint()?,
                }
                Err(error)
            }
        }
    }

    /// Compressed blobs have their place behind one another, so they are written in order; small ones are fetched
    /// ahead. The first that fails ends it: there is no place for the next.
    async fn fill_compressed(self: Arc<Self>) {
        let first = self.fetch.assembly.next_compressed().unwrap_or(self.fetch.lock.blobs.len());
        let mut due = stream::iter(first..self.fetch.lock.blobs.len())
            .map(|index| {
                // A task of its own: a future that nobody polls would keep its place among the host's connections,
                // and the blob that is being written could wait for that place for ever.
                let run = Arc::clone(&self);
                let ahead = Ahead(tokio::spawn(async move { run.ahead(index).await }));
                async move { (index, ahead.content().await) }
            })
            .buffered(self.fetch.jobs.max(1));
        while let Some((index, ahead)) = due.next().await {
            let blob = &self.fetch.lock.blobs[index];
            let task = self.fetch.events.start(self.name(blob), Some(blob.size));
            let result = match ahead {
                Ok(content) => self.compressed(blob, content, &task).await,
                Err(error) => Err(error),
            };
            let failed = result.is_err();
            self.end(blob, task, result);
            if failed || self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        self.fetch.sources.close_archives();
    }

    /// The content of a small blob; `None` for a large one.
    async fn ahead(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        let blob = &self.fetch.lock.blobs[index];
        // An archive that can only be streamed is read in its order, or it is streamed again and again.
        if blob.size > AHEAD || matches!(blob.source, BlobSource::Member { .. }) {
            return Ok(None);
        }
        let silent = Events::none().start("", None);
        let mut memory = Memory::new(blob.size);
        self.fetch.sources.fetch(blob, Resume::default(), &mut memory, &silent).await?;
        Ok(Some(memory.content))
    }

    async fn compressed(
        &self,
        blob: &LockedBlob,
        content: Option<Vec<u8>>,
        task: &Task,
    ) -> Result<(), Error> {
        let mut sink = self.fetch.assembly.compressed().expect("this blob is due");
        if let Some(content) = content {
            sink.restart()?;
            sink.write(&content)?;
            task.advance(content.len() as u64);
            return Ok(sink.finish(blob.digest)?);
        }
        let hasher = tokio::task::block_in_place(|| sink.resume())?;
        let resume = Resume { position: sink.position(), hasher };
        task.reset(resume.position);
        let mut adapter = CompressedAdapter(sink);
        let digest = match self.fetch.sources.fetch(blob, resume, &mut adapter, task).await {
            Err(error) if error.class() == Class::Verification => {
                adapter.0.restart()?;
                return Err(error);
            }
            other => other?,
        };
        Ok(tokio::task::block_in_place(|| adapter.0.finish(digest))?)
    }
}
