//! The push half of the [distribution spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md).
//!
//! A blob goes up in one request first. When that fails in a way that a smaller request may not (413, 5xx, a broken
//! or silent connection), it goes on in pieces from where the registry says that it stopped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::{Class, Failure};
use http::{HeaderName, HeaderValue, Method, header};
use url::Url;

use crate::auth::Access;
use crate::bridge::Part;
use crate::exchange::{Call, Payload, Reply};
use crate::limits::Host;
use crate::registry::CONTENT_DIGEST;
use crate::url::follow_location;
use crate::{Client, Error, Repository};

/// Where the bytes of an upload come from. Blocking: it is called on a thread of its own.
pub trait BlobSource: Send + Sync {
    /// Reads from byte `from` to the end.
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError>;
}

/// Hands on a blob in chunks of 1 MiB at most, `None` at its end.
pub trait ChunkReader: Send {
    /// The next chunk.
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError>;
}

/// Why a source could not be read.
#[derive(Debug)]
pub struct SourceError(Box<dyn Failure + Send + Sync>);

impl SourceError {
    /// Wraps the source's own error; its class and hints stay.
    pub fn new(failure: impl Failure + Send + Sync + 'static) -> Self {
        Self(Box::new(failure))
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Failure for SourceError {
    fn class(&self) -> Class {
        self.0.class()
    }

    fn hints(&self) -> Vec<String> {
        self.0.hints()
    }
}

/// A registry's answer to a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushedManifest {
    /// The manifest's digest.
    pub digest: Digest,
    /// Whether the registry has put it on the list of its subject's referrers by itself.
    pub lists_referrers: bool,
}

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// Pieces after a failure of the connection: small enough to lose, large enough not to be many.
const PIECE: u64 = 16 << 20;
/// How often an upload begins anew because the registry has lost it or mixed it up.
pub(crate) const MAX_FRESH_STARTS: u32 = 3;
/// The slowest that a server may move what it got to where it belongs, in bytes a second.
const SLOWEST_COMMIT: u64 = 10 << 20;
/// The smallest piece that is tried when larger ones are refused.
pub(crate) const SMALLEST_PIECE: u64 = 256 << 10;

impl Repository {
    /// Makes a blob of the repository `from`, of the same registry, one of this repository's too. `false` where the
    /// registry would rather have it uploaded.
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, Error> {
        let mut access = self.access_to("pull,push")?;
        access.scopes.push(format!("repository:{from}:pull"));
        let url = self.url(&format!("blobs/uploads/?mount={digest}&from={from}"))?;
        let reply = match self.client.request(&Call::new(Method::POST, url, &access)).await {
            Ok(reply) => reply,
            // It was an offer; whether we may push at all shows when we upload.
            Err(error) if !error.class().is_retryable() && error.status().is_some() => return Ok(false),
            Err(error) => return Err(error),
        };
        if reply.response.status() == http::StatusCode::CREATED {
            return Ok(true);
        }
        // The registry has begun an upload instead; left alone, it would lie there for days.
        if let Ok(session) = Session::read(&reply, 0) {
            drop(reply);
            let _ = self.client.send(&Call::new(Method::DELETE, session.location, &access)).await;
        }
        Ok(false)
    }

    /// Uploads a blob. Whether it is there already is the caller's question to ask.
    pub async fn upload_blob(
        &self,
        digest: &Digest,
        size: u64,
        source: Arc<dyn BlobSource>,
        task: &Task,
    ) -> Result<(), Error> {
        let access = self.access_to("pull,push")?;
        Upload { repository: self, access, digest, size, source, task }.run().await
    }

    /// Deletes a manifest by its digest, with every tag that names it. Many registries do not allow it.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<(), Error> {
        let access = self.access_to("pull,push,delete")?;
        let call = Call::new(Method::DELETE, self.manifest_url(&digest.to_string())?, &access);
        self.client.request(&call).await.map(drop)
    }

    /// Uploads a manifest under a tag or its digest.
    pub async fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<PushedManifest, Error> {
        let (access, url, digest) =
            (self.access_to("pull,push")?, self.manifest_url(reference)?, Digest::of(&bytes));
        let content_type = HeaderValue::from_str(media_type)
            .map_err(|_| Error::Manifest(format!("its media type {media_type:?} is not fit for a header")))?;
        let call = Call::new(Method::PUT, url.clone(), &access)
            .header(header::CONTENT_TYPE, content_type)
            .body(Payload::Bytes(bytes));
        let mut tries = 1..=2;
        loop {
            let reply = self.client.request(&call).await?;
            match reply.header(CONTENT_DIGEST).and_then(|announced| announced.parse().ok()) {
                // Something on the way changed it, and the tag now names that: worth a second try.
                Some(actual) if actual != digest => {
                    tries.next();
                    if tries.is_empty() {
                        return Err(Error::WrongDigest { url: (&url).into(), expected: digest, actual });
                    }
                }
                _ => {
                    return Ok(PushedManifest {
                        digest,
                        lists_referrers: reply.header(OCI_SUBJECT).is_some(),
                    });
                }
            }
        }
    }
}

