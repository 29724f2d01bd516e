//! What is kept before an image is pushed: what the push changes beside the name that it was asked for, what it adds, and what it
//! takes the name from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::failure::Failure as _;
use ferry_model::plan::{Image, State};
use ferry_model::report::Failed;
use ferry_transfer::manifest::{Parsed, parse};
use ferry_transfer::{Error, RawManifest, Repository, referrers_tag};
use futures_util::stream::{self, StreamExt as _};

use super::{Kept, Known};
use crate::context::{Context, Manner};
use crate::push::Item;

/// The most bytes of manifests below an index that are kept.
const MAX_BELOW: u64 = 4 << 20;

/// What was kept for an image: each under its [`Note`], the file with its bytes, an empty one for nothing.
pub(crate) type Beside = BTreeMap<String, String>;

/// What was seen in the registry before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// A list of referrers, by its tag, as it was.
    List(String),
    /// An index that people may have pinned by its digest, and that was not there.
    Index(Digest),
    /// A manifest that the push brings and that was not there: deleting what names it would leave it.
    Absent(Digest),
    /// The manifest that the tag named, or one below it: the registry may have deleted it by the time that it is to come back.
    Had(Digest),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(tag) => f.write_str(tag),
            Self::Index(digest) => write!(f, "{digest}"),
            Self::Absent(digest) => write!(f, "no manifest {digest}"),
            Self::Had(digest) => write!(f, "manifest {digest}"),
        }
    }
}

impl Note {
    /// What the journal calls it.
    pub(super) fn read(name: &str) -> Self {
        let digest = |front: &str| name.strip_prefix(front)?.parse().ok();
        digest("no manifest ")
            .map(Self::Absent)
            .or_else(|| digest("manifest ").map(Self::Had))
            .or_else(|| digest("").map(Self::Index))
            .unwrap_or_else(|| Self::List(name.to_owned()))
    }
}

/// Keeps what is there now of what pushing `images` changes, in their order. Each comes with what stands under its name.
pub(crate) async fn keep_beside(
    context: &Context,
    kept: &Kept,
    known: &Known,
    images: &[(&Image, &State)],
) -> Vec<Result<Beside, Failed>> {
    let notes: Vec<Vec<Note>> = images
        .iter()
        .map(|(image, before)| known.named(image).map(|item| notes(&item, before)).unwrap_or_default())
        .collect();
    let places: BTreeSet<(String, &str, &Note)> = images
        .iter()
        .zip(&notes)
        .flat_map(|((image, _), notes)| {
            notes.iter().map(|note| (image.registry.to_string(), image.repository.as_str(), note))
        })
        .collect();
    let seen: BTreeMap<_, Result<Beside, Failed>> = stream::iter(places)
        .map(async |place| {
            let kept = match context.client(Manner::Patient).await {
                Ok(client) => keep(&client.repository(&place.0, place.1).for_push(), kept, place.2).await,
                Err(failed) => Err(failed),
            };
            (place, kept)
        })
        .buffer_unordered(context.transfers())
        .collect()
        .await;
    let beside = |((image, _), notes): (&(&Image, &State), &Vec<Note>)| {
        let mut beside = Beside::new();
        for note in notes {
            let place = (image.registry.to_string(), image.repository.as_str(), note);
            beside.extend(seen[&place].clone()?);
        }
        Ok(beside)
    };
    images.iter().zip(&notes).map(beside).collect()
}

/// What to look at before an item is pushed under a name under which this stands.
fn notes(item: &Item, before: &State) -> Vec<Note> {
    let had: Option<Digest> = before.property("digest").and_then(|had| had.parse().ok());
    let list = item.subject.as_ref().map(|subject| Note::List(referrers_tag(subject)));
    // What stands under no tag and stays needs all that is below it.
    let stays = before.property("untagged").is_some();
    let brought = item.manifests.iter().map(|manifest| manifest.digest).filter(|digest| {
        // That nothing stands under the name tells of its own manifest, not of those below.
        !stays && (*digest != item.digest || had.is_some())
    });
    list.into_iter()
        .chain(item.source_index.map(Note::Index))
        .chain(brought.map(Note::Absent))
        .chain(had.map(Note::Had))
        .collect()
}

/// Keeps what is there now. Nothing where a push cannot change it: what a digest names stays what it is. Nothing, too, of what the
/// registry does not give: some take a push and yet give out no image with known holes.
async fn keep(repository: &Repository, kept: &Kept, note: &Note) -> Result<Beside, Failed> {
    let bytes = match note {
        Note::List(tag) => match repository.manifest(tag).await {
            Ok(list) => Some(list.bytes),
            Err(Error::NotFound { .. }) => Some(Bytes::new()),
            Err(error) => not_given(&error)?,
        },
        Note::Index(digest) | Note::Absent(digest) => match repository.head(&digest.to_string()).await {
            Ok(found) => found.is_none().then(Bytes::new),
            Err(error) => not_given(&error)?,
        },
        Note::Had(digest) => return keep_manifests(repository, kept, digest).await,
    };
    match bytes {
        Some(bytes) => Ok(Beside::from([(note.to_string(), kept.save(&bytes)?)])),
        None => Ok(Beside::new()),
    }
}

/// Nothing, unless the registry may give it when it is asked again.
fn not_given<T>(error: &Error) -> Result<Option<T>, Failed> {
    if error.class().is_retryable() { Err(Failed::new(error)) } else { Ok(None) }
}

/// What a tag names now.
pub(super) async fn current(repository: &Repository, tag: &str) -> Result<Option<(Digest, Bytes)>, Failed> {
    match repository.manifest(tag).await {
        Ok(raw) => Ok(Some((raw.digest, raw.bytes))),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(Failed::new(&error)),
    }
}

async fn given(repository: &Repository, digest: &Digest) -> Result<Option<RawManifest>, Failed> {
    repository.manifest(&digest.to_string()).await.map(Some).or_else(|error| not_given(&error))
}

/// Keeps a manifest, and those below it if they are not too large.
async fn keep_manifests(repository: &Repository, kept: &Kept, digest: &Digest) -> Result<Beside, Failed> {
    let Some(root) = given(repository, digest).await? else { return Ok(Beside::new()) };
    let mut beside = Beside::from([(Note::Had(*digest).to_string(), kept.save(&root.bytes)?)]);
    let below = match parse(&root.bytes, &root.media_type) {
        Ok(Parsed::Index { manifests, .. }) => manifests,
        _ => Vec::new(),
    };
    if below.iter().map(|child| child.size).sum::<u64>() > MAX_BELOW {
        return Ok(beside);
    }
    for child in below {
        if let Some(raw) = given(repository, &child.digest).await? {
            beside.insert(Note::Had(child.digest).to_string(), kept.save(&raw.bytes)?);
        }
    }
    Ok(beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        let digest = Digest::of(b"x");
        let list = Note::List(referrers_tag(&digest));
        for note in [list, Note::Index(digest), Note::Absent(digest), Note::Had(digest)] {
            assert_eq!(Note::read(&note.to_string()), note);
        }
    }
}
