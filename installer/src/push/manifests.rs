//! Putting manifests: from the leaves to the roots, then tags, then the lists of referrers.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::Digest;
use ferry_model::catalog::Manifest;
use ferry_transfer::PushedManifest;
use ferry_transfer::manifest::{MAX_INDEX, media_type};
use futures_util::stream::{self, StreamExt as _};

use super::item::Item;
use super::{Failed, Push, referrers};

/// Puts the manifests of these items: all by digest, leaves first; then those with tags by their tags; then the lists of
/// referrers. Items that fail go into `failures`. Gives the indexes that the registry did not take; see [`pin`].
pub(super) async fn push_manifests(
    run: &Push<'_>,
    items: &[Item],
    members: &[usize],
    failures: &mut BTreeMap<usize, Failed>,
) -> Vec<Failed> {
    let ready = |failures: &BTreeMap<usize, Failed>| -> Vec<usize> {
        members.iter().copied().filter(|index| !failures.contains_key(index)).collect()
    };
    let mut unlisted: BTreeSet<usize> = BTreeSet::new();
    for stage in [Stage::ByDigest, Stage::ByTag] {
        let mut puts = stream::iter(ready(failures))
            .map(async |index| (index, stage.put(run, &items[index]).await))
            .buffer_unordered(run.jobs());
        while let Some((index, result)) = puts.next().await {
            match result {
                Ok(Some(root)) if items[index].subject.is_some() && !root.lists_referrers => {
                    unlisted.insert(index);
                }
                Ok(_) => {}
                Err(failed) => {
                    failures.insert(index, failed);
                }
            }
        }
    }
    let refused = pin(run, items, &ready(failures)).await;
    unlisted.retain(|index| !failures.contains_key(index));
    failures.extend(referrers::list(run, items, &unlisted).await);
    refused
}

/// Offers the indexes that images were taken out of, so that they resolve by the digests that people have pinned. Most
/// registries want every platform of an index to be there and refuse; that is told, and fails nothing.
async fn pin(run: &Push<'_>, items: &[Item], ready: &[usize]) -> Vec<Failed> {
    let wanted = ready.iter().filter_map(|&index| Some((&items[index], items[index].source_index?)));
    let offers: Vec<_> = stream::iter(wanted.collect::<Vec<_>>())
        .map(async |(item, digest)| {
            let bytes = read_manifest(run, &digest)?;
            let kind = media_type(&bytes, None).map_err(|error| Failed::new(&error))?;
            let (repository, reference) = (run.repository(&item.repository), digest.to_string());
            run.attempt(repository.put_manifest(&reference, &kind, bytes.into())).await.map(drop).map_err(
                |failed| Failed {
                    message: format!("{}@{digest}: {}", item.repository, failed.message),
                    ..failed
                },
            )
        })
        .buffer_unordered(run.jobs())
        .collect()
        .await;
    offers.into_iter().filter_map(Result::err).collect()
}

/// Tells of the indexes that the registry did not take.
pub(super) fn tell_unpinned(run: &Push<'_>, refused: &[Failed]) {
    if let Some(first) = refused.first() {
        let count = refused.len();
        run.events.warn(format!(
            "{count} images resolve by tag, and not by the digest of the index that they were taken out of, because the \
             registry takes no index with platforms missing (the first: {first}); for references that pin such a digest \
             build the bundle with `platforms: all`, or let `serve` answer"
        ));
    }
}

/// Tags come last, so that whoever follows one finds all that is below it, signatures too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    ByDigest,
    ByTag,
}

impl Stage {
    /// Puts what of `item` belongs to this stage. Gives the answer to its root, where that is part of it.
    async fn put(self, run: &Push<'_>, item: &Item) -> Result<Option<PushedManifest>, Failed> {
        let mut root = None;
        for manifest in &item.manifests {
            let is_root = manifest.digest == item.digest;
            let reference = match (&item.tag, is_root) {
                (Some(tag), true) => (Self::ByTag, tag.clone()),
                _ => (Self::ByDigest, manifest.digest.to_string()),
            };
            if reference.0 == self {
                let pushed = put_manifest(run, &item.repository, &reference.1, manifest).await?;
                root = is_root.then_some(pushed).or(root);
            }
        }
        Ok(root)
    }
}

async fn put_manifest(
    run: &Push<'_>,
    repository: &str,
    reference: &str,
    manifest: &Manifest,
) -> Result<PushedManifest, Failed> {
    let bytes = read_manifest(run, &manifest.digest)?;
    run.attempt(run.repository(repository).put_manifest(reference, &manifest.media_type, bytes.into())).await
}

/// A manifest out of the bundle.
pub(super) fn read_manifest(run: &Push<'_>, digest: &Digest) -> Result<Vec<u8>, Failed> {
    run.bundle.read_all(digest, MAX_INDEX).map_err(|error| Failed::new(&error))
}
