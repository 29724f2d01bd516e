//! Nodes that the cluster's API lists.

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_model::site::FromCluster;
use serde_json::Value;

use super::Member;
use crate::cluster::{Cluster, Kind};

const ROLE: &str = "node-role.kubernetes.io/";

/// Those that are meant, sorted by name.
pub(super) async fn list(cluster: &Cluster, wanted: &FromCluster) -> Result<Vec<Member>, Failed> {
    let kind = Kind::known("v1", "Node").expect("nodes are a known kind");
    let nodes = cluster.list(&kind, "", &wanted.selector).await?;
    let members = choose(&nodes, &wanted.roles)?;
    if members.is_empty() {
        let message = format!("{} has no node that `fromCluster` means", cluster.name());
        return Err(Failed::because(Class::NotFound, message)
            .hint(format!("see `{} get nodes --show-labels`", cluster.kubectl())));
    }
    Ok(members)
}

fn choose(nodes: &[Value], roles: &[String]) -> Result<Vec<Member>, Failed> {
    let meant = nodes.iter().filter(|node| is_machine(node) && has_role(node, roles));
    let mut members = meant.map(member).collect::<Result<Vec<_>, _>>()?;
    members.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(members)
}

/// A virtual-kubelet's node is none: there is no host to configure.
fn is_machine(node: &Value) -> bool {
    let tainted = node
        .pointer("/spec/taints")
        .and_then(Value::as_array)
        .is_some_and(|taints| taints.iter().any(|taint| taint["key"] == "virtual-kubelet.io/provider"));
    !tainted && label(node, "type") != Some("virtual-kubelet")
}

fn label<'a>(node: &'a Value, name: &str) -> Option<&'a str> {
    node["metadata"]["labels"][name].as_str()
}

fn has_role(node: &Value, wanted: &[String]) -> bool {
    let labels = node["metadata"]["labels"].as_object();
    let has = |role: &str| labels.is_some_and(|labels| labels.contains_key(&format!("{ROLE}{role}")));
    let is = |role: &String| match role.as_str() {
        "worker" => has("worker") || !(has("control-plane") || has("master")),
        role => has(role),
    };
    wanted.is_empty() || wanted.iter().any(is)
}

fn member(node: &Value) -> Result<Member, Failed> {
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    let addresses = node["status"]["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let internal = addresses.iter().find(|address| address["type"] == "InternalIP");
    let parsed = internal
        .and_then(|address| address["address"].as_str())
        .and_then(|address| Some((name.parse().ok()?, address.parse().ok()?)));
    let (name, address) = parsed.ok_or_else(|| {
        Failed::because(Class::Protocol, format!("the cluster knows no InternalIP of node {name}"))
            .hint("list it under `nodes: {hosts: …}` with the address at which ssh reaches it")
    })?;
    Ok(Member::new(name, address))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_choose_and_virtual_nodes_do_not_count() {
        let node = |name: &str, labels: Value, taints: Value| {
            json!({"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints},
                   "status": {"addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "10.0.0.1"}]}})
        };
        let nodes = [
            node("w2", json!({}), json!([])),
            node("m1", json!({"node-role.kubernetes.io/master": ""}), json!([])),
            node("w1", json!({"node-role.kubernetes.io/worker": "true"}), Value::Null),
            node("kci", json!({"type": "virtual-kubelet"}), json!([])),
            node("vk", Value::Null, json!([{"key": "virtual-kubelet.io/provider", "value": "x"}])),
        ];
        let chosen = |roles: &[&str]| {
            let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
            choose(&nodes, &roles).unwrap().iter().map(|node| node.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&[]), ["m1", "w1", "w2"]);
        assert_eq!(chosen(&["worker"]), ["w1", "w2"]);
        assert_eq!(chosen(&["control-plane", "master"]), ["m1"]);
        assert!(chosen(&["gpu"]).is_empty());
        let failed = choose(&[json!({"metadata": {"name": "n9"}})], &[]).unwrap_err();
        assert!(failed.message.contains("n9"), "{failed}");
    }
}
