//! Workloads of a cluster that take up what they read: ConfigMaps and Secrets. Found by their pod templates, started anew by an
//! annotation there, and waited for.
//!
//! The annotation says which version of the object the pods shall have read, so that doing it again after it was cut off starts
//! nothing twice, and taking it back is one more start.

mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_model::site::{PatchedKind, Workload, WorkloadKind};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::cluster::fields::{has_ended, text};
use crate::cluster::{Cluster, Kind, Place};
use crate::resources::{Standing, troubles};

/// In a pod template, it makes a workload start its pods anew.
const RESTARTED: &str = "/spec/template/metadata/annotations/ferry~1restarted-for";
/// How long a restart or a rollout may take: the time after which Kubernetes itself calls one stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// How long pods may say the same trouble before it is taken for one that does not pass.
pub(crate) const TROUBLE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(300);
/// Reasons that no waiting cures, if they last.
const LASTING: [&str; 7] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "RunContainerError",
];

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) kind: PatchedKind,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// Annotations that workloads had before they were started anew, by the workloads' names.
pub(crate) type Annotations = BTreeMap<String, Option<String>>;

impl Read<'_> {
    /// Whether pods with this specification read it.
    fn is_read_by(&self, pod: &Value) -> bool {
        let is_it =
            |reference: &Value, field: &str| reference.get(field).and_then(Value::as_str) == Some(self.name);
        let (from, key, volume, field) = match self.kind {
            PatchedKind::ConfigMap => ("configMapRef", "configMapKeyRef", "configMap", "name"),
            PatchedKind::Secret => ("secretRef", "secretKeyRef", "secret", "secretName"),
        };
        let containers = ["containers", "initContainers"].into_iter().flat_map(|list| items(&pod[list]));
        let mut variables = containers.flat_map(|container| {
            let whole = items(&container["envFrom"]).map(move |source| &source[from]);
            let single = items(&container["env"]).map(move |variable| &variable["valueFrom"][key]);
            whole.chain(single)
        });
        let mut volumes = items(&pod["volumes"]);
        variables.any(|reference| is_it(reference, "name"))
            || volumes.any(|mounted| {
                is_it(&mounted[volume], field)
                    || items(&mounted["projected"]["sources"]).any(|source| is_it(&source[volume], "name"))
            })
    }

    /// All workloads that read it.
    pub(crate) async fn readers(&self, cluster: &Cluster) -> Result<Vec<Workload>, Failed> {
        let mut readers = Vec::new();
        for kind in WorkloadKind::ALL {
            for object in cluster.list(&api_kind(kind), self.namespace, "").await? {
                let template = object.pointer("/spec/template/spec").unwrap_or(&Value::Null);
                if self.is_read_by(template) {
                    readers.push(Workload { kind, name: text(&object, "/metadata/name").to_owned() });
                }
            }
        }
        Ok(readers)
    }

    /// Deletes the pods that read it and have failed, or cannot start, of Jobs that go on: those start others. Gives their names.
    /// Pods of a Job that has ended stay, since they say why.
    pub(crate) async fn delete_failed_pods(&self, cluster: &Cluster) -> Result<Vec<String>, Failed> {
        let kind = Kind::known("v1", "Pod").expect("pods are a known kind");
        let mut pods = cluster.list(&kind, self.namespace, "").await?;
        pods.retain(|pod| job_of(pod).is_some() && self.is_read_by(&pod["spec"]) && has_failed(pod));
        if pods.is_empty() {
            return Ok(Vec::new());
        }
        let kind = Kind::known("batch/v1", "Job").expect("jobs are a known kind");
        let jobs = cluster.list(&kind, self.namespace, "").await?;
        let going_on: BTreeSet<&str> =
            jobs.iter().filter(|job| !has_ended(job)).map(|job| text(job, "/metadata/uid")).collect();
        let mut deleted = Vec::new();
        for pod in pods.iter().filter(|pod| job_of(pod).is_some_and(|uid| going_on.contains(uid))) {
            let name = text(pod, "/metadata/name");
            cluster.delete(&Place::core("Pod", self.namespace, name)).await?;
            deleted.push(name.to_owned());
        }
        Ok(deleted)
    }
}

/// The `uid` of the Job that a pod is of.
fn job_of(pod: &Value) -> Option<&str> {
    let owner = items(&pod["metadata"]["ownerReferences"]).find(|owner| owner["kind"] == "Job")?;
    owner["uid"].as_str()
}

/// Whether a pod has failed, or cannot start as it is.
fn has_failed(pod: &Value) -> bool {
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let mut waits = statuses.into_iter().flat_map(|list| items(&pod["status"][list]));
    let is_lasting = |container: &Value| LASTING.contains(&text(container, "/state/waiting/reason"));
    pod["status"]["phase"] == "Failed" || waits.any(is_lasting)
}

/// The annotations that `workloads` have now. Fails for one that is not there.
pub(crate) async fn annotations(
    cluster: &Cluster,
    namespace: &str,
    workloads: &[Workload],
) -> Result<Annotations, Failed> {
    let mut annotations = Annotations::new();
    for workload in workloads {
        let live = find(cluster, namespace, workload).await?;
        let annotation = live.pointer(RESTARTED).and_then(Value::as_str).map(str::to_owned);
        annotations.insert(workload.to_string(), annotation);
    }
    Ok(annotations)
}

/// Has `workloads` start their pods anew that were not started for `version` yet.
pub(crate) async fn restart(
    cluster: &Cluster,
    namespace: &str,
    workloads: &[Workload],
    version: &str,
) -> Result<(), Failed> {
    for workload in workloads {
        let live = find(cluster, namespace, workload).await?;
        if live.pointer(RESTARTED).and_then(Value::as_str) != Some(version) {
            annotate(cluster, namespace, workload, Some(version)).await?;
        }
    }
    Ok(())
}

