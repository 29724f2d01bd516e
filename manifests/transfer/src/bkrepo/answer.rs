//! What bkrepo answers: one envelope, `{code, message, data, traceId}`, around everything.

use ferry_model::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Node;
use super::error::{BkrepoError, BkrepoProblem};
use crate::{Error, SafeUrl};

/// The most that an answer may take: a page of nodes with long paths.
pub(super) const MOST: u64 = 16 << 20;

/// What a request is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) server: Url,
    pub(super) project: String,
    pub(super) repository: String,
    pub(super) path: String,
    /// It is to be made. Releases of old say "existed" with numbers that now mean something else.
    pub(super) making: bool,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
}

#[derive(Deserialize)]
struct Head {
    code: i64,
    #[serde(default)]
    message: Option<String>,
}

/// A node in an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    full_path: String,
    #[serde(default)]
    folder: bool,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    md5: Option<String>,
}

/// A page of nodes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(default)]
    pub(super) total_records: Option<u64>,
    pub(super) records: Vec<Row>,
}

impl From<Row> for Node {
    fn from(row: Row) -> Self {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            path: row.full_path,
            // Folders have a size of null in some releases, and what is in them in others.
            size: if row.folder { 0 } else { row.size.unwrap_or_default() },
            digest: filled(row.sha256).and_then(|hex| Digest::from_hex(&hex.to_ascii_lowercase()).ok()),
            md5: filled(row.md5),
            folder: row.folder,
        }
    }
}

impl Subject {
    /// The server as a whole.
    pub(super) fn of(server: &Url) -> Self {
        let (project, repository, path) = Default::default();
        Self { server: server.clone(), project, repository, path, making: false }
    }

    /// Reads a good answer: its `data`, unless its code says that it is not good after all.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<Option<T>, Error> {
        let not_bkrepo = || self.error(200, None, BkrepoProblem::NotBkrepo, "");
        let head: Head = serde_json::from_slice(body).map_err(|_| not_bkrepo())?;
        if head.code != 0 {
            return Err(self.refusal(200, head));
        }
        let envelope: Envelope<T> = serde_json::from_slice(body).map_err(|source| Error::Protocol {
            url: self.safe_url(),
            reason: format!("its answer about {self} is not what bkrepo's interface says: {source}"),
        })?;
        Ok(envelope.data)
    }

    /// Reads an answer that says no. `None` where the status says it all.
    pub(super) fn explain(&self, status: u16, body: &[u8]) -> Option<Error> {
        match serde_json::from_slice::<Head>(body) {
            Ok(head) if head.code != 0 => {
                let problem =
                    BkrepoProblem::of(status, Some(head.code), head.message.as_deref(), self.making)?;
                Some(self.error(
                    status,
                    Some(head.code),
                    problem,
                    head.message.as_deref().unwrap_or_default(),
                ))
            }
            _ => {
                let problem = BkrepoProblem::of(status, None, None, self.making)?;
                Some(self.error(status, None, problem, ""))
            }
        }
    }

    /// What a code other than 0 means in an answer whose status is good.
    fn refusal(&self, status: u16, head: Head) -> Error {
        // The gateway's own errors have a status for a code.
        let status = u16::try_from(head.code).ok().filter(|code| (400..600).contains(code)).unwrap_or(status);
        let message = head.message.unwrap_or_default();
        match BkrepoProblem::of(status, Some(head.code), Some(&message), self.making) {
            Some(problem) => self.error(status, Some(head.code), problem, &message),
            None => Error::Server { url: self.safe_url(), status, message },
        }
    }

    pub(super) fn error(
        &self,
        status: u16,
        code: Option<i64>,
        problem: BkrepoProblem,
        message: &str,
    ) -> Error {
        let message = message.chars().filter(|letter| !letter.is_control()).take(300).collect();
        let (server, subject) = (self.safe_url(), self.to_string());
        Error::Bkrepo(Box::new(BkrepoError { server, subject, problem, status, code, message }))
    }

    pub(super) fn safe_url(&self) -> SafeUrl {
        (&self.server).into()
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.project.as_str(), self.repository.as_str()) {
            ("", _) => f.write_str("bkrepo"),
            (project, "") => write!(f, "project {project}"),
            (project, repository) => write!(f, "{project}/{repository}{}", self.path),
        }
    }
}
