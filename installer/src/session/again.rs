//! Going on with a run that was cut off: what it had done is looked at once more. Somebody may have removed it since, and after
//! a crash of the machine what was written last may be gone.

use std::collections::BTreeSet;

use ferry_model::journal::JournalEvent;
use ferry_model::plan::{Desired, Plan, ResourceId, State, Step};

use crate::journal::{Progress, StepState};
use crate::observe::{Observed, is_same};
use crate::resources::Manage as _;

/// The steps that were done and must be taken again, each begun anew with what stood there before the first time: that is
/// what taking back returns to.
pub(super) fn begin_again(plan: &Plan, progress: &Progress, observed: &Observed) -> Vec<JournalEvent> {
    let mut again: BTreeSet<ResourceId> = BTreeSet::new();
    let mut events = Vec::new();
    // Steps stand behind those whose changes they take up, so one pass finds all.
    for (step, _, now) in done(plan, progress, observed) {
        let stands = now.meets(&step.resource.desired.wanted());
        let takes_up = step.resource.follows.iter().any(|followed| again.contains(followed));
        let known = progress.steps.get(&step.id).and_then(|known| known.before.clone());
        if let (true, Some(before)) = (!stands || takes_up, known) {
            again.insert(step.resource.id());
            events.push(JournalEvent::Started { step: step.id, before });
        }
    }
    events
}

/// What somebody has put in the place of what the run had done, or where it had only begun. To do it over would lose that: a new
/// run keeps it.
pub(super) fn replaced(plan: &Plan, progress: &Progress, observed: &Observed) -> Vec<String> {
    let before = |step: &Step| progress.steps.get(&step.id).and_then(|known| known.before.as_ref());
    let is_new = |step: &Step, now: &State| {
        let is_back = before(step).is_some_and(|before| is_same(now, &before.state));
        !is_back && !now.meets(&step.resource.desired.wanted())
    };
    let done = done(plan, progress, observed)
        .filter(|(step, after, now)| is_new(step, now) && is_other(step, after, now))
        .map(|(step, after, now)| format!("the run left {} {after}, and it is {now}", step.resource.id()));
    let begun = plan.steps.iter().filter_map(|step| {
        let known = progress.steps.get(&step.id).filter(|known| known.after.is_none())?;
        let (before, now) = (known.before.as_ref()?, observed.get(&step.resource.id())?);
        let is_others = is_new(step, now) && is_whole_other(step, now);
        is_others.then(|| {
            format!("{} was {} when the run began with it, and is {now}", step.resource.id(), before.state)
        })
    });
    done.chain(begun).collect()
}

/// Whether it is somebody's work, and not the rest of the run's.
fn is_other(step: &Step, after: &State, now: &State) -> bool {
    match &step.resource.desired {
        Desired::Upload(_) => matches!(now, State::Present { .. }),
        // One file of several may be gone.
        Desired::Certificates(_) => ["authority", "server"].into_iter().any(|name| {
            now.property(name).is_some_and(|now| !now.is_empty() && after.property(name) != Some(now))
        }),
        // Nobody's words are lost with others: they run or they do not, or they are told apart by their names.
        _ => is_whole_other(step, now),
    }
}

/// Whether it is something whole that the run cannot have written: what it writes whole or not at all it never leaves half done.
fn is_whole_other(step: &Step, now: &State) -> bool {
    match &step.resource.desired {
        Desired::File(_) | Desired::Htpasswd(_) => matches!(now, State::Present { .. }),
        // A manifest without the tag is lost to nobody.
        Desired::Image(_) => now.property("digest").is_some(),
        _ => false,
    }
}

/// The steps that were done, with what they left and what stands there now.
fn done<'a>(
    plan: &'a Plan,
    progress: &'a Progress,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a Step, &'a State, &'a State)> {
    plan.steps.iter().filter_map(|step| match progress.state(step.id) {
        Some(StepState::Done(after)) => Some((step, after, observed.get(&step.resource.id())?)),
        _ => None,
    })
}
