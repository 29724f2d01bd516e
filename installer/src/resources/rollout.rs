//! Workloads of the cluster that have rolled out. Only looked at, and waited for; where it fails, the pods say why.

mod pods;

use std::time::{Duration, Instant};

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Rollout, State};
use ferry_model::report::Failed;
use serde_json::Value;
use tokio::time::sleep;

pub(crate) use pods::{lasting_trouble, troubles as troubles_of};

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::cluster::{Cluster, Place, Target};
use crate::context::Context;
use crate::workloads::{PATIENCE, TROUBLE};

const PAUSE: Duration = Duration::from_millis(500);

impl Manage for Rollout {
    fn wanted(&self) -> State {
        State::present([("ready", "yes")])
    }

    fn summary(&self, _action: Action) -> String {
        format!("check that all pods of Deployment {}/{} run and are ready", self.namespace, self.name)
    }

    fn undo_summary(&self, _before: &State) -> String {
        "nothing to undo".into()
    }

    fn is_check(&self) -> bool {
        true
    }

    async fn observe(&self, context: &Context) -> State {
        let looked = async {
            let cluster = self.cluster(context).await?;
            let Some(deployment) = cluster.get(&self.place()).await? else { return Ok(State::Absent) };
            match standing(&deployment) {
                Standing::Ready => Ok(State::present([("ready", "yes")])),
                Standing::Waits(how) | Standing::Stuck(how) => {
                    Err(self.explained(&cluster, &deployment, &how).await)
                }
            }
        };
        looked.await.unwrap_or_else(unknown)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let cluster = self.cluster(context).await?;
        let begun = Instant::now();
        let mut trouble: Option<(Vec<String>, Instant)> = None;
        loop {
            let Some(deployment) = cluster.get(&self.place()).await? else {
                let message = format!("{} is not in {}", self.place(), cluster.name());
                return Err(Failed::because(Class::NotFound, message));
            };
            let how = match standing(&deployment) {
                Standing::Ready => return Ok(()),
                Standing::Stuck(how) => return Err(self.explained(&cluster, &deployment, &how).await),
                Standing::Waits(how) => how,
            };
            let lasting = pods::lasting_trouble(&pods::of(&cluster, &deployment).await?);
            trouble = match trouble {
                _ if lasting.is_empty() => None,
                Some((known, since)) if known == lasting => Some((known, since)),
                _ => Some((lasting, Instant::now())),
            };
            let is_lasting = trouble.as_ref().is_some_and(|(_, since)| since.elapsed() >= TROUBLE);
            if is_lasting || begun.elapsed() >= PATIENCE {
                return Err(self.explained(&cluster, &deployment, &how).await);
            }
            sleep(PAUSE).await;
        }
    }

    async fn undo(
        &self,
        _context: &Context,
        _before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        Ok(Undone::Restored)
    }
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has come to its end.
    Ready,
    /// It may get there.
    Waits(String),
    /// Kubernetes itself has given up.
    Stuck(String),
}

/// As `kubectl rollout status` decides it.
pub(crate) fn standing(deployment: &Value) -> Standing {
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Standing::Waits("the cluster has not taken up its last change".into());
    }
    let conditions = deployment.pointer("/status/conditions").and_then(Value::as_array);
    let is_stuck = |condition: &&Value| {
        condition["type"] == "Progressing" && condition["reason"] == "ProgressDeadlineExceeded"
    };
    let wanted = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let (all, updated, available) =
        (number("/status/replicas"), number("/status/updatedReplicas"), number("/status/availableReplicas"));
    if updated >= wanted && all <= updated && available >= updated {
        return Standing::Ready;
    }
    let how = format!("{available} of {wanted} pods are available, {updated} are as they should be");
    match conditions.and_then(|conditions| conditions.iter().find(is_stuck)) {
        Some(_) => Standing::Stuck(how),
        None => Standing::Waits(how),
    }
}

/// What the pods of a Deployment say that are not ready, one line each.
pub(crate) async fn troubles(cluster: &Cluster, deployment: &Value) -> Result<Vec<String>, Failed> {
    Ok(pods::troubles(&pods::of(cluster, deployment).await?))
}

trait Asked {
    fn place(&self) -> Place;
    async fn cluster(&self, context: &Context) -> Result<Cluster, Failed>;
    async fn explained(&self, cluster: &Cluster, deployment: &Value, how: &str) -> Failed;
}

impl Asked for Rollout {
    fn place(&self) -> Place {
        Place {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    async fn cluster(&self, context: &Context) -> Result<Cluster, Failed> {
        let target = Target { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        context.clusters.get(&target).await
    }

    async fn explained(&self, cluster: &Cluster, deployment: &Value, how: &str) -> Failed {
        let mut message = format!("{} is not ready: {how}", self.place());
        let pods = pods::of(cluster, deployment).await.unwrap_or_default();
        let troubles = pods::troubles(&pods);
        for trouble in &troubles {
            message.push_str("; ");
            message.push_str(trouble);
        }
        let mut failed = Failed::because(Class::Local, message);
        if troubles.iter().any(|trouble| trouble.contains("ImagePull")) {
            failed = failed
                .hint("the node has no such image and cannot pull it: see that it was preloaded there, under this very name");
        }
        failed.hint(format!(
            "`{} -n {} describe pods` and `… logs deployment/{}` say more",
            cluster.kubectl(),
            self.namespace,
            self.name
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn standing_is_what_kubectl_says() {
        let deployment = |generation: u64, status: Value| json!({"metadata": {"generation": generation}, "spec": {"replicas": 2}, "status": status});
        let full =
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert_eq!(standing(&deployment(2, full.clone())), Standing::Ready);
        assert!(matches!(standing(&deployment(3, full.clone())), Standing::Waits(_)));
        for (field, value) in [("updatedReplicas", 1), ("availableReplicas", 1), ("replicas", 3)] {
            let mut status = full.clone();
            status[field] = json!(value);
            assert!(matches!(standing(&deployment(2, status.clone())), Standing::Waits(_)), "{field}");
            status["conditions"] = json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]);
            assert!(matches!(standing(&deployment(2, status)), Standing::Stuck(_)), "{field}");
        }
        assert!(matches!(standing(&deployment(0, json!({}))), Standing::Waits(_)));
    }
}
