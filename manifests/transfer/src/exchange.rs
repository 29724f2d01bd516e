//! One request and its answer: who we are, redirects, the stall timer, and what each status means.

mod grants;

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, header};
use oci_distribution::errors::OciEnvelope;
use url::Url;

use crate::auth::{self, Access, Grant, TokenRequest, TokenService};
use crate::bridge::Outgoing;
use crate::error::TlsProblem;
use crate::limits::Permit;
use crate::url::{host_and_port, same_origin};
use crate::{Client, Error, retry};

/// As many as browsers and curl follow by default, or fewer.
const MAX_REDIRECTS: usize = 10;
/// The most that is read of an answer that says no.
const MAX_ERROR_BODY: usize = 16 << 10;
/// The most that a token service may answer.
const MAX_TOKEN: u64 = 1 << 20;

/// A request.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload<'a>,
    pub(crate) access: &'a Access,
    pub(crate) identity: Identity,
    /// What an interface itself means by an answer that says no: by its status and the beginning of its body. `None`
    /// where the status says it all.
    pub(crate) explain: Option<Explain<'a>>,
    /// How much longer than otherwise the answer may take, once all is sent.
    pub(crate) patience: Duration,
}

/// Reads an answer that says no.
pub(crate) type Explain<'a> = &'a (dyn Fn(u16, &[u8]) -> Option<Error> + Sync);

/// How a request shows who we are.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// As the challenge of a 401 asks for it.
    AsAsked,
    /// By this header from the first request on, or not at all. There is no second thing to show, so a 401 is final and
    /// costs no second body.
    Given(Option<HeaderValue>),
}

/// What a request carries. It can be sent more than once: after a 401, after a redirect.
pub(crate) enum Payload<'a> {
    Empty,
    Bytes(Bytes),
    Stream(&'a (dyn Fn() -> Outgoing + Sync)),
}

