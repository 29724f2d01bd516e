//! Harbor in this process: its projects, in front of the fake registry. Who has not logged in sees public projects only, and is not
//! asked to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::registry::{Registry, Setup};
use crate::server::Listening;

const MAX_BODY: usize = 1 << 20;

/// The server. It ends when dropped.
pub struct Harbor {
    shared: Arc<Shared>,
    listening: Listening,
}

struct Shared {
    registry: Registry,
    authorization: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Names, and whether they are public.
    projects: BTreeMap<String, bool>,
    /// Artifacts by repository. One that has lost its last artifact stays.
    repositories: BTreeMap<String, BTreeSet<String>>,
}

impl fmt::Debug for Harbor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harbor").finish_non_exhaustive()
    }
}

impl Harbor {
    /// One without projects, and with this user.
    pub fn start(user: &str, password: &str) -> Result<Self> {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let registry = Registry::start(Setup::default());
        let shared = Arc::new(Shared { registry, authorization, state: Mutex::default() });
        let served = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |request: Request<Body>| {
            let shared = Arc::clone(&served);
            async move { shared.answer(request).await }
        });
        Ok(Self { shared, listening: Listening::router(router) })
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.listening.address().to_string()
    }

    /// Somebody makes a project.
    pub fn add_project(&self, name: &str, public: bool) {
        self.shared.state().projects.insert(name.to_owned(), public);
    }

    /// Whether a project is public; `None` where there is none.
    pub fn project(&self, name: &str) -> Option<bool> {
        self.shared.state().projects.get(name).copied()
    }

    /// Somebody else pushes to this repository.
    pub fn push_foreign(&self, repository: &str) -> Result<()> {
        let mut state = self.shared.state();
        let project = repository.split('/').next().unwrap_or_default();
        ensure!(state.projects.contains_key(project), "no project {project}");
        state.repositories.entry(repository.to_owned()).or_default().insert("theirs".into());
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if let Some(path) = path.strip_prefix("/api/v2.0/") {
            let (parts, body) = request.into_parts();
            let is_known =
                parts.headers.get("authorization").is_some_and(|given| *given == *self.authorization);
            let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let query = parts.uri.query().unwrap_or_default();
            let (status, answer) = self.state().api(&parts.method, path, query, is_known, &body);
            return json_answer(status, &answer);
        }
        let method = request.method().clone();
        let pushed = path.strip_prefix("/v2/").and_then(|path| path.rsplit_once("/manifests/"));
        let pushed = pushed.map(|(repository, reference)| (repository.to_owned(), reference.to_owned()));
        let project = path.strip_prefix("/v2/").and_then(|path| path.split('/').next()).unwrap_or_default();
        let is_change = !matches!(method, Method::GET | Method::HEAD);
        if is_change && !self.state().projects.contains_key(project) {
            let error = json!({"errors": [{"code": "UNAUTHORIZED", "message": "project not found"}]});
            return json_answer(StatusCode::FORBIDDEN, &error);
        }
        if let (Some((repository, reference)), &Method::DELETE) = (&pushed, &method) {
            let was_there =
                self.state().repositories.get_mut(repository).is_some_and(|all| all.remove(reference));
            let status = if was_there { StatusCode::ACCEPTED } else { StatusCode::NOT_FOUND };
            return json_answer(status, &Value::Null);
        }
        let response = self.registry.answer(request).await;
        if let (Some((repository, reference)), true) = (pushed, response.status().is_success()) {
            let digest = response.headers().get("docker-content-digest");
            let digest = digest.and_then(|digest| digest.to_str().ok()).unwrap_or(&reference).to_owned();
            let mut state = self.state();
            if method == Method::PUT {
                state.repositories.entry(repository).or_default().insert(digest);
            } else if !state.repositories.get(&repository).is_some_and(|all| all.contains(&digest)) {
                // The registry behind does not know that it was deleted.
                let error = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "not found"}]});
                return json_answer(StatusCode::NOT_FOUND, &error);
            }
        }
        response
    }
}

fn json_answer(status: StatusCode, answer: &Value) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(answer.to_string())).expect("a status and a plain header")
}

impl State {
    fn api(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        is_known: bool,
        body: &Value,
    ) -> (StatusCode, Value) {
        let parts: Vec<&str> = path.split('/').collect();
        let denied = (
            StatusCode::UNAUTHORIZED,
            json!({"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized"}]}),
        );
        match (method, &parts[..]) {
            (&Method::GET, ["systeminfo"]) => {
                (StatusCode::OK, json!({"auth_mode": "db_auth", "self_registration": false}))
            }
            (&Method::GET, ["projects"]) => {
                let wanted = query.split('&').find_map(|pair| pair.strip_prefix("name=")).unwrap_or_default();
                let all = self.projects.iter().enumerate();
                let seen = all.filter(|(_, (name, public))| name.contains(wanted) && (**public || is_known));
                let shown = seen.map(|(id, (name, _))| json!({"project_id": id, "name": name}));
                (StatusCode::OK, Value::Array(shown.collect()))
            }
            _ if !is_known => denied,
            (&Method::POST, ["projects"]) => {
                let name = body["project_name"].as_str().unwrap_or_default().to_owned();
                if self.projects.contains_key(&name) {
                    return (
                        StatusCode::CONFLICT,
                        json!({"errors": [{"code": "CONFLICT", "message": "it is there"}]}),
                    );
                }
                self.projects.insert(name, body["metadata"]["public"] == "true");
                (StatusCode::CREATED, Value::Null)
            }
            (&Method::GET, ["projects", project, "repositories"]) => {
                let own =
                    self.repositories.iter().filter(|(name, _)| name.split('/').next() == Some(*project));
                let shown =
                    own.map(|(name, artifacts)| json!({"name": name, "artifact_count": artifacts.len()}));
                (StatusCode::OK, Value::Array(shown.collect()))
            }
            (&Method::DELETE, ["projects", project, "repositories", repository]) => {
                self.repositories.remove(&format!("{project}/{}", repository.replace("%252F", "/")));
                (StatusCode::OK, Value::Null)
            }
            (&Method::DELETE, ["projects", id]) => {
                let id: usize = id.parse().unwrap_or(usize::MAX);
                let Some(name) = self.projects.keys().nth(id).cloned() else {
                    return (StatusCode::NOT_FOUND, Value::Null);
                };
                if self.repositories.keys().any(|repository| repository.split('/').next() == Some(&name)) {
                    return (StatusCode::PRECONDITION_FAILED, Value::Null);
                }
                self.projects.remove(&name);
                (StatusCode::OK, Value::Null)
            }
            _ => (StatusCode::NOT_FOUND, Value::Null),
        }
    }
}
