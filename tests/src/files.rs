//! A file server in this process, also as a helm repository: with or without ranges and basic auth, counting.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ferry_model::Digest;

use crate::corpus::{Chart, index_yaml};
use crate::server::Listening;

/// How a server differs from a plain one.
#[derive(Clone, Debug)]
pub struct FilesSetup {
    /// Whether it honours `Range`.
    pub ranges: bool,
    /// Whether it answers `HEAD`; otherwise 405.
    pub head: bool,
    /// The user and password that it asks for.
    pub basic: Option<(String, String)>,
}

impl Default for FilesSetup {
    fn default() -> Self {
        Self { ranges: true, head: true, basic: None }
    }
}

/// The server. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Files {
    shared: Arc<Shared>,
    listening: Arc<Listening>,
}

struct Shared {
    setup: FilesSetup,
    files: Mutex<HashMap<String, Bytes>>,
    requests: Mutex<Vec<(String, String)>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl Files {
    /// A server without files, on a free port.
    pub fn start(setup: FilesSetup) -> Self {
        let shared = Arc::new(Shared { setup, files: Mutex::default(), requests: Mutex::default() });
        let served = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let response = served.answer(&request);
            async move { response }
        });
        Self { shared, listening: Arc::new(Listening::router(router)) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.listening.address().to_string()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Offers a file at `/path`.
    pub fn add(&self, path: &str, content: impl Into<Bytes>) {
        self.shared.files().insert(format!("/{path}"), content.into());
    }

    /// Offers charts below `/path/`, with their `index.yaml`.
    pub fn add_charts(&self, path: &str, charts: &[Chart]) {
        for chart in charts {
            self.add(&format!("{path}/{}", chart.file_name()), chart.archive.clone());
        }
        self.add(&format!("{path}/index.yaml"), index_yaml(charts));
    }

    /// Every request so far: its method, and its path with the `Range` where it had one.
    pub fn requests(&self) -> Vec<(String, String)> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<String, Bytes>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let path = request.uri().path();
        let range = header("range");
        let shown = range.map_or_else(|| path.to_owned(), |range| format!("{path} {range}"));
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((request.method().to_string(), shown));
        if let Some((user, password)) = &self.setup.basic
            && header("authorization")
                != Some(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        {
            return Response::builder()
                .status(StatusCode::UNAUTHORIZED)
                .header("www-authenticate", "Basic realm=\"files\"")
                .body(Body::empty())
                .expect("a plain response");
        }
        let is_head = request.method() == Method::HEAD;
        if is_head && !self.setup.head {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let found = self.files().get(path).cloned();
        match found {
            Some(bytes) => ranged(bytes, range.filter(|_| self.setup.ranges), is_head),
            None => empty(StatusCode::NOT_FOUND),
        }
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).expect("a plain response")
}

/// Answers with the whole content, or with the part that `Range: bytes=FROM-[TO]` asks for.
pub(crate) fn ranged(bytes: Bytes, range: Option<&str>, is_head: bool) -> Response<Body> {
    let total = bytes.len();
    let wanted = range.and_then(|range| {
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        let to = if to.is_empty() { total } else { to.parse::<usize>().ok()?.checked_add(1)?.min(total) };
        Some((from.parse::<usize>().ok()?, to))
    });
    let response = Response::builder()
        .header("content-type", "application/octet-stream")
        .header("accept-ranges", "bytes")
        .header("etag", format!("\"{}\"", Digest::of(&bytes).short()));
    let (response, part) = match wanted {
        Some((from, to)) if from >= to => {
            let response = response
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header("content-range", format!("bytes */{total}"));
            (response, Bytes::new())
        }
        Some((from, to)) => {
            let response = response
                .status(StatusCode::PARTIAL_CONTENT)
                .header("content-range", format!("bytes {from}-{}/{total}", to - 1));
            (response, bytes.slice(from..to))
        }
        None => (response, bytes),
    };
    let response = response.header("content-length", part.len());
    response.body(if is_head { Body::empty() } else { Body::from(part) }).expect("a plain response")
}

pub(crate) fn content_length(response: &Response<Body>) -> usize {
    let length = response.headers().get("content-length").and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or(0)
}
