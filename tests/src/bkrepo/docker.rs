//! The registry service in front of the tests' own registry. [BKREPO OciLoginAuthHandler, OciExceptionHandler, OciResponseUtils]

use std::collections::HashMap;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{Refusal, Stop, json_answer};
use super::auth::{self, Action, Who};
use super::call::{Call, collect};
use super::{Release, lock};
use crate::registry;

/// The tokens that were handed out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issued: HashMap<String, Who>,
}

/// The registry behind: what it does differently from a usual one.
pub(super) fn registry() -> registry::Registry {
    registry::Registry::start(registry::Setup {
        locations: registry::Locations::WithoutPort,
        referrers: false,
        ..registry::Setup::default()
    })
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json_answer(status, &json!({"errors": [{"code": code, "message": message, "detail": Value::Null}]}))
}

impl Call<'_> {
    /// `/docker/v2/auth`. Without credentials the scope must name a public repository; with them it is not looked at.
    pub(super) fn docker_token(&mut self) -> Result<Response<Body>, Stop> {
        let release = self.release();
        let who = auth::identify(self.server, &self.parts.headers)?;
        if who == Who::Anonymous {
            let scope = self.parameter("scope").unwrap_or_default();
            let name = scope.split(':').nth(1).unwrap_or_default();
            let mut names = name.splitn(3, '/');
            let (project, repository) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
            let store = lock(&self.server.store);
            if !store.repository(project, repository).is_ok_and(|repository| repository.public) {
                return Err(Refusal::unauthenticated(release, "Unauthorized").into());
            }
        }
        let mut tokens = lock(&self.server.tokens);
        let token = format!("token-{}", tokens.issued.len() + 1);
        tokens.issued.insert(token.clone(), who);
        let issued = json!({"token": token, "access_token": token, "issued_at": "2023-06-14T12:00:00.394Z"});
        Ok(json_answer(StatusCode::OK, &issued))
    }

    /// `/v2/…` by token, or by Basic on every request.
    pub(super) async fn docker(&mut self) -> Result<Response<Body>, Stop> {
        let Some(who) = self.docker_user() else { return Ok(self.docker_challenge()) };
        let path = self.parts.uri.path().to_owned();
        let mut names = path.trim_start_matches("/v2").trim_start_matches('/').splitn(3, '/');
        let project = names.next().unwrap_or_default();
        if let Some(repository) = names.next() {
            let reads = matches!(self.parts.method, Method::GET | Method::HEAD);
            let action = if reads { Action::Read } else { Action::Write };
            let store = lock(&self.server.store);
            if !store.repository(project, repository).is_ok_and(|repository| repository.kind == "DOCKER") {
                return Ok(error(
                    StatusCode::BAD_REQUEST,
                    "NAME_UNKNOWN",
                    "repository name not known to registry",
                ));
            }
            if let Err(refusal) = store.check(self.release(), &who, (project, repository), action) {
                if refusal.is_unauthenticated() {
                    return Ok(self.docker_challenge());
                }
                return Ok(error(
                    StatusCode::FORBIDDEN,
                    "DENIED",
                    "requested access to the resource is denied",
                ));
            }
        }
        let (body, mut parts) = (self.take_body(), self.parts.clone());
        parts.headers.remove("authorization");
        if self.is(&Method::PUT) && path.contains("/manifests/") {
            let bytes = collect(body).await?;
            let manifest: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            // Its parser needs a config and layers.
            if self.release() == Release::V1_3_16 && !manifest["config"].is_object() {
                return Ok(error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "manifest invalid"));
            }
            return Ok(self.server.registry.answer(Request::from_parts(parts, Body::from(bytes))).await);
        }
        Ok(self.server.registry.answer(Request::from_parts(parts, body)).await)
    }

    fn docker_user(&self) -> Option<Who> {
        match self.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) {
            Some(token) => lock(&self.server.tokens).issued.get(token).cloned(),
            None => {
                auth::identify(self.server, &self.parts.headers).ok().filter(|who| *who != Who::Anonymous)
            }
        }
    }

    /// The scope is always this one, whatever was asked for.
    fn docker_challenge(&self) -> Response<Body> {
        let (name, port) = self.header("host").unwrap_or_default().split_once(':').unwrap_or_default();
        let name = self.server.setup.token_host.as_deref().unwrap_or(name);
        let challenge = format!(
            "Bearer realm=\"http://{name}:{port}/docker/v2/auth\",service=\"bkrepo\",scope=\"repository:*/*/tb:push,pull\""
        );
        let mut answer = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
        answer.headers_mut().insert("www-authenticate", challenge.parse().expect("ASCII without line ends"));
        answer
    }
}
