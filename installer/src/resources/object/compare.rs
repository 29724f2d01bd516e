//! What an object of the cluster has of what it shall have. The API server adds defaults, controllers add more, and others may
//! own a part: only fields that are wanted count, and those that an earlier run of ours set and that are wanted no more.

use serde_json::{Map, Value};

use super::quantity::is_same_quantity;
use crate::cluster::MANAGER;

/// Lists whose items the API tells apart by keys; the order of items does not matter, and others may add some. By the list's
/// name, as `x-kubernetes-list-map-keys` of the published schemas has it.
const KEYED: [(&str, &[&str]); 11] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("volumes", &["name"]),
    ("env", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("ports", &["containerPort", "port", "protocol"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("ownerReferences", &["uid"]),
];
/// Objects whose values are amounts, which the API server spells in its own way.
const AMOUNTS: [&str; 3] = ["requests", "limits", "hard"];

/// `live`, reduced to the fields that `wanted` has and to those that only we have set. Equal to `wanted` exactly if nothing
/// need be done: what only differs in spelling is given as `wanted` spells it.
pub(super) fn project(wanted: &Value, live: &Value) -> Value {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let is_ours = |entry: &&Value| entry["manager"] == MANAGER && entry["operation"] == "Apply";
    let owned = entries.and_then(|entries| entries.iter().find(is_ours)).map(|entry| &entry["fieldsV1"]);
    project_value("", wanted, live, owned)
}

/// Whether the last one who set fields of it by server-side apply was us.
pub(super) fn is_set_by_us(live: &Value) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.is_some_and(|entries| entries.iter().any(|entry| entry["manager"] == MANAGER))
}

/// `object` without what the server keeps for itself.
pub(super) fn trim(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in
            ["managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"]
        {
            metadata.remove(field);
        }
    }
    object
}

fn project_value(name: &str, wanted: &Value, live: &Value, owned: Option<&Value>) -> Value {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => Value::Object(project_map(name, wanted, live, owned)),
        (Value::Array(wanted), Value::Array(live)) => Value::Array(project_list(name, wanted, live, owned)),
        (wanted, live) => live_or_same(name, wanted, live),
    }
}

fn live_or_same(name: &str, wanted: &Value, live: &Value) -> Value {
    let is_amount = AMOUNTS.contains(&name) || name == "sizeLimit";
    if is_amount && is_same_quantity(wanted, live) { wanted.clone() } else { live.clone() }
}

fn project_map(
    name: &str,
    wanted: &Map<String, Value>,
    live: &Map<String, Value>,
    owned: Option<&Value>,
) -> Map<String, Value> {
    let owned_field = |key: &str| owned.and_then(|owned| owned.get(format!("f:{key}")));
    let mut projected = Map::new();
    for (key, wanted) in wanted {
        // The values of `limits` are amounts, whatever they are called.
        let inner = if AMOUNTS.contains(&name) { name } else { key };
        match live.get(key) {
            Some(live) => {
                projected.insert(key.clone(), project_value(inner, wanted, live, owned_field(key)));
            }
            // The API server leaves out what says nothing.
            None if is_nothing(wanted) => {
                projected.insert(key.clone(), wanted.clone());
            }
            None => {}
        }
    }
    for (key, live) in live {
        if !wanted.contains_key(key) && owned_field(key).is_some() {
            projected.insert(key.clone(), live.clone());
        }
    }
    projected
}

