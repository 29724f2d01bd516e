//! Marathon in this process, of version 1.5: apps in the form that it shows them in, deployments that take a moment, and a lock while
//! they do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::server::Listening;

/// How long a deployment takes.
const DEPLOYMENT: Duration = Duration::from_millis(300);
const MAX_BODY: usize = 1 << 20;
/// What the new form takes from nobody.
const REFUSED: [&str; 5] = ["version", "tasksRunning", "tasksHealthy", "deployments", "uris"];

/// The server. It ends when dropped.
pub struct Marathon {
    shared: Arc<Mutex<Shared>>,
    listening: Listening,
}

#[derive(Default)]
struct Shared {
    apps: BTreeMap<String, (Value, Instant)>,
    changes: usize,
}

impl fmt::Debug for Marathon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marathon").finish_non_exhaustive()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Marathon {
    /// One without apps.
    pub fn start() -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let served = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let shared = Arc::clone(&served);
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = lock(&shared).answer(&parts.method, parts.uri.path(), body);
                Response::builder()
                    .status(status)
                    .header("content-type", "application/json")
                    .body(Body::from(answer.to_string()))
                    .expect("a status and a plain header")
            }
        });
        Self { shared, listening: Listening::router(router) }
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listening.address())
    }

    /// The definition of an app.
    pub fn app(&self, id: &str) -> Option<Value> {
        lock(&self.shared).apps.get(id).map(|(app, _)| app.clone())
    }

    /// Somebody else changes an app.
    pub fn edit(&self, id: &str, change: impl FnOnce(&mut Value)) {
        if let Some((app, _)) = lock(&self.shared).apps.get_mut(id) {
            change(app);
        }
    }

    /// How many changes were asked for.
    pub fn changes(&self) -> usize {
        lock(&self.shared).changes
    }
}

impl Shared {
    fn answer(&mut self, method: &Method, path: &str, body: Value) -> (StatusCode, Value) {
        let message = |status, text: &str| (status, json!({"message": text}));
        let Some(id) = path.strip_prefix("/v2/apps") else {
            return message(StatusCode::NOT_FOUND, "no such path");
        };
        let since = self.apps.get(id).map(|(_, since)| since.elapsed());
        let is_locked = since.is_some_and(|since| since < DEPLOYMENT);
        if *method != Method::GET {
            self.changes += 1;
            if is_locked {
                return message(StatusCode::CONFLICT, "App is locked by one or more deployments");
            }
        }
        match (method, since) {
            (&Method::GET, Some(since)) => (StatusCode::OK, json!({"app": self.shown(id, since)})),
            (&Method::PUT, _) if REFUSED.iter().any(|key| body.get(*key).is_some()) => {
                message(StatusCode::UNPROCESSABLE_ENTITY, "Object is not valid")
            }
            (&Method::PUT, known) => {
                let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
                self.apps.insert(id.to_owned(), (kept(body), Instant::now()));
                (status, json!({"version": "2026-01-01T00:00:00.000Z", "deploymentId": "d1"}))
            }
            (&Method::DELETE, Some(_)) => {
                self.apps.remove(id);
                (StatusCode::OK, json!({"deploymentId": "d2"}))
            }
            _ => message(StatusCode::NOT_FOUND, &format!("App '{id}' does not exist")),
        }
    }

    /// With what Marathon adds about its running.
    fn shown(&self, id: &str, since: Duration) -> Value {
        let mut app = self.apps[id].0.clone();
        let running = u64::from(since >= DEPLOYMENT);
        let deployments = if running == 1 { json!([]) } else { json!([{"id": "d1"}]) };
        let added = json!({
            "version": "2026-01-01T00:00:00.000Z", "versionInfo": {}, "user": null,
            "tasksRunning": running, "tasksHealthy": running, "tasksUnhealthy": 0, "deployments": deployments,
        });
        for (key, value) in added.as_object().into_iter().flatten() {
            app[key] = value.clone();
        }
        app
    }
}

/// As 1.5 keeps it: with defaults, and with ports and network no longer docker's.
fn kept(mut app: Value) -> Value {
    let mut taken = |key: &str| app.pointer_mut("/container/docker")?.as_object_mut()?.remove(key);
    let (ports, network) = (taken("portMappings"), taken("network"));
    if let Some(ports) = ports {
        app["container"]["portMappings"] = ports;
    }
    if network.is_some() {
        app["networks"] = json!([{"mode": "container/bridge"}]);
    }
    app["backoffFactor"] = json!(1.15);
    app
}
