//! The job that prepares PaaS's data. One that has failed for good is not touched: a copy of it runs.

use std::time::{Duration, Instant};

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::cluster::fields::{holds, text};
use crate::cluster::{Cluster, Kind, MANAGER, Place};
use crate::paas::LONG;

/// What it is called, with the number of the helm release behind.
const NAME: &str = "bkpaas3-apiserver-init-data";
/// What the copy is called behind that.
const AGAIN: &str = "-ferry";
const PAUSE: Duration = Duration::from_millis(500);
/// How long a job that is removed may take to go.
const REMOVAL: Duration = Duration::from_secs(120);
/// Labels that the cluster gives the pods of a job.
const LABELS: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Done,
    Runs,
    Failed,
}

pub(super) fn standing(job: &Value) -> Standing {
    if holds(job, "Complete") {
        Standing::Done
    } else if holds(job, "Failed") {
        Standing::Failed
    } else {
        Standing::Runs
    }
}

/// The last one that was made.
pub(super) async fn latest(cluster: &Cluster, namespace: &str) -> Result<Option<Value>, Failed> {
    let kind = Kind::known("batch/v1", "Job").expect("jobs are a known kind");
    let jobs = cluster.list(&kind, namespace, "").await?;
    let of_it = jobs.into_iter().filter(|job| text(job, "/metadata/name").starts_with(NAME));
    Ok(of_it.max_by_key(|job| {
        let [made, name] =
            ["/metadata/creationTimestamp", "/metadata/name"].map(|pointer| text(job, pointer).to_owned());
        // The copy is younger than what it is of, in whatever second it was made.
        (made, name.len(), name)
    }))
}

/// Runs a copy of a job that has failed.
pub(super) async fn again(cluster: &Cluster, job: &Value) -> Result<Value, Failed> {
    let copy = copy_of(job);
    let place = Place::of(&copy);
    let begun = Instant::now();
    // An earlier copy has failed too.
    while cluster.get(&place).await?.is_some_and(|live| standing(&live) == Standing::Failed) {
        cluster.delete(&place).await?;
        if begun.elapsed() > REMOVAL {
            let message = format!("{place} does not go away, so that it could be run again");
            return Err(Failed::because(Class::Transient, message).hint("run the same command again"));
        }
        sleep(PAUSE).await;
    }
    match cluster.put(&copy).await? {
        Some(made) => Ok(made),
        // It is there: an earlier process made it.
        None => Ok(copy),
    }
}

/// Removes the copy.
pub(super) async fn remove(cluster: &Cluster, namespace: &str) -> Result<(), Failed> {
    match latest(cluster, namespace).await? {
        Some(job) if text(&job, "/metadata/name").ends_with(AGAIN) => cluster.delete(&place_of(&job)).await,
        _ => Ok(()),
    }
}

/// Waits until it is done.
pub(super) async fn wait_for(cluster: &Cluster, job: &Value) -> Result<(), Failed> {
    let place = place_of(job);
    let begun = Instant::now();
    loop {
        let live = cluster.get(&place).await?;
        let trouble = match live.as_ref().map(standing) {
            // One that is done may be removed by then.
            None | Some(Standing::Done) => return Ok(()),
            Some(Standing::Failed) => "has failed",
            Some(Standing::Runs) if begun.elapsed() >= LONG => "does not end",
            Some(Standing::Runs) => {
                sleep(PAUSE).await;
                continue;
            }
        };
        let (namespace, name, kubectl) = (&place.namespace, &place.name, cluster.kubectl());
        return Err(Failed::because(Class::Local, format!("{place} {trouble}"))
            .hint(format!("`{kubectl} -n {namespace} logs job/{name}` says which of its steps, and why"))
            .hint("PaaS pulls the image without a login, by HTTPS and then by HTTP: see that the registry allows that, and that its pods resolve and trust it"));
    }
}

/// What lists hold does not say of which kind it is.
fn place_of(job: &Value) -> Place {
    Place { api_version: "batch/v1".into(), kind: "Job".into(), ..Place::of(job) }
}

fn copy_of(job: &Value) -> Value {
    let mut spec = job["spec"].clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("selector");
        fields.remove("manualSelector");
    }
    if let Some(labels) = spec.pointer_mut("/template/metadata/labels").and_then(Value::as_object_mut) {
        labels.retain(|label, _| !LABELS.contains(&label.as_str()));
    }
    let name = text(job, "/metadata/name");
    let name = if name.ends_with(AGAIN) {
        name.to_owned()
    } else {
        format!("{}{AGAIN}", &name[..name.len().min(57)])
    };
    json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec,
        "metadata": {"name": name, "namespace": text(job, "/metadata/namespace"),
            "labels": {"app.kubernetes.io/managed-by": MANAGER}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_one_that_the_cluster_takes() {
        let job = json!({"metadata": {"name": "bkpaas3-apiserver-init-data-1", "namespace": "blueking", "uid": "1", "ownerReferences": [{}]},
            "spec": {"backoffLimit": 10, "selector": {"matchLabels": {"controller-uid": "1"}},
                "template": {"metadata": {"labels": {"controller-uid": "1", "job-name": "a", "app": "b"}}, "spec": {"containers": []}}},
            "status": {"conditions": [{"type": "Failed", "status": "True"}]}});
        assert_eq!(standing(&job), Standing::Failed);
        let copy = copy_of(&job);
        assert_eq!(
            copy,
            json!({"apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"name": "bkpaas3-apiserver-init-data-1-ferry", "namespace": "blueking", "labels": {"app.kubernetes.io/managed-by": "ferry"}},
                "spec": {"backoffLimit": 10, "template": {"metadata": {"labels": {"app": "b"}}, "spec": {"containers": []}}}})
        );
        assert_eq!(copy_of(&copy)["metadata"]["name"], copy["metadata"]["name"]);
        assert_eq!(standing(&copy), Standing::Runs);
    }
}
