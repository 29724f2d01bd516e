//! Whether a site is still what a plan was made for.

use std::collections::BTreeSet;

use ferry_model::plan::{Identity, Plan, Resource, ResourceId, State, Step, StepId};

use crate::Error;
use crate::observe::{Observed, is_same};
use crate::resources::{Manage as _, PUT_BACK};

/// Refuses a reviewed plan if what it was made from has changed: site file, or what stands at the site. With another bundle, all the
/// rest differs for that reason, and is not told.
pub(super) fn check(reviewed: &Plan, current: &Plan) -> Result<(), Error> {
    let (made_for, given) = (&reviewed.identity, &current.identity);
    if made_for.catalog != given.catalog {
        let name = |identity: &Identity| {
            format!("{} {} (sha256:{})", identity.bundle, identity.version, identity.catalog.short())
        };
        return Err(Error::OtherBundle { made_for: name(made_for), given: name(given) });
    }
    let mut differences = Vec::new();
    if made_for.site_file != given.site_file {
        differences.push("the site file was edited".to_owned());
    }
    differences.extend(since(reviewed, &current.observed, |_| false));
    if differences.is_empty() && without_reasons(&reviewed.steps) != without_reasons(&current.steps) {
        differences.push("this program would take other steps than the one that made the plan".to_owned());
    }
    if differences.is_empty() { Ok(()) } else { Err(Error::Drift { differences }) }
}

/// Whether they are one plan. Where file systems are mounted is for people, and may change.
pub(super) fn is_plan(one: &Plan, other: &Plan) -> bool {
    let plain = |plan: &Plan| {
        let mut plan = plan.clone();
        for space in &mut plan.space {
            space.mount = None;
        }
        plan.observed.values_mut().for_each(leave_out_words);
        Plan { steps: without_reasons(&plan.steps), ..plan }
    };
    plain(one) == plain(other)
}

fn without_reasons(steps: &[Step]) -> Vec<Step> {
    let mut steps = steps.to_vec();
    for step in &mut steps {
        leave_out_words(&mut step.before);
    }
    steps
}

/// Why something could not be seen may be worded otherwise each time, and who would put it back says nothing of what it is.
fn leave_out_words(state: &mut State) {
    match state {
        State::Absent => {}
        State::Present { properties, .. } => drop(properties.remove(PUT_BACK)),
        State::Unknown { reason } => reason.clear(),
    }
}

/// What was seen when the plan was made, or by a step since, and cannot be seen now: a service is out for a moment, and nothing can be
/// said of what has changed. What the run itself may have taken down is not meant: its registry, half changed, and what lies in that.
pub(super) fn unseen(
    plan: &Plan,
    resources: &[Resource],
    observed: &Observed,
    begun: impl Fn(StepId) -> bool,
) -> Vec<(ResourceId, String)> {
    let own: BTreeSet<ResourceId> =
        plan.steps.iter().filter(|step| begun(step.id)).map(|step| step.resource.id()).collect();
    let stepped: BTreeSet<ResourceId> = plan.steps.iter().map(|step| step.resource.id()).collect();
    let is_hidden = |resource: &Resource| {
        let needs = |is_it: &dyn Fn(&ResourceId) -> bool| resource.needs.iter().any(is_it);
        needs(&|need| need.is_endpoint() && stepped.contains(need))
            || (resource.desired.is_check() && needs(&|need| own.contains(need)))
    };
    let unseen = |resource: &Resource| {
        let id = resource.id();
        let State::Unknown { reason } = observed.get(&id)? else { return None };
        let was_seen = plan.observed.get(&id).is_some_and(|was| !is_unknown(was));
        ((was_seen || own.contains(&id)) && !is_hidden(resource)).then(|| (id, reason.clone()))
    };
    resources.iter().filter_map(unseen).collect()
}

/// What is no longer as the plan found it, leaving out the steps that were begun.
pub(super) fn since(plan: &Plan, observed: &Observed, begun: impl Fn(StepId) -> bool) -> Vec<String> {
    let own: BTreeSet<ResourceId> =
        plan.steps.iter().filter(|step| begun(step.id)).map(|step| step.resource.id()).collect();
    let planned = plan.observed.iter().filter(|(id, _)| !own.contains(id));
    planned
        .filter_map(|(id, was)| match observed.get(id) {
            Some(now) if is_same(was, now) => None,
            // What could not be seen before may be seen once a step has brought it up, and is out of sight while one changes it.
            Some(now) if is_unknown(was) != is_unknown(now) && !own.is_empty() => None,
            Some(now) => Some(format!("{id} was {was} and is {now}")),
            None => Some(format!("{id} is no longer asked for")),
        })
        .collect()
}

fn is_unknown(state: &State) -> bool {
    matches!(state, State::Unknown { .. })
}
