//! What an editor sees and what it says.

use std::io;
use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::node::Takeup;
use ferry_model::report::Failed;

/// The most that a configuration file may have. A larger one is none that people write.
const MOST: u64 = 4 << 20;

/// The file system of a node: `/`, or a folder that plays it.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The file system below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// Where an absolute path of the node lies.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's bytes, if it is there. Links are followed, within what the operating system allows.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>, Failed> {
        let path = path.as_ref();
        let broken = |error: &io::Error| {
            Failed::because(Class::Local, format!("{} cannot be read: {error}", path.display()))
        };
        let real = self.path(path);
        match std::fs::metadata(&real) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(&error)),
            Ok(found) if found.len() > MOST => {
                let message =
                    format!("{} has {} bytes, which no configuration has", path.display(), found.len());
                return Err(Failed::because(Class::Input, message));
            }
            Ok(found) if !found.is_file() => {
                return Err(Failed::because(Class::Input, format!("{} is no file", path.display())));
            }
            Ok(_) => {}
        }
        std::fs::read(real).map(Some).map_err(|error| broken(&error))
    }

    /// What a file that is read whenever it is needed shall have; nothing where it has that already.
    pub(crate) fn edit(
        &self,
        path: impl Into<PathBuf>,
        text: String,
        reason: impl Into<String>,
    ) -> Result<Option<Edit>, Failed> {
        let path = path.into();
        let before = self.read(&path)?;
        Ok(Edit::of(path, before, text.into_bytes(), reason.into()))
    }

    /// Whether there is anything at a path.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }
}

/// What a file shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file's absolute path on the node.
    pub path: PathBuf,
    /// Its bytes now; absent where it is not there.
    pub before: Option<Vec<u8>>,
    /// Its bytes then; absent where it is removed.
    pub after: Option<Vec<u8>>,
    /// Its permission bits where it is made. One that is there keeps its own.
    pub mode: u32,
    /// The unit that takes it up, where one must; the first of these that the node has.
    pub units: Vec<String>,
    /// How that unit takes it up.
    pub takeup: Takeup,
    /// Why: a sentence without its full stop.
    pub reason: String,
}

impl Edit {
    /// Of a file that is read whenever it is needed; nothing where it has what it shall have.
    pub(crate) fn of(path: PathBuf, before: Option<Vec<u8>>, after: Vec<u8>, reason: String) -> Option<Self> {
        let after = Some(after);
        let (mode, units, takeup) = (0o644, Vec::new(), Takeup::Nothing);
        (before != after).then_some(Self { path, before, after, mode, units, takeup, reason })
    }
}

/// What an editor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// The runtime that it found, as people call it: `docker`, `containerd`.
    pub found: Option<String>,
    /// Files that must change, in the order in which they are written. Those that are right already are not among them.
    pub files: Vec<Edit>,
    /// Programs with their arguments that take changed files up, where no unit does; run once after writing, and once after
    /// taking back.
    pub commands: Vec<Vec<String>>,
    /// What cannot be done, while the rest can.
    pub failures: Vec<Failed>,
    /// What an operator should know, one sentence each.
    pub notes: Vec<String>,
}
