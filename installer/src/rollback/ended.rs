//! How undoing a step ends, and what speaks for undoing it at all.

use std::fmt::Write as _;

use ferry_model::Digest;
use ferry_model::journal::{Before, JournalEvent};
use ferry_model::plan::{Desired, State, Step};
use ferry_model::report::Failed;

use super::order::is_image;
use crate::journal::StepProgress;
use crate::observe::is_same;
use crate::resources::{Kept, Manage as _, Undone};

/// How undoing a step ended.
pub(super) enum Ended {
    /// What stood there before stands there again.
    Restored,
    /// It is as it is, and trying again may change that only when somebody has.
    Left {
        reason: String,
        /// Whether anything of it stands there.
        is_there: bool,
    },
    /// Something stood in the way that may pass; nothing was done.
    NotTried(String),
    /// It failed half way.
    Failed(String),
}

impl From<Result<Undone, Failed>> for Ended {
    fn from(outcome: Result<Undone, Failed>) -> Self {
        match outcome {
            Ok(Undone::Restored) => Self::Restored,
            Ok(Undone::Left(reason)) => Self::Left { reason, is_there: true },
            Err(failed) => Self::Failed(failed.message),
        }
    }
}

impl Ended {
    /// Why it is not as it was before.
    pub(super) fn trouble(&self) -> Option<&str> {
        match self {
            Self::Restored => None,
            Self::Left { reason, .. } | Self::NotTried(reason) | Self::Failed(reason) => Some(reason),
        }
    }

    /// Whether something of it stands there still.
    pub(super) fn stays(&self) -> bool {
        !matches!(self, Self::Restored | Self::Left { is_there: false, .. })
    }
}

/// A step whose undo has ended.
pub(super) struct Came<'a> {
    pub(super) step: &'a Step,
    pub(super) ended: Ended,
    /// Whether it is half undone.
    pub(super) is_half: bool,
}

impl<'a> Came<'a> {
    pub(super) fn new(step: &'a Step, begun: &StepProgress, ended: Ended) -> Self {
        let is_half = match ended {
            Ended::Restored | Ended::Left { .. } => false,
            // An image has no halves.
            Ended::NotTried(_) | Ended::Failed(_) if is_image(step) => false,
            // What an earlier undo has left half done is so still.
            Ended::NotTried(_) => begun.undoing,
            Ended::Failed(_) => true,
        };
        Self { step, ended, is_half }
    }

    /// As a line of the journal.
    pub(super) fn noted(&self) -> JournalEvent {
        let step = self.step.id;
        match &self.ended {
            Ended::Restored => JournalEvent::Undone { step },
            Ended::Left { reason, .. } => JournalEvent::Left { step, reason: reason.clone() },
            Ended::NotTried(reason) | Ended::Failed(reason) => {
                let reason = format!("{reason}; mend that and take the run back again");
                if self.is_half {
                    JournalEvent::UndoFailed { step, reason }
                } else {
                    JournalEvent::Left { step, reason }
                }
            }
        }
    }
}

/// Whether what stands there now was made by the step, and by nobody since.
pub(super) fn is_ours(step: &Step, begun: &StepProgress, before: &Before, now: &State) -> bool {
    // Undoing was cut off: what stands there is its half. An image has no halves.
    if begun.undoing && !is_image(step) {
        return true;
    }
    if let Some(after) = &begun.after {
        return is_still(step, now, after);
    }
    // Begun, and perhaps cut off. What is written whole or not at all is as before or as wanted; all else may be half made.
    let is_whole =
        matches!(step.resource.desired, Desired::File(_) | Desired::Htpasswd(_) | Desired::Image(_));
    !is_whole || is_still(step, now, &before.state) || now.meets(&step.resource.desired.wanted())
}

/// Whether nobody has changed what was seen then.
pub(super) fn is_still(step: &Step, now: &State, then: &State) -> bool {
    let desired = &step.resource.desired;
    is_same(&desired.owned(now), &desired.owned(then))
}

pub(super) fn changed_since(
    step: &Step,
    now: &State,
    after: Option<&State>,
    before: &Before,
    kept: &Kept,
) -> String {
    let mut reason = format!("{} was changed by somebody else since: it is {now}", step.resource.id());
    if let Some(after) = after {
        let _ = write!(reason, ", and this run left it {after}");
    }
    reason + &where_kept(before, kept)
}

/// Where what stood there before is kept.
pub(super) fn where_kept(before: &Before, kept: &Kept) -> String {
    let mut told = String::new();
    // Of what was not there, nothing is to be seen.
    let nothing = Digest::of(b"").hex();
    for (name, file) in before.kept.iter().filter(|(_, file)| **file != nothing) {
        let _ = write!(told, "; what was there before ({name}) is kept in {}", kept.path(file).display());
    }
    told
}
