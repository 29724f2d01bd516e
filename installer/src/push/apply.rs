//! Doing what was decided: blobs, manifests, tags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ferry_model::Digest;
use ferry_model::catalog::Manifest;
use ferry_model::event::Event;
use ferry_transfer::PushedManifest;
use ferry_transfer::manifest::{MAX_INDEX, media_type};
use futures_util::stream::{self, StreamExt as _};

use super::item::Item;
use super::observe::Place;
use super::plan::{Blob, Mount, Plan};
use super::report::Moved;
use super::source::BundleBlob;
use super::{Failed, Run, referrers};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) moved: Moved,
    /// Items that failed, by their index.
    pub(super) failures: BTreeMap<usize, Failed>,
}

/// Carries out `plan`. What fails keeps back only what needs it.
pub(super) async fn apply_plan(run: &Run<'_>, items: &[Item], plan: &Plan) -> Applied {
    let mut applied = Applied { moved: Moved::default(), failures: plan.failed.clone() };
    let mut lost: BTreeMap<Place, Failed> = BTreeMap::new();
    let bytes = plan.uploads.iter().map(|blob| blob.size).sum();
    let tasks = plan.uploads.len() + plan.mounts.len();
    run.events.stage("push", Some(bytes), Some(tasks as u64));
    push_blobs(run, plan, &mut applied.moved, &mut lost).await;
    for &index in &plan.incomplete {
        let item = &items[index];
        let failed = item.blobs().find_map(|digest| lost.get(&(item.repository.clone(), digest)));
        if let Some(failed) = failed {
            applied.failures.insert(index, failed.clone());
        }
    }
    push_manifests(run, items, plan, &mut applied.failures).await;
    applied
}

async fn push_blobs(run: &Run<'_>, plan: &Plan, moved: &mut Moved, lost: &mut BTreeMap<Place, Failed>) {
    let mut uploads = stream::iter(&plan.uploads)
        .map(async |blob| (blob, upload(run, blob).await))
        .buffer_unordered(run.jobs());
    while let Some((blob, result)) = uploads.next().await {
        match result {
            Ok(()) => moved.uploaded.add(blob.size),
            Err(failed) => {
                lost.insert(blob.place(), failed);
            }
        }
    }
    let mut mounts = stream::iter(&plan.mounts)
        .map(async |mount| (mount, take_over(run, mount).await))
        .buffer_unordered(run.jobs());
    while let Some((mount, result)) = mounts.next().await {
        match result {
            Ok(true) => moved.mounted.add(mount.blob.size),
            Ok(false) => moved.uploaded.add(mount.blob.size),
            Err(failed) => {
                lost.insert(mount.blob.place(), failed);
            }
        }
    }
}

async fn upload(run: &Run<'_>, blob: &Blob) -> Result<(), Failed> {
    let task = run.events.start(format!("{} {}", blob.repository, blob.digest.short()), Some(blob.size));
    let source = BundleBlob { bundle: run.bundle.clone(), digest: blob.digest, size: blob.size };
    let repository = run.repository(&blob.repository);
    let result = run.attempt(repository.upload_blob(&blob.digest, blob.size, Arc::new(source), &task)).await;
    match &result {
        Ok(()) => task.finish(),
        Err(failed) => task.fail(&failed.message),
    }
    result
}

/// Mounts the blob, or uploads it where the registry does not mount. `true` if it was mounted.
async fn take_over(run: &Run<'_>, mount: &Mount) -> Result<bool, Failed> {
    let blob = &mount.blob;
    // A mount is an offer to save an upload: a registry that refuses it, or fails over it, may still take the upload.
    if run.repository(&blob.repository).mount(&blob.digest, &mount.from).await.unwrap_or(false) {
        let reason = format!("mounted from {}", mount.from);
        let name = format!("{} {}", blob.repository, blob.digest.short());
        run.events.emit(Event::Skipped { name, reason, bytes: blob.size });
        return Ok(true);
    }
    upload(run, blob).await.map(|()| false)
}

/// Puts all manifests by digest, leaves first; then those with tags by their tags; then the lists of referrers.
async fn push_manifests(run: &Run<'_>, items: &[Item], plan: &Plan, failures: &mut BTreeMap<usize, Failed>) {
    let ready = |failures: &BTreeMap<usize, Failed>| -> Vec<usize> {
        plan.incomplete.iter().copied().filter(|index| !failures.contains_key(index)).collect()
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
    pin(run, items, &ready(failures)).await;
    unlisted.retain(|index| !failures.contains_key(index));
    failures.extend(referrers::list(run, items, &unlisted).await);
}

/// Offers the indexes that images were taken out of, so that they resolve by the digests that people have pinned. Most
/// registries want every platform of an index to be there and refuse; that is told, and fails nothing.
async fn pin(run: &Run<'_>, items: &[Item], ready: &[usize]) {
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
    let refused: Vec<Failed> = offers.into_iter().filter_map(Result::err).collect();
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
    async fn put(self, run: &Run<'_>, item: &Item) -> Result<Option<PushedManifest>, Failed> {
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
    run: &Run<'_>,
    repository: &str,
    reference: &str,
    manifest: &Manifest,
) -> Result<PushedManifest, Failed> {
    let bytes = read_manifest(run, &manifest.digest)?;
    run.attempt(run.repository(repository).put_manifest(reference, &manifest.media_type, bytes.into())).await
}

/// A manifest out of the bundle.
pub(super) fn read_manifest(run: &Run<'_>, digest: &Digest) -> Result<Vec<u8>, Failed> {
    run.bundle.read_all(digest, MAX_INDEX).map_err(|error| Failed::new(&error))
}
