//! What a push changes beside the names that it was asked for: lists of referrers, where the registry has no API for them, and
//! indexes that people pin by digest. What stood there before is kept, and comes back when the images are taken back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::plan::Image;
use ferry_model::report::Failed;
use ferry_transfer::manifest::media_type;
use ferry_transfer::{Error, Repository, referrers_tag};
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use super::undo::Tags;
use super::{Kept, Known, Undone};
use crate::context::{Context, Manner};
use crate::push::Item;

/// What stood under each reference that a push of an image may change: the file with its manifest, an empty one for nothing.
pub(crate) type Beside = BTreeMap<String, String>;

/// Keeps what stands beside each of `images` now, in their order.
pub(crate) async fn keep_beside(
    context: &Context,
    kept: &Kept,
    known: &Known,
    images: &[&Image],
) -> Vec<Result<Beside, Failed>> {
    let items: Vec<Vec<String>> = images
        .iter()
        .map(|image| known.named(image).map(|item| references(&item)).unwrap_or_default())
        .collect();
    let places: BTreeSet<(String, &str, &str)> = images
        .iter()
        .zip(&items)
        .flat_map(|(image, references)| {
            references
                .iter()
                .map(|reference| (image.registry.to_string(), image.repository.as_str(), reference.as_str()))
        })
        .collect();
    let seen: BTreeMap<_, Result<Option<String>, Failed>> = stream::iter(places)
        .map(async |place| (place.clone(), keep(context, kept, &place.0, place.1, place.2).await))
        .buffer_unordered(context.transfers())
        .collect()
        .await;
    let beside = |(image, references): (&&Image, &Vec<String>)| {
        let mut beside = Beside::new();
        for reference in references {
            let place = (image.registry.to_string(), image.repository.as_str(), reference.as_str());
            if let Some(file) = seen[&place].clone()? {
                beside.insert(reference.clone(), file);
            }
        }
        Ok(beside)
    };
    images.iter().zip(&items).map(beside).collect()
}

/// What pushing an item may change beside its own name: tags, and digests that may not have been there.
fn references(item: &Item) -> Vec<String> {
    let list = item.subject.as_ref().map(referrers_tag);
    list.into_iter().chain(item.source_index.map(|index| index.to_string())).collect()
}

/// Keeps what a reference names. `None` where a push cannot change it: what a digest names stays what it is.
async fn keep(
    context: &Context,
    kept: &Kept,
    registry: &str,
    repository: &str,
    reference: &str,
) -> Result<Option<String>, Failed> {
    let repository = context.client(Manner::Patient).await?.repository(registry, repository).for_push();
    let bytes = if reference.parse::<Digest>().is_ok() {
        match repository.head(reference).await.map_err(|error| Failed::new(&error))? {
            Some(_) => return Ok(None),
            None => Bytes::new(),
        }
    } else {
        current(&repository, reference).await?.map(|(_, bytes)| bytes).unwrap_or_default()
    };
    kept.save(&bytes).map(Some)
}

async fn current(repository: &Repository, reference: &str) -> Result<Option<(Digest, Bytes)>, Failed> {
    match repository.manifest(reference).await {
        Ok(raw) => Ok(Some((raw.digest, raw.bytes))),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(Failed::new(&error)),
    }
}

/// A reference beside images that are taken back.
#[derive(Debug)]
pub(super) struct Reference<'a> {
    pub(super) repository: &'a Repository,
    pub(super) tags: &'a Tags,
    /// The tag of a list, or the digest of an index.
    pub(super) name: &'a str,
    /// What it named before; empty for nothing.
    pub(super) before: Vec<u8>,
    /// The images because of which it was changed.
    pub(super) images: BTreeSet<Digest>,
}

