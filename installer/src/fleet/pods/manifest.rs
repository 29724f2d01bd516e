//! The objects that put a pod on each node.

use ferry_model::plan::{LabelRequirement, NodePods, NodeTerm};
use serde_json::{Value, json};

use crate::cluster::MANAGER;

/// What the objects are told apart from others of Ferry's by.
pub(super) const APP: &str = "ferry-nodes";
/// The container of each pod.
pub(super) const CONTAINER: &str = "node";
/// Where a pod has the node's root.
pub(super) const ROOT: &str = "/host";

/// The namespace and the DaemonSet.
pub(crate) fn manifests(pods: &NodePods) -> [Value; 2] {
    [namespace(pods), daemon_set(pods)]
}

/// Clusters that check pods take privileged ones only where the namespace says so.
fn namespace(pods: &NodePods) -> Value {
    let mut labels = labels();
    for mode in ["enforce", "audit", "warn"] {
        labels[format!("pod-security.kubernetes.io/{mode}")] = json!("privileged");
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": pods.namespace, "labels": labels}})
}

fn daemon_set(pods: &NodePods) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"namespace": pods.namespace, "name": pods.name, "labels": labels()},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": APP, "app.kubernetes.io/instance": pods.name}},
            "revisionHistoryLimit": 1,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {"metadata": {"labels": pod_labels(pods)}, "spec": pod(pods)},
        },
    })
}

fn labels() -> Value {
    json!({
        "app.kubernetes.io/name": APP,
        "app.kubernetes.io/component": "node-access",
        "app.kubernetes.io/managed-by": MANAGER,
    })
}

fn pod_labels(pods: &NodePods) -> Value {
    let mut labels = labels();
    labels["app.kubernetes.io/instance"] = json!(pods.name);
    labels
}

/// The labels that the pods are found by.
pub(super) fn selector(pods: &NodePods) -> String {
    format!("app.kubernetes.io/name={APP},app.kubernetes.io/instance={}", pods.name)
}

fn pod(pods: &NodePods) -> Value {
    let mut pod = json!({
        // Programs that run in it see the node's processes and network, as if they had been started there.
        "hostPID": true,
        "hostNetwork": true,
        "dnsPolicy": "Default",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [{
            "name": CONTAINER,
            "image": pods.image,
            "imagePullPolicy": "IfNotPresent",
            // Not every `sleep` knows `infinity`.
            "command": ["sh", "-c", "while :; do sleep 3600; done"],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            "securityContext": {"privileged": true, "runAsUser": 0},
            // What the node mounts later is seen too.
            "volumeMounts": [{"name": "host", "mountPath": ROOT, "mountPropagation": "HostToContainer"}],
        }],
        "volumes": [{"name": "host", "hostPath": {"path": "/", "type": "Directory"}}],
    });
    if !pods.nodes.is_empty() {
        let terms: Vec<Value> = pods.nodes.iter().map(term).collect();
        pod["affinity"] = json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    }
    pod
}

fn term(term: &NodeTerm) -> Value {
    let mut node = json!({});
    if !term.labels.is_empty() {
        node["matchExpressions"] = term.labels.iter().map(expression).collect();
    }
    // Each takes one name.
    let not = |name| json!({"key": "metadata.name", "operator": "NotIn", "values": [name]});
    if !term.not_named.is_empty() {
        node["matchFields"] = term.not_named.iter().map(not).collect();
    }
    node
}

fn expression(requirement: &LabelRequirement) -> Value {
    let mut expression = json!({"key": requirement.key, "operator": requirement.operator});
    if !requirement.values.is_empty() {
        expression["values"] = json!(requirement.values);
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::super::tests::pods;
    use super::*;

    #[test]
    fn the_objects_are_what_reviewers_have_seen() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fleet/pods/golden.yaml");
        let text: String = manifests(&pods())
            .iter()
            .map(|manifest| format!("---\n{}", serde_saphyr::to_string(manifest).unwrap()))
            .collect();
        if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&file).unwrap_or_default());
    }

    #[test]
    fn pods_are_found_by_labels_that_they_have() {
        let [_, daemon_set] = manifests(&pods());
        let (wanted, has) = (
            &daemon_set["spec"]["selector"]["matchLabels"],
            &daemon_set["spec"]["template"]["metadata"]["labels"],
        );
        for (name, value) in wanted.as_object().unwrap() {
            assert_eq!(has.get(name), Some(value));
            assert!(selector(&pods()).contains(&format!("{name}={}", value.as_str().unwrap())));
        }
    }
}
