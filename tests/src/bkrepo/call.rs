//! One request on its way: faults, who it is from, and which service it is for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, request::Parts};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};

use super::answer::{self, CONTENT_INVALID, Cut, Refusal, Stop, json_answer};
use super::auth::{self, Who};
use super::content::{self, Content};
use super::fault::Fault;
use super::log::Record;
use super::path::{percent_decode, query_pairs};
use super::{Inner, Keeping, Release, lock};

const MAX_IN_MEMORY: usize = 64 << 20;

pub(super) struct Call<'a> {
    pub(super) server: &'a Inner,
    pub(super) parts: Parts,
    pub(super) record: Arc<Record>,
    pub(super) who: Who,
    body: Option<Body>,
    fault: Option<Fault>,
    query: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    pub(super) fn new(server: &'a Inner, request: Request<Body>, fault: Option<Fault>) -> Self {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        let claimed = auth::claimed(&parts.headers);
        let record = server.log.begin(&parts.method, parts.uri.path(), query, claimed);
        let query = query_pairs(query);
        Self { server, parts, record, who: Who::Anonymous, body: Some(body), fault, query }
    }

    pub(super) async fn serve(mut self) -> Result<Response<Body>, Cut> {
        let answer = match self.planned().await {
            Ok(()) => self.route().await,
            Err(stop) => Err(stop),
        };
        self.drain();
        if self.fault == Some(Fault::LoseAnswer) {
            return Err(Cut);
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(Stop::Refused(refusal)) => refusal.answer(),
            Err(Stop::Error(status, message)) => json_answer(status, &json!({"error": message})),
            Err(Stop::Cut) => return Err(Cut),
        };
        Ok(answer::challenged(answer))
    }

    /// Does what the fault says, where that stands in the request's place.
    async fn planned(&mut self) -> Result<(), Stop> {
        let release = self.release();
        let path = self.parts.uri.path().to_owned();
        let refusal = match self.fault {
            None
            | Some(Fault::StoreWrong | Fault::LoseAnswer | Fault::CutAfter(_) | Fault::CutAnswerAfter(_)) => {
                return Ok(());
            }
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                return Ok(());
            }
            Some(Fault::Unauthorized) => {
                return Err(Refusal::unauthenticated(release, "Authorization value check failed").into());
            }
            Some(Fault::Gateway(_)) => return Ok(()),
            Some(Fault::Forbidden) => Refusal::denied(release, "told so"),
            Some(Fault::NodeExisted) => Refusal::existed(&path),
            Some(Fault::NodeConflict) => Refusal::conflict(&path),
            Some(Fault::DigestMismatch) => Refusal::digest("sha256"),
            Some(Fault::NodeNotFound) => Refusal::no_node(&path).with_status(StatusCode::NOT_FOUND),
            Some(Fault::UploadExpired) => {
                let id = self.header("x-bkrepo-upload-id").unwrap_or_default().to_owned();
                lock(&self.server.store).uploads.remove(&id);
                Refusal::no_upload(&id)
            }
        };
        self.discard().await?;
        Err(refusal.into())
    }

    async fn route(&mut self) -> Result<Response<Body>, Stop> {
        if let Some(Fault::Gateway(status)) = self.fault {
            return Ok(answer::gateway(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)));
        }
        let path = self.parts.uri.path().to_owned();
        if path == "/v2" || path.starts_with("/v2/") {
            let answer = self.docker().await?;
            return if matches!(self.fault, Some(Fault::CutAfter(_))) { Err(Stop::Cut) } else { Ok(answer) };
        }
        if path == "/docker/v2/auth" {
            return self.docker_token();
        }
        self.who = auth::identify(self.server, &self.parts.headers)?;
        // The gateway runs slashes together before it looks for a service.
        let path = path.trim_start_matches('/');
        // Host names of their own lead to the services for docker and helm.
        let host = self.header("host").unwrap_or_default();
        let (service, rest) = match host.split('.').next() {
            Some("helm") => ("helm", path),
            _ => path.split_once('/').unwrap_or((path, "")),
        };
        let rest = rest.trim_start_matches('/');
        let answer = match service {
            "generic" => self.generic(rest).await,
            "repository" => self.repository_service(rest).await,
            "auth" => self.auth_service(rest).await,
            "helm" => self.helm(rest).await,
            _ => return Ok(answer::gateway(StatusCode::NOT_FOUND)),
        };
        // A cut that no body came to is one after the request.
        match self.fault {
            Some(Fault::CutAfter(_)) => Err(Stop::Cut),
            _ => answer,
        }
    }

    pub(super) fn release(&self) -> Release {
        self.server.setup.release
    }

    pub(super) fn user(&self) -> &str {
        match &self.who {
            Who::User(name) => name,
            Who::Anonymous | Who::Platform => "anonymous",
        }
    }

    pub(super) fn is(&self, method: &Method) -> bool {
        self.parts.method == *method
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// `true` in any case is yes, all else is no. [BKREPO HeaderUtils.getBooleanHeader]
    pub(super) fn flag(&self, name: &str) -> bool {
        self.header(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn parameters(&self, name: &str) -> Vec<&str> {
        let all = self.query.iter().filter(|(key, _)| key == name);
        all.flat_map(|(_, value)| value.split(',')).collect()
    }

    pub(super) fn stores_wrong(&self) -> bool {
        self.fault == Some(Fault::StoreWrong)
    }

    pub(super) fn answer_cut_after(&self) -> Option<u64> {
        match self.fault {
            Some(Fault::CutAnswerAfter(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Receives the body of an upload.
    pub(super) async fn receive(&mut self, keeping: Keeping) -> Result<Content, Stop> {
        let cut_after = match self.fault {
            Some(Fault::CutAfter(bytes)) => Some(bytes),
            _ => None,
        };
        let body = self.take_body();
        content::receive(body, (keeping, self.server.folder.path()), cut_after).await
    }

    async fn discard(&mut self) -> Result<(), Stop> {
        self.receive(Keeping::DigestsOnly).await.map(drop)
    }

    pub(super) async fn json(&mut self) -> Result<Value, Stop> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes)
            .map_err(|_| Refusal::bad(CONTENT_INVALID, "Invalid request content").into())
    }

    /// The body in memory: requests in JSON, charts, manifests.
    pub(super) async fn bytes(&mut self) -> Result<Bytes, Stop> {
        collect(self.take_body()).await
    }

    /// The body, counted while it is read.
    pub(super) fn take_body(&mut self) -> Body {
        let record = Arc::clone(&self.record);
        let body = self.body.take().unwrap_or_default();
        Body::new(body.map_frame(move |frame| {
            let length = frame.data_ref().map_or(0, Bytes::len);
            record.body.fetch_add(length as u64, Ordering::Relaxed);
            frame
        }))
    }

    /// Reads on behind an early answer, as the gateway does, so that a client which is still sending gets to see it.
    fn drain(&mut self) {
        if self.body.is_none() {
            return;
        }
        let mut body = self.take_body();
        tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
    }
}

pub(super) async fn collect(body: Body) -> Result<Bytes, Stop> {
    let body = Limited::new(body, MAX_IN_MEMORY);
    Ok(body.collect().await.map_err(|_| Stop::Cut)?.to_bytes())
}

/// Project, repository and what follows, from `PROJECT/REPOSITORY/PATH`.
pub(super) fn address(rest: &str) -> Option<(String, String, String)> {
    let rest = rest.trim_start_matches('/');
    let (project, rest) = rest.split_once('/')?;
    let rest = rest.trim_start_matches('/');
    let (repository, path) = rest.split_once('/').unwrap_or((rest, ""));
    let named = !project.is_empty() && !repository.is_empty();
    named.then(|| (percent_decode(project), percent_decode(repository), percent_decode(path)))
}
