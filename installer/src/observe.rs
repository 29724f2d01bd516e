//! Looking at the site: what every resource is now. Changes nothing.

use std::collections::BTreeMap;

use ferry_model::plan::{Desired, Resource, ResourceId, State, Upload};
use futures_util::stream::{self, StreamExt as _};

use crate::bkrepo;
use crate::context::Context;
use crate::resources::{AskedUpload as _, Manage as _, PUT_BACK};

/// Looks that go on at once.
const LOOKS: usize = 32;

/// What every resource is, by its name.
pub type Observed = BTreeMap<ResourceId, State>;

/// Looks at all `resources`. What needs a registry or a bkrepo that does not answer is not asked for: it is unknown. What lies in a
/// repository that is not there is absent.
pub async fn observe(context: &Context, resources: &[Resource]) -> Observed {
    let task = context.events.start("looking at the site", None);
    let mut observed = Observed::new();
    for gate in [Some(Gate::Server), Some(Gate::Repository), None] {
        let mut asked = Vec::new();
        for resource in resources.iter().filter(|resource| gate_of(resource) == gate) {
            match told_by_needs(resource, &observed) {
                Some(state) => {
                    observed.insert(resource.id(), state);
                }
                None => asked.push(resource),
            }
        }
        observed.extend(look(context, asked).await);
    }
    task.finish();
    observed
}

/// What others can be seen through, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Server,
    Repository,
}

fn gate_of(resource: &Resource) -> Option<Gate> {
    match resource.desired {
        Desired::Endpoint(_) | Desired::BkrepoProject(_) => Some(Gate::Server),
        Desired::BkrepoRepository(_) => Some(Gate::Repository),
        _ => None,
    }
}

/// What a resource is, as far as what it needs tells.
fn told_by_needs(resource: &Resource, observed: &Observed) -> Option<State> {
    let is_gate = |need: &&ResourceId| {
        let kind = need.as_str().split(' ').next().unwrap_or_default();
        matches!(kind, "endpoint" | "bkrepo-project" | "bkrepo-repository")
    };
    let gates: Vec<(&ResourceId, &State)> =
        resource.needs.iter().filter(is_gate).filter_map(|need| Some((need, observed.get(need)?))).collect();
    let unknown = gates.iter().find(|(_, state)| matches!(state, State::Unknown { .. }));
    if let Some((_, state)) = unknown {
        return Some((*state).clone());
    }
    let lies_in_it = matches!(resource.desired, Desired::Upload(_) | Desired::ChartUpload(_));
    let is_gone = |(need, state): &(&ResourceId, &State)| {
        need.as_str().starts_with("bkrepo-repository ") && **state == State::Absent
    };
    (lies_in_it && gates.iter().any(is_gone)).then_some(State::Absent)
}

/// Looks at these, whatever they need: at the files of a bkrepo all together, at others one by one.
pub(crate) async fn look(context: &Context, resources: Vec<&Resource>) -> Observed {
    let mut uploads: BTreeMap<_, Vec<&Upload>> = BTreeMap::new();
    let mut others = Vec::new();
    for resource in resources {
        match &resource.desired {
            Desired::Upload(upload) => {
                uploads.entry((&upload.bkrepo, &upload.repository)).or_default().push(upload);
            }
            _ => others.push(resource),
        }
    }
    let mut observed: Observed = stream::iter(others)
        .map(async |resource| (resource.id(), resource.desired.observe(context).await))
        .buffer_unordered(LOOKS)
        .collect()
        .await;
    for uploads in uploads.into_values() {
        let found = bkrepo::find(context, &uploads).await;
        let states =
            uploads.iter().zip(found).map(|(upload, found)| (upload_id(upload), upload.state(found)));
        observed.extend(states);
    }
    observed
}

fn upload_id(upload: &Upload) -> ResourceId {
    Desired::Upload(upload.clone()).id()
}

/// Whether two looks at a resource saw the same. Why something is unknown may be worded otherwise each time.
pub fn is_same(one: &State, other: &State) -> bool {
    match (one, other) {
        (State::Unknown { .. }, State::Unknown { .. }) => true,
        (State::Present { properties: one, .. }, State::Present { properties: other, .. }) => {
            let own = |(name, _): &(&String, &String)| name.as_str() != PUT_BACK;
            one.iter().filter(own).eq(other.iter().filter(own))
        }
        (one, other) => one == other,
    }
}
