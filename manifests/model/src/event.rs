//! What the libraries report while they work. They never print; a renderer (crate `ferry-display`) turns these into
//! bars, plain lines or JSON lines.
//!
//! Task events ([`Event::Started`], [`Event::Finished`], …) are never lost. [`Event::Advanced`] may come at any
//! rate; renderers sample it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// One task's number, unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct TaskId(u64);

impl TaskId {
    /// A number not used before in this process.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A stage of the run begins: `resolve`, `fetch`, `verify`, `push`. The stage before it has ended.
    Stage {
        /// Its name, one lower-case word.
        name: &'static str,
        /// Bytes that it will move or read, where known.
        bytes: Option<u64>,
        /// Tasks that it will have, where known.
        tasks: Option<u64>,
    },
    /// A task begins.
    Started {
        /// Which.
        task: TaskId,
        /// What it works on, for people: `slug-app:v1.1 layer 3f2a…`.
        name: String,
        /// Its bytes, where known.
        bytes: Option<u64>,
    },
    /// A task moved this many more bytes.
    Advanced {
        /// Which.
        task: TaskId,
        /// Bytes since the last event of this task.
        bytes: u64,
    },
    /// A task starts over or goes on elsewhere: it has now done exactly this many bytes.
    Reset {
        /// Which.
        task: TaskId,
        /// Bytes done.
        bytes: u64,
    },
    /// A task failed in a way that may pass; it goes on after a pause.
    Retrying {
        /// Which.
        task: TaskId,
        /// Which attempt comes next, from 2.
        attempt: u32,
        /// The pause in milliseconds.
        delay_ms: u64,
        /// Why.
        cause: String,
    },
    /// Something needed no work.
    Skipped {
        /// What.
        name: String,
        /// Why.
        reason: String,
        /// The bytes that need not move.
        bytes: u64,
    },
    /// A task is done.
    Finished {
        /// Which.
        task: TaskId,
    },
    /// A task failed for good.
    Failed {
        /// Which.
        task: TaskId,
        /// Why.
        cause: String,
    },
    /// Something the user should know; work goes on.
    Warned {
        /// The message.
        message: String,
    },
    /// A fact about the run: `bytes to fetch 3.1 GiB`, `Docker Hub: 87 of 100 pulls left`.
    Noted {
        /// The message.
        message: String,
    },
}

/// Receives events; shared by all tasks of a run.
pub trait EventSink: Send + Sync {
    /// Takes one event. Must not block for long: it is called between two reads from the network.
    fn emit(&self, event: Event);
}

/// A cheap handle to an [`EventSink`].
#[derive(Clone)]
pub struct Events(Arc<dyn EventSink>);

impl Events {
    /// Sends events to `sink`.
    pub fn new(sink: Arc<dyn EventSink>) -> Self {
        Self(sink)
    }

    /// Drops all events: for tests and for `--quiet`.
    pub fn none() -> Self {
        struct Nowhere;
        impl EventSink for Nowhere {
            fn emit(&self, _: Event) {}
        }
        Self(Arc::new(Nowhere))
    }

    /// Sends one event.
    pub fn emit(&self, event: Event) {
        self.0.emit(event);
    }

    /// Begins a stage.
    pub fn stage(&self, name: &'static str, bytes: Option<u64>, tasks: Option<u64>) {
        self.emit(Event::Stage { name, bytes, tasks });
    }

    /// Sends [`Event::Warned`].
    pub fn warn(&self, message: impl Into<String>) {
        self.emit(Event::Warned { message: message.into() });
    }

    /// Sends [`Event::Noted`].
    pub fn note(&self, message: impl Into<String>) {
        self.emit(Event::Noted { message: message.into() });
    }

    /// Begins a task.
    pub fn start(&self, name: impl Into<String>, bytes: Option<u64>) -> Task {
        let task = Task { id: TaskId::next(), events: self.clone() };
        self.emit(Event::Started { task: task.id, name: name.into(), bytes });
        task
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// A task under way: the sending end of its events.
#[derive(Clone, Debug)]
pub struct Task {
    id: TaskId,
    events: Events,
}

impl Task {
    /// `bytes` more are done.
    pub fn advance(&self, bytes: u64) {
        self.events.emit(Event::Advanced { task: self.id, bytes });
    }

    /// Exactly `bytes` are done, after a restart or a resumption.
    pub fn reset(&self, bytes: u64) {
        self.events.emit(Event::Reset { task: self.id, bytes });
    }

    /// A retry comes after a pause.
    pub fn retry(&self, attempt: u32, delay: std::time::Duration, cause: impl fmt::Display) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.events.emit(Event::Retrying { task: self.id, attempt, delay_ms, cause: cause.to_string() });
    }

    /// Done.
    pub fn finish(self) {
        self.events.emit(Event::Finished { task: self.id });
    }

    /// Failed for good.
    pub fn fail(self, cause: impl fmt::Display) {
        self.events.emit(Event::Failed { task: self.id, cause: cause.to_string() });
    }
}
