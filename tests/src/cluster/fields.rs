//! Who set which field: the merge of server-side apply, its conflicts, and `managedFields`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A field, by the elements of `fieldsV1`: `f:NAME`, `k:KEYS` for an item of a list, `.` for the item itself.
type Path = Vec<String>;
type Paths = BTreeSet<Path>;

/// Lists whose items have keys, as the published schemas say.
const KEYED: [(&str, &[&str]); 8] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("volumes", &["name"]),
    ("env", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("hostAliases", &["ip"]),
    ("ownerReferences", &["uid"]),
];
/// What nobody manages.
const UNMANAGED: [&str; 11] = [
    "apiVersion",
    "kind",
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "status",
];

/// A field that somebody else set to another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) manager: String,
    pub(super) field: String,
}

#[derive(Clone, Debug)]
struct Entry {
    manager: String,
    operation: String,
    paths: Paths,
}

/// `live` with what `manager` applies, or who is against it.
pub(super) fn apply(
    live: &Value,
    applied: &Value,
    manager: &str,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    let mut entries = entries(live);
    let mine = paths(applied);
    let is_mine = |entry: &Entry| entry.manager == manager && entry.operation == "Apply";
    let mut conflicts = Vec::new();
    for entry in entries.iter_mut().filter(|entry| !is_mine(entry)) {
        let contested: Vec<Path> = entry
            .paths
            .intersection(&mine)
            .filter(|path| find(live, path) != find(applied, path))
            .cloned()
            .collect();
        for path in contested {
            conflicts.push(Conflict { manager: entry.manager.clone(), field: shown(&path) });
            entry.paths.remove(&path);
        }
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    let before =
        entries.iter().find(|entry| is_mine(entry)).map(|entry| entry.paths.clone()).unwrap_or_default();
    let mut merged = merge("", live, applied);
    for path in before.difference(&mine) {
        let is_theirs = entries.iter().any(|entry| !is_mine(entry) && entry.paths.contains(path));
        if !is_theirs {
            remove(&mut merged, path);
        }
    }
    entries.retain(|entry| !is_mine(entry));
    entries.push(Entry { manager: manager.to_owned(), operation: "Apply".to_owned(), paths: mine });
    set_entries(&mut merged, entries);
    Ok(merged)
}

/// `new`, which `manager` put in place of `live`, with its changes noted as the manager's.
pub(super) fn update(live: &Value, mut new: Value, manager: &str) -> Value {
    let (old_paths, new_paths) = (paths(live), paths(&new));
    let changed: Paths =
        new_paths.iter().filter(|path| find(live, path) != find(&new, path)).cloned().collect();
    let gone: Paths = old_paths.difference(&new_paths).cloned().collect();
    let mut entries = entries(live);
    for entry in &mut entries {
        entry.paths.retain(|path| !changed.contains(path) && !gone.contains(path));
    }
    let is_mine = |entry: &&mut Entry| entry.manager == manager && entry.operation == "Update";
    match entries.iter_mut().find(is_mine) {
        Some(entry) => entry.paths.extend(changed),
        None => {
            entries.push(Entry {
                manager: manager.to_owned(),
                operation: "Update".to_owned(),
                paths: changed,
            });
        }
    }
    set_entries(&mut new, entries);
    new
}

/// A JSON merge patch (RFC 7396).
pub(super) fn merge_patch(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut merged = target.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            merged.remove(key);
        } else {
            let old = merged.get(key).cloned().unwrap_or_default();
            merged.insert(key.clone(), merge_patch(&old, value));
        }
    }
    Value::Object(merged)
}

/// The keys that tell items of this list apart; none for lists that are replaced as a whole.
fn keys_of(list: &str, item: &Value) -> Option<Map<String, Value>> {
    let mut keys = Map::new();
    if list == "ports" {
        let port = if item.get("containerPort").is_some() { "containerPort" } else { "port" };
        keys.insert(port.to_owned(), item.get(port)?.clone());
        let protocol = item.get("protocol").cloned().unwrap_or_else(|| json!("TCP"));
        keys.insert("protocol".to_owned(), protocol);
        return Some(keys);
    }
    let (_, names) = KEYED.iter().find(|(name, _)| *name == list)?;
    for name in *names {
        keys.insert((*name).to_owned(), item.get(*name)?.clone());
    }
    Some(keys)
}

