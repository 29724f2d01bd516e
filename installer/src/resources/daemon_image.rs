//! Images in a docker daemon, out of the bundle and by its own API: no registry and no docker program is needed.
//!
//! An image's id is the digest of its config; where docker keeps images as containerd does, it is that of the manifest, or of the
//! index above it. Both are known from the bundle, and whichever docker has, the config's stands for it in states and plans.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, DaemonImage, State};
use ferry_model::report::Failed;
use ferry_transfer::{Daemon, Options};

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::context::Context;
use crate::export::{Choice, docker_archive, find_image, oci_archive};

/// The name of what is kept where the daemon had the image already.
const PRESENT: &str = "image";

impl Manage for DaemonImage {
    fn wanted(&self) -> State {
        State::present([("id", self.config.to_string())])
    }

    fn summary(&self, action: Action) -> String {
        match action {
            Action::Update => {
                format!("load {} into docker as {} over what has that name", self.image, self.tag)
            }
            _ => format!("load {} into docker as {}", self.image, self.tag),
        }
    }

    fn undo_summary(&self, before: &State) -> String {
        match before.property("id") {
            Some(id) => format!("let {} name {id} again", self.tag),
            None => "remove it from docker".into(),
        }
    }

    fn bytes(&self) -> u64 {
        self.size
    }

    async fn observe(&self, _context: &Context) -> State {
        match named(self).await {
            Ok(Some(id)) => State::present([("id", id)]),
            Ok(None) => State::Absent,
            Err(failed) => unknown(failed),
        }
    }

    async fn keep(&self, _context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        Ok(match here(self, &daemon(&self.daemon)?).await? {
            Some(id) => BTreeMap::from([(PRESENT.to_owned(), kept.save(id.as_bytes())?)]),
            None => BTreeMap::new(),
        })
    }

    async fn apply(&self, context: &Context, _action: Action, task: &Task) -> Result<(), Failed> {
        let daemon = daemon(&self.daemon)?;
        if let Some(id) = here(self, &daemon).await? {
            return tag(&daemon, &id, &self.tag).await;
        }
        let bundle = context.bundle()?;
        let image = find_image(bundle.catalog(), &self.image.to_string());
        let image = image.map_err(|error| Failed::new(&error))?;
        let archive = if daemon.keeps_manifests().await.map_err(|error| Failed::new(&error))? {
            // With the other format containerd makes up a manifest, whose digest nobody knows beforehand.
            oci_archive(bundle, image, &Choice::Host, Some(&self.tag))
        } else {
            docker_archive(bundle, image, None, std::slice::from_ref(&self.tag))
        };
        let archive = archive.map_err(|error| Failed::new(&error))?;
        let size = archive.size();
        daemon.load(Arc::new(archive), size, task).await.map(drop).map_err(|error| Failed::new(&error))
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let (daemon, config) = (daemon(&self.daemon)?, self.config.to_string());
        let now = named(self).await?;
        if let Some(id) = before.state.property("id") {
            if now.as_deref() == Some(id) {
                return Ok(Undone::Restored);
            }
            if daemon.image_id(id).await.map_err(|error| Failed::new(&error))?.is_none() {
                let reason = format!("{} named {id} before, and docker no longer has that", self.tag);
                return Ok(Undone::Left(reason));
            }
            tag(&daemon, id, &self.tag).await?;
            if !before.kept.contains_key(PRESENT) {
                // A container may still run it, and who else has given it a name cannot be told by its id.
                context.events.note(format!(
                    "{config} stays in docker without that name; `docker image prune` removes what has none"
                ));
            }
            return Ok(Undone::Restored);
        }
        if now.as_deref() != Some(&config) {
            return Ok(Undone::Restored);
        }
        match daemon.remove_image(&self.tag).await {
            Ok(_) => Ok(Undone::Restored),
            Err(error) if error.status() == Some(409) => {
                Ok(Undone::Left(format!("{} stays in docker: {}", self.tag, Failed::new(&error))))
            }
            Err(error) => Err(Failed::new(&error)),
        }
    }
}

/// The daemon at `host`, or the one that the environment names.
pub(super) fn daemon(host: &str) -> Result<Daemon, Failed> {
    let options = Options::default();
    let daemon =
        if host.is_empty() { Daemon::from_environment(&options) } else { Daemon::at(host, &options) };
    daemon.map_err(|error| {
        Failed::new(&error)
            .hint("start docker, or name its socket by `daemon: unix:///path` in the site file")
    })
}

/// What the tag names now.
async fn named(image: &DaemonImage) -> Result<Option<String>, Failed> {
    let id = daemon(&image.daemon)?.image_id(&image.tag).await.map_err(|error| Failed::new(&error))?;
    Ok(id.map(|id| known_id(id, image.config, &image.manifests)))
}

/// The image under an id that docker has it by, whatever its names.
async fn here(image: &DaemonImage, daemon: &Daemon) -> Result<Option<String>, Failed> {
    for id in std::iter::once(&image.config).chain(&image.manifests).map(ToString::to_string) {
        if daemon.image_id(&id).await.map_err(|error| Failed::new(&error))?.is_some() {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// An id of docker's; the config's digest, if it is any of those that the image can have.
pub(super) fn known_id(id: String, config: Digest, manifests: &[Digest]) -> String {
    if manifests.iter().any(|digest| digest.to_string() == id) { config.to_string() } else { id }
}

async fn tag(daemon: &Daemon, id: &str, name: &str) -> Result<(), Failed> {
    let Some((repository, tag)) = name.rsplit_once(':') else {
        return Err(Failed::because(Class::Internal, format!("{name} has no tag")));
    };
    daemon.tag_image(id, repository, tag).await.map_err(|error| Failed::new(&error))
}
