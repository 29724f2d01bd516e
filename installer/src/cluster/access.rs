//! Objects of a cluster: asked for, made, changed, removed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use http::{Method, Request};
use serde_json::{Value, json};

use super::Target;
use super::failure::{conflicts, explain};
use super::kind::{Kind, root, segment};

/// What the cluster calls us where it notes who set a field.
pub(crate) const MANAGER: &str = "ferry";
/// The namespace of what is the cluster's own: its DNS.
pub(crate) const SYSTEM: &str = "kube-system";
/// Objects that one answer holds.
const PAGE: usize = 500;

/// A cluster that can be talked to. Clones share connections.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    client: kube::Client,
    target: Target,
    server: String,
    /// Kinds that were asked for.
    kinds: Mutex<Vec<Kind>>,
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    /// Empty for what lies in none.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Whether to take over fields that others manage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// Leave them, and fail.
    No,
    /// Take them: the object is ours.
    Yes,
}

impl Place {
    /// Of a manifest.
    pub(crate) fn of(manifest: &Value) -> Self {
        let part =
            |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            api_version: part("/apiVersion"),
            kind: part("/kind"),
            namespace: part("/metadata/namespace"),
            name: part("/metadata/name"),
        }
    }

    /// Of a kind of the core API.
    pub(crate) fn core(kind: &str, namespace: &str, name: &str) -> Self {
        Self { api_version: "v1".into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{separator}{}", self.kind, self.namespace, self.name)
    }
}

/// A change that is asked for.
struct Change<'a> {
    method: Method,
    path: String,
    content: &'static str,
    body: Option<&'a Value>,
}

impl Cluster {
    pub(super) fn new(client: kube::Client, target: Target, server: &str) -> Self {
        let server = server.trim_end_matches('/').to_owned();
        Self(Arc::new(Inner { client, target, server, kinds: Mutex::default() }))
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        format!("{}, at {}", self.0.target, self.0.server)
    }

    /// For what is no object: logs, commands.
    pub(super) fn client(&self) -> &kube::Client {
        &self.0.client
    }

    /// How kubectl is called for it.
    pub(crate) fn kubectl(&self) -> String {
        self.0.target.kubectl()
    }

