//! Block uploads: a large file goes up in parts, and after a cut only the missing ones are sent.
//!
//! bkrepo keeps parts by number, and 1.3.16 lists them by rank: one that is missing in the middle moves all behind it. It
//! also puts them together without a digest to compare with, over whatever is there. So the parts that it lists are
//! compared, digest by digest, with what was sent or with the source itself, both before going on and before the end;
//! and the file that came of it with what it shall be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::digest::Hasher;
use ferry_model::failure::Failure as _;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::answer;
use super::upload::{OVERWRITE, Overwrite, Upload, Uploaded, may_divide};
use super::{BkrepoProblem, problem};
use crate::bridge::Part;
use crate::exchange::Payload;
use crate::upload::{MAX_FRESH_STARTS, SMALLEST_PIECE};
use crate::{BlobSource, ChunkReader, Error, SourceError};

pub(super) const UPLOAD_ID: HeaderName = HeaderName::from_static("x-bkrepo-upload-id");
const SEQUENCE: HeaderName = HeaderName::from_static("x-bkrepo-sequence");

/// How often a file is looked for that is being put together.
const LOOK: Duration = Duration::from_secs(1);

/// What goes up in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Files of at least so many bytes do. Default: 64 MiB; sending a smaller one again after a cut costs little more
    /// than the four requests that blocks need besides.
    pub from: u64,
    /// The bytes of a part, but for the last; halved where a proxy takes no such bodies. Default: 32 MiB, which is what
    /// a cut costs at most, and 320 parts for 10 GiB.
    pub part: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { from: 64 << 20, part: 32 << 20 }
    }
}

/// A part that bkrepo has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    size: u64,
    digest: Digest,
}

/// A part as bkrepo lists it.
#[derive(Debug, Deserialize)]
struct Listed {
    size: u64,
    #[serde(default)]
    sequence: Option<usize>,
    #[serde(default)]
    sha256: Option<String>,
}

impl Listed {
    fn digest(&self) -> Option<Digest> {
        Digest::from_hex(&self.sha256.as_ref()?.to_ascii_lowercase()).ok()
    }

    /// Whether it can be that part. A release that lists no digests is believed: the file's own decides in the end.
    fn can_be(&self, held: &Held) -> bool {
        self.size == held.size && self.digest().is_none_or(|digest| digest == held.digest)
    }
}

/// A block upload under way.
struct Session {
    id: String,
    held: Vec<Held>,
}

impl Session {
    fn new(id: String) -> Self {
        Self { id, held: Vec::new() }
    }

    fn offset(&self) -> u64 {
        self.held.iter().map(|part| part.size).sum()
    }
}

