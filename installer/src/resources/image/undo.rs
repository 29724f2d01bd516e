//! Taking images back, many at once: tags that named something else first, then what was changed beside them, then what was
//! not there before, and at last what was below that.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::Digest;
use ferry_model::journal::Before;
use ferry_model::plan::Image;
use ferry_model::report::Failed;
use ferry_transfer::Repository;
use futures_util::stream::{self, StreamExt as _};

use super::beside::Reference;
use super::keep::Note;
use super::put_back::Moved;
use super::tags::Tags;
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
    for stage in [Stage::PutBack, Stage::Beside, Stage::Delete, Stage::Below] {
        for (index, outcome) in Box::pin(stage.take(context, kept, images, &places)).await {
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
    /// An index goes before what is below it: registries keep what is still named.
    Below,
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
                let outcome = if before.state.meets(&image.wanted()) {
                    Ok(Undone::Restored)
                } else {
                    self.undo(kept, image, before, &places[&place_of(image)]).await
                };
                (index, outcome)
            })
            .buffer_unordered(context.transfers())
            .collect()
            .await
    }

    async fn undo(self, kept: &Kept, image: &Image, before: &Before, place: &Place) -> Outcome {
        let Place { repository, tags } = place;
        let brought = || {
            let notes = before.kept.keys().map(|name| Note::read(name));
            notes.filter_map(|note| if let Note::Absent(digest) = note { Some(digest) } else { None })
        };
        match (self, before.state.property("digest")) {
            (Self::PutBack, Some(had)) => Moved { image, repository, before, kept }.put_back(had).await,
            (Self::Delete, Some(_)) if brought().any(|digest| digest == image.digest) => {
                let name = format!("{}@{}", image.repository, image.digest);
                tags.delete(repository, &image.digest, &name).await
            }
            (Self::Delete, None) if before.state.property("untagged").is_some() => {
                let reason = "its manifest was there before, under no tag";
                Ok(Undone::Left(format!("{} stays: {reason}", image.name())))
            }
            (Self::Delete, None) => tags.delete(repository, &image.digest, &image.name()).await,
            (Self::Below, _) => {
                let mut left = Vec::new();
                for digest in brought().filter(|digest| *digest != image.digest) {
                    let name = format!("{}@{digest}, a part of {},", image.repository, image.name());
                    if let Undone::Left(reason) = tags.delete(repository, &digest, &name).await? {
                        left.push(reason);
                    }
                }
                Ok(if left.is_empty() { Undone::Restored } else { Undone::Left(left.join("; ")) })
            }
            _ => Ok(Undone::Restored),
        }
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
        for (name, file) in &before.kept {
            let note = Note::read(name);
            if let Note::List(_) | Note::Index(_) = note {
                let known = references.entry((place_of(image), note));
                known.or_insert((file.as_str(), Vec::new())).1.push(index);
            }
        }
    }
    let undone: Vec<_> = stream::iter(references)
        .map(async |((place, note), (file, members))| {
            let Place { repository, tags } = &places[&place];
            let images: BTreeSet<Digest> = members.iter().map(|&index| images[index].0.digest).collect();
            let outcome = match kept.read(file) {
                Ok(before) => Reference { repository, tags, note, before, images }.undo().await,
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
