//! Pods whose images do not come: put into the cluster as kubelets leave them there.

use anyhow::Result;
use serde_json::{Value, json};

use super::FakeCluster;

/// A pod that waits for the image of its only container.
#[derive(Clone, Copy, Debug)]
pub struct WaitingPod<'a> {
    /// Its namespace, which is there.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The node that it was given to.
    pub node: &'a str,
    /// The image.
    pub image: &'a str,
    /// The kubelet's reason: `ImagePullBackOff`.
    pub reason: &'a str,
    /// What the runtime said.
    pub said: &'a str,
    /// Where the kubelet tells that.
    pub told: Told,
}

/// Where a kubelet tells what the runtime said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// In the container's status, as since Kubernetes 1.31.
    InStatus,
    /// In an event; the status only says that it backs off.
    ByEvent,
}

impl WaitingPod<'_> {
    /// The pod.
    pub fn manifest(&self) -> Value {
        let message = match self.told {
            Told::InStatus => self.said.to_owned(),
            Told::ByEvent => format!("Back-off pulling image \"{}\"", self.image),
        };
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"nodeName": self.node, "containers": [{"name": "main", "image": self.image}]},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "main", "image": self.image, "imageID": "", "ready": false,
                "restartCount": 0, "state": {"waiting": {"reason": self.reason, "message": message}}}]}})
    }

    /// The kubelet's event, if there is one. An older one tells of a timeout.
    pub fn events(&self, uid: &str) -> Vec<Value> {
        if self.told == Told::InStatus {
            return Vec::new();
        }
        let event = |number: u32, message: &str| {
            json!({"apiVersion": "v1", "kind": "Event",
                "metadata": {"name": format!("{}.{number}", self.name), "namespace": self.namespace},
                "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": self.namespace, "name": self.name, "uid": uid},
                "type": "Warning", "reason": "Failed", "count": number, "message": message,
                "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": format!("2024-01-01T00:00:0{number}Z")})
        };
        let older = format!(
            "Failed to pull image \"{}\": rpc error: code = Unknown desc = context deadline exceeded",
            self.image
        );
        vec![event(2, self.said), event(1, &older), event(3, "Error: ImagePullBackOff")]
    }
}

impl FakeCluster {
    /// Puts a pod there that waits for its image, and makes the namespace where there is none.
    pub fn let_wait(&self, pod: &WaitingPod<'_>) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": pod.namespace}});
        self.apply_as("kubectl", &namespace)?;
        self.apply_as("kubelet", &pod.manifest())?;
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
        let uid = self.object(&path).and_then(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned));
        for event in pod.events(&uid.unwrap_or_default()) {
            self.apply_as("kubelet", &event)?;
        }
        Ok(())
    }
}
