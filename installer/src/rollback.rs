//! Undoing a run: its steps in reverse, only those that are its own, each noted before and after.

use std::fmt::Write as _;

use ferry_model::journal::{Before, JournalEvent};
use ferry_model::plan::{Desired, Plan, State, Step};

use crate::Error;
use crate::context::Context;
use crate::journal::{Journal, Progress, RunFolder, StepProgress, StepState, Undo};
use crate::observe::is_same;
use crate::resources::{Kept, Manage as _, Mine, Undone};
use crate::session::endpoint;

/// Undoes what `progress` knows as begun. Fails only if the journal cannot be written; what could not be undone is noted
/// there, with why.
pub async fn rollback(
    context: &Context,
    plan: &Plan,
    run: &RunFolder,
    journal: &Journal,
    progress: &Progress,
) -> Result<(), Error> {
    let steps = undo_order(plan, progress);
    match progress.undo {
        // What was left may be no longer in the way; else there is nothing to try again.
        Undo::Ended if steps.is_empty() => return Ok(()),
        Undo::Ended | Undo::No => journal.append([JournalEvent::UndoBegan])?,
        Undo::Begun => {}
    }
    context.events.stage("undo", None, Some(steps.len() as u64));
    let shut = shut(context, &steps).await;
    let undoing = Undoing { context, journal, kept: run.kept(), mine: mine(plan, progress), shut };
    let mut is_over = true;
    for (step, begun) in steps {
        let task = context.events.start(format!("undo: {}", step.summary), None);
        match undoing.undo(step, begun).await? {
            Ended::Undone(Undone::Restored) => {
                journal.append([JournalEvent::Undone { step: step.id }])?;
                task.finish();
            }
            Ended::Undone(Undone::Left(reason)) => {
                task.fail(&reason);
                journal.append([JournalEvent::Left { step: step.id, reason }])?;
            }
            Ended::NotTried(reason) => {
                is_over = false;
                task.fail(&reason);
                let reason = format!("{reason}; mend that and take the run back again");
                journal.append([JournalEvent::Left { step: step.id, reason }])?;
            }
            Ended::Failed(reason) => {
                is_over = false;
                task.fail(&reason);
                let reason = format!("{reason}; mend that and take the run back again");
                journal.append([JournalEvent::UndoFailed { step: step.id, reason }])?;
            }
        }
    }
    // What failed can be tried again: until then this run is not taken back.
    if is_over { journal.append([JournalEvent::UndoEnded]) } else { Ok(()) }
}

/// Why no image can be looked at: the registry does not answer. Asked once, not for each of thousands.
async fn shut(context: &Context, steps: &[(&Step, &StepProgress)]) -> Option<String> {
    let has_images = steps.iter().any(|(step, _)| matches!(step.resource.desired, Desired::Image(_)));
    let endpoint = endpoint(context).filter(|_| has_images)?;
    match endpoint.desired.observe(context).await {
        State::Unknown { reason } => Some(reason),
        State::Absent | State::Present { .. } => None,
    }
}

/// The steps to undo, the last one first. What ran before and takes up others' changes comes last, when those are back.
fn undo_order<'a>(plan: &'a Plan, progress: &'a Progress) -> Vec<(&'a Step, &'a StepProgress)> {
    let is_open = |begun: &StepProgress| {
        begun.before.is_some()
            && matches!(
                begun.state,
                StepState::Started | StepState::Done(_) | StepState::Failed(_) | StepState::Left(_)
            )
    };
    let open = plan.steps.iter().rev().filter(|step| !step.resource.desired.is_check());
    let open =
        open.filter_map(|step| Some((step, progress.steps.get(&step.id).filter(|begun| is_open(begun))?)));
    let takes_up = |step: &Step, begun: &StepProgress| {
        let ran = begun.before.as_ref().is_some_and(|before| matches!(before.state, State::Present { .. }));
        ran && !step.resource.follows.is_empty()
    };
    // A tag that named something else goes back first: deleting a manifest takes every tag along that names it.
    let retags = |step: &Step, begun: &StepProgress| {
        let named = begun.before.as_ref().is_some_and(|before| matches!(before.state, State::Present { .. }));
        named && matches!(step.resource.desired, Desired::Image(_))
    };
    let (last, first): (Vec<_>, Vec<_>) = open.partition(|(step, begun)| takes_up(step, begun));
    let (retagged, first): (Vec<_>, Vec<_>) =
        first.into_iter().partition(|(step, begun)| retags(step, begun));
    retagged.into_iter().chain(first).chain(last.into_iter().rev()).collect()
}

