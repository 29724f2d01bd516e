//! Who a workload belongs to: whoever writes it back when somebody else changes it.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Who a workload belongs to, where it is not the cluster's own machinery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Owner {
    /// A release of helm: the next upgrade writes the chart's values again.
    Helm {
        /// The release.
        release: String,
        /// Its namespace.
        namespace: String,
    },
    /// An application of Argo CD.
    ArgoCd {
        /// The application; empty where nothing tells it.
        application: String,
    },
    /// A Kustomization or HelmRelease of Flux.
    Flux {
        /// `Kustomization` or `HelmRelease`.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Manifests that Rancher's Fleet or k3s applies again and again.
    Rancher {
        /// What it calls the set.
        set: String,
    },
    /// Manifests that the cluster's add-on manager applies again and again.
    AddonManager,
    /// An operator's object.
    Operator {
        /// Its API version.
        api_version: String,
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A file on a node that its kubelet reads.
    Node {
        /// The node.
        node: String,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helm { release, namespace } => write!(f, "helm's release {release} in {namespace}"),
            Self::ArgoCd { application } if application.is_empty() => {
                f.write_str("an application of Argo CD")
            }
            Self::ArgoCd { application } => write!(f, "Argo CD's application {application}"),
            Self::Flux { kind, namespace, name } => write!(f, "Flux's {kind} {namespace}/{name}"),
            Self::Rancher { set } => write!(f, "Rancher's set {set}"),
            Self::AddonManager => f.write_str("the cluster's add-on manager"),
            Self::Operator { kind, name, .. } => write!(f, "the operator of {kind} {name}"),
            Self::Node { node } => write!(f, "the kubelet of {node}"),
        }
    }
}

/// What comes of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// It may be changed.
    ByNobody,
    /// Another workload makes it, which is listed itself.
    ByWorkload,
    /// It is somebody's.
    By(Owner),
}

/// Groups whose controllers are the cluster's own.
const CORE: [&str; 3] = ["", "apps", "batch"];

/// Who `workload` belongs to.
pub(super) fn owner(workload: &Value) -> Owned {
    let controller = references(workload).find(|reference| reference["controller"] == true);
    if let Some(controller) = controller.or_else(|| references(workload).next()) {
        let field = |name: &str| controller[name].as_str().unwrap_or_default().to_owned();
        let (api_version, kind, name) = (field("apiVersion"), field("kind"), field("name"));
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        return match (group, kind.as_str()) {
            ("", "Node") => Owned::By(Owner::Node { node: name }),
            _ if CORE.contains(&group) => Owned::ByWorkload,
            _ => Owned::By(Owner::Operator { api_version, kind, name }),
        };
    }
    deliverer(workload).map_or(Owned::ByNobody, Owned::By)
}

/// Whoever has put an object there and writes it back, by the marks that it leaves: for any kind of object. What delivers a chart
/// comes before helm, which it uses.
pub(crate) fn deliverer(object: &Value) -> Option<Owner> {
    let label = |name: &str| text(object, "labels", name);
    let annotation = |name: &str| text(object, "annotations", name);
    let own = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    for (kind, group) in
        [("HelmRelease", "helm.toolkit.fluxcd.io"), ("Kustomization", "kustomize.toolkit.fluxcd.io")]
    {
        if let Some(name) = label(&format!("{group}/name")) {
            let namespace = label(&format!("{group}/namespace")).unwrap_or_else(|| own.to_owned());
            return Some(Owner::Flux { kind: kind.to_owned(), namespace, name });
        }
    }
    if let Some(application) = application(object) {
        return Some(Owner::ArgoCd { application });
    }
    if let Some(release) = annotation("meta.helm.sh/release-name") {
        let namespace = annotation("meta.helm.sh/release-namespace").unwrap_or_else(|| own.to_owned());
        return Some(Owner::Helm { release, namespace });
    }
    // The hash is there always, the names are not.
    let set = [("annotations", "owner-name"), ("annotations", "id"), ("labels", "hash")]
        .iter()
        .find_map(|(marks, name)| text(object, marks, &format!("objectset.rio.cattle.io/{name}")));
    if let Some(set) = set {
        return Some(Owner::Rancher { set });
    }
    // What it is only to see to once (`EnsureExists`) it leaves alone.
    if label("addonmanager.kubernetes.io/mode").is_some_and(|mode| mode == "Reconcile") {
        return Some(Owner::AddonManager);
    }
    // Operator Lifecycle Manager puts its owner into labels, since it may be in another namespace.
    let kind = label("olm.owner.kind")?;
    Some(Owner::Operator {
        api_version: "operators.coreos.com/v1alpha1".to_owned(),
        kind,
        name: label("olm.owner")?,
    })
}

/// The application of Argo CD.
fn application(object: &Value) -> Option<String> {
    // `application:group/Kind:namespace/name`
    if let Some(id) = text(object, "annotations", "argocd.argoproj.io/tracking-id") {
        return Some(id.split(':').next().unwrap_or_default().to_owned());
    }
    if let Some(application) = text(object, "labels", "argocd.argoproj.io/instance") {
        return Some(application);
    }
    // Before 3.0 it marks what is its own with a label that charts set too: only whoever has written the object tells.
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let mut managers = entries.into_iter().flatten().filter_map(|entry| entry["manager"].as_str());
    managers
        .any(|manager| manager.starts_with("argocd"))
        .then(|| text(object, "labels", "app.kubernetes.io/instance").unwrap_or_default())
}

