//! Undoing a run: its steps in reverse, only those that are its own, each noted before and after.
//!
//! What cannot be undone stays, and with it what it needs (`ties`). That ends the undo all the same, and can be tried again. Only
//! where something is half undone does the run stay half taken back: until that is undone, or somebody gives it up (`leave`).

mod ended;
mod leave;
mod order;
mod registry;
mod ties;

use std::collections::BTreeSet;

use ferry_model::journal::JournalEvent;
use ferry_model::plan::{Action, Desired, Endpoint, Image, Plan, State, Step, StepId};
use futures_util::stream::{self, StreamExt as _};

use crate::Error;
use crate::context::Context;
use crate::journal::{Journal, Progress, RunFolder, StepProgress, Undo};
use crate::resources::{Kept, Manage as _, Mine, ToUndo, Undone, undo_images};
use crate::session::endpoint;
use ended::{Came, Ended, changed_since, is_ours, is_still};
pub(crate) use leave::leave;
use order::{Begun, batches, images_last, is_image, is_moved, is_node, mine, takes_up, undo_order};
pub(crate) use registry::registry_file;
use ties::{Fate, Ties};

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
    // What cannot be read leaves nothing half undone.
    let of_images = registry::context_of(context, plan, run)?;
    let of_images = of_images.as_ref().unwrap_or(context);
    match progress.undo {
        // What was left may be no longer in the way; else there is nothing to try again.
        Undo::Ended if steps.is_empty() => return Ok(()),
        Undo::Ended | Undo::No => journal.append([JournalEvent::UndoBegan])?,
        Undo::Begun => {}
    }
    context.events.stage("undo", None, Some(steps.len() as u64));
    let shut = shut(of_images, &steps).await;
    // An own registry takes its images along, and whether it does is known when it is gone.
    let steps = if shut.is_some() { images_last(steps) } else { steps };
    let (kept, mine, ties) = (run.kept(), mine(plan, progress), Ties::new(plan, progress));
    let mut undoing = Undoing { context, of_images, journal, kept, mine, shut, ties };
    undoing.look_ahead(&steps).await;
    let (mut is_half, mut kept_images) = (false, Vec::new());
    for (number, batch) in batches(&steps).enumerate() {
        if number > 0 {
            undoing.ask_again(batch).await;
        }
        // Each node by itself, and many at once, as they were set up.
        let (size, at_once) = match batch {
            [(step, _), ..] if is_node(step) => (1, context.site.site.limits.steps.max(1)),
            _ => (batch.len().max(1), 1),
        };
        let mut came = Vec::new();
        let mut undone =
            stream::iter(batch.chunks(size)).map(|part| undoing.undo_batch(part)).buffer_unordered(at_once);
        while let Some(part) = undone.next().await {
            came.extend(part?);
        }
        drop(undone);
        for one in came {
            is_half |= one.is_half;
            undoing.ties.take(&one);
            if is_image(one.step) && one.ended.stays() {
                kept_images.push(one.step);
            }
        }
    }
    // Whatever they were kept for, they have gone with their storage.
    let gone = kept_images.into_iter().filter(|image| undoing.ties.fate(image) == Fate::Gone);
    journal.append(gone.map(|image| JournalEvent::Undone { step: image.id }))?;
    if is_half { Ok(()) } else { journal.append([JournalEvent::UndoEnded]) }
}

/// Seconds that a registry is given to answer once what was undone may have brought it back up.
const PATIENCE: u32 = 15;

/// Why no image can be looked at: the registry does not answer. Asked once, not for each of thousands.
async fn shut(context: &Context, steps: &[Begun<'_>]) -> Option<String> {
    let has_images = steps.iter().any(|(step, _)| is_image(step));
    let endpoint = endpoint(context).filter(|_| has_images)?;
    match endpoint.desired.observe(context).await {
        State::Unknown { reason } => Some(reason),
        State::Absent | State::Present { .. } => None,
    }
}

struct Undoing<'a> {
    context: &'a Context,
    /// The same, for the registry that the run's images are in.
    of_images: &'a Context,
    journal: &'a Journal,
    kept: Kept,
    mine: Mine,
    /// Why no image can be looked at.
    shut: Option<String>,
    ties: Ties<'a>,
}

