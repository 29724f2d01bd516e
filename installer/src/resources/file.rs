//! Files of this machine: written whole or not at all, and never readable by others for a moment that they should not be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

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
use crate::replace::{self, Attributes, Guise};

/// The longest text that plans show.
const MAX_TEXT: u64 = 64 << 10;
/// The names of what a change keeps.
const CONTENT: &str = "content";
const ATTRIBUTES: &str = "attributes";

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
            Content::Copy { path: from, size, .. } => {
                format!("{action} file {path}: a copy of {}, {}", from.display(), ByteSize(*size))
            }
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
            Content::Image { size, .. } | Content::Copy { size, .. } => *size,
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
            Content::Copy { path, digest, .. } => {
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Writing would replace the link, and undoing would not bring it back.
            let is_link = fs::symlink_metadata(path).is_ok();
            return if is_link { unknown("it is a link to nothing".into()) } else { State::Absent };
        }
        Err(error) => return unknown(error.to_string()),
    };
    if !metadata.is_file() {
        return unknown("it is no file".into());
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return unknown(error.to_string()),
    };
    let mut properties =
        vec![("sha256", Digest::of(&bytes).hex()), ("mode", mode_text(metadata.permissions().mode()))];
    properties.extend(foreign_owner(&metadata).map(|owner| ("owner", owner)));
    match Attributes::of(path) {
        // Who else may read it is as much a right as its mode is; labels are relabelled and notes noted without anybody's asking.
        Ok(attributes) => {
            let list = attributes.as_ref().and_then(Attributes::access_list);
            properties.extend(list.map(|list| ("access list", Digest::of(list).short())));
        }
        Err(error) => return unknown(error.to_string()),
    }
    let state = State::present(properties);
    // What others may not read may hold passwords, and plans and reports are passed around.
    let is_public = metadata.permissions().mode() & 0o004 != 0;
    match String::from_utf8(bytes) {
        Ok(text) if show && is_public && metadata.len() <= MAX_TEXT => state.with_text(text),
        _ => state,
    }
}

/// Keeps a file's bytes and attributes, where there is one.
pub(super) fn keep_file(path: &Path, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
    let mut names = BTreeMap::new();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        Err(error) => return Err(local("reading", path, &error)),
    };
    names.insert(CONTENT.to_owned(), kept.save(&bytes)?);
    let attributes = Attributes::of(path).map_err(|error| local("reading", path, &error))?;
    if let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) {
        names.insert(ATTRIBUTES.to_owned(), kept.save(&attributes.to_json())?);
    }
    Ok(names)
}

/// The attributes that were kept under `name`.
pub(super) fn kept_attributes(name: Option<&String>, kept: &Kept) -> Result<Attributes, Failed> {
    let Some(name) = name else { return Ok(Attributes::default()) };
    Attributes::from_json(&kept.read(name)?).ok_or_else(|| {
        let message = format!("{} holds no attributes", kept.path(name).display());
        Failed::because(Class::Verification, message)
    })
}

/// Brings a file back to what it was: its bytes, its owner, its mode, its attributes, or its absence.
pub(super) fn restore_file(path: &Path, before: &Before, kept: &Kept) -> Result<(), Failed> {
    let Some(name) = before.kept.get(CONTENT) else {
        return replace::remove_file(path).map_err(|error| local("removing", path, &error));
    };
    let mode = before.state.property("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let guise = Guise {
        mode: mode.unwrap_or(0o600),
        owner: before.state.property("owner").and_then(parse_owner),
        attributes: Some(kept_attributes(before.kept.get(ATTRIBUTES), kept)?),
    };
    write_file_as(path, &kept.read(name)?, &guise)
}

/// `user:group` in numbers, where a file is another's than this process's.
pub(super) fn foreign_owner(metadata: &fs::Metadata) -> Option<String> {
    let mine = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let owner = (metadata.uid(), metadata.gid());
    (owner != mine).then(|| format!("{}:{}", owner.0, owner.1))
}

