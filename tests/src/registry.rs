//! An OCI registry in this process: the whole of pull and push with digest checks, every kind of auth, and the
//! quirks that registries in the field have. It counts what it is asked, so that a test can say "moved nothing".

mod answer;
mod auth;
mod route;
mod store;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use ferry_model::Digest;

pub use auth::Auth;
pub use route::Kind;

use crate::corpus::Image;
use crate::server::Listening;
use store::Store;

/// How a registry spells the `Location` of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locations {
    /// A full URL.
    #[default]
    Absolute,
    /// A full URL that lacks the port, as bkrepo of BlueKing 7.1 gives it.
    WithoutPort,
    /// Only a path.
    Relative,
}

/// How this registry differs from a well-behaved one.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who may do what.
    pub auth: Auth,
    /// How it spells locations.
    pub locations: Locations,
    /// Whether it has the referrers API (distribution spec 1.1); otherwise that path is 404.
    pub referrers: bool,
    /// Whether it mounts blobs across repositories; otherwise it opens an upload instead.
    pub mounts: bool,
    /// Whether it honours `Range`.
    pub ranges: bool,
    /// Whether it sends `Docker-Content-Digest`.
    pub digest_header: bool,
    /// A request body larger than this gets 413, as behind nginx's `client_max_body_size`.
    pub largest_body: Option<usize>,
    /// Whether it takes an index of which it lacks some manifests.
    pub sparse_indexes: bool,
    /// `RateLimit-Limit` and `RateLimit-Remaining`, as Docker Hub sends them with manifests.
    pub rate_limit: Option<(u32, u32)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            auth: Auth::None,
            locations: Locations::default(),
            referrers: true,
            mounts: true,
            ranges: true,
            digest_header: true,
            largest_body: None,
            sparse_indexes: false,
            rate_limit: None,
        }
    }
}

/// What was asked, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    requests: BTreeMap<Kind, u64>,
    /// Bytes of blobs and manifests sent.
    pub bytes_sent: u64,
    /// Bytes of blobs and manifests received.
    pub bytes_received: u64,
}

impl Counts {
    /// How many requests of this kind came.
    pub fn of(&self, kind: Kind) -> u64 {
        self.requests.get(&kind).copied().unwrap_or(0)
    }
}

/// Decides whether a request fails: its kind, its path, and how many of its kind came before.
pub type FailureRule = dyn Fn(Kind, &str, u64) -> Option<StatusCode> + Send + Sync;

/// The registry. Clones are the same one.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    setup: Setup,
    store: Mutex<Store>,
    auth: Mutex<auth::Tokens>,
    counts: Mutex<Counts>,
    failure: Mutex<Option<Box<FailureRule>>>,
    listening: Mutex<Option<Arc<Listening>>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("setup", &self.0.setup).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// An empty registry on a free port.
    pub fn start(setup: Setup) -> Self {
        let registry = Self(Arc::new(Inner {
            setup,
            store: Mutex::default(),
            auth: Mutex::default(),
            counts: Mutex::default(),
            failure: Mutex::default(),
            listening: Mutex::default(),
        }));
        // The router holds the registry weakly, or neither would ever end.
        let weak = Arc::downgrade(&registry.0);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let inner = weak.upgrade();
            async move {
                match inner {
                    Some(inner) => Self(inner).answer(request).await,
                    None => answer::status(StatusCode::SERVICE_UNAVAILABLE),
                }
            }
        });
        *lock(&registry.0.listening) = Some(Arc::new(Listening::router(router)));
        registry
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        let listening = lock(&self.0.listening).clone();
        listening.expect("it listens from the start").address().to_string()
    }

    /// Puts an image there, as if it had been pushed.
    pub fn load(&self, image: &Image) {
        let mut store = lock(&self.0.store);
        for (digest, bytes) in &image.blobs {
            store.put_blob(&image.repository, *digest, bytes.clone());
        }
        for document in &image.documents {
            store.put_manifest(
                &image.repository,
                document.digest,
                document.media_type,
                document.bytes.clone(),
            );
        }
        if !image.tag.is_empty() {
            store.put_tag(&image.repository, &image.tag, image.root);
        }
    }

    /// Replaces the content behind a digest, to lie about it.
    pub fn replace_content(&self, digest: Digest, bytes: bytes::Bytes) {
        lock(&self.0.store).replace(digest, bytes);
    }

    /// Forgets everything it holds.
    pub fn clear(&self) {
        *lock(&self.0.store) = Store::default();
    }

    /// The digest that a tag names.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<Digest> {
        lock(&self.0.store).tag(repository, tag)
    }

    /// All that it holds, as text: two registries with the same content give the same.
    pub fn content(&self) -> String {
        lock(&self.0.store).content()
    }

    /// What was asked since the start or the last [`Registry::reset_counts`].
    pub fn counts(&self) -> Counts {
        lock(&self.0.counts).clone()
    }

    /// Begins counting anew.
    pub fn reset_counts(&self) {
        *lock(&self.0.counts) = Counts::default();
    }

    /// Fails requests by this rule from now on.
    pub fn fail_when(&self, rule: impl Fn(Kind, &str, u64) -> Option<StatusCode> + Send + Sync + 'static) {
        *lock(&self.0.failure) = Some(Box::new(rule));
    }

    /// Fails nothing any more.
    pub fn heal(&self) {
        *lock(&self.0.failure) = None;
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let Some(route) = route::Route::of(&request) else {
            return answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such path");
        };
        let earlier = self.count(&route);
        let failure =
            lock(&self.0.failure).as_ref().and_then(|rule| rule(route.kind, request.uri().path(), earlier));
        if let Some(status) = failure {
            return answer::error(status, "UNAVAILABLE", "told to fail");
        }
        // As the client knows us, which may be through a proxy.
        let host = request.headers().get("host").and_then(|value| value.to_str().ok());
        let base = format!("http://{}", host.unwrap_or_default());
        if route.kind == Kind::Token {
            return auth::token(&self.0.setup.auth, &mut lock(&self.0.auth), &request);
        }
        if let Err(refusal) =
            auth::check(&self.0.setup.auth, &mut lock(&self.0.auth), &route, &request, &base)
        {
            return *refusal;
        }
        let (parts, body) = request.into_parts();
        upload::Call { registry: self, route: &route, parts: &parts }.serve(body).await
    }

    fn count(&self, route: &route::Route) -> u64 {
        let mut counts = lock(&self.0.counts);
        let count = counts.requests.entry(route.kind).or_default();
        *count += 1;
        *count - 1
    }

    fn sent(&self, bytes: usize) {
        lock(&self.0.counts).bytes_sent += bytes as u64;
    }

    fn received(&self, bytes: usize) {
        lock(&self.0.counts).bytes_received += bytes as u64;
    }
}