/// A good answer (2xx). Its request counts as running until it is dropped.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) response: reqwest::Response,
    pub(crate) permit: Permit,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, url: Url, access: &'a Access) -> Self {
        let (headers, body, patience) = (HeaderMap::new(), Payload::Empty, Duration::ZERO);
        Self { method, url, headers, body, access, identity: Identity::AsAsked, explain: None, patience }
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: header::HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(crate) fn body(mut self, body: Payload<'a>) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    pub(crate) fn explain(mut self, explain: Explain<'a>) -> Self {
        self.explain = Some(explain);
        self
    }

    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl Reply {
    /// A header as text.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The body, if it is no more than `limit` bytes.
    pub(crate) async fn bytes(self, limit: u64, client: &Client) -> Result<Bytes, Error> {
        let Self { mut response, permit: _permit } = self;
        let url = response.url().clone();
        let mut body = BytesMut::new();
        while let Some(chunk) = client.next_chunk(&mut response).await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(Error::TooLarge { url: (&url).into(), limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

impl Client {
    /// Sends `call`, trying again by the policy.
    pub(crate) async fn request(&self, call: &Call<'_>) -> Result<Reply, Error> {
        let mut attempts = self.attempts();
        loop {
            match self.send(call).await {
                Ok(reply) => return Ok(reply),
                Err(error) => attempts.pause(error, None).await?,
            }
        }
    }

    /// Sends `call` and reads the answer, trying again by the policy.
    pub(crate) async fn request_bytes(
        &self,
        call: &Call<'_>,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), Error> {
        let mut attempts = self.attempts();
        loop {
            let answer = match self.send(call).await {
                Ok(reply) => {
                    let headers = reply.response.headers().clone();
                    reply.bytes(limit, self).await.map(|bytes| (headers, bytes))
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.pause(error, None).await?,
            }
        }
    }

    /// Sends `call` once; after a 401 again with what the server asks for.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Reply, Error> {
        let host = self.host(&call.url);
        let permit = host.permit().await;
        let result = self.send_with_grants(call).await;
        match &result {
            Ok(_) => host.went_well(),
            Err(error) if error.is_overload() => host.struggled(),
            Err(_) => {}
        }
        result.map(|response| Reply { response, permit })
    }

    /// Sends `call` and follows redirects. Who we are is shown to the origin alone.
    async fn exchange(&self, call: &Call<'_>, grant: Option<&Grant>) -> Result<reqwest::Response, Error> {
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = reqwest::Request::new(call.method.clone(), url.clone());
            *request.headers_mut() = call.headers.clone();
            let shown = match &call.identity {
                Identity::AsAsked => grant.map(|grant| &grant.header),
                Identity::Given(header) => header.as_ref(),
            };
            if let Some(header) = shown.filter(|_| same_origin(&url, &call.access.origin)) {
                request.headers_mut().insert(header::AUTHORIZATION, header.clone());
            }
            let response = self.transmit(request, &call.body, call.patience).await?;
            let Some(target) = redirect(&response, &call.method)? else { return Ok(response) };
            tracing::debug!(from = %url.path(), host = target.host_str(), "redirected");
            url = target;
        }
        Err(Error::Protocol { url: (&call.url).into(), reason: "it redirects without end".into() })
    }

    /// Sends `request` once and waits for the head of its answer, whatever that says.
    pub(crate) async fn transmit(
        &self,
        mut request: reqwest::Request,
        body: &Payload<'_>,
        patience: Duration,
    ) -> Result<reqwest::Response, Error> {
        let url = request.url().clone();
        let stall = self.options().stall_timeout;
        let mut progress = None;
        match body {
            Payload::Stream(open) => {
                let outgoing = open();
                *request.body_mut() = Some(outgoing.body);
                progress = Some(outgoing.progress);
            }
            Payload::Bytes(bytes) => *request.body_mut() = Some(bytes.clone().into()),
            Payload::Empty if matches!(*request.method(), Method::GET | Method::HEAD) => {}
            Payload::Empty => {
                request.headers_mut().insert(header::CONTENT_LENGTH, 0.into());
            }
        }
        let sent = self.http().execute(request);
        let sent = match progress {
            Some(progress) => {
                let sent = progress.watch(sent, stall, stall + patience).await;
                // Why the source gave out is worth more than that the request then broke.
                if let Some(source) = progress.take_failure() {
                    return Err(Error::Source { url: (&url).into(), source });
                }
                sent
            }
            None => timeout(stall + patience, sent).await,
        };
        let sent = sent.ok_or_else(|| Error::Stalled { url: (&url).into(), after: stall + patience })?;
        match sent {
            Ok(response) => {
                self.host(&url).was_reached();
                Ok(response)
            }
            Err(error) => Err(self.transport_error(error, &url)),
        }
    }

    /// The next piece of an answer's body.
    pub(crate) async fn next_chunk(&self, response: &mut reqwest::Response) -> Result<Option<Bytes>, Error> {
        let stall = self.options().stall_timeout;
        match timeout(stall, response.chunk()).await {
            Some(Ok(chunk)) => Ok(chunk),
            Some(Err(source)) => {
                Err(Error::Interrupted { url: response.url().into(), source: source.without_url() })
            }
            None => Err(Error::Stalled { url: response.url().into(), after: stall }),
        }
    }

    /// What no answer at all means.
    fn transport_error(&self, error: reqwest::Error, url: &Url) -> Error {
        let error = error.without_url();
        let host = host_and_port(url);
        if let Some(problem) = tls_problem(&error) {
            return Error::Tls { host, problem };
        }
        if error.is_connect() {
            let reached_before = self.host(url).reached();
            return Error::Connect { host, reached_before, source: error };
        }
        Error::Interrupted { url: url.into(), source: error }
    }

    /// What an answer other than 2xx means.
    async fn failure(&self, response: reqwest::Response, call: Option<&Call<'_>>) -> Error {
        let (url, status) = (response.url().into(), response.status().as_u16());
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| retry::parse_retry_after(value, SystemTime::now()));
        let body = self.error_body(response).await;
        if let Some(error) = call.and_then(|call| call.explain?(status, &body)) {
            return error;
        }
        let message = read_message(&body);
        match status {
            404 | 410 => Error::NotFound { url, message },
            401 | 403 | 407 => {
                let help = call.map(|call| auth::help(call.access, None)).unwrap_or_default();
                Error::Denied { url, status, message, help }
            }
            429 | 503 => Error::Overloaded { url, status, message, retry_after },
            // Not implemented, no such version, disk full: the next attempt would hear the same.
            501 | 505 | 507 => Error::Refused { url, status, message },
            408 | 425 | 500.. => Error::Server { url, status, message },
            _ => Error::Refused { url, status, message },
        }
    }

    /// The beginning of the body of an answer that says no.
    pub(crate) async fn error_body(&self, mut response: reqwest::Response) -> Vec<u8> {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = self.next_chunk(&mut response).await {
            body.extend_from_slice(&chunk);
            if body.len() >= MAX_ERROR_BODY {
                body.truncate(MAX_ERROR_BODY);
                break;
            }
        }
        body
    }
}

impl TokenService for Client {
    async fn ask(&self, token: TokenRequest) -> Result<Bytes, Error> {
        let method = if token.form.is_some() { Method::POST } else { Method::GET };
        let mut request = reqwest::Request::new(method.clone(), token.url.clone());
        if let Some(authorization) = token.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization);
        }
        let body = match token.form {
            Some(form) => {
                let form_type = header::HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert(header::CONTENT_TYPE, form_type);
                Payload::Bytes(form.into())
            }
            None => Payload::Empty,
        };
        let mut response = self.transmit(request, &body, Duration::ZERO).await?;
        if !response.status().is_success() {
            return Err(self.failure(response, None).await);
        }
        let mut answer = BytesMut::new();
        while let Some(chunk) = self.next_chunk(&mut response).await? {
            if (answer.len() + chunk.len()) as u64 > MAX_TOKEN {
                return Err(Error::TooLarge { url: (&token.url).into(), limit: MAX_TOKEN });
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer.freeze())
    }
}

/// Where the answer sends us, if anywhere.
fn redirect(response: &reqwest::Response, method: &Method) -> Result<Option<Url>, Error> {
    let from = response.url();
    let follow = match response.status().as_u16() {
        301..=303 => matches!(*method, Method::GET | Method::HEAD),
        307 | 308 => true,
        _ => false,
    };
    let Some(location) = response.headers().get(header::LOCATION).filter(|_| follow) else { return Ok(None) };
    let target = location.to_str().ok().and_then(|location| from.join(location).ok());
    let target = target.filter(|target| matches!(target.scheme(), "http" | "https"));
    let target = target.ok_or_else(|| Error::Protocol {
        url: from.into(),
        reason: "it redirects to something that is no URL".into(),
    })?;
    if from.scheme() == "https" && target.scheme() == "http" {
        return Err(Error::Insecure { from: from.into(), to: (&target).into() });
    }
    Ok(Some(target))
}

/// `None` when the time is over.
async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

/// What a docker daemon says.
#[derive(serde::Deserialize)]
struct Said {
    message: String,
}

/// What a registry says in its error envelope, or a docker daemon in its own; else the first words of a plain text.
fn read_message(body: &[u8]) -> String {
    let text = if let Ok(envelope) = serde_json::from_slice::<OciEnvelope>(body) {
        let errors = envelope.errors.iter().map(|error| {
            let code = serde_json::to_value(&error.code).ok();
            let code = code.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            if error.message.is_empty() { code } else { format!("{code}: {}", error.message) }
        });
        errors.collect::<Vec<_>>().join("; ")
    } else if let Ok(Said { message }) = serde_json::from_slice(body) {
        message
    } else {
        let text = String::from_utf8_lossy(body);
        // A page for a browser says nothing in its first line.
        let line = text.trim().lines().next().filter(|line| !line.starts_with('<'));
        line.unwrap_or_default().to_owned()
    };
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn tls_problem(error: &reqwest::Error) -> Option<TlsProblem> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return Some(name_tls_problem(tls));
        }
        cause = match current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            // An io::Error passes over what it wraps when asked for its source.
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    None
}

fn name_tls_problem(error: &rustls::Error) -> TlsProblem {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => TlsProblem::WrongName,
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                TlsProblem::Expired
            }
            // A server's certificate that is an authority's too: self-signed, in practice.
            Bad::UnknownIssuer | Bad::Other(_) => TlsProblem::UnknownAuthority,
            other => TlsProblem::Other(other.to_string()),
        },
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => TlsProblem::PlainHttp,
        other => TlsProblem::Other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":null}]}"#,
                "UNAUTHORIZED: authentication required",
            ),
            (
                r#"{"errors":[{"code":"ARTIFACT_LOCKED"},{"code":"DENIED","message":"no"}]}"#,
                "ARTIFACT_LOCKED; DENIED: no",
            ),
            (r#"{"message":"No such image: a:1"}"#, "No such image: a:1"),
            ("  plain words\nmore", "plain words"),
            ("<html><body>502</body></html>", ""),
            ("\x1b[31mred", "[31mred"),
            ("", ""),
        ] {
            assert_eq!(read_message(body.as_bytes()), expected);
        }
        assert_eq!(read_message("x".repeat(9999).as_bytes()).len(), 300);
    }
}
