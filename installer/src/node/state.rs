//! What was done to a node: a journal beside the bytes that stood there before, in a folder that nobody else may read.
//!
//! The journal says what is about to be done before it is done, so a run that was cut off anywhere is gone on with or taken
//! back by what it says. It never says that something is done that is not: a file that was not reached still is as it was.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ferry_model::Digest;
use ferry_model::failure::Class;
use ferry_model::node::{ServiceChange, Takeup};
use ferry_model::report::Failed;
use serde::{Deserialize, Serialize};

use super::hands::Hands;
use super::{Root, diff};
use crate::replace::{Attributes, Guise};
use crate::resources::Kept;

/// Where the state of a node lies.
const FOLDER: &str = "/var/lib/ferry/node";
const VERSION: u32 = 1;

/// All that was done to a node and not taken back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Journal {
    version: u32,
    /// Files, in the order in which they were first touched.
    pub(crate) files: Vec<Touched>,
    /// Folders that were made, the outer ones first.
    pub(crate) folders: Vec<PathBuf>,
    /// Services that have to take changes up yet.
    pub(crate) services: Vec<ServiceChange>,
    /// Programs that have to take changes up yet.
    pub(crate) commands: Vec<Vec<String>>,
}

/// A file that was touched.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Touched {
    pub(crate) path: PathBuf,
    /// What it was before Ferry; absent where it was not there.
    pub(crate) before: Option<Was>,
    /// Digests of what it was given, the latest one last; absent ones where it was removed.
    pub(crate) ours: Vec<Option<String>>,
    /// What it was before the change that nobody has taken up yet.
    pub(crate) last: Option<Last>,
    pub(crate) service: Option<ServiceChange>,
    pub(crate) commands: Vec<Vec<String>>,
}

/// What a file was before the latest change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Last {
    pub(crate) was: Option<Was>,
}

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Was {
    /// Of its bytes, by which they are kept.
    pub(crate) digest: String,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) attributes: String,
}

impl Was {
    /// What it is beside its bytes.
    pub(crate) fn guise(&self) -> Guise {
        let attributes = Attributes::from_json(self.attributes.as_bytes());
        Guise { mode: self.mode, owner: Some(self.owner), attributes }
    }
}

/// The state's folder.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    kept: Kept,
}

impl State {
    /// Of this node. Nothing is made yet.
    pub(crate) fn of(root: &Root) -> Self {
        let folder = root.path(FOLDER);
        Self { kept: Kept::in_folder(folder.join("before")), folder }
    }

