//! Taking images back, many at once: tags that named something else first, then what was changed beside them, then what was
//! not there before.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::Digest;
use ferry_model::failure::Failure as _;
use ferry_model::journal::Before;
use ferry_model::plan::Image;
use ferry_model::report::Failed;
use ferry_transfer::{Error, Repository};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::OnceCell;

use super::beside::Reference;
use super::{Kept, Manage as _, Mine, Undone};
use crate::context::{Context, Manner};

/// An image to take back, and what stood there before.
pub(crate) type ToUndo<'a> = (&'a Image, &'a Before);

/// How taking one back came out.
type Outcome = Result<Undone, Failed>;

/// Takes images back, several at once. Gives what came of each, in their order.
pub(crate) async fn undo_images(
    context: &Context,
    kept: &Kept,
    mine: &Mine,
    images: &[ToUndo<'_>],
) -> Vec<Outcome> {
    let all = |failed: Failed| images.iter().map(|_| Err(failed.clone())).collect();
    let client = match context.client(Manner::Patient).await {
        Ok(client) => client,
        Err(failed) => return all(failed),
    };
    let mut places: BTreeMap<(String, &str), Place> = BTreeMap::new();
    for (image, _) in images {
        places.entry(place_of(image)).or_insert_with(|| Place {
            repository: client.repository(&image.registry.to_string(), &image.repository).for_push(),
            tags: Tags::new(mine, &image.repository, context.transfers()),
        });
    }
    let mut outcomes: Vec<Outcome> = images.iter().map(|_| Ok(Undone::Restored)).collect();
    for stage in [Stage::PutBack, Stage::Beside, Stage::Delete] {
        for (index, outcome) in stage.take(context, kept, images, &places).await {
            worsen(&mut outcomes[index], outcome);
        }
    }
    outcomes
}

fn place_of(image: &Image) -> (String, &str) {
    (image.registry.to_string(), image.repository.as_str())
}

/// A repository, and what is asked of it once for all its images.
struct Place {
    repository: Repository,
    tags: Tags,
}

type Places<'a> = BTreeMap<(String, &'a str), Place>;

/// What is done to all images before the next is begun: deleting a manifest takes every tag along that names it.
#[derive(Clone, Copy, Debug)]
enum Stage {
    PutBack,
    Beside,
    Delete,
}