/// Images that the run brought.
fn mine(plan: &Plan, progress: &Progress) -> Mine {
    let mut mine = Mine::default();
    for step in &plan.steps {
        let (Desired::Image(image), Some(begun)) = (&step.resource.desired, progress.steps.get(&step.id))
        else {
            continue;
        };
        let name = format!("{}:{}", image.repository, image.tag.as_deref().unwrap_or_default());
        if was_absent(begun) {
            mine.images.insert(name.clone(), image.digest.to_string());
        }
        mine.brought.insert(name, image.digest.to_string());
    }
    mine
}

/// Whether a step made what was not there.
fn was_absent(begun: &StepProgress) -> bool {
    let made = matches!(
        begun.state,
        StepState::Started | StepState::Done(_) | StepState::Left(_) | StepState::Undone
    );
    made && begun.before.as_ref().is_some_and(|before| before.state == State::Absent)
}

struct Undoing<'a> {
    context: &'a Context,
    journal: &'a Journal,
    kept: Kept,
    mine: Mine,
    /// Why no image can be looked at.
    shut: Option<String>,
}

/// How undoing a step came out.
enum Ended {
    Undone(Undone),
    /// Something stood in the way that may pass; nothing was done.
    NotTried(String),
    /// It failed half way.
    Failed(String),
}

impl Undoing<'_> {
    async fn undo(&self, step: &Step, begun: &StepProgress) -> Result<Ended, Error> {
        let (desired, id) = (&step.resource.desired, step.resource.id());
        let Some(before) = &begun.before else { return Ok(Ended::Undone(Undone::Restored)) };
        if matches!(before.state, State::Unknown { .. }) {
            return Ok(Ended::Undone(Undone::Left(format!(
                "{id} stays: what stood there before was never seen"
            ))));
        }
        if let (Desired::Image(_), Some(reason)) = (desired, &self.shut) {
            return Ok(Ended::NotTried(reason.clone()));
        }
        let now = desired.observe(self.context).await;
        if let State::Unknown { reason } = now {
            return Ok(Ended::NotTried(format!("{id} cannot be looked at: {reason}")));
        }
        if !is_ours(step, begun, before, &now) {
            let left = if begun.after.is_some() && is_same(&now, &before.state) {
                Undone::Restored
            } else {
                Undone::Left(changed_since(step, &now, begun.after.as_ref(), before, &self.kept))
            };
            return Ok(Ended::Undone(left));
        }
        // From here on what stands there may be this undo's half.
        self.journal.append([JournalEvent::Undoing { step: step.id }])?;
        Ok(match desired.undo(self.context, before, &self.kept, &self.mine).await {
            Ok(undone) => Ended::Undone(undone),
            Err(failed) => Ended::Failed(failed.message),
        })
    }
}

/// Whether what stands there now was made by the step, and by nobody since.
fn is_ours(step: &Step, begun: &StepProgress, before: &Before, now: &State) -> bool {
    // Undoing was cut off: what stands there is its half.
    if begun.undoing {
        return true;
    }
    if let Some(after) = &begun.after {
        return is_same(now, after);
    }
    // Begun, and perhaps cut off. What is written whole or not at all is as before or as wanted; all else may be half made.
    let is_whole =
        matches!(step.resource.desired, Desired::File(_) | Desired::Htpasswd(_) | Desired::Image(_));
    !is_whole || is_same(now, &before.state) || now.meets(&step.resource.desired.wanted())
}

fn changed_since(step: &Step, now: &State, after: Option<&State>, before: &Before, kept: &Kept) -> String {
    let mut reason = format!("{} was changed by somebody else since: it is {now}", step.resource.id());
    if let Some(after) = after {
        let _ = write!(reason, ", and this run left it {after}");
    }
    for (name, file) in &before.kept {
        let _ = write!(reason, "; what was there before ({name}) is kept in {}", kept.path(file).display());
    }
    reason
}
