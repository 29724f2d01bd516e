//! Images, charts and other artifacts in a registry. Looked at one by one, pushed all together, so that what several share
//! is sent once, and taken back all together, so that each repository is asked once.

mod beside;
mod undo;

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Image, State};
use ferry_model::report::Failed;

pub(crate) use beside::keep_beside;
pub(crate) use undo::{ToUndo, undo_images};

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::context::{Context, Manner};
use crate::push::{Item, Outcome, PushOptions, Target, push_items};

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
        keep_beside(context, kept, &[self]).await.pop().unwrap_or_else(|| Ok(BTreeMap::new()))
    }

    /// For a single image; several go through [`push_images`].
    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        push_images(context, &[self]).await.pop().unwrap_or(Ok(()))
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

/// Pushes images together. Gives what came of each, in their order.
pub(crate) async fn push_images(context: &Context, images: &[&Image]) -> Vec<Result<(), Failed>> {
    let all = |failed: Failed| images.iter().map(|_| Err(failed.clone())).collect();
    let (bundle, client) = match (context.bundle(), context.client(Manner::Patient).await) {
        (Ok(bundle), Ok(client)) => (bundle, client),
        (Err(failed), _) | (_, Err(failed)) => return all(failed),
    };
    let known = known_items(context);
    let items: Vec<Option<Item>> = images.iter().map(|image| named(&known, image)).collect();
    let present: Vec<Item> = items.iter().flatten().cloned().collect();
    let registries: BTreeSet<String> = images.iter().map(|image| image.registry.to_string()).collect();
    let mut reports = BTreeMap::new();
    for registry in registries {
        let target: Target = match registry.parse() {
            Ok(target) => target,
            Err(error) => return all(Failed::because(Class::Input, format!("{error}"))),
        };
        let options = PushOptions { jobs: context.transfers(), recheck: false };
        match push_items(bundle, &client, &target, &present, options, &context.events).await {
            Ok(report) => reports.extend(report.items.into_iter().map(|item| (item.reference.clone(), item))),
            Err(error) => return all(Failed::new(&error)),
        }
    }
    let outcome = |image: &&Image| match reports.get(&image.name()) {
        Some(item) if item.outcome == Outcome::Failed => Err(item
            .failure
            .clone()
            .unwrap_or_else(|| Failed::because(Class::Internal, "it failed for no known reason"))),
        Some(_) => Ok(()),
        None => Err(Failed::because(Class::Verification, format!("{} is not in the bundle", image.source))),
    };
    images.iter().map(outcome).collect()
}

/// Everything of the bundle that a registry can hold, by the digest that it resolves to.
fn known_items(context: &Context) -> BTreeMap<String, Item> {
    let Ok(bundle) = context.bundle() else { return BTreeMap::new() };
    let mut known = BTreeMap::new();
    for item in crate::push::items(bundle.catalog(), |_| (String::new(), None)) {
        for manifest in &item.manifests {
            if manifest.digest != item.digest && !manifest.blobs.is_empty() {
                let alone =
                    Item { digest: manifest.digest, manifests: vec![manifest.clone()], ..item.clone() };
                known.entry(manifest.digest.to_string()).or_insert(alone);
            }
        }
        known.insert(item.digest.to_string(), item);
    }
    known
}

/// The item under the name that the plan gives it.
fn named(known: &BTreeMap<String, Item>, image: &Image) -> Option<Item> {
    let item = known.get(&image.digest.to_string())?;
    Some(Item { repository: image.repository.clone(), tag: image.tag.clone(), ..item.clone() })
}
