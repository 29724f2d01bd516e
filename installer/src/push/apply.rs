//! Doing what was decided: for each bunch of items its blobs, manifests and tags, and the proof.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use ferry_model::Digest;
use ferry_model::failure::Class;
use futures_util::stream::{self, StreamExt as _};

use super::blobs::Blobs;
use super::item::Item;
use super::manifests::{push_manifests, tell_unpinned};
use super::plan::{Bunch, Plan};
use super::prove::prove;
use super::report::Moved;
use super::{Failed, Push, Watch, error};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) moved: Moved,
    /// Items that failed, by their index.
    pub(super) failures: BTreeMap<usize, Failed>,
}

/// What came of a bunch.
#[derive(Debug, Default)]
struct Pushed {
    failures: BTreeMap<usize, Failed>,
    /// Indexes that the registry did not take.
    unpinned: Vec<Failed>,
}

/// Carries out `plan`, several bunches at once. What fails keeps back only what needs it.
pub(super) async fn apply_plan(run: &Push<'_>, items: &[Item], plan: &Plan, watch: &impl Watch) -> Applied {
    let bytes = plan.uploads.iter().map(|blob| blob.size).sum();
    let tasks = plan.uploads.len() + plan.mounts.len();
    run.events.stage("push", Some(bytes), Some(tasks as u64));
    for index in (0..items.len()).filter(|index| !plan.incomplete.contains(index)) {
        watch.ended(index, plan.failed.get(&index).map_or(Ok(()), Err));
    }
    let blobs = Blobs::new(run, plan);
    let mut applied = Applied { moved: Moved::default(), failures: plan.failed.clone() };
    let mut unpinned = Vec::new();
    // Some are begun together, since each time costs a note of it; not all, since what is begun is in doubt if the process is
    // killed.
    let bunches = stream::iter(plan.bunches.chunks(run.jobs()))
        .then(async |bunches| {
            let all: Vec<usize> = bunches.iter().flat_map(|bunch| &bunch.items).copied().collect();
            let refused = begin(run, &all, watch).await;
            stream::iter(bunches.iter().map(move |bunch| (bunch, refused.clone())))
        })
        .flatten()
        .map(async |(bunch, refused)| push_bunch(run, items, bunch, &blobs, refused, watch).await)
        // More than there are transfers: some wait for a blob that another brings.
        .buffer_unordered(2 * run.jobs());
    let mut bunches = pin!(bunches);
    while let Some(pushed) = bunches.next().await {
        applied.failures.extend(pushed.failures);
        unpinned.extend(pushed.unpinned);
    }
    tell_unpinned(run, &unpinned);
    Applied { moved: blobs.moved(), ..applied }
}

/// Tells that these are about to be written, unless the registry has gone away: what is asked of it first takes patience too.
async fn begin(run: &Push<'_>, items: &[usize], watch: &impl Watch) -> BTreeMap<usize, Failed> {
    if run.is_given_up() {
        return items.iter().map(|&index| (index, error::not_tried(run.target))).collect();
    }
    let refused = watch.begin(items).await;
    run.strike(refused.values().filter(|failed| failed.class == Class::Transient).count());
    refused
}

/// Pushes a bunch without the items that were `refused`.
async fn push_bunch(
    run: &Push<'_>,
    items: &[Item],
    bunch: &Bunch,
    blobs: &Blobs<'_>,
    refused: BTreeMap<usize, Failed>,
    watch: &impl Watch,
) -> Pushed {
    let mut failures = refused;
    failures.retain(|index, _| bunch.items.contains(index));
    let ready = bunch.items.iter().filter(|index| !failures.contains_key(index));
    let wanted: BTreeSet<Digest> = ready.flat_map(|&index| items[index].blobs()).collect();
    let lost: BTreeMap<Digest, Failed> =
        stream::iter(bunch.lacking.iter().filter(|blob| wanted.contains(&blob.digest)))
            .map(async |blob| Some((blob.digest, blobs.bring(&blob.place()).await.err()?)))
            .buffer_unordered(run.jobs())
            .filter_map(async |lost| lost)
            .collect()
            .await;
    for &index in &bunch.items {
        if let Some(failed) = items[index].blobs().find_map(|digest| lost.get(&digest)) {
            failures.entry(index).or_insert_with(|| failed.clone());
        }
    }
    let unpinned = push_manifests(run, items, &bunch.items, &mut failures).await;
    prove(run, items, &bunch.items, &mut failures).await;
    for index in &bunch.items {
        watch.ended(*index, failures.get(index).map_or(Ok(()), Err));
    }
    Pushed { failures, unpinned }
}
