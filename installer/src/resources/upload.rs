//! Files in generic repositories of bkrepo. Looked at all together, sent several at once; each is asked for before a byte of it is
//! sent, because bkrepo says no only when it has all.

mod resume;

use std::collections::BTreeMap;
use std::sync::Arc;

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Desired, Resource, ResourceId, State, Upload};
use ferry_model::report::Failed;
use ferry_transfer::{Bkrepo, BkrepoProblem, Error, FileUpload, Overwrite};

use super::{Kept, Manage, Mine, Undone};
use crate::bkrepo::{self, Found, explained, reason};
use crate::context::{Context, Manner};
use crate::push::BundleBlob;
use resume::Resume;

/// What `misplaced` says where there is no such copy.
const NONE: &str = "none";

impl Manage for Upload {
    fn wanted(&self) -> State {
        let mut properties = vec![("sha256", self.digest.hex()), ("size", self.size.to_string())];
        if self.repair && self.misplaced.is_some() {
            properties.push(("misplaced", NONE.to_owned()));
        }
        State::present(properties)
    }

    fn summary(&self, _action: Action) -> String {
        format!("upload {}", self.place())
    }

    fn summary_from(&self, action: Action, before: &State) -> String {
        let place = self.place();
        let mut summary = match (before.property("folder"), before.property("sha256")) {
            (Some(_), _) => format!("remove the folder {place} with all that is in it, and upload the file"),
            (None, Some(digest)) if digest == self.digest.hex() => String::new(),
            (None, Some(_)) => format!("replace {place}"),
            (None, None) => self.summary(action),
        };
        if let Some(copy) = self.copy_in(before).filter(|_| self.repair) {
            let and = if summary.is_empty() { "" } else { ", and " };
            summary.push_str(&format!("{and}remove its copy at {}", bkrepo::place(&self.repository, copy)));
        }
        if summary.is_empty() { self.summary(action) } else { summary }
    }

    fn undo_summary(&self, before: &State) -> String {
        if self.refusal(before).is_some() {
            return "nothing to undo".into();
        }
        if before.property("folder").is_some() {
            return "leave it: the folder that is removed for it cannot be brought back".into();
        }
        let copy = self.copy_in(before).filter(|_| self.repair);
        match (before.property("sha256"), copy) {
            (Some(old), None) if old != self.digest.hex() => "leave it: what it replaces is not kept".into(),
            (Some(_), Some(copy)) => format!("leave it: the copy at {copy} is not brought back"),
            (None, Some(copy)) => format!("delete it; the copy at {copy} is not brought back"),
            (Some(_), None) => "nothing to undo".into(),
            (None, None) => "delete it".into(),
        }
    }

    fn bytes(&self) -> u64 {
        self.size
    }

    fn bytes_from(&self, before: &State) -> u64 {
        if before.property("sha256") == Some(&self.digest.hex()) { 0 } else { self.size }
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        if before.property("folder").is_some() && !self.repair {
            let message = "a folder lies where the file belongs";
            return Some(Failed::because(Class::Denied, message).hint(
                "look what is in it (the deployment guide's upload loop makes such folders), then say `bkrepo: {repair: true}` to have it removed",
            ));
        }
        match before.property("sha256") {
            Some(other) if other != self.digest.hex() && !self.overwrite => {
                let message = "a file with other content is there";
                Some(Failed::because(Class::Denied, message).hint(
                    "say `bkrepo: {overwrite: true}` to have it replaced, or take the file out of the bundle",
                ))
            }
            _ => None,
        }
    }

    async fn observe(&self, context: &Context) -> State {
        self.state(bkrepo::look(context, self).await)
    }

    async fn apply(&self, context: &Context, _action: Action, task: &Task) -> Result<(), Failed> {
        context.bkrepos.trouble.of_writing(&self.repository)?;
        let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Patient).await?;
        let found = bkrepo::look(context, self).await?;
        match self.bring(context, &bkrepo, &found, task).await {
            Ok(()) => {
                context.bkrepos.trouble.none(&self.repository);
                Ok(())
            }
            Err(Trouble::Known(failed)) => Err(failed),
            Err(Trouble::Asked(error)) => {
                let access = context.site.site.bkrepo.as_ref().map(|section| &section.access);
                let failed = explained(&error, access);
                context.bkrepos.trouble.learn(context, &self.repository, &error, &failed).await;
                Err(failed)
            }
        }
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Patient).await?;
        let found = bkrepo::look(context, self).await?;
        if before.state.property("folder").is_some() {
            let is_removed = !found.node.as_ref().is_some_and(|node| node.folder);
            let left = || format!("{} stays: the folder that was removed for it is not kept", self.place());
            return Ok(if is_removed { Undone::Left(left()) } else { Undone::Restored });
        }
        let is_mine = found.node.as_ref().is_some_and(|node| node.is_file(&self.digest, self.size));
        match before.state.property("sha256") {
            Some(old) if old != self.digest.hex() => {
                return Ok(if is_mine {
                    Undone::Left(format!("{} stays: what it replaced is not kept", self.place()))
                } else {
                    Undone::Restored
                });
            }
            None if is_mine => {
                bkrepo.delete(&self.repository, &self.path).await.map_err(|error| Failed::new(&error))?;
            }
            None if found.node.is_some() => {
                return Ok(Undone::Left(format!("{} stays: it is not what this run uploaded", self.place())));
            }
            Some(_) | None => {}
        }
        match self.copy_in(&before.state) {
            Some(copy) if found.misplaced.is_none() => Ok(Undone::Left(format!(
                "{} was removed, and is not brought back: it was a copy of {} at a wrong path",
                bkrepo::place(&self.repository, copy),
                self.path
            ))),
            _ => Ok(Undone::Restored),
        }
    }
}

