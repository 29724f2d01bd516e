//! Files of this machine: written whole or not at all, and never readable by others for a moment that they should not be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Content, File, State};
use ferry_model::report::Failed;
use ferry_model::size::ByteSize;

use super::unit::reload_if_unit;
use super::{Kept, Manage, Mine, Undone};
use crate::context::Context;

/// The longest text that plans show.
const MAX_TEXT: u64 = 64 << 10;
/// The name of what a change keeps.
const CONTENT: &str = "content";

impl Manage for File {
    fn wanted(&self) -> State {
        let digest = match &self.content {
            Content::Text { text } => Digest::of(text.as_bytes()),
            Content::Image { digest, .. } | Content::Copy { digest, .. } => *digest,
        };
        State::present([("sha256", digest.hex()), ("mode", mode_text(self.mode))])
    }

    fn summary(&self, action: Action) -> String {
        let path = self.path.display();
        match &self.content {
            Content::Text { .. } => format!("{action} file {path}"),
            Content::Image { image, path: inner, size, .. } => {
                format!("{action} file {path}: {inner} of {image}, {}", ByteSize(*size))
            }
            Content::Copy { path: from, .. } => format!("{action} file {path}: a copy of {}", from.display()),
        }
    }

    fn undo_summary(&self, before: &State) -> String {
        match before {
            State::Absent => "remove it".into(),
            _ => "put back what it was, byte for byte".into(),
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        match &self.content {
            Content::Text { text } => Some(text.into()),
            Content::Image { .. } | Content::Copy { .. } => None,
        }
    }

    fn bytes(&self) -> u64 {
        match &self.content {
            Content::Text { text } => text.len() as u64,
            Content::Image { size, .. } => *size,
            Content::Copy { path, .. } => fs::metadata(path).map_or(0, |metadata| metadata.len()),
        }
    }

    async fn observe(&self, _context: &Context) -> State {
        observe_file(&self.path, self.text().is_some())
    }

    async fn keep(&self, _context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        keep_file(&self.path, kept)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        match &self.content {
            Content::Text { text } => write_file(&self.path, text.as_bytes(), self.mode)?,
            Content::Image { image, path, digest, .. } => {
                let program = crate::images::read_file(context.bundle()?, image, path, digest)?;
                write_file(&self.path, &program, self.mode)?;
            }
            Content::Copy { path, digest } => {
                let bytes = fs::read(path).map_err(|error| local("reading", path, &error))?;
                if Digest::of(&bytes) != *digest {
                    let message = format!("{} has changed since the plan was made", path.display());
                    return Err(Failed::because(Class::Verification, message).hint("make a new plan"));
                }
                write_file(&self.path, &bytes, self.mode)?;
            }
        }
        reload_if_unit(&self.path).await
    }

    async fn undo(
        &self,
        _context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        restore_file(&self.path, before, kept)?;
        reload_if_unit(&self.path).await?;
        Ok(Undone::Restored)
    }
}

/// What a file is; its text too where `show` allows and it is short.
pub(super) fn observe_file(path: &Path, show: bool) -> State {
    let unknown = |reason: String| State::Unknown { reason: format!("{}: {reason}", path.display()) };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return State::Absent,
        Err(error) => return unknown(error.to_string()),
    };
    if !metadata.is_file() {
        return unknown("it is no file".into());
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return unknown(error.to_string()),
    };
    let state = State::present([
        ("sha256", Digest::of(&bytes).hex()),
        ("mode", mode_text(metadata.permissions().mode())),
    ]);
    // What others may not read may hold passwords, and plans and reports are passed around.
    let is_public = metadata.permissions().mode() & 0o004 != 0;
    match String::from_utf8(bytes) {
        Ok(text) if show && is_public && metadata.len() <= MAX_TEXT => state.with_text(text),
        _ => state,
    }
}

/// Keeps a file's bytes, where there is one.
pub(super) fn keep_file(path: &Path, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
    match fs::read(path) {
        Ok(bytes) => Ok(BTreeMap::from([(CONTENT.to_owned(), kept.save(&bytes)?)])),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(local("reading", path, &error)),
    }
}

/// Brings a file back to what it was: its bytes, its mode, or its absence.
pub(super) fn restore_file(path: &Path, before: &Before, kept: &Kept) -> Result<(), Failed> {
    let Some(name) = before.kept.get(CONTENT) else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(local("removing", path, &error)),
            _ => Ok(()),
        };
    };
    let mode =
        before.state.property("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o600);
    write_file(path, &kept.read(name)?, mode)
}

/// Writes a file whole or not at all. One that is there keeps its owner; a link is followed.
pub(super) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failed> {
    let target: PathBuf = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let written = || -> io::Result<()> {
        let owner = fs::metadata(&target).ok().map(|metadata| (metadata.uid(), metadata.gid()));
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".ferry-new");
        let temporary = target.with_file_name(name);
        // What a killed process left there may have another mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
        }
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        target.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    written().map_err(|error| local("writing", path, &error))
}

pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))
}

/// Permission bits as people write them: `0644`.
pub(super) fn mode_text(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// A failure of this machine's file system.
pub(super) fn local(action: &str, path: &Path, error: &io::Error) -> Failed {
    let failed = Failed::because(Class::Local, format!("{action} {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            failed.hint("run it as root, or choose folders of your own in the site file")
        }
        io::ErrorKind::StorageFull => failed.hint("make room there, then run the same command again"),
        _ => failed,
    }
}
