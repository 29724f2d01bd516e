//! What the target has already.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::Digest;
use ferry_model::event::Event;
use ferry_transfer::Error;
use futures_util::stream::{self, StreamExt as _};

use super::item::Item;
use super::{Failed, Push, PushError};

/// A blob of a repository.
pub(super) type Place = (String, Digest);

/// What the registry said.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Items that resolve to the right digest, by their index.
    pub(super) right: BTreeSet<usize>,
    /// Blobs that are where they belong.
    pub(super) present: BTreeSet<Place>,
    /// Items whose state could not be learnt.
    pub(super) failed: BTreeMap<usize, Failed>,
}

/// Asks for each tag, then for each blob below those that are not right.
pub(super) async fn observe(run: &Push<'_>, items: &[Item]) -> Result<Observed, PushError> {
    let task = run.events.start(format!("asking {}", run.target.registry()), None);
    knock(run, items).await?;
    let mut observed = Observed::default();
    let asked: Vec<_> =
        stream::iter(items).map(|item| is_right(run, item)).buffered(run.jobs()).collect().await;
    for (index, (item, answer)) in items.iter().zip(asked).enumerate() {
        match answer {
            Ok(true) => {
                observed.right.insert(index);
                if !run.options.recheck {
                    observed.present.extend(item.blobs().map(|digest| (item.repository.clone(), digest)));
                    skipped(run, item);
                }
            }
            Ok(false) => {}
            Err(failed) => {
                observed.failed.insert(index, failed);
            }
        }
    }
    ask_for_blobs(run, items, &mut observed).await;
    task.finish();
    Ok(observed)
}

/// One request alone first: a registry that cannot be reached, or not be trusted, or that refuses the login, is one failure
/// and not thousands.
async fn knock(run: &Push<'_>, items: &[Item]) -> Result<(), PushError> {
    let Some(first) = items.first() else { return Ok(()) };
    match run.repository(&first.repository).head(&first.reference()).await {
        Err(
            source @ (Error::Connect { .. }
            | Error::Tls { .. }
            | Error::Url { .. }
            | Error::Insecure { .. }
            | Error::LoginRefused { .. }),
        ) => Err(PushError::Registry { registry: run.target.registry().to_owned(), source }),
        // Other failures may be this item's alone, and come again with its name.
        _ => Ok(()),
    }
}

fn skipped(run: &Push<'_>, item: &Item) {
    let size = |digest| run.bundle.blob(&digest).map_or(0, |blob| blob.size);
    let bytes = item.blobs().collect::<BTreeSet<_>>().into_iter().map(size).sum();
    let reason = "is there already".to_owned();
    run.events.emit(Event::Skipped { name: item.to_string(), reason, bytes });
}

/// Whether the item resolves to its digest, and is listed with its subject where it has one.
async fn is_right(run: &Push<'_>, item: &Item) -> Result<bool, Failed> {
    let repository = run.repository(&item.repository);
    let found = run.attempt(repository.head(&item.reference())).await?;
    if found.is_none_or(|found| found.digest != item.digest) {
        return Ok(false);
    }
    match &item.subject {
        Some(subject) => {
            let listed = run.attempt(repository.referrers(subject)).await?;
            Ok(listed.iter().any(|referrer| referrer.digest == item.digest))
        }
        None => Ok(true),
    }
}

async fn ask_for_blobs(run: &Push<'_>, items: &[Item], observed: &mut Observed) {
    let mut places: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        if observed.failed.contains_key(&index) {
            continue;
        }
        for digest in item.blobs() {
            let place = (item.repository.clone(), digest);
            if !observed.present.contains(&place) {
                places.entry(place).or_default().push(index);
            }
        }
    }
    let mut answers = stream::iter(places)
        .map(async |(place, users)| {
            let repository = run.repository(&place.0);
            let answer = run.attempt(repository.blob_size(&place.1)).await;
            (place, users, answer)
        })
        .buffer_unordered(run.jobs());
    while let Some((place, users, answer)) = answers.next().await {
        match answer {
            Ok(Some(_)) => {
                observed.present.insert(place);
            }
            Ok(None) => {}
            Err(failed) => observed.failed.extend(users.into_iter().map(|user| (user, failed.clone()))),
        }
    }
}
