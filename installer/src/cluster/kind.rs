//! Where objects of a kind are in the API: known for the kinds that Ferry makes, asked for otherwise.

use serde_json::Value;

/// A kind of object, as the API's paths spell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// `v1`, `apps/v1`.
    pub(crate) api_version: String,
    /// `Deployment`.
    pub(crate) name: String,
    /// `deployments`.
    pub(crate) plural: String,
    /// Whether its objects lie in namespaces.
    pub(crate) namespaced: bool,
}

const CORE: &str = "v1";

/// What needs no asking.
const KNOWN: [(&str, &str, &str, bool); 16] = [
    (CORE, "Namespace", "namespaces", false),
    (CORE, "Node", "nodes", false),
    (CORE, "Pod", "pods", true),
    (CORE, "Secret", "secrets", true),
    (CORE, "ConfigMap", "configmaps", true),
    (CORE, "Service", "services", true),
    (CORE, "ServiceAccount", "serviceaccounts", true),
    (CORE, "PersistentVolumeClaim", "persistentvolumeclaims", true),
    (CORE, "PersistentVolume", "persistentvolumes", false),
    (CORE, "Endpoints", "endpoints", true),
    (CORE, "Event", "events", true),
    ("apps/v1", "Deployment", "deployments", true),
    ("apps/v1", "DaemonSet", "daemonsets", true),
    ("apps/v1", "StatefulSet", "statefulsets", true),
    ("batch/v1", "Job", "jobs", true),
    ("networking.k8s.io/v1", "Ingress", "ingresses", true),
];

impl Kind {
    /// A kind that needs no asking.
    pub(crate) fn known(api_version: &str, kind: &str) -> Option<Self> {
        let found = KNOWN.iter().find(|known| (known.0, known.1) == (api_version, kind))?;
        Some(Self {
            api_version: api_version.to_owned(),
            name: kind.to_owned(),
            plural: found.2.to_owned(),
            namespaced: found.3,
        })
    }

    /// The kinds that an `APIResourceList` names whose objects can be listed.
    pub(super) fn listable(list: &Value) -> Vec<Self> {
        let api_version = list["groupVersion"].as_str().unwrap_or_default();
        let resources = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
        let can_list = |resource: &&Value| {
            resource["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|verb| verb == "list"))
        };
        let kind = |resource: &Value| {
            Some(Self {
                api_version: api_version.to_owned(),
                name: resource["kind"].as_str()?.to_owned(),
                plural: resource["name"].as_str().filter(|name| !name.contains('/'))?.to_owned(),
                namespaced: resource["namespaced"].as_bool()?,
            })
        };
        resources.iter().filter(can_list).filter_map(kind).collect()
    }

    /// The path of what is in `namespace`, or of everything.
    pub(super) fn path(&self, namespace: &str) -> String {
        let root = root(&self.api_version);
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{}/{}", segment(namespace), self.plural)
        } else {
            format!("{root}/{}", self.plural)
        }
    }
}

/// A name as one segment of a path, whatever is in it.
pub(super) fn segment(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'-' | b'_' | b'~' | b':' => path.push(char::from(byte)),
            // Segments of dots lead elsewhere.
            b'.' if name.bytes().any(|other| other != b'.') => path.push('.'),
            byte if byte.is_ascii_alphanumeric() => path.push(char::from(byte)),
            byte => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

/// The path that an API version is served below.
pub(super) fn root(api_version: &str) -> String {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    format!("/{root}/{api_version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let path = |version, kind, namespace| Kind::known(version, kind).unwrap().path(namespace);
        assert_eq!(path("v1", "Namespace", "ignored"), "/api/v1/namespaces");
        assert_eq!(path("v1", "Secret", "a"), "/api/v1/namespaces/a/secrets");
        assert_eq!(path("v1", "Pod", ""), "/api/v1/pods");
        assert_eq!(
            path("networking.k8s.io/v1", "Ingress", "a"),
            "/apis/networking.k8s.io/v1/namespaces/a/ingresses"
        );
        assert_eq!(Kind::known("extensions/v1beta1", "Ingress"), None);
        assert_eq!(path("v1", "Secret", "../a?b"), "/api/v1/namespaces/..%2Fa%3Fb/secrets");
        assert_eq!(path("v1", "Secret", ".."), "/api/v1/namespaces/%2E%2E/secrets");
        assert_eq!(segment("system:node-1.a_b"), "system:node-1.a_b");
    }

    #[test]
    fn subresources_are_no_kinds() {
        let list = serde_json::json!({"groupVersion": "apps/v1", "resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["get", "list"]},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true, "verbs": ["get", "list"]},
            {"name": "reviews", "kind": "Review", "namespaced": false, "verbs": ["create"]},
        ]});
        assert_eq!(Kind::listable(&list), [Kind::known("apps/v1", "Deployment").unwrap()]);
    }
}