impl Upload<'_> {
    pub(super) async fn in_blocks(&self) -> Result<Uploaded, Error> {
        // One question before so many bytes; a folder in the way would show at the very end.
        if let Some(uploaded) = self.look().await? {
            self.over();
            return Ok(uploaded);
        }
        let mut attempts = self.bkrepo.0.client.attempts();
        let mut session = self.file.upload_id.clone().map(Session::new);
        let mut part = self.bkrepo.0.blocks.part.min(self.host().largest_body()).max(SMALLEST_PIECE);
        let mut fresh_starts = 0;
        loop {
            let before = session.as_ref().map_or(0, Session::offset);
            let Err(error) = self.attempt(&mut session, part).await else {
                self.over();
                return Ok(Uploaded::Sent);
            };
            if session.as_ref().map_or(0, Session::offset) > before {
                attempts.progressed();
            }
            match problem(&error) {
                Some(BkrepoProblem::TooLarge) if may_divide(&error, part.min(self.file.size)) => {
                    self.host().body_too_large(part.min(self.file.size));
                    part = (part.min(self.file.size) / 2).max(SMALLEST_PIECE);
                }
                Some(BkrepoProblem::UploadForgotten) if fresh_starts < MAX_FRESH_STARTS => {
                    fresh_starts += 1;
                    session = None;
                }
                Some(BkrepoProblem::Exists) => return self.look().await?.ok_or(error),
                _ => attempts.pause(error, Some(self.task)).await?,
            }
            // What failed may have been the answer alone.
            if let Some(uploaded) = self.look().await? {
                self.task.reset(self.file.size);
                self.over();
                return Ok(uploaded);
            }
        }
    }

    /// Sends what is missing, and has it put together.
    async fn attempt(&self, session: &mut Option<Session>, part: u64) -> Result<(), Error> {
        let current = match session {
            Some(current) => {
                self.compare(current).await?;
                current
            }
            None => session.insert(self.begin().await?),
        };
        self.task.reset(current.offset());
        while current.offset() < self.file.size {
            let held = self.send_part(current, part).await?;
            current.held.push(held);
        }
        let listed = self.listed(&current.id).await?;
        if listed.len() != current.held.len()
            || !listed.iter().zip(&current.held).all(|(part, held)| part.can_be(held))
        {
            // Parts of another upload, or damaged ones: put together, they would take the file's place.
            self.abort(&current.id).await;
            let mixed_up = "it lists other parts than were sent";
            return Err(self.subject.error(0, None, BkrepoProblem::UploadForgotten, mixed_up));
        }
        if self.file.overwrite == Overwrite::No && self.look().await?.is_some() {
            self.abort(&current.id).await;
            return Ok(());
        }
        match self.finish(&current.id).await {
            Err(error) if error.class().is_retryable() => self.wait_for_file(error).await?,
            finished => finished?,
        }
        self.verify(self.node().await?)
    }

    /// The gateway may give up before bkrepo has put a large file together. Asking again for that would have it done
    /// twice.
    async fn wait_for_file(&self, error: Error) -> Result<(), Error> {
        let deadline = Instant::now() + self.bkrepo.0.client.commit_time(self.file.size);
        while Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            if self.look().await?.is_some() {
                return Ok(());
            }
        }
        Err(error)
    }

    async fn begin(&self) -> Result<Session, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Begun {
            upload_id: String,
        }
        let explain = |status, body: &[u8]| self.subject.explain(status, body);
        let call = self
            .bkrepo
            .call(Method::POST, self.url(&["generic", "block"]), &explain)
            .header(OVERWRITE, self.overwrites());
        let begun: Option<Begun> = self.send(&call).await?;
        let Begun { upload_id } = begun.ok_or_else(|| Error::Protocol {
            url: (&call.url).into(),
            reason: "it began an upload without saying its id".to_owned(),
        })?;
        if let Some(report) = self.file.on_upload_id {
            report(Some(&upload_id));
        }
        Ok(Session::new(upload_id))
    }

    /// Drops what bkrepo does not have, and adds what it has from before.
    async fn compare(&self, session: &mut Session) -> Result<(), Error> {
        let listed = self.listed(&session.id).await?;
        let known = listed.iter().zip(&session.held).take_while(|(part, held)| part.can_be(held)).count();
        session.held.truncate(known);
        for part in listed.iter().skip(known) {
            let (offset, Some(digest)) = (session.offset(), part.digest()) else { return Ok(()) };
            let is_next = part.sequence.is_none_or(|sequence| sequence == session.held.len() + 1);
            if !is_next || part.size == 0 || part.size > self.file.size - offset {
                return Ok(());
            }
            // Whoever says that these are ours may be wrong: the file may have been another then.
            if self.hash(offset, part.size).await? != digest {
                return Ok(());
            }
            session.held.push(Held { size: part.size, digest });
        }
        Ok(())
    }

    async fn send_part(&self, session: &Session, part: u64) -> Result<Held, Error> {
        let offset = session.offset();
        let size = part.min(self.file.size - offset);
        let stretch =
            Arc::new(Stretch { source: Arc::clone(&self.file.source), size, digest: Arc::default() });
        let source: Arc<dyn BlobSource> = Arc::<Stretch>::clone(&stretch);
        let body = Part { source: &source, start: offset, length: size, task: self.task, sent: 0.into() };
        let open = || body.send();
        let explain = |status, body: &[u8]| self.subject.explain(status, body);
        let call = self
            .bkrepo
            .call(Method::PUT, self.url(&["generic"]), &explain)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(UPLOAD_ID, header_value(&session.id, &self.url(&["generic"]))?)
            .header(SEQUENCE, HeaderValue::from(session.held.len() + 1))
            // A part that bkrepo has under this number is not ours, or damaged.
            .header(OVERWRITE, HeaderValue::from_static("true"))
            .patience(self.bkrepo.0.client.commit_time(size))
            .body(Payload::Stream(&open));
        self.send::<Value>(&call).await?;
        let digest = stretch.digest().ok_or_else(|| Error::Protocol {
            url: (&call.url).into(),
            reason: "it said that it has a part before all of it was sent".to_owned(),
        })?;
        Ok(Held { size, digest })
    }

    async fn listed(&self, id: &str) -> Result<Vec<Listed>, Error> {
        let url = self.url(&["generic", "block"]);
        let explain = |status, body: &[u8]| self.subject.explain(status, body);
        let id = header_value(id, &url)?;
        let call = self.bkrepo.call(Method::GET, url, &explain).header(UPLOAD_ID, id);
        Ok(self.send(&call).await?.unwrap_or_default())
    }

    async fn finish(&self, id: &str) -> Result<(), Error> {
        let url = self.url(&["generic", "block"]);
        let explain = |status, body: &[u8]| self.subject.explain(status, body);
        let id = header_value(id, &url)?;
        let patience = self.bkrepo.0.client.commit_time(self.file.size);
        let call = self
            .bkrepo
            .call(Method::PUT, url, &explain)
            .header(UPLOAD_ID, id)
            // 1.3.16 asked at the beginning; 3.x asks here.
            .header(OVERWRITE, self.overwrites())
            .patience(patience);
        self.send::<Value>(&call).await.map(drop)
    }

    /// Lets bkrepo have its space back. It would by itself, in 12 hours.
    async fn abort(&self, id: &str) {
        let url = self.url(&["generic", "block"]);
        let explain = |status, body: &[u8]| self.subject.explain(status, body);
        if let Ok(id) = header_value(id, &url) {
            let call = self.bkrepo.call(Method::DELETE, url, &explain).header(UPLOAD_ID, id);
            let _ = self.send::<Value>(&call).await;
        }
    }

    /// Sends a request once; what to do about a failure is decided for the upload as a whole.
    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        call: &crate::exchange::Call<'_>,
    ) -> Result<Option<T>, Error> {
        let client = &self.bkrepo.0.client;
        let answer = client.send(call).await?.bytes(answer::MOST, client).await?;
        self.subject.read(&answer)
    }

    async fn hash(&self, offset: u64, size: u64) -> Result<Digest, Error> {
        let stretch = Stretch { source: Arc::clone(&self.file.source), size, digest: Arc::default() };
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = stretch.open(offset)?;
            while reader.next_chunk()?.is_some() {}
            Ok::<_, SourceError>(stretch.digest())
        });
        let url = || (&self.url(&["generic"])).into();
        let digest = read
            .await
            .expect("reading does not panic")
            .map_err(|source| Error::Source { url: url(), source })?;
        digest.ok_or_else(|| Error::Protocol {
            url: url(),
            reason: "its source is shorter than its size".to_owned(),
        })
    }

    /// There is no block upload any more.
    fn over(&self) {
        if let Some(report) = self.file.on_upload_id {
            report(None);
        }
    }
}

