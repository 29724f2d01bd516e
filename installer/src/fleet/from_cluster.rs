//! Nodes that the cluster's API lists.

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use ferry_model::site::{FromCluster, VirtualNodes};
use serde_json::Value;

use super::{Listed, Member};
use crate::cluster::{Cluster, Kind};

const ROLE: &str = "node-role.kubernetes.io/";

/// Those that are meant, sorted by name.
pub(super) async fn list(
    cluster: &Cluster,
    wanted: &FromCluster,
    virtual_nodes: &VirtualNodes,
) -> Result<Listed, Failed> {
    let kind = Kind::known("v1", "Node").expect("nodes are a known kind");
    let nodes = cluster.list(&kind, "", &wanted.selector).await?;
    let listed = choose(&nodes, &wanted.roles, virtual_nodes)?;
    if listed.machines.is_empty() && listed.virtual_nodes.is_empty() {
        let message = format!("{} has no node that `fromCluster` means", cluster.name());
        return Err(Failed::because(Class::NotFound, message)
            .hint(format!("see `{} get nodes --show-labels`", cluster.kubectl())));
    }
    Ok(listed)
}

fn choose(nodes: &[Value], roles: &[String], said: &VirtualNodes) -> Result<Listed, Failed> {
    let meant = nodes.iter().filter(|node| has_role(node, roles));
    let (unreal, machines): (Vec<&Value>, Vec<&Value>) = meant.partition(|node| is_virtual(node, said));
    let mut machines = machines.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
    machines.sort_by(|one, other| one.name.cmp(&other.name));
    let mut virtual_nodes: Vec<String> = unreal.into_iter().map(|node| name(node).to_owned()).collect();
    virtual_nodes.sort();
    Ok(Listed { machines, virtual_nodes })
}

/// A virtual-kubelet's node is no machine: there is no host to configure.
fn is_virtual(node: &Value, said: &VirtualNodes) -> bool {
    let has_taint = |taint: &Value| said.taints.iter().any(|known| taint["key"] == known.as_str());
    let tainted = node
        .pointer("/spec/taints")
        .and_then(Value::as_array)
        .is_some_and(|taints| taints.iter().any(has_taint));
    let has_label = |(name, value): (&String, &String)| label(node, name) == Some(value);
    let labelled = !said.selector.is_empty() && said.selector.iter().all(has_label);
    tainted || labelled || said.names.iter().any(|known| known == name(node))
}

fn name(node: &Value) -> &str {
    node["metadata"]["name"].as_str().unwrap_or_default()
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
    let name = name(node);
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
            node(
                "kci-2",
                Value::Null,
                json!([{"key": "rbkci-virtual-kubelet.io/provider", "value": "kingsoftcloud"}]),
            ),
            node("vk", Value::Null, json!([{"key": "virtual-kubelet.io/provider", "value": "x"}])),
        ];
        let chosen = |roles: &[&str]| {
            let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
            let listed = choose(&nodes, &roles, &VirtualNodes::default()).unwrap();
            assert!(!roles.is_empty() || listed.virtual_nodes == ["kci", "kci-2", "vk"]);
            listed.machines.iter().map(|node| node.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&[]), ["m1", "w1", "w2"]);
        assert_eq!(chosen(&["worker"]), ["w1", "w2"]);
        assert_eq!(chosen(&["control-plane", "master"]), ["m1"]);
        assert!(chosen(&["gpu"]).is_empty());
        let failed =
            choose(&[json!({"metadata": {"name": "n9"}})], &[], &VirtualNodes::default()).unwrap_err();
        assert!(failed.message.contains("n9"), "{failed}");
    }
}
