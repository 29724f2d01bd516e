//! What may be done in a cluster: asked of it before anything is changed, by `SelfSubjectAccessReview`.

use std::fmt;

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Cluster, Kind};

/// Questions that are under way at once.
const AT_ONCE: usize = 8;
/// Where they are asked. There since Kubernetes 1.6.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Something that is to be done in a cluster, as RBAC names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Right {
    /// `get`, `list`, `patch`.
    pub(crate) verb: &'static str,
    /// `apps`; empty for the core API.
    pub(crate) group: String,
    /// `deployments`, `pods/log`.
    pub(crate) resource: String,
    /// Where; everywhere if that is empty.
    namespace: String,
    /// Which one; all if that is empty.
    name: String,
}

impl Right {
    /// To do something with all objects of a kind in a namespace, or everywhere where that is empty.
    pub(crate) fn new(verb: &'static str, kind: &Kind, namespace: &str) -> Self {
        let group = kind.api_version.split_once('/').map_or("", |(group, _)| group);
        Self {
            verb,
            group: group.to_owned(),
            resource: kind.plural.clone(),
            namespace: if kind.namespaced { namespace.to_owned() } else { String::new() },
            name: String::new(),
        }
    }

    /// Only of the object with this name.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn review(&self) -> Value {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let attributes = json!({"verb": self.verb, "group": self.group, "resource": resource,
            "subresource": subresource, "namespace": self.namespace, "name": self.name});
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes}})
    }
}

/// As `kubectl auth can-i` takes it: `patch deployments.apps/web -n blueking`.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        write!(f, "{} {resource}", self.verb)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, "/{}", self.name)?;
        }
        if !subresource.is_empty() {
            write!(f, " --subresource={subresource}")?;
        }
        if self.namespace.is_empty() { f.write_str(" -A") } else { write!(f, " -n {}", self.namespace) }
    }
}

impl Cluster {
    /// Those of `rights` that the kubeconfig's user does not have there.
    pub(crate) async fn missing(&self, rights: &[Right]) -> Result<Vec<Right>, Failed> {
        let asked = stream::iter(rights).map(|right| async move {
            let answer = self.review(REVIEWS, &right.review()).await?;
            let is_allowed = answer.pointer("/status/allowed").and_then(Value::as_bool);
            let is_allowed = is_allowed.ok_or_else(|| {
                let message = format!("{} does not say whether it allows to {right}", self.name());
                Failed::because(Class::Protocol, message)
            })?;
            Ok::<_, Failed>((!is_allowed).then(|| right.clone()))
        });
        let mut asked = asked.buffered(AT_ONCE);
        let mut missing = Vec::new();
        while let Some(answer) = asked.next().await {
            missing.extend(answer?);
        }
        Ok(missing)
    }

    /// Fails with all rights that are missing, if some are. `purpose` is what they are needed for: `to change images`.
    pub(crate) async fn require(&self, rights: &[Right], purpose: &str) -> Result<(), Failed> {
        let missing = self.missing(rights).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = missing.iter().map(Right::to_string).collect();
        let message = format!(
            "{} does not let this user do what is needed {purpose}: {}",
            self.name(),
            list.join("; ")
        );
        Err(Failed::because(Class::Denied, message)
            .hint("nothing was changed")
            .hint(format!("`{} auth can-i {}` asks the same", self.kubectl(), list[0]))
            .hint("use a kubeconfig whose user may do that, or let an administrator grant it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_told_as_kubectl_takes_them() {
        let deployment = Kind::known("apps/v1", "Deployment").unwrap();
        let pod = Kind::known("v1", "Pod").unwrap();
        let node = Kind::known("v1", "Node").unwrap();
        assert_eq!(Right::new("patch", &deployment, "a").to_string(), "patch deployments.apps -n a");
        assert_eq!(Right::new("list", &pod, "").to_string(), "list pods -A");
        assert_eq!(Right::new("list", &node, "a").to_string(), "list nodes -A");
        let log = Right { resource: "pods/log".into(), ..Right::new("get", &pod, "a") }.named("b");
        assert_eq!(log.to_string(), "get pods/b --subresource=log -n a");
        let attributes = &log.review()["spec"]["resourceAttributes"];
        assert_eq!((&attributes["resource"], &attributes["subresource"]), (&json!("pods"), &json!("log")));
    }
}
