//! The one bridge from blocking readers to the network: a thread reads ahead by two chunks, a body hands them on in
//! small frames, and a watch notices when neither goes on.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ferry_model::event::Task;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::{BlobSource, SourceError};

/// Handed to the connection at once. Each frame taken is a sign of life, so on a slow line they must be small.
const FRAME: usize = 64 << 10;

/// A body, and how to watch it.
pub(crate) struct Outgoing {
    pub(crate) body: reqwest::Body,
    pub(crate) progress: Arc<Progress>,
}

/// A part of a blob, to be sent.
pub(crate) struct Part<'a> {
    pub(crate) source: &'a Arc<dyn BlobSource>,
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) task: &'a Task,
    /// How often it was sent: a 401 or a redirect asks for it again.
    pub(crate) sent: AtomicU64,
}

impl Part<'_> {
    /// Starts reading, and gives the body that hands on what is read.
    pub(crate) fn send(&self) -> Outgoing {
        if self.sent.fetch_add(1, Ordering::Relaxed) > 0 {
            self.task.reset(self.start);
        }
        let progress = Arc::new(Progress::new());
        // With one chunk here, one in the reader's hand and one in the body, an upload holds 3 MiB at most.
        let (sender, receiver) = mpsc::channel(1);
        let (source, start, length) = (Arc::clone(self.source), self.start, self.length);
        tokio::task::spawn_blocking(move || read(&*source, start, length, &sender));
        let body = ChunkBody {
            receiver,
            current: Bytes::new(),
            remaining: length,
            task: self.task.clone(),
            progress: Arc::clone(&progress),
        };
        Outgoing { body: reqwest::Body::wrap(body), progress }
    }
}

/// Runs on a thread of its own until all is read or nobody wants it any more.
fn read(source: &dyn BlobSource, start: u64, length: u64, sender: &mpsc::Sender<Result<Bytes, SourceError>>) {
    let mut remaining = length;
    let mut reader = match source.open(start) {
        Ok(reader) => reader,
        Err(error) => {
            let _ = sender.blocking_send(Err(error));
            return;
        }
    };
    while remaining > 0 {
        let next = match reader.next_chunk() {
            Ok(Some(mut chunk)) => {
                chunk.truncate(usize::try_from(remaining).unwrap_or(usize::MAX));
                remaining -= chunk.len() as u64;
                Ok(chunk)
            }
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let last = next.is_err();
        if sender.blocking_send(next).is_err() || last {
            return;
        }
    }
    // A reader checks the digest before it hands on the last chunk, so there is nothing to wait for behind it.
}

struct ChunkBody {
    receiver: mpsc::Receiver<Result<Bytes, SourceError>>,
    current: Bytes,
    remaining: u64,
    task: Task,
    progress: Arc<Progress>,
}

/// The source gave out; [`Progress::take_failure`] knows why.
#[derive(Debug, thiserror::Error)]
#[error("the source of the upload gave out")]
struct GaveOut;

impl Body for ChunkBody {
    type Data = Bytes;
    type Error = GaveOut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GaveOut>>> {
        let this = &mut *self;
        this.progress.mark();
        if this.remaining == 0 {
            return Poll::Ready(None);
        }
        if this.current.is_empty() {
            let received = this.receiver.poll_recv(context);
            this.progress.awaits_source.store(received.is_pending(), Ordering::Relaxed);
            match std::task::ready!(received) {
                Some(Ok(chunk)) => this.current = chunk,
                Some(Err(error)) => {
                    this.progress.fail(Some(error));
                    return Poll::Ready(Some(Err(GaveOut)));
                }
                None => {
                    this.progress.fail(None);
                    return Poll::Ready(Some(Err(GaveOut)));
                }
            }
        }
        let frame = this.current.split_to(FRAME.min(this.current.len()));
        this.remaining -= frame.len() as u64;
        this.task.advance(frame.len() as u64);
        if this.remaining == 0 {
            this.progress.all_sent.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// How a body gets on.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    last_sign: AtomicU64,
    all_sent: AtomicBool,
    /// The next chunk is still being read: silence is then not the other side's.
    awaits_source: AtomicBool,
    failure: Mutex<Option<SourceError>>,
}

/// The blob of a source ended before its size was reached.
#[derive(Debug, thiserror::Error)]
#[error("the content is shorter than its size says")]
struct Short;

impl ferry_model::failure::Failure for Short {
    fn class(&self) -> ferry_model::failure::Class {
        ferry_model::failure::Class::Verification
    }
}

impl Progress {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            last_sign: AtomicU64::new(0),
            all_sent: AtomicBool::new(false),
            awaits_source: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    fn mark(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_sign.store(now, Ordering::Relaxed);
    }

    fn fail(&self, error: Option<SourceError>) {
        let error = error.unwrap_or_else(|| SourceError::new(Short));
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Why the source gave out, if it did.
    pub(crate) fn take_failure(&self) -> Option<SourceError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs `request` until it is done, or nothing has gone out for `stall`; `None` then. Once all is sent the other
    /// side has until `commit` to answer: it may have to move what it got to where it belongs.
    pub(crate) async fn watch<F: Future>(
        &self,
        request: F,
        stall: Duration,
        commit: Duration,
    ) -> Option<F::Output> {
        let mut request = std::pin::pin!(request);
        loop {
            let patience = if self.all_sent.load(Ordering::Relaxed) { commit } else { stall };
            let last_sign = Duration::from_millis(self.last_sign.load(Ordering::Relaxed));
            let mut deadline = self.begun + last_sign + patience;
            if self.awaits_source.load(Ordering::Relaxed) {
                deadline = deadline.max(Instant::now() + stall);
            }
            if deadline <= Instant::now() {
                return None;
            }
            if let Ok(output) = tokio::time::timeout_at(deadline, &mut request).await {
                return Some(output);
            }
        }
    }
}
