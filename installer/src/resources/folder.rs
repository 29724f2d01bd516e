//! Folders of this machine.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use ferry_model::event::Task;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Folder, Keep, State};
use ferry_model::report::Failed;

use super::file::{local, mode_text, set_mode};
use super::{Kept, Manage, Mine, Undone};
use crate::context::Context;

/// The mode of a folder that is made where any would do.
const USUAL: u32 = 0o755;

impl Manage for Folder {
    fn wanted(&self) -> State {
        State::present(self.mode.map(|mode| ("mode", mode_text(mode))))
    }

    fn summary(&self, action: Action) -> String {
        format!("{action} folder {} ({})", self.path.display(), mode_text(self.mode.unwrap_or(USUAL)))
    }

    fn undo_summary(&self, before: &State) -> String {
        match (before, self.keep) {
            (State::Absent, Keep::Everything) => "remove it if it is empty by then".into(),
            (State::Absent, Keep::ForeignImages) => {
                "remove it with its content, unless it holds images of others by then".into()
            }
            _ => format!("set its mode to {}", before.property("mode").unwrap_or("what it was")),
        }
    }

    async fn observe(&self, _context: &Context) -> State {
        let present = |metadata: &fs::Metadata| {
            State::present(self.mode.map(|_| ("mode", mode_text(metadata.permissions().mode()))))
        };
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_symlink() => match fs::metadata(&self.path) {
                Ok(metadata) if metadata.is_dir() => present(&metadata),
                _ => State::Unknown {
                    reason: format!("{} is a link that leads to no folder", self.path.display()),
                },
            },
            Ok(metadata) if metadata.is_dir() => present(&metadata),
            Ok(_) => State::Unknown { reason: format!("{} is no folder", self.path.display()) },
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::Absent,
            Err(error) => State::Unknown { reason: format!("{}: {error}", self.path.display()) },
        }
    }

    async fn apply(&self, _context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let mode = self.mode.unwrap_or(USUAL);
        let made = || -> io::Result<()> {
            match fs::DirBuilder::new().mode(mode).create(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            set_mode(&self.path, mode)
        };
        made().map_err(|error| local("making", &self.path, &error))
    }

    async fn undo(
        &self,
        _context: &Context,
        before: &Before,
        _kept: &Kept,
        mine: &Mine,
    ) -> Result<Undone, Failed> {
        if before.state != State::Absent {
            let mode = before.state.property("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok());
            if let Some(mode) = mode {
                set_mode(&self.path, mode).map_err(|error| local("changing", &self.path, &error))?;
            }
            return Ok(Undone::Restored);
        }
        if self.keep == Keep::ForeignImages {
            let path = self.path.display();
            match foreign_content(&self.path, mine) {
                Ok(foreign) if foreign.is_empty() => {}
                Ok(foreign) => {
                    let (count, first) = (foreign.len(), &foreign[0]);
                    return Ok(Undone::Left(format!(
                        "{path} stays: {count} things in it are not this run's, the first of them {first}"
                    )));
                }
                Err(error) => {
                    let reason = format!("{path} stays: whose images it holds cannot be read: {error}");
                    return Ok(Undone::Left(reason));
                }
            }
            return match fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(local("removing", &self.path, &error))
                }
                _ => Ok(Undone::Restored),
            };
        }
        match fs::remove_dir(&self.path) {
            Ok(()) => Ok(Undone::Restored),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Undone::Restored),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                Ok(Undone::Left(format!("{} stays: it is not empty", self.path.display())))
            }
            Err(error) => Err(local("removing", &self.path, &error)),
        }
    }
}

/// What a registry's storage folder holds that the run did not bring: images, by name and digest, and whatever else lies there.
///
/// The layout is the distribution's (`registry/storage/paths.go`): below `docker/registry/v2/repositories/NAME/_manifests`
/// the tags, each with a file `current/link` that holds a digest.
fn foreign_content(storage: &Path, mine: &Mine) -> io::Result<Vec<String>> {
    let mut foreign = Vec::new();
    for name in names(storage)? {
        if name != "docker" {
            foreign.push(name);
        }
    }
    let root = storage.join("docker/registry/v2/repositories");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let repository = folder.strip_prefix(&root).unwrap_or(&folder).display().to_string();
        for name in names(&folder)? {
            if name == "_manifests" {
                foreign.extend(foreign_tags(&folder.join(name), &repository, mine)?);
            } else if !name.starts_with('_') {
                folders.push(folder.join(name));
            }
        }
    }
    Ok(foreign)
}

/// The tags of a repository that are not the run's; the repository itself where it is all others', tagged or not.
fn foreign_tags(manifests: &Path, repository: &str, mine: &Mine) -> io::Result<Vec<String>> {
    let front = format!("{repository}:");
    if !mine.brought.range(front.clone()..).next().is_some_and(|(name, _)| name.starts_with(&front)) {
        return Ok(vec![format!("repository {repository}")]);
    }
    let mut foreign = Vec::new();
    for tag in names(&manifests.join("tags"))? {
        // Lists of referrers and cosign's artifacts are named after the manifest that they are about.
        let about = tag.strip_prefix("sha256-").map(|rest| rest.split('.').next().unwrap_or(rest));
        if about.is_some_and(|hex| {
            mine.brought.values().any(|digest| digest.strip_prefix("sha256:") == Some(hex))
        }) {
            continue;
        }
        let link = match fs::read_to_string(manifests.join("tags").join(&tag).join("current/link")) {
            Ok(link) => link,
            // The registry leaves the folder of a tag behind when it deletes what it named.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let name = format!("{repository}:{tag}");
        if mine.brought.get(&name).map(String::as_str) != Some(link.trim()) {
            foreign.push(name);
        }
    }
    Ok(foreign)
}

/// What is in a folder; nothing where there is none.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_keep_there_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = folder.path().join("docker/registry/v2/repositories");
        let tag = |name: &str, tag: &str, digest: &str| {
            let link = repositories.join(name).join("_manifests/tags").join(tag).join("current");
            fs::create_dir_all(&link).unwrap();
            fs::write(link.join("link"), digest).unwrap();
        };
        let foreign = |mine: &Mine| foreign_content(folder.path(), mine).unwrap();
        let mut mine = Mine::default();
        assert!(foreign(&mine).is_empty());
        tag("library/app", "1", "sha256:aa");
        tag("library/app", "2", "sha256:bb");
        assert_eq!(foreign(&mine), ["repository library/app"]);
        mine.brought.insert("library/app:1".into(), "sha256:aa".into());
        assert_eq!(foreign(&mine), ["library/app:2"]);
        mine.brought.insert("library/app:2".into(), "sha256:other".into());
        assert_eq!(foreign(&mine), ["library/app:2"], "somebody pushed over it");
        mine.brought.insert("library/app:2".into(), "sha256:bb".into());
        tag("library/app", "sha256-aa", "sha256:cc");
        tag("library/app", "sha256-bb.sig", "sha256:dd");
        assert!(foreign(&mine).is_empty());
        fs::create_dir_all(repositories.join("team/other/_manifests/revisions/sha256/ee")).unwrap();
        assert_eq!(foreign(&mine), ["repository team/other"]);
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert_eq!(foreign(&mine), ["notes.txt", "repository team/other"]);
    }
}
