//! Downloads: streamed into a sink, hashed as they flow, gone on with where they stopped, checked at their end.

use ferry_model::Digest;
use ferry_model::digest::Hasher;
use ferry_model::event::Task;
use http::{HeaderValue, Method, StatusCode, header};
use url::Url;

use crate::auth::Access;
use crate::client::web_access;
use crate::exchange::{Call, Reply};
use crate::{Client, Error};

/// Where a download goes. It is told of bytes in order, without gaps.
pub trait Sink: Send {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// Forgets everything: the download starts over from its first byte.
    fn restart(&mut self) -> std::io::Result<()>;
}

/// What a download must turn out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Its digest, where known.
    pub digest: Option<Digest>,
    /// Its bytes, where known.
    pub size: Option<u64>,
}

/// The state of what a sink holds already.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// How many bytes.
    pub position: u64,
    /// Fed with exactly those bytes.
    pub hasher: Hasher,
}

/// Progress that makes the retries count from one again; less could be a server that gives a byte a time.
const PROGRESS: u64 = 64 << 10;
/// How often a download starts over from its first byte before the server is given up.
const MAX_RESTARTS: u32 = 2;

impl Client {
    /// Streams what `url` holds into `sink`, going on from `resume`. Gives the digest and the size.
    pub async fn fetch_url(
        &self,
        url: &str,
        expected: Expected,
        resume: Resume,
        sink: &mut dyn Sink,
        task: &Task,
    ) -> Result<(Digest, u64), Error> {
        let (url, access) = web_access(url)?;
        Download::new(self, &url, &access, expected, Output { sink, task }).run(resume).await
    }
}

/// Where the bytes go, and who is told.
pub(crate) struct Output<'a> {
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) task: &'a Task,
}

/// One download under way.
pub(crate) struct Download<'a> {
    client: &'a Client,
    url: &'a Url,
    access: &'a Access,
    expected: Expected,
    output: Output<'a>,
    position: u64,
    hasher: Hasher,
    /// Whether it is put together from several answers: then a wrong digest may be ours to mend.
    joined: bool,
    /// What names the version of the content, for `If-Range`.
    tag: Option<HeaderValue>,
    restarts: u32,
}

/// How one answer ended.
enum Streamed {
    /// All is there.
    Whole,
    /// What is there cannot be gone on from.
    StartOver,
}

impl<'a> Download<'a> {
    pub(crate) fn new(
        client: &'a Client,
        url: &'a Url,
        access: &'a Access,
        expected: Expected,
        output: Output<'a>,
    ) -> Self {
        let (position, hasher) = (0, Hasher::default());
        Self {
            client,
            url,
            access,
            expected,
            output,
            position,
            hasher,
            joined: false,
            tag: None,
            restarts: 0,
        }
    }

    /// Runs to the end, and gives the digest and the size.
    pub(crate) async fn run(mut self, resume: Resume) -> Result<(Digest, u64), Error> {
        (self.position, self.hasher) = (resume.position, resume.hasher);
        if self.position > 0 {
            self.joined = true;
            self.output.task.reset(self.position);
        }
        let mut attempts = self.client.attempts();
        let mut furthest = self.position;
        loop {
            let streamed = self.stream().await;
            if self.position >= furthest + PROGRESS {
                furthest = self.position;
                attempts.progressed();
            }
            let failed = match streamed {
                Ok(Streamed::Whole) => match self.check() {
                    Ok(done) => return Ok(done),
                    Err(error) => error,
                },
                Ok(Streamed::StartOver) => {
                    self.start_over()?;
                    continue;
                }
                Err(error) => error,
            };
            if matches!(failed, Error::WrongDigest { .. } | Error::WrongSize { .. }) && self.joined {
                tracing::debug!(error = %failed, "starting over");
                self.start_over()?;
            } else {
                if failed.is_overload() {
                    self.client.host(self.url).struggled();
                }
                attempts.pause(failed, Some(self.output.task)).await?;
                self.joined |= self.position > 0;
            }
        }
    }

    /// Asks for what is missing and takes it in.
    async fn stream(&mut self) -> Result<Streamed, Error> {
        if self.expected.size == Some(self.position) {
            return Ok(Streamed::Whole);
        }
        let mut call = Call::new(Method::GET, self.url.clone(), self.access);
        if self.position > 0 {
            let range =
                HeaderValue::try_from(format!("bytes={}-", self.position)).expect("digits fit a header");
            call = call.header(header::RANGE, range);
            if let Some(tag) = &self.tag {
                call = call.header(header::IF_RANGE, tag.clone());
            }
        }
        let reply = match self.client.send(&call).await {
            Ok(reply) => reply,
            // Our bytes are not the beginning of what is there now.
            Err(Error::Refused { status: 416, .. }) if self.position > 0 => return Ok(Streamed::StartOver),
            Err(error) => return Err(error),
        };
        match self.begin(&reply)? {
            Some(body) => self.take_in(reply, body).await,
            None => Ok(Streamed::StartOver),
        }
    }

