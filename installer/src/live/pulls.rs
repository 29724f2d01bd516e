//! Pods whose images do not come: which, where, and what was said of it.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::report::Failed;
use serde_json::Value;

use super::cause::Cause;
use crate::cluster::fields::{holds, list, text};
use crate::cluster::{Cluster, Kind, Place, Right};

/// The kubelet's reasons for a container that waits for its image.
const REASONS: [&str; 7] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
/// How its events about images begin.
const EVENTS: [&str; 3] =
    ["Failed to pull image \"", "Failed to inspect image \"", "Failed to apply default image tag \""];
/// With more namespaces than these in trouble, the events of all are asked for at once.
const NAMESPACES: usize = 20;

/// A container that waits for its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pull {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// Empty before the pod has one.
    pub(super) node: String,
    /// As the pod names it.
    pub(super) image: String,
    pub(super) reason: String,
    /// What the runtime said last.
    pub(super) said: String,
    /// Secrets that the pod gives for pulling.
    pub(super) secrets: Vec<String>,
}

/// What a node is like, as far as images care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeFacts {
    /// `amd64`.
    pub(super) architecture: String,
    /// Whether the kubelet says that its disk is full.
    pub(super) disk_pressure: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) pulls: Vec<Pull>,
    /// Pods that were looked at.
    pub(super) pods: usize,
    pub(super) nodes: BTreeMap<String, NodeFacts>,
    /// What could not be asked for, and why.
    pub(super) unasked: Vec<String>,
}

/// Looks at all pods of the cluster.
pub(super) async fn find(cluster: &Cluster) -> Result<Found, Failed> {
    let known = |kind| Kind::known("v1", kind).expect("pods and nodes are known kinds");
    let (pod, node) = (known("Pod"), known("Node"));
    let event = cluster.kind(&Place::core("Event", "", "")).await?;
    cluster.require(&[Right::new("list", &pod, "")], "to look at pods").await?;
    let pods = cluster.list(&pod, "", "").await?;
    let mut found = Found { pods: pods.len(), ..Found::default() };
    let waiting: Vec<(&Value, Vec<Pull>)> =
        pods.iter().map(|pod| (pod, waiting(pod))).filter(|(_, pulls)| !pulls.is_empty()).collect();
    if waiting.is_empty() {
        return Ok(found);
    }
    match cluster.list(&node, "", "").await {
        Ok(nodes) => found.nodes = nodes.iter().map(facts).collect(),
        Err(failed) => found.unasked.push(failed.message),
    }
    let namespaces: BTreeSet<&str> =
        waiting.iter().map(|(pod, _)| text(pod, "/metadata/namespace")).collect();
    let places = if namespaces.len() > NAMESPACES { BTreeSet::from([""]) } else { namespaces };
    let mut events = Vec::new();
    for namespace in places {
        match cluster.list_where(&event, namespace, "", "type=Warning").await {
            Ok(listed) => events.extend(listed.into_iter().filter(is_about_images)),
            Err(failed) => found.unasked.push(failed.message),
        }
    }
    found.unasked.dedup();
    for (pod, pulls) in waiting {
        let told: Vec<&Value> = events.iter().filter(|event| is_about(event, pod)).collect();
        found.pulls.extend(pulls.into_iter().map(|pull| with_event(pull, &told)));
    }
    Ok(found)
}

/// The containers of a pod that wait for their images.
fn waiting(pod: &Value) -> Vec<Pull> {
    let mut pulls = Vec::new();
    for (statuses, containers) in [
        ("/status/initContainerStatuses", "/spec/initContainers"),
        ("/status/containerStatuses", "/spec/containers"),
        ("/status/ephemeralContainerStatuses", "/spec/ephemeralContainers"),
    ] {
        for status in list(pod, statuses) {
            let reason = text(status, "/state/waiting/reason");
            if !REASONS.contains(&reason) {
                continue;
            }
            let container = text(status, "/name");
            // The status has the name as the runtime spells it.
            let named = list(pod, containers).iter().find(|known| text(known, "/name") == container);
            let image = named.map_or(text(status, "/image"), |named| text(named, "/image"));
            let secrets =
                list(pod, "/spec/imagePullSecrets").iter().map(|secret| text(secret, "/name").to_owned());
            pulls.push(Pull {
                namespace: text(pod, "/metadata/namespace").to_owned(),
                pod: text(pod, "/metadata/name").to_owned(),
                container: container.to_owned(),
                node: text(pod, "/spec/nodeName").to_owned(),
                image: image.to_owned(),
                reason: reason.to_owned(),
                said: text(status, "/state/waiting/message").to_owned(),
                secrets: secrets.collect(),
            });
        }
    }
    pulls
}