fn project_list(name: &str, wanted: &[Value], live: &[Value], owned: Option<&Value>) -> Vec<Value> {
    let Some((_, keys)) = KEYED.iter().find(|(list, _)| *list == name) else {
        if wanted.len() != live.len() {
            return live.to_vec();
        }
        return wanted.iter().zip(live).map(|(wanted, live)| project_value("", wanted, live, None)).collect();
    };
    let is_same = |wanted: &Value, live: &Value| {
        keys.iter().all(|key| wanted.get(key).is_none_or(|value| live.get(key) == Some(value)))
    };
    let entries: Vec<(Value, &Value)> = owned
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, fields)| Some((serde_json::from_str(key.strip_prefix("k:")?).ok()?, fields)))
        .collect();
    let is_entry_of = |entry: &Value, item: &Value| {
        let fields = entry.as_object().into_iter().flatten();
        fields.into_iter().all(|(key, value)| item.get(key).is_none_or(|found| found == value))
    };
    let mut projected = Vec::new();
    for wanted in wanted {
        if let Some(live) = live.iter().find(|live| is_same(wanted, live)) {
            let owned =
                entries.iter().find(|(entry, _)| is_entry_of(entry, wanted)).map(|(_, fields)| *fields);
            projected.push(project_value("", wanted, live, owned));
        }
    }
    let is_stale = |live: &&Value| {
        entries.iter().any(|(entry, _)| is_entry_of(entry, live))
            && !wanted.iter().any(|wanted| is_same(wanted, live))
    };
    projected.extend(live.iter().filter(is_stale).cloned());
    projected
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_met(wanted: &Value, live: &Value) -> bool {
        project(wanted, live) == *wanted
    }

    #[test]
    fn defaults_and_the_fields_of_others_do_not_count() {
        let wanted = json!({"spec": {"replicas": 1, "containers": [{"name": "a", "image": "x",
            "ports": [{"containerPort": 5000}], "resources": {"limits": {"memory": "1024Mi", "cpu": 1}}}]}});
        let live = json!({"spec": {"replicas": 1, "strategy": {}, "containers": [
            {"name": "sidecar", "image": "y"},
            {"name": "a", "image": "x", "imagePullPolicy": "Always", "ports": [{"containerPort": 5000, "protocol": "TCP"}],
             "resources": {"limits": {"memory": "1Gi", "cpu": "1"}}}]}, "status": {"replicas": 1}});
        assert!(is_met(&wanted, &live), "{}", project(&wanted, &live));
        for (pointer, other) in [
            ("/spec/replicas", json!(2)),
            ("/spec/containers/1/image", json!("z")),
            ("/spec/containers/1/name", json!("b")),
            ("/spec/containers/1/ports/0/containerPort", json!(5001)),
            ("/spec/containers/1/resources/limits/memory", json!("2Gi")),
        ] {
            let mut changed = live.clone();
            *changed.pointer_mut(pointer).unwrap() = other;
            assert!(!is_met(&wanted, &changed), "{pointer}");
        }
    }

    #[test]
    fn plain_lists_count_whole() {
        let wanted = json!({"accessModes": ["ReadWriteOnce"], "rules": [{"host": "a"}]});
        assert!(is_met(
            &wanted,
            &json!({"accessModes": ["ReadWriteOnce"], "rules": [{"host": "a", "x": 1}]})
        ));
        for live in [
            json!({"accessModes": ["ReadWriteOnce", "ReadWriteMany"], "rules": [{"host": "a"}]}),
            json!({"accessModes": ["ReadWriteOnce"], "rules": [{"host": "a"}, {"host": "b"}]}),
            json!({"accessModes": ["ReadWriteOnce"]}),
        ] {
            assert!(!is_met(&wanted, &live), "{live}");
        }
    }

    #[test]
    fn what_says_nothing_may_be_left_out() {
        let wanted = json!({"a": {}, "b": [], "c": null, "d": "", "e": false, "f": 0});
        assert!(is_met(&wanted, &json!({})));
        assert!(!is_met(&json!({"a": true}), &json!({})));
        assert!(!is_met(&json!({"e": false}), &json!({"e": true})));
    }

    #[test]
    fn what_we_set_once_and_want_no_more_counts() {
        let managed = |manager: &str| {
            json!({"metadata": {"managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": {
                "f:data": {"f:a": {}, "f:old": {}},
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}},
                            "k:{\"port\":81,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}}]},
                "data": {"a": "1", "old": "2", "theirs": "3"},
                "ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]})
        };
        let wanted = json!({"data": {"a": "1"}, "ports": [{"port": 80}]});
        assert!(is_met(&wanted, &managed("kubectl")));
        let projected = project(&wanted, &managed("ferry"));
        assert_eq!(projected["data"], json!({"a": "1", "old": "2"}));
        assert_eq!(projected["ports"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn trimming_leaves_what_people_wrote() {
        let object = json!({"kind": "X", "metadata": {"name": "a", "uid": "1", "resourceVersion": "2",
            "managedFields": [], "generation": 1, "creationTimestamp": "t"}, "status": {}, "data": {}});
        assert_eq!(trim(&object), json!({"kind": "X", "metadata": {"name": "a"}, "data": {}}));
    }
}
