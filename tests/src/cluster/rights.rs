//! What whoever asks may do: everything but what was forbidden.

use axum::http::Method;
use serde_json::{Value, json};

use super::kinds::Route;
use super::store::Refusal;

/// Something that may not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forbidden {
    /// `patch`, or `*`.
    pub(super) verb: String,
    /// `deployments`, or `*`.
    pub(super) resource: String,
    /// Where; everywhere if that is empty.
    pub(super) namespace: String,
}

impl Forbidden {
    /// Whether it is forbidden in that namespace; everywhere at once, if it is forbidden somewhere.
    fn holds(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        let is = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        let there = self.namespace.is_empty() || namespace.is_empty() || self.namespace == namespace;
        is(&self.verb, verb) && is(&self.resource, resource) && there
    }
}

/// Whether `path` is that of a review.
pub(super) fn is_review(path: &str) -> bool {
    path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
}

/// Answers a `SelfSubjectAccessReview`.
pub(super) fn review(forbidden: &[Forbidden], mut review: Value) -> Value {
    let text =
        |name: &str| review["spec"]["resourceAttributes"][name].as_str().unwrap_or_default().to_owned();
    let (mut resource, subresource) = (text("resource"), text("subresource"));
    if !subresource.is_empty() {
        resource = format!("{resource}/{subresource}");
    }
    let is_forbidden =
        forbidden.iter().any(|known| known.holds(&text("verb"), &resource, &text("namespace")));
    review["status"] = json!({"allowed": !is_forbidden});
    review
}

/// Refuses what is forbidden, in the words of RBAC.
pub(super) fn check(forbidden: &[Forbidden], method: &Method, route: &Route) -> Result<(), Refusal> {
    let (kind, namespace, name) = match route {
        Route::List(kind, namespace) => (kind, namespace, ""),
        Route::Object(kind, namespace, name) => (kind, namespace, name.as_str()),
        _ => return Ok(()),
    };
    let verb = match method.as_str() {
        "GET" if name.is_empty() => "list",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        _ => "delete",
    };
    let everywhere = namespace.is_empty() && kind.namespaced;
    let is_meant = |known: &&Forbidden| known.holds(verb, kind.plural, namespace);
    if !forbidden.iter().any(|known| is_meant(&known)) {
        return Ok(());
    }
    let group = kind.version.split_once('/').map_or("", |(group, _)| group);
    let place = if everywhere || !kind.namespaced {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{namespace}\"")
    };
    let plural = kind.plural;
    let object = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
    let message = format!(
        "{plural}{object} is forbidden: User \"tester\" cannot {verb} resource \"{plural}\" in API group \"{group}\" {place}"
    );
    Err(Refusal::new(403, "Forbidden", message))
}