/// Gives workloads the annotations back that they had, which starts their pods anew. What is gone by now is left out.
pub(crate) async fn restart_back(
    cluster: &Cluster,
    namespace: &str,
    before: &Annotations,
) -> Result<(), Failed> {
    for (name, annotation) in before {
        let Ok(workload) = name.parse::<Workload>() else { continue };
        let Some(live) = cluster.get(&place(namespace, &workload)).await? else { continue };
        if live.pointer(RESTARTED).and_then(Value::as_str) != annotation.as_deref() {
            annotate(cluster, namespace, &workload, annotation.as_deref()).await?;
        }
    }
    Ok(())
}

/// Waits until all pods of `workloads` are new and ready.
pub(crate) async fn wait_for(
    cluster: &Cluster,
    namespace: &str,
    workloads: &[Workload],
) -> Result<(), Failed> {
    for workload in workloads {
        let begun = Instant::now();
        let mut troubled: Option<Instant> = None;
        loop {
            let live = find(cluster, namespace, workload).await?;
            let (how, is_stuck) = match standing::standing_of(workload.kind, &live) {
                Standing::Ready => break,
                Standing::Waits(how) => (how, false),
                Standing::Stuck(how) => (how, true),
            };
            if text(&live, "/spec/updateStrategy/type") == "OnDelete" {
                let message =
                    format!("{workload} in namespace {namespace} starts no pods anew by itself (OnDelete)");
                return Err(Failed::because(Class::Local, message).hint(format!(
                    "`{} -n {namespace} delete pod …` for each of its pods; apply again when the new ones are ready",
                    cluster.kubectl()
                )));
            }
            let told = troubles(cluster, &live).await?;
            let is_lasting = |line: &String| LASTING.iter().any(|reason| line.contains(reason));
            troubled = told.iter().any(is_lasting).then(|| troubled.unwrap_or_else(Instant::now));
            let lasts = troubled.is_some_and(|since| since.elapsed() >= TROUBLE);
            if is_stuck || lasts || begun.elapsed() >= PATIENCE {
                let mut message =
                    format!("{workload} in namespace {namespace} was started anew and is not ready: {how}");
                for line in &told {
                    message.push_str(&format!("; {line}"));
                }
                return Err(Failed::because(Class::Local, message)
                    .hint(format!("`{} -n {namespace} logs {workload}` says more", cluster.kubectl())));
            }
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

async fn annotate(
    cluster: &Cluster,
    namespace: &str,
    workload: &Workload,
    value: Option<&str>,
) -> Result<(), Failed> {
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"ferry/restarted-for": value}}}}});
    cluster.merge(&place(namespace, workload), &patch).await.map(drop)
}

async fn find(cluster: &Cluster, namespace: &str, workload: &Workload) -> Result<Value, Failed> {
    let place = place(namespace, workload);
    cluster.get(&place).await?.ok_or_else(|| {
        Failed::because(Class::NotFound, format!("there is no {place} in {}", cluster.name())).hint(format!(
            "`{} -n {namespace} get deployments,statefulsets,daemonsets` shows what there is",
            cluster.kubectl()
        ))
    })
}

fn place(namespace: &str, workload: &Workload) -> Place {
    Place {
        api_version: "apps/v1".into(),
        kind: workload.kind.as_str().into(),
        namespace: namespace.into(),
        name: workload.name.clone(),
    }
}

/// The kind, as paths of the API have it.
pub(crate) fn api_kind(kind: WorkloadKind) -> Kind {
    Kind::known("apps/v1", kind.as_str()).expect("these three are known kinds")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_it_is_found() {
        let map = Read { kind: PatchedKind::ConfigMap, namespace: "a", name: "envs" };
        let secret = Read { kind: PatchedKind::Secret, ..map };
        for pod in [
            json!({"containers": [{"envFrom": [{"configMapRef": {"name": "other"}}, {"configMapRef": {"name": "envs"}}]}]}),
            json!({"containers": [{}], "initContainers": [{"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "envs", "key": "a"}}}]}]}),
            json!({"volumes": [{"configMap": {"name": "envs"}}]}),
            json!({"volumes": [{"projected": {"sources": [{"configMap": {"name": "envs"}}]}}]}),
        ] {
            assert!(map.is_read_by(&pod) && !secret.is_read_by(&pod), "{pod}");
        }
        for pod in [
            json!({"containers": [{"envFrom": [{"secretRef": {"name": "envs"}}]}]}),
            json!({"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "envs"}}}]}]}),
            json!({"volumes": [{"secret": {"secretName": "envs"}}]}),
            json!({"volumes": [{"projected": {"sources": [{"secret": {"name": "envs"}}]}}]}),
        ] {
            assert!(secret.is_read_by(&pod) && !map.is_read_by(&pod), "{pod}");
        }
        assert!(
            !map.is_read_by(
                &json!({"imagePullSecrets": [{"name": "envs"}], "containers": [{"name": "envs"}]})
            )
        );
    }

    #[test]
    fn pods_that_cannot_start_have_failed() {
        let waits = |reason: &str| json!({"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason}}}]}});
        assert!(has_failed(&waits("ImagePullBackOff")) && !has_failed(&waits("ContainerCreating")));
        assert!(has_failed(&json!({"status": {"phase": "Failed"}})));
        assert!(!has_failed(&json!({"status": {"phase": "Succeeded"}})));
    }
}