impl<'a> Undoing<'a> {
    /// What takes up others' changes is undone behind those, and is looked at before them: where it stays, they stay too. So is what
    /// needs a tag that was moved, which goes back before other images.
    async fn look_ahead(&mut self, steps: &[Begun<'a>]) {
        let moved: BTreeSet<StepId> =
            steps.iter().filter(|begun| is_moved(begun)).map(|(step, _)| step.id).collect();
        for &(step, begun) in steps {
            let is_meant = takes_up(&(step, begun)) || self.ties.needs_any(step, &moved);
            if is_meant && self.judge(step, begun).await.is_some_and(|ended| ended.stays()) {
                self.ties.stays(step);
            }
        }
    }

    /// A registry that did not answer may do so now: the service that was there before may be back.
    async fn ask_again(&mut self, batch: &[Begun<'a>]) {
        let is_open = |&(step, _): &Begun<'_>| is_image(step) && self.ties.fate(step) == Fate::Open;
        if self.shut.is_none() || !batch.iter().any(is_open) {
            return;
        }
        let Some(Desired::Endpoint(endpoint)) = endpoint(self.of_images).map(|resource| resource.desired)
        else {
            return;
        };
        let endpoint = Endpoint { patience: PATIENCE, ..endpoint };
        let task = self.context.events.start(endpoint.summary(Action::Check), None);
        match endpoint.apply(self.of_images, Action::Check, &task).await {
            Ok(()) => {
                self.shut = None;
                task.finish();
            }
            Err(failed) => task.fail(&failed.message),
        }
    }

    /// Undoes steps together.
    async fn undo_batch(&self, batch: &[Begun<'a>]) -> Result<Vec<Came<'a>>, Error> {
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
        let ended = judged.into_iter().map(|judged| judged.or_else(|| undone.next()));
        let came: Vec<Came<'a>> = batch
            .iter()
            .zip(ended)
            .filter_map(|(&(step, begun), ended)| Some(Came::new(step, begun, ended?)))
            .collect();
        self.journal.append(came.iter().map(Came::noted))?;
        let trouble: Vec<_> = came.iter().filter_map(|one| Some((one.step, one.ended.trouble()?))).collect();
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
        Ok(came)
    }

    /// How it ends without anything being done; `None` if it is to be undone.
    async fn judge(&self, step: &Step, begun: &StepProgress) -> Option<Ended> {
        let id = step.resource.id();
        let Some(before) = &begun.before else { return Some(Ended::Restored) };
        if let (Desired::Image(image), Some(reason)) = (&step.resource.desired, &self.shut) {
            return Some(self.out_of_reach(step, image, reason));
        }
        if matches!(before.state, State::Unknown { .. }) {
            let reason = format!("{id} stays: what stood there before was never seen");
            return Some(Ended::Left { reason, is_there: true });
        }
        let now = step.resource.desired.observe_to_undo(self.context_of(step)).await;
        if let State::Unknown { reason } = now {
            return Some(Ended::NotTried(format!("{id} cannot be looked at: {reason}")));
        }
        let is_back = begun.after.is_some() && is_still(step, &now, &before.state);
        // The image itself may be back; what was changed beside it may not be.
        let has_more = is_image(step) && !before.kept.is_empty();
        if !is_ours(step, begun, before, &now) {
            if !is_back {
                let reason = changed_since(step, &now, begun.after.as_ref(), before, &self.kept);
                return Some(Ended::Left { reason, is_there: now != State::Absent });
            }
            if !has_more {
                return Some(Ended::Restored);
            }
        }
        let stays = |needed_by| Ended::NotTried(format!("{id} stays, since {needed_by} needs it and stays"));
        self.ties.needed_by(step.id).map(stays)
    }

    /// How an image ends whose registry does not answer.
    fn out_of_reach(&self, step: &Step, image: &Image, reason: &str) -> Ended {
        match self.ties.fate(step) {
            Fate::Gone => Ended::Restored,
            Fate::InStorage => {
                let name = image.name();
                let reason =
                    format!("{name} stays in the storage of its registry, which itself is taken back");
                Ended::Left { reason, is_there: true }
            }
            Fate::Open => Ended::NotTried(reason.to_owned()),
        }
    }

    fn context_of(&self, step: &Step) -> &'a Context {
        match step.resource.desired {
            Desired::Image(_) | Desired::Project(_) => self.of_images,
            _ => self.context,
        }
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
        if !images.is_empty() {
            let outcomes = undo_images(self.of_images, &self.kept, &self.mine, &images).await;
            return outcomes.into_iter().map(Ended::from).collect();
        }
        let mut outcomes = Vec::new();
        for (step, begun) in steps {
            let outcome = match &begun.before {
                Some(before) => {
                    let desired = &step.resource.desired;
                    desired.undo(self.context_of(step), before, &self.kept, &self.mine).await
                }
                None => Ok(Undone::Restored),
            };
            outcomes.push(Ended::from(outcome));
        }
        outcomes
    }
}
