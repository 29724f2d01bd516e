//! Steps that push images. They are taken together, so that what several share is sent once, and each is noted by itself: that it
//! is begun just before the registry gets anything of it, and that it is done when that is proven. A run of hours that is cut off
//! then leaves in doubt only what was under way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use ferry_model::failure::Class;
use ferry_model::journal::{Before, JournalEvent};
use ferry_model::plan::{Desired, Image, State, Step, StepId};
use ferry_model::report::Failed;
use futures_util::future::select;

use super::{Ended, Worker};
use crate::Error;
use crate::observe::look;
use crate::push::Watch;
use crate::resources::{Known, Manage as _, keep_beside, push_images};

/// The longest that what is proven waits for its line in the journal: small images come by the dozen in a second, and syncing each
/// would take longer than pushing it.
const NOTE_EVERY: Duration = Duration::from_millis(500);

/// Steps that push images, and what is to be noted of them.
pub(super) struct Images<'a> {
    worker: &'a Worker<'a>,
    steps: Vec<(&'a Step, &'a Image)>,
    known: Known,
    notes: RefCell<Notes>,
}

#[derive(Default)]
struct Notes {
    /// What stood under each name when the push began, by the steps' indexes; absent for those that an earlier process has begun.
    before: BTreeMap<usize, State>,
    begun: BTreeSet<usize>,
    /// Not in the journal yet.
    open: Vec<JournalEvent>,
    ended: Vec<(StepId, bool)>,
    /// Why the journal cannot be written.
    broken: Option<Error>,
}

impl<'a> Images<'a> {
    pub(super) fn new(worker: &'a Worker<'a>, steps: Vec<&'a Step>) -> Self {
        let image = |step: &'a Step| match &step.resource.desired {
            Desired::Image(image) => Some((step, image)),
            _ => None,
        };
        let steps = steps.into_iter().filter_map(image).collect();
        Self { worker, steps, known: Known::of(worker.context), notes: RefCell::default() }
    }

    /// Pushes them all.
    pub(super) async fn take(self) -> Ended {
        let before = self.look().await;
        self.notes.borrow_mut().before = before;
        let images: Vec<&Image> = self.steps.iter().map(|&(_, image)| image).collect();
        let noting = async {
            loop {
                tokio::time::sleep(NOTE_EVERY).await;
                self.note(Vec::new());
            }
        };
        let pushing = push_images(self.worker.context, &self.known, &images, &self);
        select(pin!(pushing), pin!(noting)).await;
        self.note(Vec::new());
        let notes = self.notes.into_inner();
        notes.broken.map_or(Ok(notes.ended), Err)
    }

    /// What stands under the names of those that are not begun. What could not be seen while the registry was down may have been
    /// there all along; undoing must not delete it.
    async fn look(&self) -> BTreeMap<usize, State> {
        let progress = &self.worker.progress.steps;
        let is_fresh = |step: &Step| progress.get(&step.id).is_none_or(|known| known.before.is_none());
        let fresh = || self.steps.iter().enumerate().filter(|(_, (step, _))| is_fresh(step));
        let unseen = fresh().filter(|(_, (step, _))| matches!(step.before, State::Unknown { .. }));
        let unseen = unseen.map(|(_, (step, _))| &step.resource).collect();
        let mut seen = look(self.worker.context, unseen).await;
        let mut before = BTreeMap::new();
        for (index, (step, _)) in fresh() {
            let state = seen.remove(&step.resource.id()).unwrap_or_else(|| step.before.clone());
            before.insert(index, state);
        }
        before
    }

    /// Appends to the journal what is open, and `events`. Whether they are on disk.
    fn note(&self, events: Vec<JournalEvent>) -> bool {
        let mut notes = self.notes.borrow_mut();
        notes.open.extend(events);
        if notes.broken.is_none() && !notes.open.is_empty() {
            let open = std::mem::take(&mut notes.open);
            notes.broken = self.worker.journal.append(open).err();
        }
        notes.broken.is_none()
    }
}

