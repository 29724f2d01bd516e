//! The journal of a run: each step before and after it is taken, and what stood there before. One JSON document a line,
//! only ever appended to, on disk before the next thing is done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::{Identity, State, StepId};
use crate::report::Failed;
use crate::{Digest, FormatVersion};

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What happened.
    pub event: JournalEvent,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum JournalEvent {
    /// A run begins. The plan lies beside the journal.
    Began {
        /// The version of this document.
        format_version: FormatVersion,
        /// What it is for.
        identity: Identity,
        /// The digest of the plan's file.
        plan: Digest,
    },
    /// The run goes on after it was cut off.
    Resumed,
    /// A step is about to be taken.
    Started {
        /// Which.
        step: StepId,
        /// What its undo needs.
        before: Before,
    },
    /// A step has made what others may make meanwhile, and was told that it was not there: taking the step back removes it.
    Made {
        /// Which.
        step: StepId,
    },
    /// A step is done.
    Done {
        /// Which.
        step: StepId,
        /// What stands there now.
        after: State,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: StepId,
        /// Why.
        failure: Failed,
    },
    /// A step was not tried, because one that it needs failed.
    NotTried {
        /// Which.
        step: StepId,
        /// The one that failed.
        because: StepId,
    },
    /// All steps have been tried.
    Ended,
    /// Undoing the run begins, or goes on.
    UndoBegan,
    /// A step is about to be undone.
    Undoing {
        /// Which.
        step: StepId,
    },
    /// A step is undone: what stood there before stands there again.
    Undone {
        /// Which.
        step: StepId,
    },
    /// A step could not be undone.
    Left {
        /// Which.
        step: StepId,
        /// Why, and where what stood there before is kept.
        reason: String,
    },
    /// Undoing a step failed half way; it can be tried again.
    UndoFailed {
        /// Which.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// Undoing has ended.
    UndoEnded,
}

/// What the undo of a step needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// What stood there.
    pub state: State,
    /// Its bytes, where they had to be kept: what they are called, and the file in the run's `before` folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
}
