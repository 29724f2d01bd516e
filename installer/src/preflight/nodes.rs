//! Many nodes, each looked at by the program on it; and one table for all of them.

mod text;

use std::time::Duration;

use ferry_model::catalog::{Catalog, Image};
use ferry_model::node::NodePreflight;
use ferry_model::report::{Check, Failed};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

pub(super) use text::fleet_table;

use super::catalogue as kinds;
use crate::context::Context;
use crate::desire::reach_before;
use crate::fleet::{Means, Member, Target, Work};

/// How long a node may take, where the site does not say less.
const LIMIT: Duration = Duration::from_secs(60);
/// What an image takes once it is unpacked, beside the layers that are being fetched.
const UNPACKED: u64 = 3;

/// What was found on a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeChecks {
    /// Its name in the site.
    pub node: String,
    /// Each check. Of one that could not be reached, that alone.
    pub checks: Vec<Check>,
}

/// Looks at nodes, so many at once as steps are taken. Gives them in their order.
pub async fn preflight_nodes(context: &Context, nodes: &[Member], wanted: &NodePreflight) -> Vec<NodeChecks> {
    context.events.stage("nodes", None, u64::try_from(nodes.len()).ok());
    let at_once = context.site.site.limits.steps.max(1);
    stream::iter(nodes).map(|node| look_at(context, node, wanted)).buffered(at_once).collect().await
}

async fn look_at(context: &Context, member: &Member, wanted: &NodePreflight) -> NodeChecks {
    let node = member.name.to_string();
    let Some(reach) = reach_before(&context.site, member) else {
        let found = "pods get there, and only `apply` makes those";
        return NodeChecks { checks: vec![kinds::NODE_REACH.unknown(&node, found)], node };
    };
    let task = context.events.start(format!("node {node}"), None);
    let configure = context.site.site.nodes.configure.as_ref();
    let limit = configure.map_or(LIMIT, |configure| Duration::from_secs(configure.time_limit.into()));
    let target = Target { node: &member.name, reach: &reach, limit: limit.min(LIMIT) };
    let means = Means { secrets: &context.secrets, clusters: &context.clusters };
    let said = context.fleet.ask(means, target, Work::Preflight, wanted).await;
    let said = said.and_then(|report| match report.failures.first() {
        Some(failed) => Err(failed.clone()),
        None => Ok(report.checks),
    });
    match said {
        Ok(mut checks) => {
            task.finish();
            for check in &mut checks {
                check.subject.clone_from(&node);
            }
            checks.insert(0, kinds::NODE_REACH.passed(&node, member.address.to_string()));
            checks.retain(|check| !wanted.skip.contains(&check.name));
            NodeChecks { node, checks }
        }
        Err(failed) => {
            task.fail(&failed);
            unreached(node, &failed)
        }
    }
}

impl NodeChecks {
    /// Nodes that nobody could list.
    pub fn unlisted(failed: &Failed) -> Self {
        unreached("all nodes".to_owned(), failed)
    }

    /// A node of which it is known already that it cannot be reached.
    pub fn unknown(node: &str, reason: &str) -> Self {
        Self { node: node.to_owned(), checks: vec![kinds::NODE_REACH.unknown(node, reason)] }
    }
}

/// What could not be looked at has not passed.
fn unreached(node: String, failed: &Failed) -> NodeChecks {
    let mut check = kinds::NODE_REACH.unknown(&node, &failed.message);
    if !failed.hints.is_empty() {
        check.remedy = failed.hints.join("; ");
    }
    NodeChecks { node, checks: vec![check] }
}

/// What the largest image of the bundle takes on a node.
pub fn room(catalog: &Catalog) -> u64 {
    let sizes = catalog.blob_sizes();
    let manifests = catalog.images.iter().flat_map(Image::all_manifests);
    let size = |blobs: &[ferry_model::Digest]| blobs.iter().filter_map(|blob| sizes.get(blob)).sum::<u64>();
    manifests.map(|manifest| size(&manifest.blobs)).max().unwrap_or(0).saturating_mul(UNPACKED)
}
