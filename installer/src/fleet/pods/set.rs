//! The pods of one DaemonSet: made where they are not there, found by their nodes, waited for, removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::plan::NodePods;
use ferry_model::report::Failed;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::manifest::{APP, CONTAINER, manifests, selector};
use super::{Manner, trouble};
use crate::cluster::{Cluster, Force, Kind, MANAGER, Place, Pod, is_ready};
use crate::fleet::lock;
use crate::resources::{Undone, lasting_trouble, remove};

/// How long a pod may take to be ready, its image's pull with it.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a pod may say the same trouble before it is taken for one that does not pass; and how long a node may have none.
const TROUBLE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(300);
/// All nodes wait for one list of their pods. The longer it takes, the longer it is good for.
const SHARE: u32 = 4;

/// The image of a DaemonSet's pods.
const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// The pods of one DaemonSet.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) pods: NodePods,
    pub(super) cluster: Cluster,
    /// Whether the DaemonSet is known to be there.
    stands: Mutex<bool>,
    listed: Mutex<Option<Listed>>,
    /// Those that were ready when they were last asked for.
    ready: std::sync::Mutex<BTreeMap<Host, Pod>>,
    /// What does not pass by itself, and since when.
    troubles: std::sync::Mutex<BTreeMap<Host, (Vec<String>, Instant)>>,
}

/// What the API said of all pods.
#[derive(Clone, Debug)]
struct Listed {
    pods: Arc<Vec<Value>>,
    good_until: Instant,
}

impl Set {
    pub(super) fn new(pods: NodePods, cluster: Cluster) -> Self {
        Self {
            pods,
            cluster,
            stands: Mutex::default(),
            listed: Mutex::default(),
            ready: std::sync::Mutex::default(),
            troubles: std::sync::Mutex::default(),
        }
    }

    /// The pod of a node, once it is ready.
    pub(super) async fn pod(&self, node: &Host, manner: Manner, limit: Duration) -> Result<Pod, Failed> {
        let known = || lock(&self.ready);
        if let Some(pod) = known().get(node) {
            return Ok(pod.clone());
        }
        self.stand(manner).await?;
        let begun = Instant::now();
        loop {
            let pods = self.list().await?;
            let own: Vec<&Value> = pods.iter().filter(|pod| self.is_of(pod, node)).collect();
            if let Some(pod) = own.iter().find(|pod| is_ready(pod)) {
                let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                let pod = self.cluster.pod_named(&self.pods.namespace, name, CONTAINER);
                known().insert(node.clone(), pod.clone());
                return Ok(pod);
            }
            let own: Vec<Value> = own.into_iter().cloned().collect();
            if self.is_lasting(node, &own) || begun.elapsed() >= limit.min(PATIENCE) {
                return Err(trouble::explain(self, node, &own).await);
            }
            sleep(PAUSE).await;
        }
    }

    /// The pod that was ready may not be any more.
    pub(super) fn forget(&self, node: &Host) {
        lock(&self.ready).remove(node);
    }

    /// Whether a pod is this node's, as it shall be now. One that has no node yet says for which it was made.
    fn is_of(&self, pod: &Value, node: &Host) -> bool {
        const MADE_FOR: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
        let lies_on = text("/spec/nodeName").or_else(|| text(MADE_FOR));
        lies_on == Some(node.as_str())
            && text("/spec/containers/0/image") == Some(&self.pods.image)
            && pod.pointer("/metadata/deletionTimestamp").is_none()
    }

    fn is_lasting(&self, node: &Host, own: &[Value]) -> bool {
        let now = if own.is_empty() { vec!["no pod".to_owned()] } else { lasting_trouble(own) };
        let mut troubles = lock(&self.troubles);
        match troubles.get(node) {
            _ if now.is_empty() => {
                troubles.remove(node);
                false
            }
            Some((known, since)) if *known == now => since.elapsed() >= TROUBLE,
            _ => {
                troubles.insert(node.clone(), (now, Instant::now()));
                false
            }
        }
    }

    async fn list(&self) -> Result<Arc<Vec<Value>>, Failed> {
        let mut listed = self.listed.lock().await;
        if let Some(known) = listed.as_ref().filter(|known| Instant::now() < known.good_until) {
            return Ok(Arc::clone(&known.pods));
        }
        let begun = Instant::now();
        let kind = Kind::known("v1", "Pod").expect("pods are a known kind");
        let pods = Arc::new(self.cluster.list(&kind, &self.pods.namespace, &selector(&self.pods)).await?);
        let good_until = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
        *listed = Some(Listed { pods: Arc::clone(&pods), good_until });
        Ok(pods)
    }

    /// Sees to it that the DaemonSet is there.
    async fn stand(&self, manner: Manner) -> Result<(), Failed> {
        let mut stands = self.stands.lock().await;
        if *stands {
            return Ok(());
        }
        let [namespace, daemon_set] = manifests(&self.pods);
        let place = Place::of(&daemon_set);
        let live = self.cluster.get(&place).await?;
        if live.as_ref().is_some_and(|live| live.pointer("/metadata/deletionTimestamp").is_some()) {
            let message = format!("{place} is being removed");
            return Err(Failed::because(Class::Transient, message).hint("try again when it is gone"));
        }
        match (&live, manner) {
            (None, Manner::Look) => return Err(trouble::absent(&self.pods)),
            (Some(live), Manner::Look) => match live.pointer(IMAGE).and_then(Value::as_str) {
                Some(image) if image != self.pods.image => {
                    return Err(trouble::other(&self.pods, image));
                }
                _ => {}
            },
            // The plan sees to those that stay.
            (Some(_), Manner::Work) if self.pods.keep => {}
            (live, Manner::Work) => {
                // A namespace of somebody else's stays as it is.
                if self.cluster.get(&Place::of(&namespace)).await?.is_none() {
                    self.cluster.apply(&namespace, Force::No).await?;
                }
                let force = if live.as_ref().is_some_and(is_ours) { Force::Yes } else { Force::No };
                self.cluster.apply(&daemon_set, force).await.map_err(trouble::not_taken)?;
            }
        }
        *stands = true;
        Ok(())
    }

    /// Removes what is there for the time of the work alone. Gives what stays, and why.
    pub(super) async fn remove(&self) -> Result<Vec<String>, Failed> {
        let mut left = Vec::new();
        if self.pods.keep {
            return Ok(left);
        }
        let [namespace, daemon_set] = manifests(&self.pods);
        for manifest in [daemon_set, namespace] {
            let live = self.cluster.get(&Place::of(&manifest)).await?;
            if live.as_ref().is_some_and(is_ours)
                && let Undone::Left(reason) = remove(&self.cluster, &manifest).await?
            {
                left.push(reason);
            }
        }
        *self.stands.lock().await = false;
        lock(&self.ready).clear();
        Ok(left)
    }
}

/// Whether an object was made to reach nodes, by Ferry.
fn is_ours(live: &Value) -> bool {
    let labels = &live["metadata"]["labels"];
    labels["app.kubernetes.io/managed-by"] == MANAGER && labels["app.kubernetes.io/name"] == APP
}