    /// The object, if it is there.
    pub(crate) async fn get(&self, place: &Place) -> Result<Option<Value>, Failed> {
        match self.ask(&self.path(place).await?).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(self.failed(&format!("asking for {place}"), place, &error)),
        }
    }

    /// All objects of a kind in a namespace (everywhere where that is empty) that `labels` selects (`a=b,c=d`).
    pub(crate) async fn list(
        &self,
        kind: &Kind,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>, Failed> {
        self.list_where(kind, namespace, labels, "").await
    }

    /// Those of them that `fields` selects as well (`type=Warning`).
    pub(crate) async fn list_where(
        &self,
        kind: &Kind,
        namespace: &str,
        labels: &str,
        fields: &str,
    ) -> Result<Vec<Value>, Failed> {
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("limit", &PAGE.to_string())
                .append_pair("labelSelector", labels)
                .append_pair("fieldSelector", fields)
                .append_pair("continue", &next)
                .finish();
            let path = format!("{}?{query}", kind.path(namespace));
            let place = Place::core(&kind.name, namespace, "");
            let mut page = self
                .ask(&path)
                .await
                .map_err(|error| self.failed(&format!("listing {}", kind.plural), &place, &error))?;
            if let Value::Array(items) = page["items"].take() {
                objects.extend(items);
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => token.clone_into(&mut next),
                _ => return Ok(objects),
            }
        }
    }

    /// All kinds of objects that can lie in a namespace.
    pub(crate) async fn kinds_in_namespaces(&self) -> Result<Vec<Kind>, Failed> {
        let mut versions = vec!["v1".to_owned()];
        let groups = self.document("/apis").await?;
        let groups = groups["groups"].as_array().cloned().unwrap_or_default();
        let preferred = |group: &Value| {
            group.pointer("/preferredVersion/groupVersion").and_then(Value::as_str).map(str::to_owned)
        };
        versions.extend(groups.iter().filter_map(preferred));
        let mut kinds = Vec::new();
        for version in versions {
            let list = self.document(&root(&version)).await?;
            kinds.extend(Kind::listable(&list).into_iter().filter(|kind| kind.namespaced));
        }
        Ok(kinds)
    }

    /// What the API server says at a path of its own.
    pub(super) async fn document(&self, path: &str) -> Result<Value, Failed> {
        let place = Place::core("", "", path);
        self.ask(path).await.map_err(|error| self.failed(&format!("asking for {path}"), &place, &error))
    }

    /// Makes the object what `manifest` says, whether it is there or not: server-side apply.
    pub(crate) async fn apply(&self, manifest: &Value, force: Force) -> Result<Value, Failed> {
        let place = Place::of(manifest);
        let path = self.path(&place).await?;
        let change = |force| Change {
            method: Method::PATCH,
            path: format!("{path}?fieldManager={MANAGER}&force={}", force == Force::Yes),
            content: "application/apply-patch+yaml",
            body: Some(manifest),
        };
        match self.change(change(force)).await {
            Err(kube::Error::Api(status)) if status.code == 409 && !conflicts(&status).is_empty() => {
                let others: Vec<_> =
                    conflicts(&status).into_iter().filter(|(manager, _)| manager != MANAGER).collect();
                if others.is_empty() {
                    // Undoing writes under the same name in another way, which the server takes for another manager.
                    let again = self.change(change(Force::Yes)).await;
                    return again.map_err(|error| self.failed(&format!("applying {place}"), &place, &error));
                }
                Err(self.managed_by_others(&place, &others))
            }
            other => other.map_err(|error| self.failed(&format!("applying {place}"), &place, &error)),
        }
    }

    /// Merges `patch` into the object.
    pub(crate) async fn merge(&self, place: &Place, patch: &Value) -> Result<Value, Failed> {
        let path = self.path(place).await?;
        let change = Change {
            method: Method::PATCH,
            path: format!("{path}?fieldManager={MANAGER}"),
            content: "application/merge-patch+json",
            body: Some(patch),
        };
        self.change(change).await.map_err(|error| self.failed(&format!("changing {place}"), place, &error))
    }

    /// Changes the object by a JSON patch. `None` if somebody else was faster: the patch holds on to a `resourceVersion` that is not
    /// the last one.
    pub(crate) async fn patch(&self, place: &Place, operations: &Value) -> Result<Option<Value>, Failed> {
        let change = Change {
            method: Method::PATCH,
            path: format!("{}?fieldManager={MANAGER}", self.path(place).await?),
            content: "application/json-patch+json",
            body: Some(operations),
        };
        match self.change(change).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(self.failed(&format!("changing {place}"), place, &error)),
        }
    }

    /// Makes the object exactly `object`. `None` if somebody else was faster: its `resourceVersion` is not the last one, it
    /// is not there any more, or it is there by now.
    pub(crate) async fn put(&self, object: &Value) -> Result<Option<Value>, Failed> {
        let place = Place::of(object);
        let there = object.pointer("/metadata/resourceVersion").is_some();
        let (method, path) = if there {
            (Method::PUT, self.path(&place).await?)
        } else {
            (Method::POST, self.kind(&place).await?.path(&place.namespace))
        };
        let change = Change {
            method,
            path: format!("{path}?fieldManager={MANAGER}"),
            content: "application/json",
            body: Some(object),
        };
        match self.change(change).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 409 || (there && status.code == 404) => Ok(None),
            Err(error) => Err(self.failed(&format!("putting back {place}"), &place, &error)),
        }
    }

    /// Asks for an answer to `question`, which is posted and changes nothing: a review.
    pub(super) async fn review(&self, path: &str, question: &Value) -> Result<Value, Failed> {
        let change = Change {
            method: Method::POST,
            path: path.to_owned(),
            content: "application/json",
            body: Some(question),
        };
        let place = Place::of(question);
        self.change(change).await.map_err(|error| self.failed("asking for rights", &place, &error))
    }

    /// Has the object removed, and what it owns after it. Done if it is not there.
    pub(crate) async fn delete(&self, place: &Place) -> Result<(), Failed> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        let change = Change {
            method: Method::DELETE,
            path: self.path(place).await?,
            content: "application/json",
            body: Some(&options),
        };
        match self.change(change).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.failed(&format!("removing {place}"), place, &error)),
        }
    }

    async fn path(&self, place: &Place) -> Result<String, Failed> {
        Ok(format!("{}/{}", self.kind(place).await?.path(&place.namespace), segment(&place.name)))
    }

    /// The kind of an object, which the cluster is asked for where it is not known.
    pub(crate) async fn kind(&self, place: &Place) -> Result<Kind, Failed> {
        if let Some(kind) = Kind::known(&place.api_version, &place.kind) {
            return Ok(kind);
        }
        let is_it = |kind: &&Kind| (&kind.api_version, &kind.name) == (&place.api_version, &place.kind);
        if let Some(kind) = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner).iter().find(is_it) {
            return Ok(kind.clone());
        }
        let unknown = || {
            let message = format!("{} does not know {} of {}", self.name(), place.kind, place.api_version);
            Failed::because(Class::NotFound, message)
                .hint("what defines it must be installed there first, or the cluster is too old")
        };
        let list = match self.ask(&root(&place.api_version)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Err(unknown()),
            list => list.map_err(|error| self.failed(&format!("asking for {place}"), place, &error))?,
        };
        let kind =
            Kind::listable(&list).into_iter().find(|kind| kind.name == place.kind).ok_or_else(unknown)?;
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner).push(kind.clone());
        Ok(kind)
    }

    async fn ask(&self, path: &str) -> Result<Value, kube::Error> {
        self.change(Change {
            method: Method::GET,
            path: path.to_owned(),
            content: "application/json",
            body: None,
        })
        .await
    }

    async fn change(&self, change: Change<'_>) -> Result<Value, kube::Error> {
        let body = change.body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = Request::builder()
            .method(change.method)
            .uri(change.path)
            .header("content-type", change.content)
            .header("accept", "application/json")
            .body(body)
            .map_err(kube::Error::HttpError)?;
        self.0.client.request(request).await
    }

    pub(super) fn failed(&self, action: &str, place: &Place, error: &kube::Error) -> Failed {
        explain(&self.0.target, &self.0.server, action, place.kind == "Secret", error)
    }

    fn managed_by_others(&self, place: &Place, others: &[(String, String)]) -> Failed {
        let shown: Vec<_> =
            others.iter().map(|(manager, field)| format!("{manager} manages {field}")).collect();
        let message = format!("{place} of {} is not ours to change: {}", self.name(), shown.join(", "));
        Failed::because(Class::Denied, message)
            .hint("take those fields out of what manages them there, or choose other names in the site file")
            .hint(format!(
                "to hand the whole object over to Ferry, label it: `{} label` with app.kubernetes.io/managed-by={MANAGER}",
                self.kubectl()
            ))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("target", &self.0.target).field("server", &self.0.server).finish()
    }
}
