//! ChartMuseum in this process, after its documented API (helm/chartmuseum, README): charts and what signs them, one repository or, with
//! `--depth`, one per organisation and name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ferry_model::Digest;
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};

use crate::bkrepo::charts;
use crate::server::Listening;

const MAX_BODY: usize = 64 << 20;

/// How it was started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// `--basic-auth-user` and `--basic-auth-pass`.
    pub basic: Option<(String, String)>,
    /// `--auth-anonymous-get`: charts are for everybody all the same.
    pub anonymous_get: bool,
    /// `--allow-overwrite`: a version may be uploaded again without `?force`.
    pub allow_overwrite: bool,
    /// `--disable-force-overwrite`: `?force` is of no use.
    pub disable_force_overwrite: bool,
    /// `--depth`: how many names come before `index.yaml`, and behind `/api`.
    pub depth: usize,
}

/// The server. Clones are the same one; it ends with the last.
#[derive(Clone)]
pub struct ChartMuseum {
    shared: Arc<Shared>,
    listening: Arc<Listening>,
}

struct Shared {
    setup: Setup,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Files by repository (`` or `ORG/REPO`) and name.
    files: BTreeMap<(String, String), Bytes>,
    requests: Vec<(String, String, u64)>,
}

impl fmt::Debug for ChartMuseum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChartMuseum").field("setup", &self.shared.setup).finish_non_exhaustive()
    }
}

/// A refusal.
struct Refusal(StatusCode, String);

fn refuse<T>(status: StatusCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, message.into()))
}