/// One blob on its way up.
struct Upload<'a> {
    repository: &'a Repository,
    access: Access,
    digest: &'a Digest,
    size: u64,
    source: Arc<dyn BlobSource>,
    task: &'a Task,
}

/// An upload as the registry sees it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) location: Url,
    /// Bytes that the registry has.
    offset: u64,
    /// The smallest piece that the registry takes, but for the last.
    smallest: u64,
}

impl Session {
    pub(crate) fn read(reply: &Reply, offset: u64) -> Result<Self, Error> {
        let request = reply.response.url();
        let location = reply.header(header::LOCATION).ok_or_else(|| Error::Protocol {
            url: request.into(),
            reason: "it began an upload without saying where it goes on".into(),
        })?;
        let smallest = reply.header(CHUNK_MIN_LENGTH).and_then(|length| length.parse().ok()).unwrap_or(0);
        Ok(Self { location: follow_location(request, location)?, offset, smallest })
    }

    /// Where the last request of the upload goes.
    fn finish(&self, digest: &Digest) -> Url {
        let mut url = self.location.clone();
        // Appended as it is: the query that is there can be a signature over itself.
        let query = url
            .query()
            .filter(|query| !query.is_empty())
            .map(|query| format!("{query}&"))
            .unwrap_or_default();
        url.set_query(Some(&format!("{query}digest={digest}")));
        url
    }
}

/// How the next request carries the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Whole,
    Pieces { size: u64 },
}

