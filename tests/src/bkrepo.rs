//! BlueKing's artifact repository (bkrepo) in this process: files, nodes, repositories, users and charts, with the order of checks, the
//! codes and the oddities of the releases that BlueKing 7.1 and 7.2 bring. It counts what it is asked and fails as told.
//!
//! Bodies are kept on disk or only their digests, so that its memory does not grow with them. What is said here of bkrepo was read in
//! its source, branches `release-1.3.16` and `release-3.3.0`; where its own documentation says otherwise, the source was followed.

mod answer;
mod auth;
mod block;
mod call;
pub(crate) mod charts;
mod content;
mod docker;
mod fault;
mod generic;
mod helm;
mod log;
mod node;
mod path;
mod repository;
mod search;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::body::Body;
use axum::http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use auth::{Grant, User};
pub use fault::Fault;
pub use log::Asked;
pub use store::File;

use crate::registry::Registry;
use crate::server::Listening;
use call::Call;
use fault::Plan;
use log::Log;
pub(crate) use path::percent_decode;
use store::Store;

/// Which bkrepo this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// What BlueKing 7.1 brings.
    #[default]
    V1_3_16,
    /// What BlueKing 7.2 brings.
    V3_3,
}

/// What becomes of uploaded bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeping {
    /// They lie in a temporary folder and can be downloaded.
    #[default]
    OnDisk,
    /// Only size and digests are kept; a download is answered with 500. Parts of block uploads lie on disk until they are put together.
    DigestsOnly,
}

/// What `GET` and `HEAD` of a folder answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FolderListing {
    /// 302 to the path with a slash at its end, and there 200 with a page.
    #[default]
    Redirected,
    /// 200 with a page, with or without the slash.
    Shown,
    /// 403 with 251202, where listing is switched off for the repository.
    Off,
}

/// A repository to begin with.
#[derive(Clone, Debug)]
pub struct RepositorySetup {
    /// Its project, which is made too.
    pub project: String,
    /// Its name.
    pub name: String,
    /// `GENERIC`, `HELM`, `DOCKER`, …
    pub kind: String,
    /// Whether anybody may read it.
    pub public: bool,
}

impl RepositorySetup {
    /// A repository of this kind.
    pub fn new(project: &str, name: &str, kind: &str, public: bool) -> Self {
        Self { project: project.into(), name: name.into(), kind: kind.into(), public }
    }
}

/// What there is to begin with, and how it differs from a usual one.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which release's codes and oddities.
    pub release: Release,
    /// Who is known.
    pub users: Vec<User>,
    /// Access and secret keys of platforms.
    pub platforms: Vec<(String, String)>,
    /// Projects to begin with.
    pub projects: Vec<String>,
    /// Repositories to begin with.
    pub repositories: Vec<RepositorySetup>,
    /// The largest `pageSize` that is taken (`repository.listCountLimit`).
    pub page_limit: u64,
    /// What becomes of uploaded bytes.
    pub keeping: Keeping,
    /// What folders answer to `GET` and `HEAD`.
    pub folder_listing: FolderListing,
    /// Where charts lie according to `index.yaml`, without a slash at its end; by default below the URL that was asked.
    pub helm_domain: Option<String>,
    /// How many times an index is still given without a chart that was uploaded: it is brought up to date behind the answer.
    pub helm_index_lag: usize,
    /// The host name (without port) of the token service's URL in the registry's challenge; by default the one that was asked.
    pub token_host: Option<String>,
}

impl Default for Setup {
    /// A freshly installed one: its administrator and its own project.
    fn default() -> Self {
        Self {
            release: Release::default(),
            users: vec![User::new("admin", "blueking", &[Grant::Everything])],
            platforms: Vec::new(),
            projects: vec!["blueking".into()],
            repositories: Vec::new(),
            page_limit: 100_000,
            keeping: Keeping::default(),
            folder_listing: FolderListing::default(),
            helm_domain: None,
            helm_index_lag: 0,
            token_host: None,
        }
    }
}

impl Setup {
    /// What PaaS leaves behind when it has been installed: its project, user and repositories.
    pub fn after_paas() -> Self {
        let mut setup = Self::default();
        setup.users.push(User::new("bkpaas3", "blueking", &[Grant::Project("bkpaas".into())]));
        let repositories = [
            ("bkpaas3-platform-assets", "GENERIC", true),
            ("bkpaas3-apps-logo", "GENERIC", true),
            ("bkpaas3-slug-packages", "GENERIC", false),
            ("bkpaas3-apps-tmpls", "GENERIC", false),
            ("bkpaas3-source-packages", "GENERIC", false),
            ("docker", "DOCKER", true),
            ("pypi", "PYPI", true),
            ("npm", "NPM", true),
        ];
        setup.repositories.extend(
            repositories.map(|(name, kind, public)| RepositorySetup::new("bkpaas", name, kind, public)),
        );
        setup
    }
}

/// The server. Clones are the same one; it ends with the last.
#[derive(Clone)]
pub struct Bkrepo {
    inner: Arc<Inner>,
    listening: Arc<Listening>,
}

pub(crate) struct Inner {
    setup: Setup,
    folder: TempDir,
    store: Mutex<Store>,
    plan: Mutex<Plan>,
    log: Log,
    tokens: Mutex<docker::Tokens>,
    registry: Registry,
}