    /// Judges an answer by its headers. `None` if it does not go on from what is there.
    fn begin(&mut self, reply: &Reply) -> Result<Option<Incoming>, Error> {
        let headers = reply.response.headers();
        let tag = headers.get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")).cloned();
        let content_length =
            reply.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let incoming = if reply.response.status() == StatusCode::PARTIAL_CONTENT {
            let range = reply.header(header::CONTENT_RANGE).and_then(parse_content_range);
            match range {
                Some((start, total)) if start == self.position && start > 0 => Incoming { skip: 0, total },
                _ if self.position > 0 => return Ok(None),
                _ => return Err(self.protocol("it sent a part where the whole was asked for")),
            }
        } else {
            // The server knows no ranges, or the content has changed. To read over what is there needs proof that
            // it is the same: the version's tag, or a digest at the end.
            let same = self.expected.digest.is_some() || (self.tag.is_some() && self.tag == tag);
            if self.position > 0 && (!same || (self.tag.is_some() && tag.is_some() && self.tag != tag)) {
                self.tag = None;
                return Ok(None);
            }
            Incoming { skip: self.position, total: content_length }
        };
        if let (Some(expected), Some(actual)) = (self.expected.size, incoming.total)
            && expected != actual
        {
            return Err(Error::WrongSize { url: self.url.into(), expected, actual, at_least: false });
        }
        self.tag = tag;
        Ok(Some(incoming))
    }

    async fn take_in(&mut self, reply: Reply, mut incoming: Incoming) -> Result<Streamed, Error> {
        let Reply { mut response, permit: _permit } = reply;
        let end = self.expected.size.or(incoming.total);
        while let Some(chunk) = self.client.next_chunk(&mut response).await? {
            let skipped = incoming.skip.min(chunk.len() as u64);
            incoming.skip -= skipped;
            let chunk = &chunk[usize::try_from(skipped).expect("within the chunk")..];
            let after = self.position + chunk.len() as u64;
            if let Some(expected) = self.expected.size
                && after > expected
            {
                return Err(Error::WrongSize {
                    url: self.url.into(),
                    expected,
                    actual: after,
                    at_least: true,
                });
            }
            self.hasher.update(chunk);
            self.output.sink.write(chunk).map_err(|source| Error::Sink { url: self.url.into(), source })?;
            self.position = after;
            self.output.task.advance(chunk.len() as u64);
        }
        match end {
            Some(expected) if self.position < expected || incoming.skip > 0 => Err(Error::Truncated {
                url: self.url.into(),
                expected,
                actual: self.position - incoming.skip,
            }),
            _ => Ok(Streamed::Whole),
        }
    }

    fn check(&self) -> Result<(Digest, u64), Error> {
        let actual = self.hasher.clone().finish();
        match self.expected.digest {
            Some(expected) if expected != actual => {
                Err(Error::WrongDigest { url: self.url.into(), expected, actual })
            }
            _ => Ok((actual, self.position)),
        }
    }

    fn start_over(&mut self) -> Result<(), Error> {
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            return Err(self.protocol("its content keeps changing while it is read"));
        }
        self.output.sink.restart().map_err(|source| Error::Sink { url: self.url.into(), source })?;
        (self.position, self.hasher, self.joined, self.tag) = (0, Hasher::default(), false, None);
        self.output.task.reset(0);
        Ok(())
    }

    fn protocol(&self, reason: &str) -> Error {
        Error::Protocol { url: self.url.into(), reason: reason.to_owned() }
    }
}

/// A body about to come.
struct Incoming {
    /// Bytes at its beginning that are there already.
    skip: u64,
    /// The size of the whole content, where the server says so.
    total: Option<u64>,
}

/// Reads `bytes 5-9/10`: the start, and the size of the whole unless that is `*`.
pub(crate) fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (start.trim().parse::<u64>().ok()?, end.trim().parse::<u64>().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse::<u64>().ok()?),
    };
    (start <= end && total.is_none_or(|total| end < total)).then_some((start, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        for (text, expected) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes 5-10/10", None),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("items 0-1/2", None),
            ("bytes 0-/2", None),
            ("", None),
        ] {
            assert_eq!(parse_content_range(text), expected, "{text}");
        }
    }
}
