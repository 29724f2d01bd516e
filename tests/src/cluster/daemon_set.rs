//! Pods of DaemonSets: one on each node that the pod's template fits.

use serde_json::{Value, json};

use super::controller::{hash_of, is_ready, new_pod, next};
use super::store::{Key, Store};

pub(super) fn spread(store: &mut Store, key: &Key, mut daemon_set: Value) {
    let template = daemon_set["spec"]["template"].clone();
    let hash = hash_of(&template);
    let nodes =
        store.objects.values().filter(|object| object["kind"] == "Node" && fits(&template["spec"], object));
    let nodes: Vec<String> =
        nodes.map(|node| node["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
    let name = |node: &String| format!("{}-{hash}-{node}", key.2);
    let mut ready = 0;
    for node in &nodes {
        let pod_key = ("Pod", key.1.clone(), name(node));
        let pod = match store.objects.get(&pod_key).cloned() {
            None => {
                let spec = bound(&template["spec"], node);
                new_pod(&daemon_set, &name(node), &template["metadata"]["labels"], &spec)
            }
            Some(pod) => next(pod, store.fates.get(node).unwrap_or(&store.fate)),
        };
        ready += usize::from(is_ready(&pod));
        store.daemon_nodes.insert(node.clone());
        store.put_by_controller(pod_key, pod);
    }
    let uid = daemon_set["metadata"]["uid"].clone();
    let wanted: Vec<String> = nodes.iter().map(name).collect();
    store.objects.retain(|(kind, _, name), pod| {
        *kind != "Pod"
            || pod.pointer("/metadata/ownerReferences/0/uid") != Some(&uid)
            || wanted.contains(name)
    });
    let generation = daemon_set["metadata"]["generation"].clone();
    daemon_set["status"] = json!({"observedGeneration": generation, "desiredNumberScheduled": nodes.len(),
        "currentNumberScheduled": nodes.len(), "updatedNumberScheduled": nodes.len(), "numberReady": ready});
    store.put_by_controller(key.clone(), daemon_set);
}

/// As the real controller has it: bound to its node by name, whatever the template asks of nodes.
fn bound(spec: &Value, node: &str) -> Value {
    let mut spec = spec.clone();
    spec["nodeName"] = json!(node);
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]});
    spec
}

fn fits(pod: &Value, node: &Value) -> bool {
    let list = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let labels = &node["metadata"]["labels"];
    let selector = pod["nodeSelector"].as_object().into_iter().flatten();
    let is_selected = selector.into_iter().all(|(name, value)| labels[name] == *value);
    let tolerates_all =
        list(pod, "/tolerations").iter().any(|one| one["operator"] == "Exists" && one.get("key").is_none());
    let terms =
        list(pod, "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms");
    let meets = |term: &Value| {
        let labelled = list(term, "/matchExpressions").iter().all(|one| holds(one, &labels[key(one)]));
        labelled && list(term, "/matchFields").iter().all(|one| holds(one, &node["metadata"]["name"]))
    };
    let is_free = list(node, "/spec/taints").is_empty() || tolerates_all;
    is_selected && is_free && (terms.is_empty() || terms.iter().any(meets))
}

fn key(requirement: &Value) -> &str {
    requirement["key"].as_str().unwrap_or_default()
}

fn holds(requirement: &Value, found: &Value) -> bool {
    let is_one = requirement["values"].as_array().is_some_and(|values| values.contains(found));
    match requirement["operator"].as_str() {
        Some("In") => is_one,
        Some("NotIn") => !is_one,
        Some("Exists") => !found.is_null(),
        Some("DoesNotExist") => found.is_null(),
        _ => false,
    }
}
