//! The ids of block uploads, kept beside the journal: a run that was cut off goes on with the parts that bkrepo has.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use ferry_model::Digest;
use ferry_model::event::Events;
use ferry_model::plan::Upload;

use crate::context::Context;

/// The folder of the state folder that they lie in.
const FOLDER: &str = "uploads";

/// Where the id of one upload is kept.
pub(super) struct Resume<'a> {
    path: PathBuf,
    events: &'a Events,
}

impl<'a> Resume<'a> {
    /// Of this file with this content: another content is another upload.
    pub(super) fn of(upload: &Upload, context: &'a Context) -> Self {
        let key = Digest::of(format!("{} {}", upload.name(), upload.digest).as_bytes());
        Self { path: context.site.state_folder().join(FOLDER).join(key.hex()), events: &context.events }
    }

    /// The id that was kept.
    pub(super) fn id(&self) -> Option<String> {
        fs::read_to_string(&self.path).ok().filter(|id| !id.is_empty())
    }

    /// Keeps the id, or forgets it. Without it an upload begins anew, so that it cannot be kept is no failure.
    pub(super) fn keep(&self, id: Option<&str>) {
        let kept = match id {
            Some(id) => self.write(id),
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        if let Err(error) = kept {
            let path = self.path.display();
            self.events.warn(format!(
                "{path} cannot be written ({error}): an upload that is cut off will begin anew"
            ));
        }
    }

    fn write(&self, id: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let temporary = self.path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(id.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)
    }
}
