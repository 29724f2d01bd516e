//! A file on its way into a generic repository.
//!
//! bkrepo looks at whether it wants a file only when it has all of it, so a body that is sent in vain costs the whole
//! transfer: after each failure the node is asked for before anything is sent again.

use std::sync::Arc;

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::site::RepositoryName;
use http::{HeaderName, HeaderValue, Method, header};
use url::Url;

use super::answer::{self, Subject};
use super::{Bkrepo, BkrepoProblem, Node, path, problem};
use crate::bridge::Part;
use crate::exchange::Payload;
use crate::limits::Host;
use crate::upload::SMALLEST_PIECE;
use crate::{BlobSource, Error};

/// The digest of what comes.
const SHA256: HeaderName = HeaderName::from_static("x-bkrepo-sha256");
/// Whether another file there is replaced.
pub(super) const OVERWRITE: HeaderName = HeaderName::from_static("x-bkrepo-overwrite");

/// What happens to another file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and the upload is an error ([`BkrepoProblem::Exists`]).
    No,
    /// It is replaced. A folder never is.
    Yes,
}

/// What came of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// It was sent.
    Sent,
    /// The same content turned out to be there.
    WasThere,
}

/// Told the id of a block upload, and when there is none any more.
pub type OnUploadId<'a> = &'a (dyn Fn(Option<&str>) + Send + Sync);

/// A file to be uploaded.
pub struct FileUpload<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// Its path there.
    pub path: &'a str,
    /// Its content.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Where they come from.
    pub source: Arc<dyn BlobSource>,
    /// What happens to another file that is there.
    pub overwrite: Overwrite,
    /// A block upload of this file that was cut off: what `on_upload_id` was last told.
    pub upload_id: Option<String>,
    /// Told the id of a block upload when it begins, and `None` when it is over. Who keeps it can go on in another
    /// process; bkrepo keeps the blocks for 12 hours.
    pub on_upload_id: Option<OnUploadId<'a>>,
}

impl<'a> FileUpload<'a> {
    /// An upload that replaces nothing.
    pub fn new(
        repository: &'a RepositoryName,
        path: &'a str,
        digest: Digest,
        size: u64,
        source: Arc<dyn BlobSource>,
    ) -> Self {
        let overwrite = Overwrite::No;
        Self { repository, path, digest, size, source, overwrite, upload_id: None, on_upload_id: None }
    }
}

impl std::fmt::Debug for FileUpload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { repository, path, digest, size, overwrite, upload_id, .. } = self;
        write!(f, "FileUpload({repository} {path} {digest} {size} {overwrite:?} {upload_id:?})")
    }
}

/// A file on its way.
pub(super) struct Upload<'a> {
    pub(super) bkrepo: &'a Bkrepo,
    pub(super) file: &'a FileUpload<'a>,
    pub(super) path: String,
    pub(super) subject: Subject,
    pub(super) task: &'a Task,
}

impl Bkrepo {
    /// Uploads a file. Whether it is there already is the caller's question to ask: a listing answers it for many files
    /// at once.
    pub async fn upload(&self, file: &FileUpload<'_>, task: &Task) -> Result<Uploaded, Error> {
        let path =
            path::normalize(file.path).map_err(|reason| self.bad_path(file.repository, file.path, reason))?;
        if path == "/" {
            return Err(self.bad_path(file.repository, &path, "a file has a name"));
        }
        let subject = self.subject_in(file.repository, &path);
        let upload = Upload { bkrepo: self, file, path, subject, task };
        let in_blocks =
            file.size > 0 && (file.size >= self.0.blocks.from || file.size > upload.host().largest_body());
        if in_blocks { upload.in_blocks().await } else { upload.whole().await }
    }
}

