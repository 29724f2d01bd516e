//! Folders of this machine.

use std::collections::BTreeSet;
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
            let foreign = foreign_images(&self.path, mine);
            if let Some(first) = foreign.first() {
                let (path, count) = (self.path.display(), foreign.len());
                return Ok(Undone::Left(format!(
                    "{path} stays: it holds {count} images that this run did not bring, the first of them {first}"
                )));
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

/// Images that a registry keeps below `storage` and that the run did not bring, as `repository:tag`.
///
/// The layout is the distribution's (`registry/storage/paths.go`):
/// `docker/registry/v2/repositories/NAME/_manifests/tags/TAG`.
fn foreign_images(storage: &Path, mine: &Mine) -> BTreeSet<String> {
    let root = storage.join("docker/registry/v2/repositories");
    let mut foreign = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "_manifests" {
                let repository = folder.strip_prefix(&root).unwrap_or(&folder).display().to_string();
                let tags = fs::read_dir(entry.path().join("tags")).into_iter().flatten().flatten();
                let images = tags.map(|tag| format!("{repository}:{}", tag.file_name().to_string_lossy()));
                foreign.extend(images.filter(|image| !mine.images.contains(image)));
            } else if !name.starts_with('_') {
                folders.push(entry.path());
            }
        }
    }
    foreign
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_others_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let tags = folder.path().join("docker/registry/v2/repositories/library/app/_manifests/tags");
        for tag in ["1", "2"] {
            fs::create_dir_all(tags.join(tag)).unwrap();
        }
        let mut mine = Mine::default();
        mine.images.insert("library/app:1".into());
        assert_eq!(foreign_images(folder.path(), &mine), BTreeSet::from(["library/app:2".into()]));
        mine.images.insert("library/app:2".into());
        assert!(foreign_images(folder.path(), &mine).is_empty());
    }
}