fn merge(name: &str, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => {
            let mut merged = live.clone();
            for (key, value) in applied {
                let value = live.get(key).map_or_else(|| value.clone(), |old| merge(key, old, value));
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(applied))
            if applied.iter().all(|item| keys_of(name, item).is_some()) =>
        {
            let mut merged = live.clone();
            for item in applied {
                match merged.iter_mut().find(|old| keys_of(name, old) == keys_of(name, item)) {
                    Some(old) => *old = merge("", old, item),
                    None => merged.push(item.clone()),
                }
            }
            Value::Array(merged)
        }
        (_, applied) => applied.clone(),
    }
}

fn paths(object: &Value) -> Paths {
    let mut paths = Paths::new();
    collect("", object, &mut Vec::new(), &mut paths);
    paths
}

fn collect(name: &str, value: &Value, path: &mut Path, paths: &mut Paths) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let unmanaged = path.is_empty() || (path.len() == 1 && path[0] == "f:metadata");
                if !(unmanaged && UNMANAGED.contains(&key.as_str())) {
                    path.push(format!("f:{key}"));
                    collect(key, value, path, paths);
                    path.pop();
                }
            }
        }
        Value::Array(items)
            if !items.is_empty() && items.iter().all(|item| keys_of(name, item).is_some()) =>
        {
            for item in items {
                let keys = keys_of(name, item).map(Value::Object).unwrap_or_default();
                path.push(format!("k:{keys}"));
                paths.insert([path.as_slice(), &[".".to_owned()]].concat());
                collect("", item, path, paths);
                path.pop();
            }
        }
        _ => {
            paths.insert(path.clone());
        }
    }
}

fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    if first == "." {
        // That an item is there is all that its owners agree on.
        return Some(&Value::Null);
    }
    if let Some(name) = first.strip_prefix("f:") {
        return find(value.get(name)?, rest);
    }
    let keys: Value = serde_json::from_str(first.strip_prefix("k:")?).ok()?;
    find(value.as_array()?.iter().find(|item| has_keys(item, &keys))?, rest)
}

fn has_keys(item: &Value, keys: &Value) -> bool {
    let Some(keys) = keys.as_object() else { return false };
    keys.iter().all(|(key, value)| match item.get(key) {
        Some(found) => found == value,
        None => key == "protocol",
    })
}

fn remove(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    if let Some(name) = first.strip_prefix("f:") {
        let Some(fields) = value.as_object_mut() else { return };
        if rest.is_empty() {
            fields.remove(name);
        } else if let Some(inner) = fields.get_mut(name) {
            remove(inner, rest);
            if inner.as_object().is_some_and(Map::is_empty) {
                fields.remove(name);
            }
        }
    } else if let Some(keys) = first.strip_prefix("k:").and_then(|keys| serde_json::from_str(keys).ok()) {
        let Some(items) = value.as_array_mut() else { return };
        if rest == ["."] {
            items.retain(|item| !has_keys(item, &keys));
        } else if let Some(item) = items.iter_mut().find(|item| has_keys(item, &keys)) {
            remove(item, rest);
        }
    }
}

/// `.spec.containers[name="a"].image`, as the API server writes it.
fn shown(path: &[String]) -> String {
    path.iter()
        .filter(|element| *element != ".")
        .map(|element| match element.strip_prefix("f:") {
            Some(name) => format!(".{name}"),
            None => {
                let keys: Map<String, Value> =
                    serde_json::from_str(element.trim_start_matches("k:")).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("[{}]", keys.join(","))
            }
        })
        .collect()
}

