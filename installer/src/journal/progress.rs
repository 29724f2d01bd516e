//! How far a run has come, read off its journal.

use std::collections::BTreeMap;

use ferry_model::journal::{Before, Entry, JournalEvent};
use ferry_model::plan::{State, StepId};
use ferry_model::report::Failed;

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The steps that were begun.
    pub steps: BTreeMap<StepId, StepProgress>,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// When the last of its steps had been tried; absent if it was cut off.
    pub ended: Option<u64>,
    /// How far it is undone.
    pub undo: Undo,
}

/// How far a run is undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undo {
    /// It is not.
    #[default]
    No,
    /// Undoing it was cut off.
    Begun,
    /// All that can be is undone.
    Ended,
}

/// A step that was begun.
#[derive(Clone, Debug, PartialEq)]
pub struct StepProgress {
    /// What its undo needs; absent for one that was never tried.
    pub before: Option<Before>,
    /// What stood there when it was done, whatever has become of it since.
    pub after: Option<State>,
    /// Whether it is known to have made what stands there, since it was begun last.
    pub made: bool,
    /// Whether undoing it was begun and cut off.
    pub undoing: bool,
    /// Where it stands.
    pub state: StepState,
    /// When it was begun, in milliseconds since 1970.
    pub began: u64,
    /// When it was done or had failed.
    pub ended: Option<u64>,
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq)]
pub enum StepState {
    /// It was begun; how far it came is not known.
    Started,
    /// It is done, and this is what stood there then.
    Done(State),
    /// It failed.
    Failed(Failed),
    /// It was not tried, because this one failed.
    NotTried(StepId),
    /// It was done, and is undone.
    Undone,
    /// It was done, and could not be undone.
    Left(String),
}

impl Progress {
    /// Reads it off the journal's lines.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut progress = Self { began: entries.first().map_or(0, |entry| entry.at), ..Self::default() };
        for entry in entries {
            progress.take(entry);
        }
        progress
    }

    fn take(&mut self, entry: &Entry) {
        match entry.event.clone() {
            JournalEvent::Began { .. } => {}
            JournalEvent::Undoing { step } => {
                if let Some(known) = self.steps.get_mut(&step) {
                    known.undoing = true;
                }
            }
            JournalEvent::Resumed => self.ended = None,
            JournalEvent::Started { step, before } => {
                let begun = StepProgress {
                    before: Some(before),
                    after: None,
                    made: false,
                    undoing: false,
                    state: StepState::Started,
                    began: entry.at,
                    ended: None,
                };
                self.steps.insert(step, begun);
            }
            JournalEvent::Made { step } => {
                if let Some(known) = self.steps.get_mut(&step) {
                    known.made = true;
                }
            }
            JournalEvent::Done { step, after } => self.set(step, StepState::Done(after), entry.at),
            JournalEvent::Failed { step, failure } => self.set(step, StepState::Failed(failure), entry.at),
            JournalEvent::NotTried { step, because } => {
                self.set(step, StepState::NotTried(because), entry.at);
            }
            JournalEvent::Ended => self.ended = Some(entry.at),
            JournalEvent::UndoBegan => self.undo = Undo::Begun,
            JournalEvent::Undone { step } => self.set(step, StepState::Undone, entry.at),
            JournalEvent::Left { step, reason } => self.set(step, StepState::Left(reason), entry.at),
            JournalEvent::UndoFailed { step, reason } => {
                self.set(step, StepState::Left(reason), entry.at);
                if let Some(known) = self.steps.get_mut(&step) {
                    known.undoing = true;
                }
            }
            JournalEvent::UndoEnded => self.undo = Undo::Ended,
        }
    }

    fn set(&mut self, step: StepId, state: StepState, at: u64) {
        let known = self.steps.entry(step).or_insert(StepProgress {
            before: None,
            after: None,
            made: false,
            undoing: false,
            state: StepState::Started,
            began: at,
            ended: None,
        });
        known.undoing = false;
        if let StepState::Done(after) = &state {
            known.after = Some(after.clone());
        }
        // How long undoing took is not how long doing took.
        if !matches!(state, StepState::Undone | StepState::Left(_)) {
            known.ended = Some(at);
        }
        known.state = state;
    }

    /// Where a step stands; absent if it was never begun.
    pub fn state(&self, step: StepId) -> Option<&StepState> {
        self.steps.get(&step).map(|step| &step.state)
    }
}
