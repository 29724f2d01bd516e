//! Undoing a run: its steps in reverse, only those that are its own, each noted before and after.

use std::fmt::Write as _;

use ferry_model::journal::{Before, JournalEvent};
use ferry_model::plan::{Desired, Plan, State, Step, StepId};
use ferry_model::report::Failed;
use futures_util::stream::{self, StreamExt as _};

use crate::Error;
use crate::context::Context;
use crate::journal::{Journal, Progress, RunFolder, StepProgress, StepState, Undo};
use crate::observe::is_same;
use crate::resources::{Kept, Manage as _, Mine, ToUndo, Undone, undo_images};
use crate::session::endpoint;

/// A step that was begun, and how far it came.
type Begun<'a> = (&'a Step, &'a StepProgress);

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
    for batch in batches(&steps) {
        // Each node by itself, and many at once, as they were set up.
        let (size, at_once) = match batch {
            [(step, _), ..] if is_node(step) => (1, context.site.site.limits.steps.max(1)),
            _ => (batch.len().max(1), 1),
        };
        let mut undone =
            stream::iter(batch.chunks(size)).map(|part| undoing.undo_batch(part)).buffer_unordered(at_once);
        while let Some(ended) = undone.next().await {
            is_over &= ended?;
        }
    }
    // What failed can be tried again: until then this run is not taken back.
    if is_over { journal.append([JournalEvent::UndoEnded]) } else { Ok(()) }
}

/// Steps that are undone together: images or nodes that stand side by side, and each other step alone.
fn batches<'a, 'b>(steps: &'b [Begun<'a>]) -> impl Iterator<Item = &'b [Begun<'a>]> {
    steps.chunk_by(|(one, _), (other, _)| is_image(one) && is_image(other) || is_node(one) && is_node(other))
}

fn is_node(step: &Step) -> bool {
    matches!(step.resource.desired, Desired::NodeSetup(_))
}

fn is_image(step: &Step) -> bool {
    matches!(step.resource.desired, Desired::Image(_))
}

