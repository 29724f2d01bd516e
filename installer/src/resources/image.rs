//! Images, charts and other artifacts in a registry. Looked at one by one, pushed all together, so that what several share
//! is sent once, and taken back all together, so that each repository is asked once.

mod beside;
mod keep;
mod known;
mod push;
mod put_back;
mod tags;
mod undo;

use std::collections::BTreeMap;

use ferry_model::event::Task;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Image, State};
use ferry_model::report::Failed;

pub(crate) use keep::keep_beside;
pub(crate) use known::Known;
pub(crate) use push::push_images;
pub(crate) use undo::{ToUndo, undo_images};

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::context::{Context, Manner};

impl Manage for Image {
    fn wanted(&self) -> State {
        State::present([("digest", self.digest.to_string())])
    }

    fn summary(&self, action: Action) -> String {
        match action {
            Action::Create => format!("push {}", self.name()),
            Action::Update => format!("let {} name {}", self.name(), self.digest),
            Action::Restart | Action::Check => format!("check {}", self.name()),
        }
    }

    fn undo_summary(&self, before: &State) -> String {
        if before.property("untagged").is_some() {
            return "leave it: its manifest was there before, under no tag".into();
        }
        match before.property("digest") {
            Some(digest) => format!("let the tag name {digest} again"),
            None => "delete it, where the registry allows deleting".into(),
        }
    }

    fn bytes(&self) -> u64 {
        self.size
    }

    async fn observe(&self, context: &Context) -> State {
        match resolve(self, context).await {
            Ok(Found::Tagged(digest)) => State::present([("digest", digest)]),
            Ok(Found::Untagged) => State::present([("untagged", self.digest.to_string())]),
            Ok(Found::Nothing) => State::Absent,
            Err(failed) => unknown(failed),
        }
    }

    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let (known, before) = (Known::of(context), self.observe(context).await);
        keep_beside(context, kept, &known, &[(self, &before)])
            .await
            .pop()
            .unwrap_or_else(|| Ok(BTreeMap::new()))
    }

    /// For a single image; several go through [`push_images`].
    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        push::push_alone(context, self).await
    }

    /// For a single image; several go through [`undo_images`].
    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        mine: &Mine,
    ) -> Result<Undone, Failed> {
        undo_images(context, kept, mine, &[(self, before)]).await.pop().unwrap_or(Ok(Undone::Restored))
    }
}

/// What a look at an image found.
enum Found {
    Nothing,
    /// The tag names this digest.
    Tagged(String),
    /// There is no such tag, and yet the manifest is there: somebody pulls it by its digest, or an index names it.
    Untagged,
}

async fn resolve(image: &Image, context: &Context) -> Result<Found, Failed> {
    let client = context.client(Manner::Patient).await?;
    let repository = client.repository(&image.registry.to_string(), &image.repository);
    let digest = image.digest.to_string();
    let head = async |reference: &str| repository.head(reference).await.map_err(|error| Failed::new(&error));
    let Some(tag) = &image.tag else {
        return Ok(head(&digest)
            .await?
            .map_or(Found::Nothing, |found| Found::Tagged(found.digest.to_string())));
    };
    if let Some(found) = head(tag).await? {
        return Ok(Found::Tagged(found.digest.to_string()));
    }
    Ok(if head(&digest).await?.is_some() { Found::Untagged } else { Found::Nothing })
}