fn header_value(id: &str, url: &url::Url) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(id).map_err(|_| Error::Protocol {
        url: url.into(),
        reason: "the id of its upload is not fit for a header".to_owned(),
    })
}

/// A stretch of a source, hashed as it is read.
struct Stretch {
    source: Arc<dyn BlobSource>,
    size: u64,
    /// Of the latest reading that came to its end.
    digest: Arc<Mutex<Option<Digest>>>,
}

impl Stretch {
    fn digest(&self) -> Option<Digest> {
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobSource for Stretch {
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError> {
        let (digest, remaining) = (Arc::clone(&self.digest), self.size);
        Ok(Box::new(Reader { inner: self.source.open(from)?, remaining, hasher: Hasher::default(), digest }))
    }
}

struct Reader {
    inner: Box<dyn ChunkReader>,
    remaining: u64,
    hasher: Hasher,
    digest: Arc<Mutex<Option<Digest>>>,
}

impl ChunkReader for Reader {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let Some(mut chunk) = self.inner.next_chunk()? else { return Ok(None) };
        chunk.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        self.remaining -= chunk.len() as u64;
        self.hasher.update(&chunk);
        // Known before the last byte is handed on, and so before anybody can answer for it.
        if self.remaining == 0 {
            let digest = self.hasher.clone().finish();
            *self.digest.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        }
        Ok(Some(chunk))
    }
}
