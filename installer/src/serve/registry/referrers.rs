//! The referrers API: what is known about a manifest.

use std::sync::Arc;

use axum::http::HeaderName;
use axum::response::Response;
use ferry_model::Digest;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::Query;
use super::refusal::{Code, Refusal};
use crate::serve::content::{json, set};
use crate::serve::library::{Content, Referrer, Repository};
use crate::serve::router::Shared;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The largest manifest that is read for its annotations, as registries limit them.
const MAX_MANIFEST: u64 = 4 << 20;

pub(super) async fn referrers(
    shared: &Arc<Shared>,
    repository: &Repository,
    subject: &Digest,
    query: &Query,
) -> Result<Response, Refusal> {
    let known: Vec<(Referrer, Content)> = repository
        .referrers(subject)
        .iter()
        .filter_map(|referrer| Some((referrer.clone(), shared.library.content(&referrer.digest)?)))
        .collect();
    let described = spawn_blocking(move || {
        known.iter().map(|(referrer, content)| describe(referrer, content)).collect::<Result<Vec<_>, _>>()
    })
    .await;
    let mut manifests = described
        .map_err(|error| Refusal::new(Code::Unreadable, error.to_string()))?
        .map_err(|error| Refusal::new(Code::Unreadable, error.to_string()))?;
    let wanted = &query.artifact_types;
    manifests.retain(|manifest| {
        wanted.is_empty() || wanted.iter().any(|wanted| manifest["artifactType"] == wanted.as_str())
    });
    let mut response = json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}));
    if !wanted.is_empty() {
        set(response.headers_mut(), HeaderName::from_static("oci-filters-applied"), "artifactType");
    }
    Ok(response)
}

/// The descriptor of a referrer: annotations, and the artifact type where the catalog has none, stand in the manifest.
fn describe(referrer: &Referrer, content: &Content) -> Result<Value, ferry_bundle::Error> {
    let bytes = content.bundle.read_all(&content.digest, MAX_MANIFEST)?;
    let manifest: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let artifact_type = referrer
        .artifact_type
        .clone()
        .or_else(|| text(&manifest["artifactType"]))
        .or_else(|| text(&manifest["config"]["mediaType"]));
    let mut descriptor = Map::new();
    descriptor.insert("mediaType".into(), referrer.media_type.as_str().into());
    descriptor.insert("digest".into(), referrer.digest.to_string().into());
    descriptor.insert("size".into(), content.size.into());
    if let Some(artifact_type) = artifact_type {
        descriptor.insert("artifactType".into(), artifact_type.into());
    }
    if let Some(annotations @ Value::Object(_)) = manifest.get("annotations") {
        descriptor.insert("annotations".into(), annotations.clone());
    }
    Ok(Value::Object(descriptor))
}
