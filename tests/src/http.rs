//! A small blocking HTTP/1.1 client for the tests themselves: plain HTTP, one connection per request, nothing
//! retried and nothing hidden.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::server::runtime;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The header's text, or "" where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text, with what is no UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {}", self.text()))
    }
}

/// Sends one request and reads the whole answer, whatever its status.
pub fn request(
    method: &Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Reply> {
    let body = body.into();
    runtime().block_on(send(method.clone(), url, headers, body)).with_context(|| format!("{method} {url}"))
}

/// Gets `url`, which must answer 200.
pub fn get(url: &str) -> Result<Reply> {
    let reply = request(&Method::GET, url, &[], Bytes::new())?;
    ensure!(reply.status == 200, "GET {url}: {} {}", reply.status, reply.text());
    Ok(reply)
}

async fn send(method: Method, url: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Reply> {
    let uri: Uri = url.parse()?;
    ensure!(uri.scheme_str() == Some("http"), "only http is spoken here");
    let authority = uri.authority().context("a URL with a host")?.clone();
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header(HOST, authority.as_str());
    for (name, value) in headers {
        request = request.header(HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?);
    }
    let reply = sender.send_request(request.body(Full::new(body))?).await?;
    let (parts, body) = reply.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
}
