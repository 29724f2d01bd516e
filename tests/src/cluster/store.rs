//! The objects, and what can be done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

use super::controller::Fate;
use super::defaults::{check, set_defaults};
use super::fields::{self, Conflict};
use super::kinds::{KINDS, Kind, Route, route};

/// Kind, namespace, name.
pub(super) type Key = (&'static str, String, String);

/// Why something was not done: a `Status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// Field and message.
    pub(super) causes: Vec<(String, String)>,
}

impl Refusal {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), causes: Vec::new() }
    }
}

/// All objects.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) objects: BTreeMap<Key, Value>,
    pub(super) fate: Fate,
    /// What becomes of pods on these nodes.
    pub(super) fates: BTreeMap<String, Fate>,
    /// Nodes that have had a pod of a DaemonSet.
    pub(super) daemon_nodes: BTreeSet<String>,
    /// When each generation of a Deployment was first seen.
    pub(super) seen: BTreeMap<(String, u64), Instant>,
    counter: u64,
}

impl Store {
    pub(super) fn populate(&mut self) {
        for name in ["default", "kube-system"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            self.apply_by("kube-apiserver", &namespace).expect("the namespace is good");
        }
        let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1",
            "labels": {"node-role.kubernetes.io/master": "", "kubernetes.io/hostname": "node1"}}});
        node["status"] = json!({"addresses": [{"type": "InternalIP", "address": "10.77.0.11"}, {"type": "Hostname", "address": "node1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"containerRuntimeVersion": "docker://19.3.15", "kubeletVersion": super::VERSION}});
        self.create(&KINDS[1], "", node, "kubelet").expect("the node is good");
    }

    pub(super) fn apply_by(&mut self, manager: &str, manifest: &Value) -> Result<(), Refusal> {
        let kind = KINDS
            .iter()
            .find(|kind| manifest["apiVersion"] == kind.version && manifest["kind"] == kind.name)
            .ok_or_else(|| Refusal::new(404, "NotFound", "no such kind"))?;
        let text =
            |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        self.apply(kind, &namespace, &name, manifest, manager, true).map(drop)
    }

    pub(super) fn at_path(&self, path: &str) -> Option<Value> {
        match route(path)? {
            Route::Object(kind, namespace, name) => self.objects.get(&(kind.name, namespace, name)).cloned(),
            _ => None,
        }
    }

    pub(super) fn get(&self, kind: &'static Kind, namespace: &str, name: &str) -> Result<Value, Refusal> {
        let found = self.objects.get(&(kind.name, namespace.to_owned(), name.to_owned()));
        found.cloned().ok_or_else(|| not_found(kind, name))
    }

    pub(super) fn list(&self, kind: &'static Kind, namespace: &str, labels: &str) -> Value {
        let wanted: Vec<(&str, &str)> = labels.split(',').filter_map(|label| label.split_once('=')).collect();
        let fits = |object: &Value| {
            wanted.iter().all(|(name, value)| object["metadata"]["labels"][name].as_str() == Some(value))
        };
        let items: Vec<Value> = self
            .objects
            .iter()
            .filter(|((name, lies, _), _)| *name == kind.name && (namespace.is_empty() || lies == namespace))
            .map(|(_, object)| object.clone())
            .filter(fits)
            .map(without_kind)
            .collect();
        json!({"kind": format!("{}List", kind.name), "apiVersion": kind.version,
            "metadata": {"resourceVersion": self.counter.to_string()}, "items": items})
    }

    pub(super) fn create(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        object: Value,
        manager: &str,
    ) -> Result<Value, Refusal> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.objects.contains_key(&(kind.name, namespace.to_owned(), name.clone())) {
            return Err(Refusal::new(
                409,
                "AlreadyExists",
                format!("{} \"{name}\" already exists", kind.plural),
            ));
        }
        let blank = json!({"metadata": {}});
        let object = fields::update(&blank, object, manager);
        self.write(kind, namespace, &name, None, object)
    }

    pub(super) fn replace(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        object: Value,
        manager: &str,
    ) -> Result<Value, Refusal> {
        let live = self.get(kind, namespace, name)?;
        let version = object["metadata"].get("resourceVersion");
        if version.is_some_and(|version| *version != live["metadata"]["resourceVersion"]) {
            let message = format!(
                "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to the latest version and try again",
                kind.plural
            );
            return Err(Refusal::new(409, "Conflict", message));
        }
        let mut object = fields::update(&live, object, manager);
        // Status is a resource of its own.
        if let Some(status) = live.get("status") {
            object["status"] = status.clone();
        }
        self.write(kind, namespace, name, Some(&live), object)
    }

    pub(super) fn merge(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
        manager: &str,
    ) -> Result<Value, Refusal> {
        let live = self.get(kind, namespace, name)?;
        let merged = fields::update(&live, fields::merge_patch(&live, patch), manager);
        self.write(kind, namespace, name, Some(&live), merged)
    }

    pub(super) fn apply(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        manifest: &Value,
        manager: &str,
        force: bool,
    ) -> Result<Value, Refusal> {
        let live = self.get(kind, namespace, name).ok();
        let blank = json!({"metadata": {}});
        let merged = fields::apply(live.as_ref().unwrap_or(&blank), manifest, manager, force)
            .map_err(|conflicts| conflict(&conflicts, kind))?;
        self.write(kind, namespace, name, live.as_ref(), merged)
    }

    /// Has an object removed. What finalizers hold stays until controllers are through with it.
    pub(super) fn delete(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Value, Refusal> {
        let mut object = self.get(kind, namespace, name)?;
        let is_held = matches!(kind.name, "Namespace" | "PersistentVolumeClaim");
        let key = (kind.name, namespace.to_owned(), name.to_owned());
        if is_held {
            object["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
            if kind.name == "Namespace" {
                object["status"]["phase"] = json!("Terminating");
            }
            self.objects.insert(key, object.clone());
        } else {
            self.objects.remove(&key);
        }
        Ok(object)
    }

    fn write(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        live: Option<&Value>,
        mut object: Value,
    ) -> Result<Value, Refusal> {
        if kind.namespaced {
            let found = self.objects.get(&("Namespace", String::new(), namespace.to_owned()));
            let found = found.ok_or_else(|| {
                Refusal::new(404, "NotFound", format!("namespaces \"{namespace}\" not found"))
            })?;
            if live.is_none() && found["metadata"].get("deletionTimestamp").is_some() {
                let message = format!("namespace {namespace} is being terminated");
                return Err(Refusal::new(403, "Forbidden", message));
            }
        }
        object["apiVersion"] = json!(kind.version);
        object["kind"] = json!(kind.name);
        object["metadata"]["name"] = json!(name);
        if kind.namespaced {
            object["metadata"]["namespace"] = json!(namespace);
        }
        self.counter += 1;
        set_defaults(&mut object, self.counter);
        check(kind, &object, live)?;
        let mut generation = 1;
        if let Some(live) = live {
            for field in ["uid", "creationTimestamp", "resourceVersion", "generation"] {
                object["metadata"][field] = live["metadata"][field].clone();
            }
            if object == *live {
                self.counter -= 1;
                return Ok(object);
            }
            generation = live["metadata"]["generation"].as_u64().unwrap_or(1);
            generation += u64::from(object["spec"] != live["spec"]);
        } else {
            object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.counter));
            object["metadata"]["creationTimestamp"] = json!("2024-01-01T00:00:00Z");
        }
        object["metadata"]["generation"] = json!(generation);
        object["metadata"]["resourceVersion"] = json!(self.counter.to_string());
        self.objects.insert((kind.name, namespace.to_owned(), name.to_owned()), object.clone());
        Ok(object)
    }

    /// Writes what a controller changed.
    pub(super) fn put_by_controller(&mut self, key: Key, mut object: Value) {
        if self.objects.get(&key) == Some(&object) {
            return;
        }
        self.counter += 1;
        object["metadata"]["resourceVersion"] = json!(self.counter.to_string());
        if object["metadata"].get("uid").is_none() {
            object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.counter));
        }
        self.objects.insert(key, object);
    }
}

