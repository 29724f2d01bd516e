//! The pods through which nodes are reached, where there is no ssh.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::catalog::Catalog;
use ferry_model::plan::{
    Desired, LabelOperator, LabelRequirement, NodePods, NodeTerm, Object, Resource, ResourceId,
};
use ferry_model::site::{DaemonSet, FromCluster};

use super::wrong;
use crate::Error;
use crate::cluster::Target;
use crate::desire::naming::AtSite;
use crate::desire::{Desire, Facts};
use crate::export::{ExportError, find_image};
use crate::fleet::manifests;
use crate::site::SiteFile;

/// The DaemonSet.
const NAME: &str = "ferry-nodes";
const ROLE: &str = "node-role.kubernetes.io/";

/// The pods, where nodes are reached through them, and what comes before them.
pub(super) fn desire_pods(
    desire: &mut Desire,
    catalog: &Catalog,
    site: &SiteFile,
    facts: &Facts,
) -> Result<Option<(NodePods, Vec<ResourceId>)>, Error> {
    let Some(daemon_set) = &site.site.nodes.daemon_set else { return Ok(None) };
    let (image, mut needs) = image(desire, catalog, site, facts, daemon_set)?;
    let target = Target::of(site);
    let pods = NodePods {
        kubeconfig: target.kubeconfig,
        context: target.context,
        namespace: daemon_set.namespace.clone(),
        name: NAME.to_owned(),
        image,
        nodes: terms(&site.site.nodes.from_cluster.clone().unwrap_or_default(), facts)
            .map_err(|problem| wrong(&problem, "write it as for `kubectl get nodes --selector`"))?,
        keep: daemon_set.keep,
    };
    if pods.keep {
        needs = keep(desire, &pods, needs);
    }
    Ok(Some((pods, needs)))
}

/// The image's name, and the step that brings it to the registry.
fn image(
    desire: &Desire,
    catalog: &Catalog,
    site: &SiteFile,
    facts: &Facts,
    daemon_set: &DaemonSet,
) -> Result<(String, Vec<ResourceId>), Error> {
    let as_given = || Ok((daemon_set.image.clone(), Vec::new()));
    let Some(registry) = site.site.registry.as_ref().filter(|_| !daemon_set.on_nodes) else {
        return as_given();
    };
    let image = match find_image(catalog, &daemon_set.image) {
        Ok(image) => image,
        Err(ExportError::Unknown { .. }) => return as_given(),
        Err(error) => return Err(error.into()),
    };
    let AtSite { name, pushed, .. } = AtSite::new(desire, site, registry, facts, image);
    Ok((name, pushed.into_iter().collect()))
}

/// Adds the objects themselves, where they stay.
fn keep(desire: &mut Desire, pods: &NodePods, mut needs: Vec<ResourceId>) -> Vec<ResourceId> {
    for manifest in manifests(pods) {
        let object = Object {
            kubeconfig: pods.kubeconfig.clone(),
            context: pods.context.clone(),
            manifest,
            data_files: BTreeMap::new(),
            data_logins: BTreeMap::new(),
            data_random: BTreeSet::new(),
        };
        let resource = Resource::new(Desired::Object(object), "nodes are reached through its pods");
        let resource = resource.after(std::mem::take(&mut needs));
        needs.push(resource.id());
        desire.resources.push(resource);
    }
    needs
}

