//! A thread that looks at a renderer at intervals, so that a run in which nothing happens still says so.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ferry_model::event::{Event, EventSink};

/// A renderer: everything it does happens at a stated time.
pub(crate) trait Renderer: Send {
    /// Something happened.
    fn take(&mut self, event: Event, now: Instant);
    /// Time went by.
    fn tick(&mut self, now: Instant);
    /// The run is over.
    fn finish(&mut self, now: Instant);
}

/// A renderer shared by all tasks of a run.
pub(crate) struct Shared<R>(Mutex<R>);

impl<R: Renderer> Shared<R> {
    pub(crate) fn new(renderer: R) -> Arc<Self> {
        Arc::new(Self(Mutex::new(renderer)))
    }

    /// A panic in one task must not silence the others.
    pub(crate) fn lock(&self) -> MutexGuard<'_, R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Renderer> EventSink for Shared<R> {
    fn emit(&self, event: Event) {
        self.lock().take(event, Instant::now());
    }
}

/// The thread; it ends, and finishes the renderer, when this is dropped.
pub(crate) struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start<R: Renderer + 'static>(period: Duration, renderer: Arc<Shared<R>>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                renderer.lock().tick(Instant::now());
            }
            renderer.lock().finish(Instant::now());
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It can only have panicked while drawing, which is no reason to fail the run.
            let _ = thread.join();
        }
    }
}
