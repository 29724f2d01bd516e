//! A look at a server before anything is asked of it in earnest: who answers there, as whom, and at what time. And
//! whether a push would be taken.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use reqwest::tls::TlsInfo;

use crate::client::web_access;
use crate::exchange::{Call, Payload};
use crate::upload::Session;
use crate::{Client, Error, Repository};

/// What a server answered, whatever its status.
#[derive(Clone, Debug)]
pub struct Look {
    /// The status.
    pub status: u16,
    /// The first 16 KiB of the body.
    pub body: Bytes,
    /// The server's own time (its `Date` header), and what this machine's clock said in the middle of the exchange.
    pub clocks: Option<(SystemTime, SystemTime)>,
    /// The server's certificate (DER), where it speaks TLS. It has been verified.
    pub certificate: Option<Vec<u8>>,
    headers: HeaderMap,
}

impl Look {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What became of an upload that was begun only to see whether it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushProbe {
    /// It was allowed, and the registry has taken it back.
    Removed,
    /// It was allowed; the registry would not take it back, and will drop it by itself.
    Left,
}

impl Client {
    /// Gets `url` once: without credentials, without following redirects, without trying again.
    pub async fn look(&self, url: &str) -> Result<Look, Error> {
        let (url, _) = web_access(url)?;
        let request = reqwest::Request::new(Method::GET, url);
        let before = SystemTime::now();
        let response = self.transmit(request, &Payload::Empty, std::time::Duration::ZERO).await?;
        let taken = before.elapsed().unwrap_or_default();
        let headers = response.headers().clone();
        let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        let certificate = certificate.map(<[u8]>::to_vec);
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let clocks = date.map(|date| (date, before + taken / 2));
        let status = response.status().as_u16();
        let body = self.error_body(response).await.into();
        Ok(Look { status, body, clocks, certificate, headers })
    }
}

impl Repository {
    /// Begins an upload and takes it back: whether we may push here shows in nothing else. Tries once.
    pub async fn probe_push(&self) -> Result<PushProbe, Error> {
        let access = self.access_to("pull,push")?;
        let call = Call::new(Method::POST, self.url("blobs/uploads/")?, &access);
        let session = Session::read(&self.client.send(&call).await?, 0)?;
        let removed = self.client.send(&Call::new(Method::DELETE, session.location, &access)).await;
        Ok(if removed.is_ok() { PushProbe::Removed } else { PushProbe::Left })
    }

    /// Sends so many bytes of an upload in one request, and takes it back: what stands in front of a registry refuses larger
    /// requests than it likes with 413. Tries once.
    pub async fn probe_request(&self, size: usize) -> Result<(), Error> {
        let access = self.access_to("pull,push")?;
        let begin = Call::new(Method::POST, self.url("blobs/uploads/")?, &access);
        let session = Session::read(&self.client.send(&begin).await?, 0)?;
        let range = format!("0-{}", size.saturating_sub(1));
        let piece = Call::new(Method::PATCH, session.location.clone(), &access)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(header::CONTENT_RANGE, HeaderValue::try_from(range).expect("digits fit a header"))
            .body(Payload::Bytes(vec![0; size].into()));
        let sent = match self.client.send(&piece).await {
            Ok(reply) => Session::read(&reply, size as u64),
            Err(error) => Err(error),
        };
        let location = sent.as_ref().map_or(session.location, |next| next.location.clone());
        // Whether it may be taken back is asked beforehand, by `probe_push`.
        let _ = self.client.send(&Call::new(Method::DELETE, location, &access)).await;
        sent.map(drop)
    }
}