/// The status of a container says why only since Kubernetes 1.31; before, and in between two tries, the events do.
fn with_event(pull: Pull, events: &[&Value]) -> Pull {
    if Cause::of(&pull.reason, &pull.said) != Cause::Unknown {
        return pull;
    }
    let quoted = format!("\"{}\"", pull.image);
    let about = events.iter().filter(|event| text(event, "/message").contains(&quoted));
    let last = about.max_by_key(|event| when(event)).or_else(|| {
        // CRI-O leaves the name out when it does not like it.
        events.iter().filter(|event| text(event, "/message").contains("\"\"")).max_by_key(|event| when(event))
    });
    match last {
        Some(event) => Pull { said: text(event, "/message").to_owned(), ..pull },
        None => pull,
    }
}

fn is_about_images(event: &Value) -> bool {
    EVENTS.iter().any(|begin| text(event, "/message").starts_with(begin))
}

fn is_about(event: &Value, pod: &Value) -> bool {
    let same = |of_event: &str, of_pod: &str| text(event, of_event) == text(pod, of_pod);
    let uid = text(event, "/involvedObject/uid");
    same("/involvedObject/namespace", "/metadata/namespace")
        && same("/involvedObject/name", "/metadata/name")
        && (uid.is_empty() || uid == text(pod, "/metadata/uid"))
}

/// When it was seen last. Times of one cluster sort as texts do, to the second.
fn when(event: &Value) -> &str {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.into_iter().map(|time| text(event, time)).find(|time| !time.is_empty()).unwrap_or_default()
}

fn facts(node: &Value) -> (String, NodeFacts) {
    let facts = NodeFacts {
        architecture: text(node, "/status/nodeInfo/architecture").to_owned(),
        disk_pressure: holds(node, "DiskPressure"),
    };
    (text(node, "/metadata/name").to_owned(), facts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({"metadata": {"name": "web-1", "namespace": "a", "uid": "1"},
            "spec": {"nodeName": "node1", "imagePullSecrets": [{"name": "login"}],
                "initContainers": [{"name": "first", "image": "busybox"}],
                "containers": [{"name": "web", "image": "nginx:1"}, {"name": "log", "image": "fluentd:1"}]},
            "status": {
                "initContainerStatuses": [{"name": "first", "image": "docker.io/library/busybox:latest",
                    "state": {"waiting": {"reason": "ErrImagePull", "message": "x509: certificate signed by unknown authority"}}}],
                "containerStatuses": [
                    {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"nginx:1\""}}},
                    {"name": "log", "state": {"waiting": {"reason": "PodInitializing"}}}]}})
    }

    #[test]
    fn containers_that_wait_for_images_are_found_under_the_names_that_people_gave() {
        let pulls = waiting(&pod());
        let found: Vec<_> = pulls.iter().map(|pull| (pull.container.as_str(), pull.image.as_str())).collect();
        assert_eq!(found, [("first", "busybox"), ("web", "nginx:1")]);
        assert_eq!(
            (pulls[0].node.as_str(), pulls[0].secrets.as_slice()),
            ("node1", &["login".to_owned()][..])
        );
    }

    #[test]
    fn the_last_event_about_the_image_says_why() {
        let event = |uid: &str, time: &str, message: &str| json!({"involvedObject": {"namespace": "a", "name": "web-1", "uid": uid}, "lastTimestamp": time, "message": message});
        let events = [
            event("1", "2026-01-01T00:00:02Z", "Failed to pull image \"nginx:1\": no such host"),
            event("1", "2026-01-01T00:00:01Z", "Failed to pull image \"nginx:1\": i/o timeout"),
            event("1", "2026-01-01T00:00:03Z", "Failed to pull image \"other:1\": unauthorized"),
            event(
                "of a pod that is gone",
                "2026-01-01T00:00:04Z",
                "Failed to pull image \"nginx:1\": unauthorized",
            ),
        ];
        let pod = pod();
        let told: Vec<&Value> = events.iter().filter(|event| is_about(event, &pod)).collect();
        let said = |container: usize| with_event(waiting(&pod)[container].clone(), &told).said;
        assert_eq!(said(1), "Failed to pull image \"nginx:1\": no such host");
        assert_eq!(said(0), "x509: certificate signed by unknown authority");
    }
}