impl Reference<'_> {
    /// Brings back what it named before. What others have put on a list since stays on it.
    pub(super) async fn undo(&self) -> Result<Undone, Failed> {
        match self.name.parse::<Digest>() {
            Ok(index) => self.tags.delete(self.repository, &index, &format!("the index {index}")).await,
            Err(_) => self.undo_list().await,
        }
    }

    async fn undo_list(&self) -> Result<Undone, Failed> {
        let Some((digest, list)) = current(self.repository, self.name).await? else {
            return Ok(Undone::Restored);
        };
        match without(&list, &self.before, &self.images)? {
            List::AsItIs => return Ok(Undone::Restored),
            List::Gone => {}
            List::These(bytes) => {
                let kind = media_type(&bytes, None).map_err(|error| Failed::new(&error))?;
                let put = self.repository.put_manifest(self.name, &kind, bytes.into()).await;
                put.map_err(|error| Failed::new(&error))?;
            }
        }
        self.tags.delete(self.repository, &digest, &format!("the list {}@{digest}", self.name)).await
    }
}

/// What a list of referrers shall be.
#[derive(Debug, PartialEq, Eq)]
enum List {
    AsItIs,
    Gone,
    These(Vec<u8>),
}

/// The list without what the run put on it: byte for byte as before where nobody else has changed it.
fn without(now: &[u8], before: &[u8], images: &BTreeSet<Digest>) -> Result<List, Failed> {
    let mut index: Value = serde_json::from_slice(now).map_err(|error| malformed(&error.to_string()))?;
    let had: BTreeSet<String> = if before.is_empty() {
        BTreeSet::new()
    } else {
        let before: Value = serde_json::from_slice(before).map_err(|error| malformed(&error.to_string()))?;
        digests(&before).collect()
    };
    let Some(listed) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Err(malformed("its tag names something else"));
    };
    let count = listed.len();
    let is_ours = |entry: &Value| {
        let digest = entry["digest"].as_str().unwrap_or_default();
        !had.contains(digest) && digest.parse().is_ok_and(|digest| images.contains(&digest))
    };
    listed.retain(|entry| !is_ours(entry));
    Ok(if listed.len() == count {
        List::AsItIs
    } else if digests(&index).collect::<BTreeSet<_>>() != had {
        List::These(index.to_string().into_bytes())
    } else if before.is_empty() {
        List::Gone
    } else {
        List::These(before.to_vec())
    })
}

fn digests(index: &Value) -> impl Iterator<Item = String> {
    let entries = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| entry["digest"].as_str().unwrap_or_default().to_owned())
}

fn malformed(reason: &str) -> Failed {
    let message = format!("the list of referrers cannot be taken back: {reason}");
    Failed::because(ferry_model::failure::Class::Protocol, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_lose_what_the_run_put_on_them_and_nothing_else() {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let list = |names: &[&str]| {
            let entries: Vec<Value> = names.iter().map(|name| json!({"digest": digest(name)})).collect();
            format!("{:#}", json!({"schemaVersion": 2, "manifests": entries})).into_bytes()
        };
        let ours = BTreeSet::from([digest("a"), digest("b")]);
        let after = |now: &[&str], before: &[u8]| without(&list(now), before, &ours).unwrap();
        assert_eq!(after(&["a", "b"], b""), List::Gone);
        assert_eq!(after(&["x"], b""), List::AsItIs);
        // Byte for byte, with its white space.
        assert_eq!(after(&["x", "a", "b"], &list(&["x"])), List::These(list(&["x"])));
        assert_eq!(after(&["a"], &list(&[])), List::These(list(&[])));
        // What was on the list before the run was not put there by it.
        assert_eq!(after(&["a"], &list(&["a"])), List::AsItIs);
        let List::These(rest) = after(&["x", "a", "later"], &list(&["x"])) else { panic!() };
        let rest: Value = serde_json::from_slice(&rest).unwrap();
        assert_eq!(
            digests(&rest).collect::<Vec<_>>(),
            [digest("x").to_string(), digest("later").to_string()]
        );
        without(b"{}", b"", &ours).unwrap_err();
        without(b"no list", b"", &ours).unwrap_err();
    }
}