/// What nodes must meet to be meant: all of one of these. The names of those that are no machines are left out one by one, since a
/// pod that takes every taint would go there.
fn terms(wanted: &FromCluster, facts: &Facts) -> Result<Vec<NodeTerm>, String> {
    let mut common = selector(&wanted.selector)?;
    common.push(requirement("type", LabelOperator::NotIn, &["virtual-kubelet"]));
    let mut not_named = Vec::new();
    for name in &facts.virtual_nodes {
        not_named.push(name.parse().map_err(|error| format!("node {name}: {error}"))?);
    }
    let term = |roles: &[(&str, LabelOperator)]| {
        let mut labels = common.clone();
        let roles =
            roles.iter().map(|(role, operator)| requirement(&format!("{ROLE}{role}"), *operator, &[]));
        labels.extend(roles);
        NodeTerm { labels, not_named: not_named.clone() }
    };
    if wanted.roles.is_empty() {
        return Ok(vec![term(&[])]);
    }
    let mut terms = Vec::new();
    for role in &wanted.roles {
        terms.push(term(&[(role, LabelOperator::Exists)]));
        if role == "worker" {
            let (neither, nor) = ("control-plane", "master");
            terms.push(term(&[(neither, LabelOperator::DoesNotExist), (nor, LabelOperator::DoesNotExist)]));
        }
    }
    Ok(terms)
}

fn requirement(key: &str, operator: LabelOperator, values: &[&str]) -> LabelRequirement {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    LabelRequirement { key: key.to_owned(), operator, values }
}

/// A selector as the API's lists take it: `disk=ssd,zone!=b,tier in (a,b),!gpu`.
fn selector(text: &str) -> Result<Vec<LabelRequirement>, String> {
    let mut requirements = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        // A comma within parentheses parts values.
        let mut depth = 0;
        let end = rest.find(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            letter == ',' && depth == 0
        });
        let (part, behind) = end.map_or((rest, ""), |end| (&rest[..end], &rest[end + 1..]));
        requirements.push(one(part.trim()).ok_or_else(|| {
            format!("`{}` of `fromCluster: {{selector: …}}` is no requirement of labels", part.trim())
        })?);
        rest = behind.trim();
    }
    Ok(requirements)
}

fn one(text: &str) -> Option<LabelRequirement> {
    let is_label = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
    };
    let (key, operator, values) = if let Some(key) = text.strip_prefix('!') {
        (key.trim(), LabelOperator::DoesNotExist, vec![])
    } else if let Some(list) = text.strip_suffix(')') {
        let (front, values) = list.split_once('(')?;
        let (key, word) = front.trim().rsplit_once(char::is_whitespace)?;
        let operator = match word {
            "in" => LabelOperator::In,
            "notin" => LabelOperator::NotIn,
            _ => return None,
        };
        (key.trim(), operator, values.split(',').map(str::trim).collect())
    } else if let Some((key, value)) = text.split_once("!=") {
        (key.trim(), LabelOperator::NotIn, vec![value.trim()])
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key.trim(), LabelOperator::In, vec![value.trim()])
    } else {
        (text, LabelOperator::Exists, vec![])
    };
    let are_good = is_label(key) && values.iter().all(|value| value.is_empty() || is_label(value));
    are_good.then(|| requirement(key, operator, &values))
}

/// What a plan says of the way.
pub(super) fn told(pods: &NodePods) -> String {
    let afterwards = if pods.keep { "" } else { ", which is made for it and removed afterwards" };
    format!(
        "containers are pulled there; it is reached through a pod of DaemonSet {}/{}{afterwards}",
        pods.namespace, pods.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let shown =
            |one: &LabelRequirement| format!("{} {:?} {}", one.key, one.operator, one.values.join("|"));
        Ok(selector(text)?.iter().map(shown).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn selectors_are_read_as_the_api_reads_them() {
        for (text, expected) in [
            ("", ""),
            ("disk=ssd", "disk In ssd"),
            ("a == b , c!=d", "a In b; c NotIn d"),
            (
                "zone in (a, b),tier notin (x),!gpu,ssd",
                "zone In a|b; tier NotIn x; gpu DoesNotExist ; ssd Exists ",
            ),
            ("kubernetes.io/hostname=n1", "kubernetes.io/hostname In n1"),
            ("empty=", "empty In "),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["a b", "in (a)", "a of (b)", "=b", "a,,b", "a=b c", "a>1", "a in (b"] {
            assert!(selector(text).is_err(), "{text}");
        }
    }
}
