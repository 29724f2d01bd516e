//! Which part answers which path.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use ferry_model::event::Events;
use tokio::sync::OnceCell;

use super::content::set;
use super::library::Library;
use super::login::{self, Door};
use super::options::ServeOptions;
use super::stream::Streams;
use super::{files, helm, page, registry};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) library: Arc<Library>,
    pub(super) streams: Arc<Streams>,
    pub(super) security: Security,
    /// The entries of the helm repository's index, made when first asked for.
    pub(super) charts: OnceCell<helm::Index>,
    pub(super) events: Events,
}

/// What clients must know to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    PlainHttp,
    Https,
}

impl Shared {
    pub(super) fn new(library: Library, options: &ServeOptions, events: &Events) -> Arc<Self> {
        Arc::new(Self {
            library: Arc::new(library),
            streams: Arc::new(Streams::new(options.max_streams, events.clone())),
            security: match options.tls {
                super::Tls::None => Security::PlainHttp,
                _ => Security::Https,
            },
            charts: OnceCell::new(),
            events: events.clone(),
        })
    }
}

pub(super) fn router(shared: Arc<Shared>, door: Option<Door>) -> Router {
    let router = Router::new()
        .route("/", get(page::root))
        .route("/healthz", get(healthy))
        .route("/bundles.json", get(page::bundles))
        .route("/index.yaml", get(helm::root_index))
        .route("/charts/index.yaml", get(helm::index))
        .route("/charts/{file}", get(helm::archive))
        .route("/files", get(files::root))
        .route("/files/", get(files::root))
        .route("/files/{*path}", get(files::file))
        .route("/v2", any(registry::base))
        .route("/v2/", any(registry::base))
        .route("/v2/{*rest}", any(registry::route))
        .fallback(async || not_found())
        .with_state(shared);
    match door {
        None => router,
        Some(door) => router.layer(middleware::from_fn_with_state(Arc::new(door), login::ask)),
    }
}

async fn healthy() -> Response {
    plain(StatusCode::OK, "ok\n")
}

pub(super) fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "not found\n")
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut headers = HeaderMap::new();
    set(&mut headers, CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut headers, HeaderName::from_static("x-content-type-options"), "nosniff");
    (status, headers, text).into_response()
}