fn entries(object: &Value) -> Vec<Entry> {
    let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let entry = |entry: &Value| {
        let mut paths = Paths::new();
        read_fields(&entry["fieldsV1"], &mut Vec::new(), &mut paths);
        Entry { manager: text(entry, "manager"), operation: text(entry, "operation"), paths }
    };
    list.into_iter().flatten().map(entry).collect()
}

fn read_fields(node: &Value, path: &mut Path, paths: &mut Paths) {
    let Some(fields) = node.as_object().filter(|fields| !fields.is_empty()) else {
        paths.insert(path.clone());
        return;
    };
    for (key, inner) in fields {
        path.push(key.clone());
        read_fields(inner, path, paths);
        path.pop();
    }
}

fn set_entries(object: &mut Value, entries: Vec<Entry>) {
    let list: Vec<Value> = entries
        .into_iter()
        .filter(|entry| !entry.paths.is_empty())
        .map(|entry| {
            let mut fields = json!({});
            for path in &entry.paths {
                let mut node = &mut fields;
                for element in path {
                    node = &mut node[element.as_str()];
                    if node.is_null() {
                        *node = json!({});
                    }
                }
            }
            json!({"manager": entry.manager, "operation": entry.operation, "fieldsType": "FieldsV1", "fieldsV1": fields,
                "time": "2024-01-01T00:00:00Z"})
        })
        .collect();
    object["metadata"]["managedFields"] = Value::Array(list);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(data: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
    }

    #[test]
    fn fields_have_owners() {
        let empty = json!({"metadata": {}});
        let one = apply(&empty, &object(&json!({"a": "1", "b": "1"})), "one", false).unwrap();
        // Agreeing is no conflict; then both own it.
        let both = apply(&one, &object(&json!({"a": "1", "c": "1"})), "two", false).unwrap();
        assert_eq!(both["data"], json!({"a": "1", "b": "1", "c": "1"}));
        let conflicts = apply(&both, &object(&json!({"a": "2"})), "two", false).unwrap_err();
        assert_eq!(conflicts, [Conflict { manager: "one".into(), field: ".data.a".into() }]);
        // Force takes it, and what is applied no more goes.
        let forced = apply(&both, &object(&json!({"a": "2"})), "two", true).unwrap();
        assert_eq!(forced["data"], json!({"a": "2", "b": "1"}));
        // What it was taken from may be left out now without going.
        let less = apply(&forced, &object(&json!({"b": "1"})), "one", false).unwrap();
        assert_eq!(less["data"], json!({"a": "2", "b": "1"}));
        let updated = update(&less, object(&json!({"a": "3", "b": "1"})), "three");
        let conflicts = apply(&updated, &object(&json!({"a": "2"})), "two", false).unwrap_err();
        assert_eq!(conflicts[0].manager, "three");
    }

    #[test]
    fn items_have_keys() {
        let spec = |containers: Value| json!({"metadata": {"name": "a"}, "spec": {"containers": containers}});
        let empty = json!({"metadata": {}});
        let one = apply(&empty, &spec(json!([{"name": "x", "image": "1"}])), "one", false).unwrap();
        let two = apply(&one, &spec(json!([{"name": "y", "image": "1"}])), "two", false).unwrap();
        assert_eq!(two["spec"]["containers"].as_array().unwrap().len(), 2);
        let conflicts = apply(&two, &spec(json!([{"name": "x", "image": "2"}])), "two", false).unwrap_err();
        assert_eq!(conflicts[0].field, ".spec.containers[name=\"x\"].image");
        let mut one_less = spec(json!([{"name": "z", "image": "1"}]));
        one_less = apply(&two, &one_less, "one", false).unwrap();
        let names: Vec<_> =
            one_less["spec"]["containers"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
        assert_eq!(names, ["y", "z"]);
    }

    #[test]
    fn merge_patches() {
        let merged = merge_patch(&json!({"a": {"b": 1, "c": 2}}), &json!({"a": {"b": null, "d": 3}}));
        assert_eq!(merged, json!({"a": {"c": 2, "d": 3}}));
    }
}