impl fmt::Debug for Bkrepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bkrepo").field("setup", &self.inner.setup).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bkrepo {
    /// One on a free port.
    pub fn start(setup: Setup) -> Result<Self> {
        let inner = Arc::new(Inner {
            store: Mutex::new(Store::new(&setup)),
            setup,
            folder: tempfile::tempdir().context("a folder for what is uploaded")?,
            plan: Mutex::default(),
            log: Log::default(),
            tokens: Mutex::default(),
            registry: docker::registry(),
        });
        let served = Arc::clone(&inner);
        Ok(Self { inner, listening: Arc::new(Listening::start(|listener| accept(listener, served))) })
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.listening.address().to_string()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Asked> {
        self.inner.log.requests()
    }

    /// How many requests had this method and this text in their path.
    pub fn count(&self, method: &Method, path: &str) -> usize {
        self.requests().iter().filter(|asked| asked.is(method, path)).count()
    }

    /// The bytes of bodies that were received, by method and path, also of requests that failed or were cut. Paths without any are left out.
    pub fn bodies(&self) -> BTreeMap<(String, String), u64> {
        let mut bodies = BTreeMap::new();
        for asked in self.requests().into_iter().filter(|asked| asked.body > 0) {
            *bodies.entry((asked.method, asked.path)).or_default() += asked.body;
        }
        bodies
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.inner.log.clear();
    }

    /// What the generic service wrote to its access log, a line per request.
    pub fn access_log(&self) -> Vec<String> {
        self.inner.log.lines()
    }

    /// Every node of a repository by its path, folders too. Nothing where there is no such repository.
    pub fn files(&self, project: &str, repository: &str) -> BTreeMap<String, File> {
        lock(&self.inner.store).files(project, repository)
    }

    /// The kinds of the repositories, by project and name, and whether they are public.
    pub fn repositories(&self) -> BTreeMap<(String, String), (String, bool)> {
        lock(&self.inner.store).repository_kinds()
    }

    /// The names of the projects.
    pub fn projects(&self) -> Vec<String> {
        lock(&self.inner.store).projects.keys().cloned().collect()
    }

    /// Puts a file there as if it had been uploaded before, with the folders above it; what was there is replaced.
    pub fn put_raw(&self, project: &str, repository: &str, path: &str, bytes: &[u8]) -> Result<()> {
        let content = content::keep(bytes, self.inner.setup.keeping, self.inner.folder.path())?;
        let mut store = lock(&self.inner.store);
        let repository = store.repository_mut(project, repository).map_err(|refusal| anyhow!(refusal))?;
        let path = path::normalize(path).map_err(|refusal| anyhow!(refusal))?;
        repository.put_file(&path, content, true, "admin").map(drop).map_err(|refusal| anyhow!(refusal))
    }

    /// The kept bytes of a file.
    pub fn content(&self, project: &str, repository: &str, path: &str) -> Option<Vec<u8>> {
        let store = lock(&self.inner.store);
        let node = store.repository(project, repository).ok()?.node(path)?;
        std::fs::read(node.content.file.as_deref()?).ok()
    }

    /// The registry that holds the images, by `PROJECT/REPOSITORY/NAME`.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// How many block uploads are under way.
    pub fn open_uploads(&self) -> usize {
        lock(&self.inner.store).uploads.len()
    }

    /// Lets every block upload under way expire, as after twelve hours.
    pub fn expire_uploads(&self) {
        lock(&self.inner.store).uploads.clear();
    }

    /// The next request that fits fails.
    pub fn fail_next(&self, fault: Fault, fits: impl Fn(&Method, &str) -> bool + Send + 'static) {
        self.fail_times(1, fault, fits);
    }

    /// The next so many requests that fit fail.
    pub fn fail_times(
        &self,
        times: usize,
        fault: Fault,
        fits: impl Fn(&Method, &str) -> bool + Send + 'static,
    ) {
        lock(&self.inner.plan).fail_times(times, fault, Box::new(fits));
    }

    /// This many in a hundred requests that fit fail by one of these faults, drawn from this seed.
    pub fn fail_seeded(
        &self,
        seed: u64,
        percent: u32,
        faults: &[Fault],
        fits: impl Fn(&Method, &str) -> bool + Send + 'static,
    ) {
        lock(&self.inner.plan).fail_seeded(seed, percent, faults, Box::new(fits));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        *lock(&self.inner.plan) = Plan::default();
    }
}

/// Serves connections itself rather than by axum: only so can one be closed without an answer.
async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let inner = Arc::clone(&inner);
                let service = service_fn(move |request: Request<Incoming>| {
                    let inner = Arc::clone(&inner);
                    async move { inner.serve(request.map(Body::new)).await }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                connections.spawn(async move {
                    // A connection's error is its client's affair, or was ordered.
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Inner {
    async fn serve(&self, request: Request<Body>) -> Result<Response<Body>, io::Error> {
        let fault = lock(&self.plan).draw(request.method(), request.uri().path());
        let call = Call::new(self, request, fault);
        let record = Arc::clone(&call.record);
        let answer = call.serve().await;
        self.log.end(&record, answer.as_ref().ok().map(Response::status));
        answer.map_err(|answer::Cut| io::ErrorKind::ConnectionAborted.into())
    }
}
