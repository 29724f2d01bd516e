//! Whether the cluster gets its images: pods that wait for one, by image, each explained.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ferry_display::printable;
use serde::Serialize;

use super::cause::{Cause, gist};
use super::explain::{Explainer, Group};
use super::names::Names;
use super::pulls::{self, Pull};
use crate::Error;
use crate::cluster::Target;
use crate::context::Context;

/// Pods, namespaces and nodes that a line names.
const NAMED: usize = 5;

/// Whether the cluster gets its images.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The site's name.
    pub site: String,
    /// The cluster.
    pub cluster: String,
    /// Pods that were looked at.
    pub pods: usize,
    /// Images that do not come, those that most pods wait for first.
    pub troubles: Vec<Trouble>,
    /// What could not be asked for, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
}

/// An image that does not come.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// As the pods name it.
    pub image: String,
    /// What kind of trouble it is.
    pub cause: Cause,
    /// Why it does not come.
    pub why: String,
    /// What the runtime said.
    pub said: String,
    /// What to do, in the order in which it helps.
    pub fix: Vec<String>,
    /// The nodes that it does not come to.
    pub nodes: Vec<String>,
    /// The pods that wait for it: `NAMESPACE/NAME`.
    pub pods: Vec<String>,
}

/// Looks at all pods and explains those that wait for an image.
pub async fn cluster_status(context: &Context) -> Result<ClusterStatus, Error> {
    let names = Names::new(context).await?;
    let cluster = context.clusters.get(&Target::of(&context.site)).await?;
    let task = context.events.start("looking at pods", None);
    let found = pulls::find(&cluster).await?;
    task.finish();
    let explainer = Explainer { context, names: &names, nodes: &found.nodes, kubectl: cluster.kubectl() };
    let mut troubles = Vec::new();
    for group in groups(&found.pulls) {
        let explanation = explainer.explain(&group).await;
        troubles.push(trouble(&group, explanation.why, explanation.fix));
    }
    // As many others, by name.
    troubles.sort_by(|one, other| (other.pods.len(), &one.image).cmp(&(one.pods.len(), &other.image)));
    let site = context.site.site.name.to_string();
    Ok(ClusterStatus { site, cluster: cluster.name(), pods: found.pods, troubles, unasked: found.unasked })
}

fn groups(pulls: &[Pull]) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(&str, Cause), Vec<&Pull>> = BTreeMap::new();
    for pull in pulls {
        groups.entry((&pull.image, Cause::of(&pull.reason, &pull.said))).or_default().push(pull);
    }
    groups.into_iter().map(|((image, cause), pulls)| Group { image, cause, pulls }).collect()
}

fn trouble(group: &Group<'_>, why: String, fix: Vec<String>) -> Trouble {
    let pods: BTreeSet<String> =
        group.pulls.iter().map(|pull| format!("{}/{}", pull.namespace, pull.pod)).collect();
    Trouble {
        image: group.image.to_owned(),
        cause: group.cause,
        why,
        said: gist(&group.pulls[0].said),
        fix,
        nodes: group.nodes(),
        pods: pods.into_iter().collect(),
    }
}

impl ClusterStatus {
    /// Whether every pod gets its images, as far as could be seen.
    pub fn is_good(&self) -> bool {
        self.troubles.is_empty()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let pods = |count: usize| if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") };
        for trouble in &self.troubles {
            let _ = writeln!(
                text,
                "{}: {} {} for it{}",
                printable(&trouble.image),
                pods(trouble.pods.len()),
                if trouble.pods.len() == 1 { "waits" } else { "wait" },
                match trouble.nodes.as_slice() {
                    [] => String::new(),
                    nodes => format!(", on {}", printable(&named(nodes))),
                }
            );
            let _ = writeln!(text, "  why:  {}", printable(&trouble.why));
            if !trouble.said.is_empty() {
                let _ = writeln!(text, "  said: {}", printable(&trouble.said));
            }
            for fix in &trouble.fix {
                let _ = writeln!(text, "  fix:  {}", printable(fix));
            }
            let _ = writeln!(text, "  pods: {}", printable(&named(&trouble.pods)));
        }
        for line in &self.unasked {
            let _ = writeln!(text, "cannot be looked at: {}", printable(line));
        }
        let waiting: BTreeSet<&String> = self.troubles.iter().flat_map(|trouble| &trouble.pods).collect();
        let _ = match waiting.len() {
            0 => writeln!(text, "{}: {} looked at, none waits for an image", self.site, pods(self.pods)),
            count => writeln!(
                text,
                "{}: {} of {} looked at {} for {}",
                self.site,
                count,
                pods(self.pods),
                if count == 1 { "waits" } else { "wait" },
                match self.troubles.iter().map(|trouble| &trouble.image).collect::<BTreeSet<_>>().len() {
                    1 => "an image".to_owned(),
                    images => format!("{images} images"),
                }
            ),
        };
        text
    }
}

fn named(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}