/// Lists say once of which kind all are.
fn without_kind(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    object
}

fn not_found(kind: &Kind, name: &str) -> Refusal {
    Refusal::new(404, "NotFound", format!("{} \"{name}\" not found", kind.plural))
}

fn conflict(conflicts: &[Conflict], kind: &Kind) -> Refusal {
    let plural = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
    let causes: Vec<(String, String)> = conflicts
        .iter()
        .map(|conflict| {
            (conflict.field.clone(), format!("conflict with \"{}\" using {}", conflict.manager, kind.version))
        })
        .collect();
    let message = format!("Apply failed with {} {plural}: {}: {}", causes.len(), causes[0].1, causes[0].0);
    Refusal { causes, ..Refusal::new(409, "Conflict", message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"},
            "data": {"a": value}})
    }

    #[test]
    fn whoever_saw_an_old_version_may_not_replace() {
        let kind = KINDS.iter().find(|kind| kind.name == "ConfigMap").unwrap();
        let mut store = Store::default();
        store.populate();
        let first = store.create(kind, "default", config_map("1"), "one").unwrap();
        assert_eq!(
            store.create(kind, "default", config_map("1"), "one").unwrap_err().reason,
            "AlreadyExists"
        );
        let same = store.replace(kind, "default", "a", first.clone(), "one").unwrap();
        assert_eq!(same["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        let mut newer = first.clone();
        newer["data"]["a"] = json!("2");
        let newer = store.replace(kind, "default", "a", newer, "two").unwrap();
        assert_ne!(newer["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        let refusal = store.replace(kind, "default", "a", first, "one").unwrap_err();
        assert_eq!((refusal.code, refusal.reason), (409, "Conflict"));
        let conflict = store.apply(kind, "default", "a", &config_map("3"), "three", false).unwrap_err();
        assert_eq!(conflict.causes, [(".data.a".to_owned(), "conflict with \"two\" using v1".to_owned())]);
    }

    #[test]
    fn what_is_not_valid_is_refused() {
        let find = |name: &str| KINDS.iter().find(|kind| kind.name == name).unwrap();
        let mut store = Store::default();
        store.populate();
        let nowhere = store.create(find("ConfigMap"), "nowhere", config_map("1"), "one").unwrap_err();
        assert_eq!((nowhere.code, nowhere.reason), (404, "NotFound"));
        let secret = json!({"metadata": {"name": "s"}, "data": {"a": "no base64!"}});
        assert_eq!(store.create(find("Secret"), "default", secret, "one").unwrap_err().code, 422);
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
        let mut service = store.create(find("Service"), "default", service, "one").unwrap();
        assert_eq!(service["spec"]["ports"][0]["protocol"], "TCP");
        service["spec"]["clusterIP"] = json!("10.96.9.9");
        let refusal = store.replace(find("Service"), "default", "s", service, "one").unwrap_err();
        assert!(refusal.message.contains("immutable"), "{refusal:?}");
    }
}