    /// What was done; nothing where nothing is noted.
    pub(crate) fn journal(&self) -> Result<Journal, Failed> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Journal::default()),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let damaged = |problem: String| {
            Failed::because(Class::Local, format!("{} cannot be read: {problem}", path.display()))
        };
        let journal: Journal = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        match journal.version {
            VERSION => Ok(journal),
            other => Err(damaged(format!("it is of version {other}, and this program knows {VERSION}"))),
        }
    }

    /// Keeps others from changing the node at the same time, for as long as the file is held.
    pub(crate) fn lock(&self) -> Result<fs::File, Failed> {
        let path = self.folder.join("lock");
        let opened = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .and_then(|()| fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path));
        let file = opened.map_err(|error| failed("made", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another run is changing this node: it holds {}", path.display());
                Err(Failed::because(Class::Transient, message))
            }
            Err(fs::TryLockError::Error(error)) => Err(failed("locked", &path, &error)),
        }
    }

    /// Notes what is done and about to be done.
    pub(crate) fn note(&self, journal: &Journal, hands: &dyn Hands) -> Result<(), Failed> {
        let noted = Journal { version: VERSION, ..journal.clone() };
        let bytes = serde_json::to_vec_pretty(&noted).expect("these are strings and numbers");
        let path = self.path();
        hands.write(&path, &bytes, &Guise::with_mode(0o600)).map_err(|error| failed("written", &path, &error))
    }

    /// Forgets everything, once everything is as it was. What is not empty above it is not ours.
    pub(crate) fn remove(&self) -> Result<(), Failed> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("removed", &self.folder, &error));
            }
            _ => {}
        }
        if let Some(above) = self.folder.parent() {
            let _ = fs::remove_dir(above);
        }
        Ok(())
    }

    /// Keeps a file as it is now.
    pub(crate) fn keep(&self, path: &Path, bytes: &[u8]) -> Result<Was, Failed> {
        let broken = |error: &io::Error| failed("looked at", path, error);
        let metadata = fs::metadata(path).map_err(|error| broken(&error))?;
        let attributes = Attributes::of(path).map_err(|error| broken(&error))?.unwrap_or_default();
        Ok(Was {
            digest: self.kept.save(bytes)?,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            attributes: String::from_utf8(attributes.to_json()).expect("it is JSON"),
        })
    }

    /// Keeps what a file shall be, so that it can be told from what others make of it.
    pub(crate) fn keep_bytes(&self, bytes: Option<&[u8]>) -> Result<Option<String>, Failed> {
        bytes.map(|bytes| self.kept.save(bytes)).transpose()
    }

    /// Bytes that were kept.
    pub(crate) fn read(&self, digest: &str) -> Result<Vec<u8>, Failed> {
        self.kept.read(digest)
    }

    /// What a file was, without what Ferry made of it since; `None` where that cannot be told from what others did.
    pub(crate) fn without_ours(&self, touched: &Touched, now: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
        let before = match &touched.before {
            Some(was) => self.read(&was.digest)?,
            None => Vec::new(),
        };
        let Some(Some(ours)) = touched.ours.last() else { return Ok(None) };
        let merged = diff::without(&self.read(ours)?, &before, now);
        Ok(merged.filter(|merged| is_whole(&touched.path, merged)))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("journal.json")
    }
}

impl Journal {
    /// Whether there is nothing to take back, and nothing left to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty() && !self.has_more_to_do()
    }

    /// Changes that were not taken up, in words.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let services = self.services.iter().filter(|service| service.how != Takeup::Nothing);
        let services = services.map(|service| {
            let verb = if service.how == Takeup::Restart { "restart" } else { "reload" };
            format!("{} has to {verb}: {}", service.unit, service.reason)
        });
        services
            .chain(self.commands.iter().map(|command| format!("{} has to run", command.join(" "))))
            .collect()
    }

    /// Whether changes are there that were not taken up.
    pub(crate) fn has_more_to_do(&self) -> bool {
        !self.services.is_empty() || !self.commands.is_empty()
    }
}

impl Touched {
    /// Whether a file's bytes are some that Ferry gave it.
    pub(crate) fn is_ours(&self, now: Option<&[u8]>) -> bool {
        self.ours.contains(&digest(now))
    }

    /// Whether a file's bytes are those from before.
    pub(crate) fn is_as_before(&self, now: Option<&[u8]>) -> bool {
        self.before.as_ref().map(|was| was.digest.clone()) == digest(now)
    }
}

fn digest(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| Digest::of(bytes).hex())
}

/// Whether a text from which lines were taken still is what its name says.
fn is_whole(path: &Path, bytes: &[u8]) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_slice::<serde_json::Value>(bytes).is_ok(),
        Some("toml") => {
            str::from_utf8(bytes).is_ok_and(|text| text.parse::<toml_edit::DocumentMut>().is_ok())
        }
        Some("yaml" | "yml") => {
            str::from_utf8(bytes).is_ok_and(|text| serde_saphyr::from_str::<serde_json::Value>(text).is_ok())
        }
        _ => true,
    }
}

fn failed(action: &str, path: &Path, error: &io::Error) -> Failed {
    Failed::because(Class::Local, format!("{} cannot be {action}: {error}", path.display()))
        .hint("run this as root, with room on the disk")
}