/// What [`foreign_owner`] has written.
pub(super) fn parse_owner(text: &str) -> Option<(u32, u32)> {
    let (user, group) = text.split_once(':')?;
    Some((user.parse().ok()?, group.parse().ok()?))
}

/// Writes a file whole or not at all. One that is there keeps its owner and attributes; a link is followed.
pub(super) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failed> {
    write_file_as(path, bytes, &Guise::with_mode(mode))
}

/// The same for a file that shall have all that `guise` says.
pub(super) fn write_file_as(path: &Path, bytes: &[u8], guise: &Guise) -> Result<(), Failed> {
    replace::write_file(path, bytes, guise).map_err(|error| local("writing", path, &error))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replace::testing::{self, ACCESS_LIST};

    #[test]
    fn text_that_others_may_not_read_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "password: hunter2").unwrap();
        for (mode, text) in [(0o600, None), (0o640, None), (0o644, Some("password: hunter2"))] {
            set_mode(&path, mode).unwrap();
            assert_eq!(observe_file(&path, true).text(), text, "{mode:o}");
        }
        assert_eq!(observe_file(&path, false).text(), None);
    }

    #[test]
    fn a_link_to_nothing_is_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        assert_eq!(observe_file(&path, true), State::Absent);
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let state = observe_file(&path, true);
        assert!(matches!(&state, State::Unknown { reason } if reason.contains("link")), "{state}");
    }

    #[test]
    fn bytes_owner_and_mode_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::in_folder(folder.path().join("kept"));
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        // Only root can give a file away.
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&path, Some(1234), Some(5678)).unwrap();
        }
        set_mode(&path, 0o6750).unwrap();
        let state = observe_file(&path, true);
        assert_eq!(state.property("owner"), is_root.then_some("1234:5678"));
        let before = Before { state: state.clone(), kept: keep_file(&path, &kept).unwrap() };
        fs::remove_file(&path).unwrap();
        write_file(&path, b"new", 0o644).unwrap();
        assert_eq!(observe_file(&path, true).property("owner"), None);
        for _ in 0..2 {
            restore_file(&path, &before, &kept).unwrap();
            assert_eq!(observe_file(&path, true), state);
        }
    }

    #[test]
    fn attributes_come_back() {
        let folder = testing::folder();
        let kept = Kept::in_folder(folder.path().join("kept"));
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        testing::set(&path, "user.note", b"the operator's").unwrap();
        testing::set(&path, ACCESS_LIST, &testing::access_list(1234, 6)).unwrap();
        let (state, attributes) = (observe_file(&path, true), testing::of(&path));
        assert!(state.property("access list").is_some(), "{state}");
        let before = Before { state: state.clone(), kept: keep_file(&path, &kept).unwrap() };
        write_file(&path, b"new", 0o600).unwrap();
        let after = observe_file(&path, true);
        assert!(testing::of(&path).access_list().is_some(), "whom it lists is still listed");
        // Whoever changes the list afterwards has changed the file.
        testing::set(&path, ACCESS_LIST, &testing::access_list(4321, 6)).unwrap();
        assert_ne!(observe_file(&path, true).property("access list"), after.property("access list"));
        fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            restore_file(&path, &before, &kept).unwrap();
            assert_eq!((observe_file(&path, true), testing::of(&path)), (state.clone(), attributes.clone()));
        }
    }

    #[test]
    fn a_copy_says_how_large_it_is() {
        let content = Content::Copy { path: "/srv/c.pem".into(), digest: Digest::of(b""), size: 2048 };
        let file = File { path: "/etc/server.crt".into(), mode: 0o644, content };
        let summary = file.summary(Action::Create);
        assert_eq!(summary, "create file /etc/server.crt: a copy of /srv/c.pem, 2.0 KiB");
        assert_eq!(file.bytes(), 2048);
    }
}