/// Why a file did not get there.
enum Trouble {
    /// It concerns this file alone.
    Known(Failed),
    /// bkrepo's word, or its silence.
    Asked(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Asked(error)
    }
}

/// What is asked about an upload beyond [`Manage`].
pub(crate) trait Asked {
    /// What a look found, as a state.
    fn state(&self, found: Result<Found, Failed>) -> State;
    /// Repository and path.
    fn place(&self) -> String;
    /// Where the wrong copy lies that a state tells of.
    fn copy_in<'a>(&self, state: &'a State) -> Option<&'a str>;
}

impl Asked for Upload {
    fn state(&self, found: Result<Found, Failed>) -> State {
        let Found { node, misplaced } = match found {
            Ok(found) => found,
            Err(failed) => return State::Unknown { reason: reason(&failed) },
        };
        let is_copy = misplaced.is_some_and(|node| node.is_file(&self.digest, self.size));
        let copy = self.misplaced.as_deref().filter(|_| is_copy);
        let mut properties = match node {
            None if copy.is_none() => return State::Absent,
            None => Vec::new(),
            Some(node) if node.folder => vec![("folder", "true".to_owned())],
            Some(node) => {
                let digest = node.digest.map_or_else(|| "unknown".to_owned(), |digest| digest.hex());
                vec![("sha256", digest), ("size", node.size.to_string())]
            }
        };
        if self.misplaced.is_some() {
            properties.push(("misplaced", copy.unwrap_or(NONE).to_owned()));
        }
        State::present(properties)
    }

    fn place(&self) -> String {
        bkrepo::place(&self.repository, &self.path)
    }

    fn copy_in<'a>(&self, state: &'a State) -> Option<&'a str> {
        state.property("misplaced").filter(|path| *path != NONE)
    }
}

/// What a plan says of copies at wrong paths that stay.
pub(crate) fn misplaced_note(
    resources: &[Resource],
    observed: &BTreeMap<ResourceId, State>,
) -> Option<String> {
    let copies: Vec<(&Upload, &str)> = resources
        .iter()
        .filter_map(|resource| match &resource.desired {
            Desired::Upload(upload) if !upload.repair => {
                Some((upload, upload.copy_in(observed.get(&resource.id())?)?))
            }
            _ => None,
        })
        .collect();
    let (first, copy) = copies.first()?;
    let (count, them) = match copies.len() {
        1 => ("1 file has a copy at a wrong path".to_owned(), "it"),
        more => (format!("{more} files have copies at wrong paths"), "them"),
    };
    Some(format!(
        "{count} in bkrepo, as the deployment guide's upload loop leaves them ({} for {}): nothing asks for {them} there; `bkrepo: {{repair: true}}` removes {them}",
        bkrepo::place(&first.repository, copy),
        first.path
    ))
}

trait Bring {
    async fn bring(
        &self,
        context: &Context,
        bkrepo: &Bkrepo,
        found: &Found,
        task: &Task,
    ) -> Result<(), Trouble>;
    async fn send(&self, context: &Context, bkrepo: &Bkrepo, task: &Task) -> Result<(), Trouble>;
    async fn remove_copy(&self, bkrepo: &Bkrepo) -> Result<(), Error>;
}

impl Bring for Upload {
    async fn bring(
        &self,
        context: &Context,
        bkrepo: &Bkrepo,
        found: &Found,
        task: &Task,
    ) -> Result<(), Trouble> {
        let is_right = found.node.as_ref().is_some_and(|node| node.is_file(&self.digest, self.size));
        if is_right {
            task.reset(self.size);
        } else {
            if self.repair && found.node.as_ref().is_some_and(|node| node.folder) {
                bkrepo.delete_folder(&self.repository, &self.path).await?;
            }
            self.send(context, bkrepo, task).await?;
        }
        let is_copy = found.misplaced.as_ref().is_some_and(|node| node.is_file(&self.digest, self.size));
        if self.repair && is_copy {
            self.remove_copy(bkrepo).await?;
        }
        Ok(())
    }

    async fn send(&self, context: &Context, bkrepo: &Bkrepo, task: &Task) -> Result<(), Trouble> {
        let bundle = context.bundle().map_err(Trouble::Known)?.clone();
        let source = Arc::new(BundleBlob { bundle, digest: self.digest, size: self.size });
        let resume = Resume::of(self, context);
        let keep = |id: Option<&str>| resume.keep(id);
        let file = FileUpload {
            overwrite: if self.overwrite { Overwrite::Yes } else { Overwrite::No },
            upload_id: resume.id(),
            on_upload_id: Some(&keep),
            ..FileUpload::new(&self.repository, &self.path, self.digest, self.size, source)
        };
        bkrepo.upload(&file, task).await?;
        Ok(())
    }

    /// The copy, and its folder where nothing else is in it.
    async fn remove_copy(&self, bkrepo: &Bkrepo) -> Result<(), Error> {
        let Some(copy) = &self.misplaced else { return Ok(()) };
        bkrepo.delete(&self.repository, copy).await?;
        let Some((folder, _)) = copy.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) else {
            return Ok(());
        };
        // Meanwhile it may be a file, which somebody wants just there.
        if !bkrepo.node(&self.repository, folder).await?.is_some_and(|node| node.folder) {
            return Ok(());
        }
        match bkrepo.delete(&self.repository, folder).await {
            Err(error) if bkrepo::problem(&error) != Some(BkrepoProblem::NotEmpty) => Err(error),
            _ => Ok(()),
        }
    }
}
