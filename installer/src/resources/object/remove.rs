//! Removing what a run made: never what somebody else made, nor with it what somebody else put there.

use std::time::{Duration, Instant};

use ferry_model::report::Failed;
use serde_json::Value;
use tokio::time::sleep;

use super::super::Undone;
use super::compare::is_set_by_us;
use crate::cluster::{Cluster, Place};

/// How long an object may take to be gone: its pods have half a minute to end.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);
/// Objects named in a message.
const NAMED: usize = 5;

/// Kinds that come and go by themselves, or that the cluster puts into every namespace.
const THE_CLUSTERS: [&str; 6] =
    ["Event", "Endpoints", "EndpointSlice", "Lease", "PodMetrics", "ControllerRevision"];
const THE_CLUSTERS_NAMES: [(&str, &str); 3] = [
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
];

/// Removes the object that was made from `manifest` and waits until it is gone.
pub(crate) async fn remove(cluster: &Cluster, manifest: &Value) -> Result<Undone, Failed> {
    let place = &Place::of(manifest);
    let Some(live) = cluster.get(place).await? else { return Ok(Undone::Restored) };
    if leaves_a_mark(manifest) && !is_set_by_us(&live) {
        return Ok(Undone::Left(format!("{place} stays: this run did not make it")));
    }
    if place.kind == "Namespace" {
        let foreign = content(cluster, &place.name).await?;
        if !foreign.is_empty() {
            let shown: Vec<_> = foreign.iter().take(NAMED).map(String::as_str).collect();
            let more = if foreign.len() > NAMED { ", …" } else { "" };
            return Ok(Undone::Left(format!(
                "{place} stays: it holds what this run did not make: {}{more}",
                shown.join(", ")
            )));
        }
    }
    cluster.delete(place).await?;
    gone(cluster, place).await
}

/// Whether it sets any field that the server notes as ours. A namespace without labels has but its name.
fn leaves_a_mark(manifest: &Value) -> bool {
    let has = |pointer: &str| {
        manifest.pointer(pointer).and_then(Value::as_object).is_some_and(|fields| !fields.is_empty())
    };
    let fields = manifest.as_object().into_iter().flatten();
    let mut content = fields.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
    has("/metadata/labels") || has("/metadata/annotations") || content.next().is_some()
}

async fn gone(cluster: &Cluster, place: &Place) -> Result<Undone, Failed> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Some(live) = cluster.get(place).await? else { return Ok(Undone::Restored) };
        if Instant::now() >= deadline {
            let names = |pointer: &str| {
                let list = live.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
            };
            let waits = [names("/metadata/finalizers"), names("/spec/finalizers")].concat().join(", ");
            let message = format!(
                "{place} is being removed, and is not gone after {PATIENCE:?}; it waits for: {waits}"
            );
            return Ok(Undone::Left(message));
        }
        sleep(PAUSE).await;
    }
}

/// What is in a namespace, but for what the cluster puts there itself and what belongs to something else in it.
async fn content(cluster: &Cluster, namespace: &str) -> Result<Vec<String>, Failed> {
    let mut found = Vec::new();
    for kind in cluster.kinds_in_namespaces().await? {
        if THE_CLUSTERS.contains(&kind.name.as_str()) {
            continue;
        }
        for object in cluster.list(&kind, namespace, "").await? {
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let is_owned = object.pointer("/metadata/ownerReferences").is_some();
            let is_going = object.pointer("/metadata/deletionTimestamp").is_some();
            let is_token = object["type"] == "kubernetes.io/service-account-token";
            let is_the_clusters = THE_CLUSTERS_NAMES.contains(&(kind.name.as_str(), name));
            if !(is_owned || is_going || is_token || is_the_clusters) {
                found.push(format!("{} {name}", kind.name));
            }
        }
    }
    Ok(found)
}
