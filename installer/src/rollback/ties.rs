//! What hangs together while a run is taken back: what stays keeps what it needs, and what a registry holds goes with its storage.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::plan::{Desired, Keep, Plan, ResourceId, State, Step, StepId};

use super::ended::{Came, Ended};
use crate::journal::{Progress, StepState};
use crate::resources::Manage as _;

/// What hangs together.
pub(super) struct Ties<'a> {
    steps: BTreeMap<StepId, &'a Step>,
    undone: BTreeSet<StepId>,
    /// What something that stays needs, with that.
    needed: BTreeMap<StepId, ResourceId>,
}

/// What has become of an image whose registry does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was in a storage that the run made, and that is gone.
    Gone,
    /// The registry was the run's and is gone, and what it kept is elsewhere.
    InStorage,
    /// It is where it was.
    Open,
}

impl<'a> Ties<'a> {
    pub(super) fn new(plan: &'a Plan, progress: &Progress) -> Self {
        let undone = progress.steps.iter().filter(|(_, known)| known.state == StepState::Undone);
        Self {
            steps: plan.steps.iter().map(|step| (step.id, step)).collect(),
            undone: undone.map(|(&id, _)| id).collect(),
            needed: BTreeMap::new(),
        }
    }

    /// Takes up how undoing a step came out.
    pub(super) fn take(&mut self, came: &Came<'_>) {
        if matches!(came.ended, Ended::Restored) {
            self.undone.insert(came.step.id);
        } else if came.ended.stays() {
            self.stays(came.step);
        }
    }

    /// This stays, and so does what it needs. What it only asked whether it answers is not meant: that may go.
    pub(super) fn stays(&mut self, step: &Step) {
        let is_ground = |step: &Step| !step.resource.desired.is_check() && !self.undone.contains(&step.id);
        for need in self.behind(step, is_ground) {
            self.needed.entry(need).or_insert_with(|| step.resource.id());
        }
    }

    /// What stays and needs this.
    pub(super) fn needed_by(&self, step: StepId) -> Option<&ResourceId> {
        self.needed.get(&step)
    }

    /// Whether it needs any of these.
    pub(super) fn needs_any(&self, step: &Step, these: &BTreeSet<StepId>) -> bool {
        !these.is_empty() && !self.behind(step, |_| true).is_disjoint(these)
    }

    /// What has become of an image whose registry does not answer.
    pub(super) fn fate(&self, image: &Step) -> Fate {
        let made_and_gone = |id: &StepId| self.steps[id].before == State::Absent && self.undone.contains(id);
        let behind = self.behind(image, |_| true);
        let is_gone = |is_it: fn(&Desired) -> bool| {
            behind.iter().any(|id| is_it(&self.steps[id].resource.desired) && made_and_gone(id))
        };
        if is_gone(holds_images) {
            Fate::Gone
        } else if is_gone(is_registry) {
            Fate::InStorage
        } else {
            Fate::Open
        }
    }

    /// The steps that this one needs, and those that they need, as far as `leads_on`.
    fn behind(&self, step: &Step, leads_on: impl Fn(&Step) -> bool) -> BTreeSet<StepId> {
        let mut behind = BTreeSet::new();
        let mut open: Vec<StepId> = needs(step).collect();
        while let Some(id) = open.pop() {
            let Some(&need) = self.steps.get(&id) else { continue };
            if behind.insert(id) && leads_on(need) {
                open.extend(needs(need));
            }
        }
        behind
    }
}

/// Where it needs one of several, each may be the one.
fn needs(step: &Step) -> impl Iterator<Item = StepId> {
    step.after.iter().chain(&step.one_of).copied()
}

/// Whether a registry keeps its images in it.
fn holds_images(desired: &Desired) -> bool {
    match desired {
        Desired::Folder(folder) => folder.keep == Keep::ForeignImages,
        Desired::Object(object) => object.manifest["kind"] == "PersistentVolumeClaim",
        _ => false,
    }
}

/// Whether it is a registry's program that runs.
fn is_registry(desired: &Desired) -> bool {
    match desired {
        Desired::Unit(_) | Desired::Container(_) | Desired::App(_) => true,
        Desired::Object(object) => object.manifest["kind"] == "Deployment",
        _ => false,
    }
}
