//! Planning: what must be done, decided from what shall be and what is. Asks nothing and changes nothing, so the same values
//! give the same plan, anywhere.

mod error;
mod text;
mod waiting;

use std::collections::BTreeMap;

use ferry_model::plan::{
    Action, Desired, Identity, PLAN_VERSION, Plan, Resource, ResourceId, State, Step, StepId,
};
use similar::TextDiff;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::PlanError;
pub use text::plan_text;

use crate::desire::Desire;
use crate::observe::Observed;
use crate::resources::{Manage as _, misplaced_note, put_back_notes};
use waiting::Waits;

/// Decides on the steps. Each comes behind those that it needs. What belongs to a service that cannot be looked at, and all that
/// needs it, is left for later, so that it does not hold back the rest; a plan for nothing else is none.
pub fn plan(identity: Identity, desire: &Desire, observed: &Observed) -> Result<Plan, PlanError> {
    let mut steps: Vec<Step> = Vec::new();
    let mut step_of: BTreeMap<ResourceId, StepId> = BTreeMap::new();
    let mut unknown = Vec::new();
    let mut waits = Waits::default();
    let mut emptied = false;
    for resource in &desire.resources {
        let id = resource.id();
        let before =
            observed.get(&id).cloned().unwrap_or(State::Unknown { reason: "it was not looked at".into() });
        let steps_of = |ids: &[ResourceId]| -> Vec<StepId> {
            ids.iter().filter_map(|need| step_of.get(need).copied()).collect()
        };
        let (after, one_of) = (steps_of(&resource.needs), steps_of(&resource.one_of));
        let is_stepped = |id: &ResourceId| step_of.contains_key(id);
        let around = Around {
            waits: !after.is_empty(),
            hidden: resource.needs.iter().any(|need| is_stepped(need) && need.is_endpoint()),
            follows: resource.follows.iter().any(is_stepped),
            emptied,
        };
        match decide(resource, &before, around) {
            Decision::Nothing => {}
            Decision::Cannot(reason) => {
                if let Some(reason) = waits.with_service(resource, reason) {
                    unknown.push((id, reason));
                }
            }
            Decision::Do(action) => {
                if waits.with_needs(resource) {
                    continue;
                }
                let number = StepId(u32::try_from(steps.len() + 1).unwrap_or(u32::MAX));
                if !is_left(resource, &before) {
                    step_of.insert(id, number);
                }
                let step = Step { after, one_of, ..step(number, action, resource, &before) };
                emptied |= may_empty(&step);
                steps.push(step);
            }
        }
    }
    if unknown.is_empty() && waits.len() == desire.resources.len() {
        unknown = waits.unknown();
    }
    if !unknown.is_empty() {
        return Err(PlanError::Unknown { resources: unknown });
    }
    let observed = observed.iter().map(|(id, state)| (id.clone(), without_text(state))).collect();
    let (space, mut by_hand) = (desire.space.clone(), desire.by_hand.clone());
    by_hand.extend(misplaced_note(&desire.resources, &observed));
    by_hand.extend(put_back_notes(&desire.resources, &observed));
    let waiting = waits.told();
    Ok(Plan { format_version: PLAN_VERSION, identity, observed, steps, space, by_hand, waiting })
}

enum Decision {
    Nothing,
    Do(Action),
    Cannot(String),
}

/// What the steps before mean for a resource.
#[derive(Clone, Copy, Debug)]
struct Around {
    /// Something that it needs is changed.
    waits: bool,
    /// It can be seen only when a registry answers that is not up yet.
    hidden: bool,
    /// Something that it must take up is changed.
    follows: bool,
    /// The registry may keep its images elsewhere afterwards.
    emptied: bool,
}

/// Whether a step may lead a registry to another place for its images. New certificates and passwords do not.
fn may_empty(step: &Step) -> bool {
    let changes = matches!(step.action, Action::Create | Action::Update);
    let is_of_registry = matches!(
        step.resource.desired,
        Desired::Folder(_) | Desired::File(_) | Desired::Container(_) | Desired::Object(_) | Desired::App(_)
    );
    changes && is_of_registry
}

/// Whether a file of the bundle is left out because another lies in its place: that can do for what needs it.
fn is_left(resource: &Resource, before: &State) -> bool {
    matches!(resource.desired, Desired::Upload(_)) && resource.desired.refusal(before).is_some()
}

/// What to do with a resource that is like `before`.
fn decide(resource: &Resource, before: &State, around: Around) -> Decision {
    let is_right = before.meets(&resource.desired.wanted());
    if resource.desired.is_check() {
        return match before {
            _ if around.waits => Decision::Do(Action::Check),
            _ if is_right => Decision::Nothing,
            State::Unknown { reason } => Decision::Cannot(reason.clone()),
            other => Decision::Cannot(format!("it is {other}, and nothing in this plan changes that")),
        };
    }
    let is_image = matches!(resource.desired, Desired::Image(_));
    let is_node = matches!(resource.desired, Desired::NodeSetup(_));
    let is_image_of_node = matches!(resource.desired, Desired::NodeImage(_));
    match before {
        _ if is_right && is_image && around.hidden && around.emptied => Decision::Do(Action::Check),
        _ if is_right && around.follows => Decision::Do(Action::Restart),
        _ if is_right => Decision::Nothing,
        State::Absent => Decision::Do(Action::Create),
        State::Present { .. } => Decision::Do(Action::Update),
        State::Unknown { .. } if around.hidden => Decision::Do(Action::Create),
        // One of many: what cannot be looked at now fails by itself, and holds up as many others as the site file says.
        State::Unknown { .. } if is_node => Decision::Do(Action::Update),
        State::Unknown { .. } if is_image_of_node => Decision::Do(Action::Create),
        State::Unknown { reason } => Decision::Cannot(reason.clone()),
    }
}

fn step(id: StepId, action: Action, resource: &Resource, before: &State) -> Step {
    let desired = &resource.desired;
    let refusal = desired.refusal(before);
    let moves = refusal.is_none() && matches!(action, Action::Create | Action::Update);
    let told = desired.diff_from(before).filter(|_| moves);
    let diff = told
        .or_else(|| desired.text().filter(|_| moves).and_then(|text| diff(&resource.id(), before, &text)));
    Step {
        id,
        action,
        summary: match &refusal {
            Some(refusal) => format!("leave {}: {}", resource.id(), refusal.message),
            None => desired.summary_from(action, before),
        },
        undo: match &refusal {
            Some(_) => "nothing to undo".into(),
            None => desired.undo_summary(before),
        },
        bytes: if moves { desired.bytes_from(before) } else { 0 },
        diff,
        before: without_text(before),
        resource: resource.clone(),
        after: Vec::new(),
        one_of: Vec::new(),
    }
}

/// The change of a text, as `diff -u` shows it.
fn diff(id: &ResourceId, before: &State, text: &str) -> Option<String> {
    let old = match before {
        State::Absent => "",
        other => other.text()?,
    };
    let name = id.as_str().split_once(' ').map_or(id.as_str(), |(_, name)| name);
    let from = if *before == State::Absent { "/dev/null" } else { name };
    let diff = TextDiff::from_lines(old, text);
    Some(diff.unified_diff().context_radius(3).header(from, name).to_string())
}

/// The text has done its duty in the diff; what is compared later is the digest.
fn without_text(state: &State) -> State {
    match state {
        State::Present { properties, .. } => State::Present { properties: properties.clone(), text: None },
        other => other.clone(),
    }
}
