//! Bodies: blobs, pulled out of their bundle chunk by chunk as fast as the client takes them.
//!
//! The one bridge between blocking reads and async writes. Of each body no more than this is in memory: what its reader
//! reads at once (1 MiB), one chunk on its way to the client and one that waits behind it (128 KiB each).

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use ferry_bundle::BlobReader;
use ferry_model::event::Events;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::library::Content;
use super::range::Selection;

/// What is at most this large never waits behind large bodies: manifests, configs, indexes.
const SMALL: u64 = 256 << 10;
const SMALL_STREAMS: usize = 32;
const READS: usize = 4;

/// The bounds that all bodies share.
#[derive(Debug)]
pub(super) struct Streams {
    large: Arc<Semaphore>,
    small: Arc<Semaphore>,
    /// Reads from disk at one moment. More would not be faster, only take more threads and their memory.
    reading: Arc<Semaphore>,
    /// Reading a part hashes the whole blob first, once. Who wants another part of the same blob meanwhile waits for
    /// that instead of hashing it too. Locks are shared by digests with the same first byte.
    hashing: [Mutex<()>; 256],
    events: Events,
}

impl Streams {
    pub(super) fn new(max_large: usize, events: Events) -> Self {
        Self {
            large: Arc::new(Semaphore::new(max_large.max(1))),
            small: Arc::new(Semaphore::new(SMALL_STREAMS)),
            reading: Arc::new(Semaphore::new(READS)),
            hashing: std::array::from_fn(|_| Mutex::default()),
            events,
        }
    }

    /// The body with `selection` of `content`. Nothing is opened before the connection asks for the first chunk. A
    /// chunk that cannot be had, or has the wrong digest, cuts the connection, so that the client sees a broken
    /// transfer and not a short file.
    pub(super) fn body(self: &Arc<Self>, content: Content, selection: Selection) -> Body {
        let streams = Arc::clone(self);
        Body::from_stream(stream::try_unfold(State::Waiting, move |state| {
            let (streams, content) = (Arc::clone(&streams), content.clone());
            async move {
                let (reading, permit) = match state {
                    State::Waiting => {
                        let permit = streams.permit(content.size).await;
                        let opener = Arc::clone(&streams);
                        let reader = spawn_blocking(move || opener.open(&content, selection)).await?;
                        (streams.pull(Box::new(reader)), permit)
                    }
                    State::Reading(reading, permit) => (reading, permit),
                };
                match reading.await?? {
                    Pulled::End => Ok(None),
                    Pulled::Chunk(chunk, reader) => {
                        let next = streams.pull(reader);
                        Ok(Some((chunk, State::Reading(next, permit))))
                    }
                    Pulled::Broken(cut) => Err(Box::<dyn std::error::Error + Send + Sync>::from(cut)),
                }
            }
        }))
    }

    async fn permit(&self, size: u64) -> OwnedSemaphorePermit {
        acquire(if size <= SMALL { &self.small } else { &self.large }).await
    }

    /// Begins to read the next chunk, while the client still takes the one before.
    fn pull(&self, reader: Box<Reader>) -> JoinHandle<Result<Pulled, JoinError>> {
        let reading = Arc::clone(&self.reading);
        tokio::spawn(async move {
            let _turn = acquire(&reading).await;
            spawn_blocking(move || reader.pull()).await
        })
    }

    fn open(&self, content: &Content, selection: Selection) -> Reader {
        let Content { bundle, digest, .. } = content;
        let opened = match selection {
            Selection::Part { start, length } if length < content.size => {
                let lock = &self.hashing[usize::from(digest.as_bytes()[0])];
                let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                bundle.range(digest, start, length)
            }
            _ => bundle.reader(digest),
        };
        Reader {
            opened,
            name: format!("serving blob {digest} of {}", bundle.path().display()),
            events: self.events.clone(),
        }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(semaphore).acquire_owned().await.expect("the semaphore is never closed")
}

enum State {
    Waiting,
    Reading(JoinHandle<Result<Pulled, JoinError>>, OwnedSemaphorePermit),
}

enum Pulled {
    Chunk(Bytes, Box<Reader>),
    End,
    Broken(ferry_bundle::Error),
}

struct Reader {
    opened: Result<BlobReader, ferry_bundle::Error>,
    name: String,
    events: Events,
}

impl Reader {
    fn pull(self: Box<Self>) -> Pulled {
        let Self { opened, name, events } = *self;
        let pulled = opened.and_then(|mut reader| reader.next_chunk().map(|chunk| (chunk, reader)));
        match pulled {
            Ok((None, _)) => Pulled::End,
            Ok((Some(chunk), reader)) => {
                // The reader's chunks are slices of the 1 MiB that it read at once, which a slow client would keep.
                let chunk = Bytes::copy_from_slice(&chunk);
                Pulled::Chunk(chunk, Box::new(Self { opened: Ok(reader), name, events }))
            }
            Err(error) => {
                events.start(name, None).fail(&error);
                Pulled::Broken(error)
            }
        }
    }
}
