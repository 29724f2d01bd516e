//! Compression on all cores: a pool of threads, and a queue that gives results back in order.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::{io, thread};

/// Content bytes of a compressed frame, but for a blob's last. Less than the 4 MiB that the format allows: it bounds
/// what each of many readers holds, and costs under 1 % of size.
pub(crate) const FRAME: usize = 1 << 20;
/// zstd's default level: text shrinks to a fifth at some 300 MB/s per core.
const LEVEL: i32 = 3;

type Compressed = io::Result<Vec<u8>>;

/// Compresses one frame. Deterministic for one version of libzstd, which Cargo.lock pins.
pub(crate) fn compress(content: &[u8]) -> Compressed {
    zstd::bulk::compress(content, LEVEL)
}

struct Job {
    content: Vec<u8>,
    result: SyncSender<Compressed>,
}

/// Threads that compress.
pub(crate) struct Pool {
    jobs: SyncSender<Job>,
    threads: usize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(16);
        let (jobs, queue) = sync_channel::<Job>(threads);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            // The threads end when the pool is dropped and the queue is empty.
            thread::spawn(move || {
                loop {
                    let Ok(Ok(job)) = queue.lock().map(|queue| queue.recv()) else { return };
                    // A receiver that is gone has failed for another reason.
                    let _ = job.result.send(compress(&job.content));
                }
            });
        }
        Self { jobs, threads }
    }
}

/// Frames under way for one blob, in order.
pub(crate) struct InOrder {
    pool: Arc<Pool>,
    waiting: VecDeque<Receiver<Compressed>>,
}

impl InOrder {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, waiting: VecDeque::new() }
    }

    /// Hands a frame's content to the pool; gives back the oldest result once enough are under way.
    pub(crate) fn push(&mut self, content: Vec<u8>) -> Option<Compressed> {
        let (result, receiver) = sync_channel(1);
        self.waiting.push_back(receiver);
        if self.pool.jobs.send(Job { content, result }).is_err() {
            return Some(Err(io::Error::other("the compression threads have died")));
        }
        if self.waiting.len() > self.pool.threads { self.pop() } else { None }
    }

    /// Waits for the oldest result.
    pub(crate) fn pop(&mut self) -> Option<Compressed> {
        let receiver = self.waiting.pop_front()?;
        Some(receiver.recv().unwrap_or_else(|_| Err(io::Error::other("a compression thread has died"))))
    }
}
