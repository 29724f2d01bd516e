//! Looking at the site: what every resource is now. Changes nothing.

use std::collections::BTreeMap;

use ferry_model::plan::{Desired, Resource, ResourceId, State};
use futures_util::stream::{self, StreamExt as _};

use crate::context::Context;
use crate::resources::Manage as _;

/// Looks that go on at once.
const LOOKS: usize = 32;

/// What every resource is, by its name.
pub type Observed = BTreeMap<ResourceId, State>;

/// Looks at all `resources`. What needs a registry that does not answer is not asked for: it is unknown.
pub async fn observe(context: &Context, resources: &[Resource]) -> Observed {
    let task = context.events.start("looking at the site", None);
    let is_gate = |resource: &&Resource| matches!(resource.desired, Desired::Endpoint(_));
    let gates: Vec<&Resource> = resources.iter().filter(is_gate).collect();
    let mut observed = look(context, gates.clone()).await;
    let shut: BTreeMap<ResourceId, String> = gates
        .into_iter()
        .filter_map(|gate| match &observed[&gate.id()] {
            State::Unknown { reason } => Some((gate.id(), reason.clone())),
            _ => None,
        })
        .collect();
    let mut rest = Vec::new();
    for resource in resources.iter().filter(|resource| !is_gate(resource)) {
        match resource.needs.iter().find_map(|need| shut.get(need)) {
            Some(reason) => {
                observed.insert(resource.id(), State::Unknown { reason: reason.clone() });
            }
            None => rest.push(resource),
        }
    }
    observed.extend(look(context, rest).await);
    task.finish();
    observed
}

/// Looks at these, whatever they need.
pub(crate) async fn look(context: &Context, resources: Vec<&Resource>) -> Observed {
    stream::iter(resources)
        .map(async |resource| (resource.id(), resource.desired.observe(context).await))
        .buffer_unordered(LOOKS)
        .collect()
        .await
}

/// Whether two looks at a resource saw the same. Why something is unknown may be worded otherwise each time.
pub fn is_same(one: &State, other: &State) -> bool {
    match (one, other) {
        (State::Unknown { .. }, State::Unknown { .. }) => true,
        (State::Present { properties: one, .. }, State::Present { properties: other, .. }) => one == other,
        (one, other) => one == other,
    }
}
