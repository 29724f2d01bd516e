//! What a cluster is like, in a few lines: for `init`.

use ferry_model::report::Failed;
use serde_json::Value;

use super::Cluster;
use super::fields::{holds, list, text};
use super::kind::Kind;

/// What a cluster is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// `v1.20.2`.
    pub version: String,
    /// Its nodes, sorted by name.
    pub nodes: Vec<Node>,
    /// The address inside the cluster of ingress-nginx's Service, where there is one.
    pub ingress: Option<String>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its addresses inside the cluster's network.
    pub addresses: Vec<String>,
    /// `control-plane`, `master`, or what else it is labelled as, sorted.
    pub roles: Vec<String>,
    /// Its container runtime: `docker://19.3.15`, `containerd://1.6.20`.
    pub runtime: String,
    /// Whether it says that it is ready.
    pub ready: bool,
}

impl Cluster {
    /// What it is like.
    pub async fn summary(&self) -> Result<Summary, Failed> {
        let version = self.document("/version").await?;
        let version = text(&version, "/gitVersion").to_owned();
        let known = |kind| Kind::known("v1", kind).expect("nodes and services are known kinds");
        let mut nodes: Vec<Node> = self.list(&known("Node"), "", "").await?.iter().map(node).collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let labels = "app.kubernetes.io/instance=ingress-nginx";
        let services = self.list(&known("Service"), "", labels).await?;
        // The admission webhook has a Service of the same instance, which serves no ingress.
        let has_http = |service: &&Value| {
            let ports = service.pointer("/spec/ports").and_then(Value::as_array);
            ports.is_some_and(|ports| ports.iter().any(|port| port["port"] == 80))
        };
        let address = |service: &Value| Some(text(service, "/spec/clusterIP").to_owned());
        let ingress = services.iter().find(has_http).and_then(address);
        let ingress = ingress.filter(|address| !address.is_empty() && address != "None");
        Ok(Summary { version, nodes, ingress })
    }
}

fn node(node: &Value) -> Node {
    let internal =
        |address: &Value| (address["type"] == "InternalIP").then(|| text(address, "/address").to_owned());
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let role = |label: &String| label.strip_prefix("node-role.kubernetes.io/").map(str::to_owned);
    let mut roles: Vec<String> =
        labels.into_iter().flat_map(|labels| labels.keys().filter_map(role)).collect();
    roles.sort();
    Node {
        name: text(node, "/metadata/name").to_owned(),
        addresses: list(node, "/status/addresses").iter().filter_map(internal).collect(),
        roles,
        runtime: text(node, "/status/nodeInfo/containerRuntimeVersion").to_owned(),
        ready: holds(node, "Ready"),
    }
}