fn references(workload: &Value) -> impl Iterator<Item = &Value> {
    workload.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten()
}

/// A label or an annotation that says something.
fn text(object: &Value, marks: &str, name: &str) -> Option<String> {
    object["metadata"][marks][name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_writes_an_object_back_owns_it() {
        let instance = json!({"app.kubernetes.io/instance": "shop"});
        let written_by = |manager: &str| json!([{"manager": "kubectl"}, {"manager": manager}]);
        let argo = |application: &str| Owned::By(Owner::ArgoCd { application: application.into() });
        let rancher = |set: &str| Owned::By(Owner::Rancher { set: set.into() });
        for (metadata, expected) in [
            (json!({"labels": instance, "managedFields": written_by("argocd-controller")}), argo("shop")),
            (
                json!({"labels": instance, "managedFields": written_by("argocd-application-controller")}),
                argo("shop"),
            ),
            (json!({"managedFields": written_by("argocd-controller")}), argo("")),
            (json!({"labels": instance, "managedFields": written_by("my-argocd")}), Owned::ByNobody),
            (
                json!({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}),
                Owned::By(Owner::AddonManager),
            ),
            (json!({"labels": {"addonmanager.kubernetes.io/mode": "EnsureExists"}}), Owned::ByNobody),
            (json!({"annotations": {"objectset.rio.cattle.io/id": "fleet"}}), rancher("fleet")),
            (
                json!({"annotations": {"objectset.rio.cattle.io/id": "", "objectset.rio.cattle.io/owner-name": "coredns"}}),
                rancher("coredns"),
            ),
            (json!({"labels": {"objectset.rio.cattle.io/hash": "bce2"}}), rancher("bce2")),
        ] {
            assert_eq!(owner(&json!({"metadata": metadata})), expected, "{metadata}");
        }
        assert_eq!(Owner::ArgoCd { application: String::new() }.to_string(), "an application of Argo CD");
    }

    #[test]
    fn owners_are_known_by_their_marks() {
        let reference = |api_version: &str, kind: &str| json!([{"apiVersion": api_version, "kind": kind, "name": "up", "controller": true}]);
        let helm = json!({"meta.helm.sh/release-name": "redis", "meta.helm.sh/release-namespace": "db"});
        let release = Owner::Helm { release: "redis".into(), namespace: "db".into() };
        let operator = |api_version: &str, kind: &str| {
            Owned::By(Owner::Operator {
                api_version: api_version.into(),
                kind: kind.into(),
                name: "up".into(),
            })
        };
        let flux =
            |kind: &str| Owner::Flux { kind: kind.into(), namespace: "flux".into(), name: "apps".into() };
        for (metadata, expected) in [
            (json!({}), Owned::ByNobody),
            (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), Owned::ByNobody),
            (json!({"labels": {"app.kubernetes.io/instance": "what anybody sets"}}), Owned::ByNobody),
            (json!({"ownerReferences": reference("apps/v1", "ReplicaSet")}), Owned::ByWorkload),
            (json!({"ownerReferences": reference("batch/v1beta1", "CronJob")}), Owned::ByWorkload),
            (
                json!({"ownerReferences": reference("v1", "Node")}),
                Owned::By(Owner::Node { node: "up".into() }),
            ),
            (
                json!({"ownerReferences": reference("argoproj.io/v1alpha1", "Rollout")}),
                operator("argoproj.io/v1alpha1", "Rollout"),
            ),
            (
                json!({"ownerReferences": reference("paas.bk.tencent.com/v1alpha2", "BkApp"), "annotations": helm}),
                operator("paas.bk.tencent.com/v1alpha2", "BkApp"),
            ),
            (
                json!({"annotations": helm, "labels": {"app.kubernetes.io/managed-by": "Helm"}}),
                Owned::By(release),
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:a/web"}}),
                Owned::By(Owner::ArgoCd { application: "shop".into() }),
            ),
            (
                json!({"annotations": helm, "labels": {"argocd.argoproj.io/instance": "shop"}}),
                Owned::By(Owner::ArgoCd { application: "shop".into() }),
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux"}}),
                Owned::By(flux("Kustomization")),
            ),
            (
                json!({"annotations": helm, "labels": {"helm.toolkit.fluxcd.io/name": "apps", "helm.toolkit.fluxcd.io/namespace": "flux"}}),
                Owned::By(flux("HelmRelease")),
            ),
            (
                json!({"annotations": {"objectset.rio.cattle.io/owner-name": "traefik"}}),
                Owned::By(Owner::Rancher { set: "traefik".into() }),
            ),
            (
                json!({"labels": {"olm.owner": "up", "olm.owner.kind": "ClusterServiceVersion"}}),
                operator("operators.coreos.com/v1alpha1", "ClusterServiceVersion"),
            ),
        ] {
            assert_eq!(owner(&json!({"metadata": metadata})), expected, "{metadata}");
        }
    }
}