/// Why no image can be looked at: the registry does not answer. Asked once, not for each of thousands.
async fn shut(context: &Context, steps: &[Begun<'_>]) -> Option<String> {
    let has_images = steps.iter().any(|(step, _)| is_image(step));
    let endpoint = endpoint(context).filter(|_| has_images)?;
    match endpoint.desired.observe(context).await {
        State::Unknown { reason } => Some(reason),
        State::Absent | State::Present { .. } => None,
    }
}

/// The steps to undo, the last one first. What ran before and takes up others' changes comes last, when those are back.
fn undo_order<'a>(plan: &'a Plan, progress: &'a Progress) -> Vec<Begun<'a>> {
    // A step that was done may have been begun again, and not been tried then: what it had made stands.
    let is_open = |begun: &StepProgress| begun.before.is_some() && begun.state != StepState::Undone;
    let open = plan.steps.iter().rev().filter(|step| !step.resource.desired.is_check());
    let open =
        open.filter_map(|step| Some((step, progress.steps.get(&step.id).filter(|begun| is_open(begun))?)));
    let takes_up = |step: &Step, begun: &StepProgress| {
        let ran = begun.before.as_ref().is_some_and(|before| matches!(before.state, State::Present { .. }));
        ran && !is_node(step) && !step.resource.follows.is_empty()
    };
    // A tag that named something else goes back first: deleting a manifest takes every tag along that names it.
    let retags = |step: &Step, begun: &StepProgress| {
        let named = begun.before.as_ref().is_some_and(|before| matches!(before.state, State::Present { .. }));
        named && is_image(step)
    };
    let (last, first): (Vec<_>, Vec<_>) = open.partition(|(step, begun)| takes_up(step, begun));
    let (retagged, first): (Vec<_>, Vec<_>) =
        first.into_iter().partition(|(step, begun)| retags(step, begun));
    retagged.into_iter().chain(first).chain(last.into_iter().rev()).collect()
}

/// What the run brought.
fn mine(plan: &Plan, progress: &Progress) -> Mine {
    let mut mine = Mine::default();
    for step in &plan.steps {
        if progress.steps.get(&step.id).is_some_and(|begun| begun.made) {
            mine.made.insert(step.resource.id());
        }
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
    begun.before.as_ref().is_some_and(|before| before.state == State::Absent)
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

impl Ended {
    fn is_to_try_again(&self) -> bool {
        matches!(self, Self::NotTried(_) | Self::Failed(_))
    }

    /// Why it is not as it was before.
    fn trouble(&self) -> Option<&str> {
        match self {
            Self::Undone(Undone::Restored) => None,
            Self::Undone(Undone::Left(reason)) | Self::NotTried(reason) | Self::Failed(reason) => {
                Some(reason)
            }
        }
    }

    fn noted(self, step: StepId) -> JournalEvent {
        let again = |reason: String| format!("{reason}; mend that and take the run back again");
        match self {
            Self::Undone(Undone::Restored) => JournalEvent::Undone { step },
            Self::Undone(Undone::Left(reason)) => JournalEvent::Left { step, reason },
            Self::NotTried(reason) => JournalEvent::Left { step, reason: again(reason) },
            Self::Failed(reason) => JournalEvent::UndoFailed { step, reason: again(reason) },
        }
    }
}

impl Undoing<'_> {
    /// Undoes steps together. Gives whether none of them must be tried again.
    async fn undo_batch(&self, batch: &[Begun<'_>]) -> Result<bool, Error> {
        let events = &self.context.events;
        let what = match batch {
            [(step, _)] => format!("undo: {}", step.summary),
            _ => format!("undo: {} images", batch.len()),
        };
        let task = events.start(what, None);
        let judged: Vec<Option<Ended>> = stream::iter(batch)
            .map(|&(step, begun)| self.judge(step, begun))
            .buffered(self.context.transfers())
            .collect()
            .await;
        let open =
            || batch.iter().zip(&judged).filter(|(_, judged)| judged.is_none()).map(|(begun, _)| begun);
        // From here on what stands there may be this undo's half.
        self.journal.append(open().map(|(step, _)| JournalEvent::Undoing { step: step.id }))?;
        let mut undone = self.undo(&open().copied().collect::<Vec<_>>()).await.into_iter();
        let mut trouble = Vec::new();
        let mut is_over = true;
        let ended = judged.into_iter().map(|judged| judged.or_else(|| undone.next()));
        let noted = batch.iter().zip(ended).filter_map(|((step, _), ended)| {
            let (id, ended) = (step.id, ended?);
            is_over &= !ended.is_to_try_again();
            trouble.extend(ended.trouble().map(|reason| (step, reason.to_owned())));
            Some(ended.noted(id))
        });
        self.journal.append(noted.collect::<Vec<_>>())?;
        match trouble.as_slice() {
            [] => task.finish(),
            [(_, reason)] if batch.len() == 1 => task.fail(reason),
            _ => {
                for (step, reason) in &trouble {
                    events.start(format!("undo: {}", step.summary), None).fail(reason);
                }
                task.fail(format!("{} of them are left", trouble.len()));
            }
        }
        Ok(is_over)
    }

    /// How it ends without anything being done; `None` if it is to be undone.
    async fn judge(&self, step: &Step, begun: &StepProgress) -> Option<Ended> {
        let (desired, id) = (&step.resource.desired, step.resource.id());
        let Some(before) = &begun.before else { return Some(Ended::Undone(Undone::Restored)) };
        if matches!(before.state, State::Unknown { .. }) {
            let reason = format!("{id} stays: what stood there before was never seen");
            return Some(Ended::Undone(Undone::Left(reason)));
        }
        if let (true, Some(reason)) = (is_image(step), &self.shut) {
            return Some(Ended::NotTried(reason.clone()));
        }
        let now = desired.observe_to_undo(self.context).await;
        if let State::Unknown { reason } = now {
            return Some(Ended::NotTried(format!("{id} cannot be looked at: {reason}")));
        }
        if is_ours(step, begun, before, &now) {
            return None;
        }
        if begun.after.is_some() && is_still(step, &now, &before.state) {
            // The image itself is back; what was changed beside it may not be.
            let has_more = is_image(step) && !before.kept.is_empty();
            return (!has_more).then_some(Ended::Undone(Undone::Restored));
        }
        let reason = changed_since(step, &now, begun.after.as_ref(), before, &self.kept);
        Some(Ended::Undone(Undone::Left(reason)))
    }

    /// Undoes steps of one batch. Gives how each came out, in their order.
    async fn undo(&self, steps: &[Begun<'_>]) -> Vec<Ended> {
        let images: Vec<ToUndo<'_>> = steps
            .iter()
            .filter_map(|&(step, begun)| match (&step.resource.desired, &begun.before) {
                (Desired::Image(image), Some(before)) => Some((image, before)),
                _ => None,
            })
            .collect();
        let outcomes = if images.is_empty() {
            self.undo_others(steps).await
        } else {
            undo_images(self.context, &self.kept, &self.mine, &images).await
        };
        let ended = |outcome: Result<Undone, Failed>| match outcome {
            Ok(undone) => Ended::Undone(undone),
            Err(failed) => Ended::Failed(failed.message),
        };
        outcomes.into_iter().map(ended).collect()
    }

    async fn undo_others(&self, steps: &[Begun<'_>]) -> Vec<Result<Undone, Failed>> {
        let mut outcomes = Vec::new();
        for (step, begun) in steps {
            outcomes.push(match &begun.before {
                Some(before) => {
                    step.resource.desired.undo(self.context, before, &self.kept, &self.mine).await
                }
                None => Ok(Undone::Restored),
            });
        }
        outcomes
    }
}

/// Whether what stands there now was made by the step, and by nobody since.
fn is_ours(step: &Step, begun: &StepProgress, before: &Before, now: &State) -> bool {
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
fn is_still(step: &Step, now: &State, then: &State) -> bool {
    let desired = &step.resource.desired;
    is_same(&desired.owned(now), &desired.owned(then))
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
