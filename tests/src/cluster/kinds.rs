//! The kinds that the API server has.

use serde_json::{Value, json};

/// A kind of object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) version: &'static str,
    pub(super) name: &'static str,
    pub(super) plural: &'static str,
    pub(super) namespaced: bool,
}

const fn kind(version: &'static str, name: &'static str, plural: &'static str, namespaced: bool) -> Kind {
    Kind { version, name, plural, namespaced }
}

pub(super) const KINDS: [Kind; 19] = [
    kind("v1", "Namespace", "namespaces", false),
    kind("v1", "Node", "nodes", false),
    kind("v1", "Pod", "pods", true),
    kind("v1", "Event", "events", true),
    kind("v1", "Secret", "secrets", true),
    kind("v1", "ConfigMap", "configmaps", true),
    kind("v1", "Service", "services", true),
    kind("v1", "Endpoints", "endpoints", true),
    kind("v1", "ServiceAccount", "serviceaccounts", true),
    kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    kind("v1", "PersistentVolume", "persistentvolumes", false),
    kind("apps/v1", "Deployment", "deployments", true),
    kind("apps/v1", "DaemonSet", "daemonsets", true),
    kind("apps/v1", "StatefulSet", "statefulsets", true),
    kind("apps/v1", "ReplicaSet", "replicasets", true),
    kind("networking.k8s.io/v1", "Ingress", "ingresses", true),
    // One that clients do not know by heart and have to ask for.
    kind("batch/v1", "Job", "jobs", true),
    // Where it was before Kubernetes 1.21.
    kind("batch/v1beta1", "CronJob", "cronjobs", true),
    // An operator's.
    kind("paas.bk.tencent.com/v1alpha2", "BkApp", "bkapps", true),
];

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Version,
    Groups,
    Core,
    Resources(String),
    /// Objects of a kind, in a namespace where that is not empty.
    List(&'static Kind, String),
    Object(&'static Kind, String, String),
}

pub(super) fn route(path: &str) -> Option<Route> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (version, rest) = match parts.as_slice() {
        ["version"] => return Some(Route::Version),
        ["apis"] => return Some(Route::Groups),
        ["api"] => return Some(Route::Core),
        ["api", version, rest @ ..] => ((*version).to_owned(), rest),
        ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
        _ => return None,
    };
    let find = |plural: &str| KINDS.iter().find(|kind| kind.version == version && kind.plural == plural);
    match rest {
        [] => KINDS.iter().any(|kind| kind.version == version).then_some(Route::Resources(version)),
        ["namespaces", namespace, plural] => {
            find(plural).filter(|kind| kind.namespaced).map(|kind| Route::List(kind, (*namespace).to_owned()))
        }
        ["namespaces", namespace, plural, name] => find(plural)
            .filter(|kind| kind.namespaced)
            .map(|kind| Route::Object(kind, (*namespace).to_owned(), (*name).to_owned())),
        [plural] => find(plural).map(|kind| Route::List(kind, String::new())),
        [plural, name] => find(plural)
            .filter(|kind| !kind.namespaced)
            .map(|kind| Route::Object(kind, String::new(), (*name).to_owned())),
        _ => None,
    }
}

/// `/apis`.
pub(super) fn groups() -> Value {
    let mut versions: Vec<&str> =
        KINDS.iter().map(|kind| kind.version).filter(|version| *version != "v1").collect();
    versions.dedup();
    let mut groups: Vec<(&str, Vec<Value>)> = Vec::new();
    for version in versions {
        let (name, short) = version.split_once('/').unwrap_or(("", version));
        let version = json!({"groupVersion": version, "version": short});
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, versions)) => versions.push(version),
            None => groups.push((name, vec![version])),
        }
    }
    let group = |(name, versions): &(&str, Vec<Value>)| json!({"name": name, "versions": versions, "preferredVersion": versions[0]});
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.iter().map(group).collect::<Vec<_>>()})
}

/// `/apis/GROUP/VERSION`.
pub(super) fn resources(version: &str) -> Value {
    let verbs = ["create", "delete", "get", "list", "patch", "update"];
    let resource = |kind: &Kind| json!({"name": kind.plural, "kind": kind.name, "namespaced": kind.namespaced, "singularName": "", "verbs": verbs});
    let resources: Vec<Value> = KINDS.iter().filter(|kind| kind.version == version).map(resource).collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources})
}
