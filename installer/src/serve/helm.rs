//! The helm repository: `index.yaml` and chart archives.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::catalog::Chart;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::content::{Lifetime, respond, set};
use super::library::Library;
use super::router::{Shared, not_found, plain};
use super::text::encode_path;

/// The largest manifest or `Chart.yaml` that is read.
const MAX_DOCUMENT: u64 = 4 << 20;

/// `index.yaml` for both places that it is served at. It is written as JSON, which is YAML without its ambiguities,
/// and which helm parses some ten times faster.
#[derive(Debug)]
pub(super) struct Index {
    /// At `/charts/index.yaml`, with archives beside it.
    beside: Bytes,
    /// At `/index.yaml`, with archives below `charts/`.
    above: Bytes,
}

pub(super) async fn index(State(shared): State<Arc<Shared>>) -> Response {
    index_response(&shared, |index| index.beside.clone()).await
}

pub(super) async fn root_index(State(shared): State<Arc<Shared>>) -> Response {
    index_response(&shared, |index| index.above.clone()).await
}

async fn index_response(shared: &Arc<Shared>, choose: impl FnOnce(&Index) -> Bytes) -> Response {
    let made = shared.charts.get_or_try_init(async || {
        let library = Arc::clone(&shared.library);
        spawn_blocking(move || make_index(&library)).await.map_err(|error| error.to_string())?
    });
    match made.await {
        Ok(index) => {
            let mut response = Response::new(Body::from(choose(index)));
            set(response.headers_mut(), CONTENT_TYPE, "application/yaml");
            set(response.headers_mut(), CACHE_CONTROL, "no-cache");
            response
        }
        Err(cause) => {
            shared.events.start("making the helm repository's index", None).fail(cause);
            plain(StatusCode::INTERNAL_SERVER_ERROR, "a chart in the bundle cannot be read\n")
        }
    }
}

fn make_index(library: &Library) -> Result<Index, String> {
    let mut entries: Map<String, Value> = Map::new();
    for (file_name, chart) in library.charts() {
        let entry = entry(library, file_name, chart).map_err(|error| format!("{file_name}: {error}"))?;
        let versions = entries.entry(chart.name.clone()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(versions) = versions {
            versions.push(entry);
        }
    }
    let beside = render(&entries);
    for version in entries.values_mut().filter_map(Value::as_array_mut).flatten() {
        if let Some(url) = version["urls"][0].as_str() {
            version["urls"] = json!([format!("charts/{url}")]);
        }
    }
    Ok(Index { beside, above: render(&entries) })
}

/// No times: the same bundles give the same index.
fn render(entries: &Map<String, Value>) -> Bytes {
    let mut text = serde_json::to_vec(&json!({"apiVersion": "v1", "entries": entries}))
        .expect("the entries have only strings as keys");
    text.push(b'\n');
    text.into()
}

/// A chart's `Chart.yaml`, with where its archive is and what digest it has.
fn entry(library: &Library, file_name: &str, chart: &Chart) -> Result<Value, String> {
    let manifest = document(library, &chart.manifest.digest)?;
    let config = manifest["config"]["digest"].as_str().unwrap_or_default();
    let config = config.parse().map_err(|error: ferry_model::digest::DigestError| error.to_string())?;
    let Value::Object(mut entry) = document(library, &config)? else {
        return Err("its config is no JSON object".to_owned());
    };
    entry.insert("name".into(), chart.name.as_str().into());
    entry.insert("version".into(), chart.version.as_str().into());
    entry.insert("digest".into(), chart.archive.hex().into());
    entry.insert("urls".into(), json!([encode_path(file_name)]));
    Ok(Value::Object(entry))
}

fn document(library: &Library, digest: &Digest) -> Result<Value, String> {
    let content = library.content(digest).ok_or_else(|| format!("blob {digest} is missing"))?;
    let bytes = content.bundle.read_all(digest, MAX_DOCUMENT).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("blob {digest} is no JSON: {error}"))
}

/// `/charts/NAME-VERSION.tgz` and `.tgz.prov`.
pub(super) async fn archive(
    State(shared): State<Arc<Shared>>,
    Path(file): Path<String>,
    request: HeaderMap,
) -> Response {
    let (digest, media_type) = match file.strip_suffix(".prov") {
        Some(archive) => (shared.library.chart(archive).and_then(|chart| chart.provenance), "text/plain"),
        None => (shared.library.chart(&file).map(|chart| chart.archive), "application/gzip"),
    };
    match digest.and_then(|digest| shared.library.content(&digest)) {
        Some(content) => respond(&shared, content, &request, media_type, Lifetime::UntilAsked),
        None => not_found(),
    }
}

#[cfg(test)]
mod tests {
    use ferry_model::Digest;
    use serde_json::json;

    use crate::serve::testing::Site;

    #[tokio::test]
    async fn index_and_archives() {
        let site = Site::new();
        let archive = site.content("chart");
        let entry = |url: &str| {
            json!({"apiVersion": "v1", "entries": {"app": [{
                "apiVersion": "v2",
                "name": "app",
                "version": "1.2.0+build",
                "description": "A chart",
                "digest": Digest::of(&archive).hex(),
                "urls": [url],
            }]}})
        };
        let index = site.get("/charts/index.yaml").await;
        assert_eq!((index.status, index.header("content-type")), (200, "application/yaml"));
        assert_eq!(index.json(), entry("app-1.2.0+build.tgz"));
        assert_eq!(site.get("/index.yaml").await.json(), entry("charts/app-1.2.0+build.tgz"));

        for path in ["/charts/app-1.2.0%2Bbuild.tgz", "/charts/app-1.2.0+build.tgz"] {
            let answer = site.get(path).await;
            assert_eq!((answer.status, &answer.body), (200, &archive), "{path}");
        }
        assert_eq!(site.get("/charts/app-1.2.0+build.tgz.prov").await.body, site.content("provenance"));
        for path in ["/charts/app-9.tgz", "/charts/app-9.tgz.prov", "/charts/", "/charts/.prov"] {
            assert_eq!(site.get(path).await.status, 404, "{path}");
        }
    }
}