impl ChartMuseum {
    /// An empty one on a free port.
    pub fn start(setup: Setup) -> Self {
        let shared = Arc::new(Shared { setup, state: Mutex::default() });
        let served = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let shared = Arc::clone(&served);
            async move { shared.answer(request).await }
        });
        Self { shared, listening: Arc::new(Listening::router(router)) }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address())
    }

    /// The digests of the files of a repository, by name; the repository is `` without `--depth`.
    pub fn files(&self, repository: &str) -> BTreeMap<String, Digest> {
        let state = self.shared.state();
        let own = state.files.iter().filter(|((its, _), _)| its == repository);
        own.map(|((_, name), bytes)| (name.clone(), Digest::of(bytes))).collect()
    }

    /// Puts a chart there as if it had been uploaded before.
    pub fn put_raw(&self, repository: &str, file: &str, bytes: impl Into<Bytes>) {
        self.shared.state().files.insert((repository.to_owned(), file.to_owned()), bytes.into());
    }

    /// Every request so far: method, path with query, and bytes of its body.
    pub fn requests(&self) -> Vec<(String, String, u64)> {
        self.shared.state().requests.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_default();
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let asked = (parts.method.to_string(), target.to_owned(), body.len() as u64);
        self.state().requests.push(asked);
        let answer = self.check(&parts).and_then(|()| self.route(&parts, &body));
        answer.unwrap_or_else(|Refusal(status, message)| {
            let mut answer = json_answer(status, &json!({"error": message}));
            if status == StatusCode::UNAUTHORIZED {
                let challenge = "Basic realm=\"ChartMuseum\"".parse().expect("plain ASCII is a header value");
                answer.headers_mut().insert("www-authenticate", challenge);
            }
            answer
        })
    }

    fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        let Some((user, password)) = &self.setup.basic else { return Ok(()) };
        let reads = matches!(parts.method, Method::GET | Method::HEAD) && self.setup.anonymous_get;
        let known = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let is_known = parts.headers.get("authorization").is_some_and(|given| *given == *known);
        if reads || is_known || parts.uri.path() == "/health" {
            return Ok(());
        }
        refuse(StatusCode::UNAUTHORIZED, "unauthorized")
    }

    /// `/health`, `/api/[ORG/REPO/]charts…`, `/api/[ORG/REPO/]prov`, `/[ORG/REPO/]index.yaml`, `/[ORG/REPO/]charts/FILE`.
    fn route(&self, parts: &Parts, body: &Bytes) -> Result<Response<Body>, Refusal> {
        let path = crate::bkrepo::percent_decode(parts.uri.path());
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if path == ["health"] {
            return Ok(json_answer(StatusCode::OK, &json!({"healthy": true})));
        }
        let is_api = path.first() == Some(&"api");
        let path = &path[usize::from(is_api)..];
        let Some((repository, rest)) = path.split_at_checked(self.setup.depth) else {
            return not_found();
        };
        let repository = repository.join("/");
        let force = parts
            .uri
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair == "force" || pair.starts_with("force=")));
        match (&parts.method, is_api, rest) {
            (&Method::GET | &Method::HEAD, false, ["index.yaml"]) => {
                let index = charts::index(&self.entries(&repository));
                let answer = Response::builder().header("content-type", "application/x-yaml");
                Ok(answer.body(Body::from(index)).expect("a plain header"))
            }
            (&Method::GET | &Method::HEAD, false, ["charts", file]) => self.file(&repository, file),
            (&Method::GET | &Method::HEAD, true, ["charts", rest @ ..]) => {
                let found = charts::chosen(&self.entries(&repository), &rest.join("/"));
                found.map_or_else(not_found, |found| Ok(json_answer(StatusCode::OK, &found)))
            }
            (&Method::POST, true, ["charts"]) => self.upload(&repository, parts, body, force),
            (&Method::POST, true, ["prov"]) => {
                let bytes = field(parts, body, "prov").unwrap_or_else(|| body.clone());
                self.store_provenance(&repository, &bytes, force)?;
                Ok(json_answer(StatusCode::CREATED, &json!({"saved": true})))
            }
            (&Method::DELETE, true, ["charts", name, version]) => self.delete(&repository, name, version),
            _ => not_found(),
        }
    }

    fn entries(&self, repository: &str) -> BTreeMap<String, Vec<Value>> {
        let state = self.state();
        let own = state.files.iter().filter(|((its, file), _)| its == repository && file.ends_with(".tgz"));
        let known: Vec<(Value, String)> =
            own.filter_map(|(_, bytes)| Some((charts::metadata(bytes)?, Digest::of(bytes).hex()))).collect();
        let known = known.iter().map(|(metadata, sha256)| (metadata, sha256.as_str()));
        charts::entries(known, |name, version| format!("charts/{name}-{version}.tgz"))
    }

    fn file(&self, repository: &str, file: &str) -> Result<Response<Body>, Refusal> {
        let found = self.state().files.get(&(repository.to_owned(), file.to_owned())).cloned();
        let Some(bytes) = found else { return not_found() };
        let answer = Response::builder().header("content-type", "application/x-tar");
        Ok(answer.body(Body::from(bytes)).expect("a plain header"))
    }

    /// A form with `chart` and `prov`, or nothing but the chart.
    fn upload(
        &self,
        repository: &str,
        parts: &Parts,
        body: &Bytes,
        force: bool,
    ) -> Result<Response<Body>, Refusal> {
        let is_form = content_type(parts).starts_with("multipart/form-data");
        let chart = if is_form { field(parts, body, "chart") } else { Some(body.clone()) };
        let provenance = field(parts, body, "prov");
        if chart.is_none() && provenance.is_none() {
            let message = "no package or provenance file found in form fields chart and prov";
            return refuse(StatusCode::BAD_REQUEST, message);
        }
        if let Some(bytes) = chart {
            let metadata = charts::metadata(&bytes)
                .ok_or_else(|| Refusal(StatusCode::INTERNAL_SERVER_ERROR, "chart metadata missing".into()))?;
            let text = |field: &str| metadata[field].as_str().unwrap_or_default();
            let file = format!("{}-{}.tgz", text("name"), text("version"));
            self.store(repository, file, bytes, force)?;
        }
        if let Some(bytes) = provenance {
            self.store_provenance(repository, &bytes, force)?;
        }
        Ok(json_answer(StatusCode::CREATED, &json!({"saved": true})))
    }

    fn store_provenance(&self, repository: &str, bytes: &Bytes, force: bool) -> Result<(), Refusal> {
        let Some((name, version)) = charts::provenance(bytes) else {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "invalid provenance file");
        };
        self.store(repository, format!("{name}-{version}.tgz.prov"), bytes.clone(), force)
    }

    fn store(&self, repository: &str, file: String, bytes: Bytes, force: bool) -> Result<(), Refusal> {
        let force = force && !self.setup.disable_force_overwrite;
        let key = (repository.to_owned(), file);
        let mut state = self.state();
        if state.files.contains_key(&key) && !force && !self.setup.allow_overwrite {
            return refuse(StatusCode::CONFLICT, format!("{} already exists", key.1));
        }
        state.files.insert(key, bytes);
        Ok(())
    }

    fn delete(&self, repository: &str, name: &str, version: &str) -> Result<Response<Body>, Refusal> {
        let file = format!("{name}-{version}.tgz");
        let mut state = self.state();
        state.files.remove(&(repository.to_owned(), format!("{file}.prov")));
        match state.files.remove(&(repository.to_owned(), file)) {
            Some(_) => Ok(json_answer(StatusCode::OK, &json!({"deleted": true}))),
            None => not_found(),
        }
    }
}

fn content_type(parts: &Parts) -> &str {
    parts.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn field(parts: &Parts, body: &Bytes, name: &str) -> Option<Bytes> {
    charts::form(content_type(parts), body)?.remove(name)
}

fn not_found<T>() -> Result<T, Refusal> {
    refuse(StatusCode::NOT_FOUND, "not found")
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let answer = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    answer.body(Body::from(body.to_string())).expect("a status and a plain header")
}