impl Upload<'_> {
    /// In one request.
    async fn whole(&self) -> Result<Uploaded, Error> {
        let mut attempts = self.bkrepo.0.client.attempts();
        let mut was_damaged = false;
        loop {
            let Err(error) = self.put().await else { return Ok(Uploaded::Sent) };
            match problem(&error) {
                Some(BkrepoProblem::TooLarge) if may_divide(&error, self.file.size) => {
                    self.host().body_too_large(self.file.size);
                    self.task.reset(0);
                    return self.in_blocks().await;
                }
                Some(BkrepoProblem::WrongDigest) if !was_damaged => was_damaged = true,
                // Ours, perhaps, from an attempt whose answer was lost.
                Some(BkrepoProblem::Exists) => return self.look().await?.ok_or(error),
                _ => attempts.pause(error, Some(self.task)).await?,
            }
            // What failed may have been the answer alone.
            if let Some(uploaded) = self.look().await? {
                self.task.reset(self.file.size);
                return Ok(uploaded);
            }
            self.task.reset(0);
        }
    }

    async fn put(&self) -> Result<(), Error> {
        let Self { file, subject, .. } = self;
        let part =
            Part { source: &file.source, start: 0, length: file.size, task: self.task, sent: 0.into() };
        let open = || part.send();
        let explain = |status, body: &[u8]| subject.explain(status, body);
        let digest = HeaderValue::try_from(file.digest.hex()).expect("hex digits fit a header");
        let call = self
            .bkrepo
            .call(Method::PUT, self.url(&["generic"]), &explain)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .header(SHA256, digest)
            .header(OVERWRITE, self.overwrites())
            .patience(self.bkrepo.0.client.commit_time(file.size))
            .body(if file.size == 0 { Payload::Empty } else { Payload::Stream(&open) });
        let reply = self.bkrepo.0.client.send(&call).await?;
        let answer = reply.bytes(answer::MOST, &self.bkrepo.0.client).await?;
        // The answer is the node's detail; where a release says less, it is asked for.
        match subject.read::<serde_json::Value>(&answer)?.and_then(|data| serde_json::from_value(data).ok()) {
            Some(row) => self.verify(Some(answer::Row::into(row))),
            None => self.verify(self.node().await?),
        }
    }

    /// Looks before anything is sent (again). `None`: nothing is in the way.
    pub(super) async fn look(&self) -> Result<Option<Uploaded>, Error> {
        let Some(node) = self.node().await? else { return Ok(None) };
        if node.is_file(&self.file.digest, self.file.size) {
            return Ok(Some(Uploaded::WasThere));
        }
        if node.folder {
            return Err(self.subject.error(0, None, BkrepoProblem::InTheWay, ""));
        }
        match self.file.overwrite {
            Overwrite::Yes => Ok(None),
            Overwrite::No => {
                let other = match node.digest {
                    Some(digest) => format!("it has {} bytes and the digest {digest}", node.size),
                    None => format!("it has {} bytes", node.size),
                };
                Err(self.subject.error(0, None, BkrepoProblem::Exists, &other))
            }
        }
    }

    /// Whether what bkrepo has now is what was sent.
    pub(super) fn verify(&self, node: Option<Node>) -> Result<(), Error> {
        let url = || (&self.url(&["generic"])).into();
        let (expected, file) = (self.file.digest, self.file);
        match node {
            Some(node) if node.is_file(&file.digest, file.size) => Ok(()),
            Some(node) if node.folder => Err(self.subject.error(0, None, BkrepoProblem::InTheWay, "")),
            Some(Node { size: actual, .. }) if actual != file.size => {
                Err(Error::WrongSize { url: url(), expected: file.size, actual, at_least: false })
            }
            Some(Node { digest: Some(actual), .. }) => {
                Err(Error::WrongDigest { url: url(), expected, actual })
            }
            Some(_) => {
                Err(Error::Protocol { url: url(), reason: "it does not say the file's sha256".to_owned() })
            }
            None => Err(Error::Protocol {
                url: url(),
                reason: "it took the file and does not have it".to_owned(),
            }),
        }
    }

    pub(super) async fn node(&self) -> Result<Option<Node>, Error> {
        self.bkrepo.node(self.file.repository, &self.path).await
    }

    /// The file's URL at a service.
    pub(super) fn url(&self, service: &[&str]) -> Url {
        let RepositoryName { project, name } = self.file.repository;
        self.bkrepo.url(&[service, &[project, name]].concat(), &self.path)
    }

    pub(super) fn overwrites(&self) -> HeaderValue {
        HeaderValue::from_static(match self.file.overwrite {
            Overwrite::No => "false",
            Overwrite::Yes => "true",
        })
    }

    pub(super) fn host(&self) -> Arc<Host> {
        self.bkrepo.0.client.host(&self.bkrepo.0.base)
    }
}

/// Whether smaller bodies may be taken where one of `size` bytes was not. bkrepo's own limit is on files.
pub(super) fn may_divide(error: &Error, size: u64) -> bool {
    size > SMALLEST_PIECE
        && matches!(error, Error::Bkrepo(error) if error.status == 413 || error.code == Some(413))
}