impl Upload<'_> {
    async fn run(&self) -> Result<(), Error> {
        let mut attempts = self.repository.client.attempts();
        let mut session: Option<Session> = None;
        let mut mode = self.first_mode();
        let mut fresh_starts = 0;
        loop {
            let before = session.as_ref().map_or(0, |session| session.offset);
            let Err(error) = self.attempt(&mut session, mode).await else { return Ok(()) };
            let reached = session.as_ref().map_or(0, |session| session.offset);
            if reached > before {
                attempts.progressed();
            }
            match error.status() {
                Some(413) => mode = self.shrink(mode, error)?,
                // The registry has lost the upload.
                Some(404 | 416) if session.is_some() && fresh_starts < MAX_FRESH_STARTS => fresh_starts += 1,
                // It has other bytes than it says: a wrong digest is final only where nothing was put together.
                Some(400) if reached.max(before) > 0 && fresh_starts < MAX_FRESH_STARTS => fresh_starts += 1,
                _ => {
                    attempts.pause(error, Some(self.task)).await?;
                    // What failed may have been the answer alone.
                    if self.repository.blob_size(self.digest).await.is_ok_and(|found| found.is_some()) {
                        self.task.reset(self.size);
                        return Ok(());
                    }
                    session = self.resume(session).await;
                    self.task.reset(session.as_ref().map_or(0, |session| session.offset));
                    if let Mode::Whole = mode {
                        mode = Mode::Pieces { size: PIECE.min(self.largest_body()) };
                    }
                    continue;
                }
            }
            session = None;
            self.task.reset(0);
        }
    }

    /// Sends what is missing. `session` says afterwards how far it came.
    async fn attempt(&self, session: &mut Option<Session>, mode: Mode) -> Result<(), Error> {
        let current = match session {
            Some(current) => current,
            None => session.insert(self.begin().await?),
        };
        match mode {
            Mode::Whole => self.put(current, self.size).await,
            Mode::Pieces { size } => {
                while current.offset < self.size {
                    let length = size.max(current.smallest).min(self.size - current.offset);
                    *current = self.patch(current, length).await?;
                }
                self.put(current, 0).await
            }
        }
    }

    async fn begin(&self) -> Result<Session, Error> {
        let call = Call::new(Method::POST, self.repository.url("blobs/uploads/")?, &self.access);
        Session::read(&self.repository.client.send(&call).await?, 0)
    }

    /// Sends the last `length` bytes, and finishes.
    async fn put(&self, session: &Session, length: u64) -> Result<(), Error> {
        let part = self.part(session.offset, length);
        let open = || part.send();
        let body = if length == 0 { Payload::Empty } else { Payload::Stream(&open) };
        let call = Call::new(Method::PUT, session.finish(self.digest), &self.access)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .patience(self.commit_time(self.size))
            .body(body);
        self.repository.client.send(&call).await.map(|_| ())
    }

    /// Sends the next `length` bytes.
    async fn patch(&self, session: &Session, length: u64) -> Result<Session, Error> {
        let part = self.part(session.offset, length);
        let open = || part.send();
        let range = format!("{}-{}", session.offset, session.offset + length - 1);
        let call = Call::new(Method::PATCH, session.location.clone(), &self.access)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(header::CONTENT_RANGE, HeaderValue::try_from(range).expect("digits fit a header"))
            .patience(self.commit_time(length))
            .body(Payload::Stream(&open));
        let reply = self.repository.client.send(&call).await?;
        let next = session.offset + length;
        // A registry that kept less than it was sent says so; then it is sent again.
        let kept = reply.header(header::RANGE).and_then(parse_upload_range).unwrap_or(next);
        if kept <= session.offset || kept > next {
            return Err(Error::Protocol {
                url: reply.response.url().into(),
                reason: format!(
                    "it says that it holds {kept} bytes after it was sent bytes {}-{next}",
                    session.offset
                ),
            });
        }
        if kept < next {
            self.task.reset(kept);
        }
        let smallest = session.smallest;
        Session::read(&reply, kept).map(|session| Session { smallest, ..session })
    }

    /// Asks how far the registry came. `None` where a new upload must begin.
    async fn resume(&self, session: Option<Session>) -> Option<Session> {
        let session = session?;
        let call = Call::new(Method::GET, session.location.clone(), &self.access);
        let reply = self.repository.client.request(&call).await.ok()?;
        let offset = reply.header(header::RANGE).and_then(parse_upload_range)?;
        let location = match reply.header(header::LOCATION) {
            Some(location) => follow_location(reply.response.url(), location).ok()?,
            None => session.location,
        };
        (offset <= self.size).then_some(Session { location, offset, smallest: session.smallest })
    }

    fn part(&self, start: u64, length: u64) -> Part<'_> {
        Part { source: &self.source, start, length, task: self.task, sent: 0.into() }
    }

    /// In one request, unless one so large is known to be refused.
    fn first_mode(&self) -> Mode {
        match self.largest_body() {
            largest if self.size <= largest => Mode::Whole,
            largest => Mode::Pieces { size: largest.max(SMALLEST_PIECE) },
        }
    }

    /// After a 413: half as large, and remembered for the blobs that follow.
    fn shrink(&self, mode: Mode, error: Error) -> Result<Mode, Error> {
        let tried = match mode {
            Mode::Whole => self.size,
            Mode::Pieces { size } => size.min(self.size),
        };
        if tried <= SMALLEST_PIECE {
            return Err(match error {
                Error::Refused { url, .. } => Error::UploadTooLarge { url, size: tried },
                other => other,
            });
        }
        self.host().body_too_large(tried);
        Ok(Mode::Pieces { size: (tried / 2).clamp(SMALLEST_PIECE, PIECE) })
    }

    /// How long the registry may take over `length` bytes that it has.
    fn commit_time(&self, length: u64) -> Duration {
        self.repository.client.commit_time(length)
    }

    fn largest_body(&self) -> u64 {
        self.host().largest_body()
    }

    fn host(&self) -> Arc<Host> {
        self.repository.client.host(&self.access.origin)
    }
}

impl Client {
    /// How long a server may take to move `length` bytes that it has got to where they belong.
    pub(crate) fn commit_time(&self, length: u64) -> Duration {
        Duration::from_secs(length / SLOWEST_COMMIT).min(self.options().commit_timeout)
    }
}

/// Reads the `Range` of an upload's status, `0-99` (or `bytes=0-99`): how many bytes the registry has.
fn parse_upload_range(text: &str) -> Option<u64> {
    let text = text.trim();
    let (start, end) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    let (start, end) = (start.parse::<u64>().ok()?, end.parse::<u64>().ok()?);
    // Nothing is `0-0`, the same as one byte: the ambiguity is the spec's, and one byte can be sent again.
    (start == 0).then_some(if end == 0 { 0 } else { end + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_ranges() {
        for (text, expected) in [
            ("0-0", Some(0)),
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("5-9", None),
            ("0-", None),
            ("", None),
        ] {
            assert_eq!(parse_upload_range(text), expected, "{text}");
        }
    }

    #[test]
    fn the_last_request_keeps_the_query() {
        let digest = Digest::of(b"");
        for (location, query) in
            [("https://r/u/1?_state=a%3D%3D&x", "_state=a%3D%3D&x&digest="), ("https://r/u/1", "digest=")]
        {
            let session = Session { location: Url::parse(location).unwrap(), offset: 0, smallest: 0 };
            assert_eq!(session.finish(&digest).query().unwrap(), format!("{query}{digest}"));
        }
    }
}