impl Stage {
    /// Gives what came of it, by the images' indexes.
    async fn take(
        self,
        context: &Context,
        kept: &Kept,
        images: &[ToUndo<'_>],
        places: &Places<'_>,
    ) -> Vec<(usize, Outcome)> {
        if let Self::Beside = self {
            return undo_beside(context, kept, images, places).await;
        }
        stream::iter(images.iter().enumerate())
            .map(async |(index, &(image, before))| {
                let place = &places[&place_of(image)];
                let had = before.state.property("digest");
                let outcome = match (self, had) {
                    _ if before.state.meets(&image.wanted()) => Ok(Undone::Restored),
                    (Self::PutBack, Some(had)) => put_back(image, &place.repository, had).await,
                    (Self::Delete, None) if before.state.property("untagged").is_some() => {
                        let reason = "its manifest was there before, under no tag";
                        Ok(Undone::Left(format!("{} stays: {reason}", image.name())))
                    }
                    (Self::Delete, None) => {
                        place.tags.delete(&place.repository, &image.digest, &image.name()).await
                    }
                    _ => Ok(Undone::Restored),
                };
                (index, outcome)
            })
            .buffer_unordered(context.transfers())
            .collect()
            .await
    }
}

async fn put_back(image: &Image, repository: &Repository, had: &str) -> Outcome {
    match repository.manifest(had).await {
        Ok(raw) => {
            let tag = image.tag.as_deref().unwrap_or(had);
            let put = repository.put_manifest(tag, &raw.media_type, raw.bytes).await;
            put.map(|_| Undone::Restored).map_err(|error| Failed::new(&error))
        }
        Err(Error::NotFound { .. }) => {
            let reason = format!("{} named {had} before, and the registry no longer has that", image.name());
            Ok(Undone::Left(reason))
        }
        Err(error) => Err(Failed::new(&error)),
    }
}

/// Several images may have changed one list: it is read and written back once for all of them.
async fn undo_beside(
    context: &Context,
    kept: &Kept,
    images: &[ToUndo<'_>],
    places: &Places<'_>,
) -> Vec<(usize, Outcome)> {
    let mut references: BTreeMap<_, (&str, Vec<usize>)> = BTreeMap::new();
    for (index, (image, before)) in images.iter().enumerate() {
        for (reference, file) in &before.kept {
            let known = references.entry((place_of(image), reference.as_str()));
            known.or_insert((file.as_str(), Vec::new())).1.push(index);
        }
    }
    let undone: Vec<_> = stream::iter(references)
        .map(async |((place, name), (file, members))| {
            let Place { repository, tags } = &places[&place];
            let images: BTreeSet<Digest> = members.iter().map(|&index| images[index].0.digest).collect();
            let outcome = match kept.read(file) {
                Ok(before) => Reference { repository, tags, name, before, images }.undo().await,
                Err(failed) => Err(failed),
            };
            (members, outcome)
        })
        .buffer_unordered(context.transfers())
        .collect()
        .await;
    let each = |(members, outcome): (Vec<usize>, Outcome)| {
        members.into_iter().map(move |index| (index, outcome.clone())).collect::<Vec<_>>()
    };
    undone.into_iter().flat_map(each).collect()
}

/// Keeps the worse of two outcomes.
fn worsen(outcome: &mut Outcome, other: Outcome) {
    let badness = |outcome: &Outcome| match outcome {
        Ok(Undone::Restored) => 0,
        Ok(Undone::Left(_)) => 1,
        Err(_) => 2,
    };
    if badness(&other) > badness(outcome) {
        *outcome = other;
    }
}

/// The tags of a repository that the run did not make, asked for once, when something is to be deleted there.
#[derive(Debug)]
pub(super) struct Tags {
    /// Tags that the run made, which may go with what they name.
    own: BTreeSet<String>,
    jobs: usize,
    others: OnceCell<BTreeMap<Digest, String>>,
}

impl Tags {
    fn new(mine: &Mine, repository: &str, jobs: usize) -> Self {
        let front = format!("{repository}:");
        let own = mine.images.range(front.clone()..).map_while(|(name, _)| name.strip_prefix(&front));
        Self { own: own.map(str::to_owned).collect(), jobs, others: OnceCell::new() }
    }

    /// Deletes a manifest, unless another's tag would go with it.
    pub(super) async fn delete(&self, repository: &Repository, digest: &Digest, name: &str) -> Outcome {
        let others = self.others.get_or_try_init(|| self.ask(repository)).await?;
        if let Some(other) = others.get(digest) {
            return Ok(Undone::Left(format!(
                "{name} stays in the registry: its manifest is also tagged {other}, which would go with it"
            )));
        }
        match repository.delete_manifest(digest).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(Undone::Restored),
            Err(error) if error.class().is_retryable() => Err(Failed::new(&error)),
            Err(error) => Ok(Undone::Left(format!(
                "{name} stays in the registry, which does not let it be deleted: {}",
                Failed::new(&error)
            ))),
        }
    }

    async fn ask(&self, repository: &Repository) -> Result<BTreeMap<Digest, String>, Failed> {
        let tags = match repository.tags().await {
            Ok(tags) => tags,
            Err(Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(Failed::new(&error)),
        };
        let others = tags.into_iter().filter(|tag| !self.own.contains(tag) && !is_list(tag));
        stream::iter(others)
            .map(async |tag| {
                let found = repository.head(&tag).await.map_err(|error| Failed::new(&error))?;
                Ok(found.map(|found| (found.digest, tag)))
            })
            .buffer_unordered(self.jobs)
            .try_filter_map(async |found| Ok(found))
            .try_collect()
            .await
    }
}

/// Whether it is the tag of a list of referrers: that names nothing but the list.
fn is_list(tag: &str) -> bool {
    tag.strip_prefix("sha256-").is_some_and(|hex| format!("sha256:{hex}").parse::<Digest>().is_ok())
}
