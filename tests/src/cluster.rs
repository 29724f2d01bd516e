//! A Kubernetes API server in this process: core kinds, server-side apply with owners of fields, resource versions,
//! discovery, tokens, and controllers that start pods, bind volumes and clean up. It counts what it is asked to change, so that a
//! test can say "changed nothing". Commands can be run in its pods: those of BlueKing's PaaS.
//!
//! What it does not have: other kinds, watches, roles (single rights can be taken away), admission, schemas beyond what a few checks see to.

mod answer;
mod controller;
mod daemon_set;
mod defaults;
mod exec;
mod fields;
mod job;
mod json_patch;
mod kinds;
mod logs;
mod machines;
mod meddling;
mod paas;
mod peer;
mod pull;
mod rights;
mod store;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::Result;
use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

pub use controller::Fate;
pub use paas::{NAMESPACE, Paas, PaasFault, REDIS_PASSWORD};
pub use peer::Peer;
pub use pull::{Told, WaitingPod};

use crate::server::{Listening, runtime};
use store::Store;

/// Who may ask.
const TOKEN: &str = "the-token-of-the-tests";
/// The version that it says it is: what BlueKing 7.1 runs on.
pub const VERSION: &str = "v1.20.2";
/// How often controllers look.
const TICK: Duration = Duration::from_millis(20);

/// The API server. It ends when this is dropped.
#[derive(Debug)]
pub struct FakeCluster {
    inner: Arc<Inner>,
    listening: Listening,
}

#[derive(Debug, Default)]
struct Inner {
    store: Mutex<Store>,
    writes: Mutex<Vec<String>>,
    logs: logs::Logs,
    machines: machines::Machines,
    paas: Paas,
    forbidden: Mutex<Vec<rights::Forbidden>>,
    meddling: meddling::Meddling,
}

impl Inner {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self) -> MutexGuard<'_, Vec<String>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forbidden(&self) -> MutexGuard<'_, Vec<rights::Forbidden>> {
        self.forbidden.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeCluster {
    /// An API server on a free port, with the namespaces `default` and `kube-system` and one node.
    pub fn start() -> Self {
        let inner = Arc::new(Inner::default());
        inner.store().populate();
        let weak = Arc::downgrade(&inner);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let inner = weak.upgrade();
            async move { answer::answer(inner, request).await }
        });
        runtime().spawn(control(Arc::downgrade(&inner)));
        Self { inner, listening: Listening::router(router) }
    }

    /// Writes a kubeconfig for it into `folder`.
    pub fn kubeconfig(&self, folder: &Path) -> Result<PathBuf> {
        self.kubeconfig_with(folder, TOKEN)
    }

    /// Writes a kubeconfig with another token.
    pub fn kubeconfig_with(&self, folder: &Path, token: &str) -> Result<PathBuf> {
        let path = folder.join("kubeconfig");
        let server = format!("http://{}", self.listening.address());
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: fake\n\
             clusters: [{{name: fake, cluster: {{server: \"{server}\"}}}}]\n\
             users: [{{name: tester, user: {{token: {token}}}}}]\n\
             contexts: [{{name: fake, context: {{cluster: fake, user: tester}}}}]\n"
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// What it was asked to change until now, as `PATCH /api/v1/namespaces/a`. Controllers do not count.
    pub fn writes(&self) -> Vec<String> {
        self.inner.writes().clone()
    }

    /// The object at an API path, if there is one.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.inner.store().at_path(path)
    }

    /// What a container of the pods of an app (`app` label) has logged.
    pub fn set_log(&self, app: &str, container: &str, lines: &[&str]) {
        self.inner.logs.set(app, container, lines);
    }

    /// Forbids whoever asks to do `verb` (`patch`, `*` for anything) with `resource` (`deployments`, `*`) in a namespace, or
    /// everywhere where that is empty.
    pub fn forbid(&self, verb: &str, resource: &str, namespace: &str) {
        let (verb, resource, namespace) = (verb.to_owned(), resource.to_owned(), namespace.to_owned());
        self.inner.forbidden().push(rights::Forbidden { verb, resource, namespace });
    }

    /// Allows everything again.
    pub fn allow_everything(&self) {
        self.inner.forbidden().clear();
    }

    /// Has somebody else change each object just before the next `count` replacements of one.
    pub fn interfere(&self, count: usize) {
        self.inner.meddling.interfere(count);
    }

    /// Carries out `count` more changes, and leaves whoever asks for another waiting for ever.
    pub fn hold_after(&self, count: usize) {
        self.inner.meddling.hold_after(count);
    }

    /// Whether somebody waits for ever.
    pub fn holds(&self) -> bool {
        self.inner.meddling.holds()
    }

    /// Carries out everything again.
    pub fn let_go(&self) {
        self.inner.meddling.let_go();
    }

    /// What becomes of pods from now on.
    pub fn set_fate(&self, fate: Fate) {
        self.inner.store().fate = fate;
    }

    /// Changes an object as if `manager` had applied `manifest` with force.
    pub fn apply_as(&self, manager: &str, manifest: &Value) -> Result<()> {
        self.inner.store().apply_by(manager, manifest).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
    }
}

async fn control(inner: Weak<Inner>) {
    while let Some(inner) = inner.upgrade() {
        controller::tick(&mut inner.store());
        drop(inner);
        tokio::time::sleep(TICK).await;
    }
}