/// What stands under a tag just before it is pushed, where that is not what the plan says: hours may have passed.
fn moved_since(planned: &State, now: &State) -> bool {
    let digest = |state: &State| state.property("digest").map(str::to_owned);
    match now {
        State::Present { .. } => digest(now).is_some() && digest(now) != digest(planned),
        State::Absent => digest(planned).is_some(),
        State::Unknown { .. } => false,
    }
}

impl Images<'_> {
    /// What stands under the names of those of `items` that are not begun, as it is now; or why that cannot be told.
    async fn look_again(&self, items: &[usize]) -> Vec<(usize, Result<State, Failed>)> {
        let planned: Vec<(usize, State)> = {
            let notes = self.notes.borrow();
            items.iter().filter_map(|&index| Some((index, notes.before.get(&index)?.clone()))).collect()
        };
        // What has no tag is named by its digest, which this run itself may have brought below another image.
        let tagged = planned.iter().filter(|(index, _)| self.steps[*index].1.tag.is_some());
        let tagged = tagged.map(|(index, _)| &self.steps[*index].0.resource).collect();
        let mut seen = look(self.worker.context, tagged).await;
        let judged = planned.into_iter().map(|(index, planned)| {
            let (step, image) = self.steps[index];
            let before = match seen.remove(&step.resource.id()) {
                Some(State::Unknown { reason }) if !matches!(planned, State::Unknown { .. }) => {
                    let message = format!("cannot see what {} names now: {reason}", image.name());
                    Err(Failed::because(Class::Transient, message))
                }
                Some(now) if moved_since(&planned, &now) => {
                    if !now.meets(&step.resource.desired.wanted()) {
                        let message =
                            format!("{} names something else than when this was planned", image.name());
                        self.worker.context.events.warn(format!("{message}; a rollback gives that back"));
                    }
                    Ok(now)
                }
                _ => Ok(planned),
            };
            (index, before)
        });
        judged.collect()
    }
}

impl Watch for Images<'_> {
    async fn begin(&self, items: &[usize]) -> BTreeMap<usize, Failed> {
        let mut refused = BTreeMap::new();
        let mut fresh: Vec<(usize, State)> = Vec::new();
        for (index, before) in self.look_again(items).await {
            match before {
                Ok(before) => fresh.push((index, before)),
                Err(failed) => {
                    refused.insert(index, failed);
                }
            }
        }
        let images: Vec<(&Image, &State)> =
            fresh.iter().map(|(index, before)| (self.steps[*index].1, before)).collect();
        let beside = keep_beside(self.worker.context, &self.worker.kept, &self.known, &images).await;
        let mut started = Vec::new();
        for ((index, state), kept) in fresh.into_iter().zip(beside) {
            match kept {
                Ok(kept) => {
                    self.notes.borrow_mut().begun.insert(index);
                    let (step, before) = (self.steps[index].0.id, Before { state, kept });
                    started.push(JournalEvent::Started { step, before });
                }
                Err(failed) => {
                    refused.insert(index, failed);
                }
            }
        }
        if !self.note(started) {
            let notes = self.notes.borrow();
            let broken = notes.broken.as_ref().map(|error| Failed::new(error));
            let failed = broken.expect("that is why it is not noted");
            refused.extend(items.iter().map(|&index| (index, failed.clone())));
        }
        refused
    }

    fn ended(&self, item: usize, result: Result<(), &Failed>) {
        let mut notes = self.notes.borrow_mut();
        let notes = &mut *notes;
        let step = self.steps[item].0;
        let wanted = || step.resource.desired.wanted();
        // The push has proven that tag and digest resolve.
        let event = match result {
            Ok(()) => JournalEvent::Done { step: step.id, after: wanted() },
            Err(failed) => JournalEvent::Failed { step: step.id, failure: failed.clone() },
        };
        if result.is_ok() && notes.before.contains_key(&item) && !notes.begun.contains(&item) {
            // Somebody has pushed it since the plan was made.
            let before = Before { state: wanted(), kept: BTreeMap::new() };
            notes.open.push(JournalEvent::Started { step: step.id, before });
        }
        notes.open.push(event);
        notes.ended.push((step.id, result.is_ok()));
    }
}
