//! From a spec to a lock: what each entry is, exactly.
//!
//! Entries are resolved in parallel and on their own ([`entry`] lists them); [`merge`] puts the results together,
//! sorted, each blob once. An entry that the previous lock has resolved stays as it is unless it is to be moved.

mod attachments;
mod bkdl;
mod charts;
mod entry;
mod files;
mod images;
mod layouts;
mod merge;
mod published;
mod smart;
mod through;

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use ferry_bundle::smart::BaseImage;
use ferry_model::Digest;
use ferry_model::catalog::Encoding;
use ferry_model::event::Events;
use ferry_model::failure::{Class, Failure as _};
use ferry_model::lock::{
    BlobSource, Lock, LockedBlob, LockedChart, LockedFile, LockedImage, LockedIndex, MissingEntry,
};
use ferry_transfer::Client;
use futures_util::{StreamExt as _, stream};

use crate::document::SpecFile;
use crate::{Error, Failed};

use entry::{Entry, Wanted};

/// What to resolve, and with what.
#[derive(Debug)]
pub struct Request<'a> {
    /// The spec.
    pub spec: &'a SpecFile,
    /// The lock that is there already.
    pub previous: Option<&'a Lock>,
    /// Which entries move even though the previous lock has them.
    pub update: Update,
    /// The way out.
    pub client: &'a Client,
    /// For the docker daemon, which is reached without the client.
    pub transfer: &'a ferry_transfer::Options,
    /// Entries at once.
    pub jobs: usize,
    /// Where to tell what happens.
    pub events: &'a Events,
}

/// Which entries move even though the lock has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// None: what is locked stays.
    Nothing,
    /// Every one.
    All,
    /// Those with these names.
    Named(Vec<String>),
}

/// A lock, and documents that were fetched on the way and need not be fetched again.
#[derive(Debug)]
pub struct Resolution {
    /// The lock.
    pub lock: Lock,
    /// Manifests, configs and charts by digest.
    pub kept: HashMap<Digest, Bytes>,
}

/// What one entry turned out to be.
#[derive(Debug, Default)]
pub(crate) struct Found {
    images: Vec<LockedImage>,
    charts: Vec<LockedChart>,
    files: Vec<LockedFile>,
    missing: Vec<MissingEntry>,
    indexes: Vec<LockedIndex>,
    /// SaaS packages with the image that they need.
    bases: Vec<(String, BaseImage)>,
    blobs: Vec<FoundBlob>,
    kept: Vec<(Digest, Bytes)>,
}

/// A blob, with its place among those of the same archive.
#[derive(Clone, Debug)]
pub(crate) struct FoundBlob {
    blob: LockedBlob,
    order: u64,
}

impl Found {
    fn blob(&mut self, digest: Digest, size: u64, encoding: Encoding, source: BlobSource) {
        self.blob_in_order(digest, size, encoding, source, 0);
    }

    fn blob_in_order(
        &mut self,
        digest: Digest,
        size: u64,
        encoding: Encoding,
        source: BlobSource,
        order: u64,
    ) {
        self.blobs.push(FoundBlob { blob: LockedBlob { digest, size, encoding, source }, order });
    }

    fn needs_base(&mut self, name: &str, base: Option<BaseImage>) {
        self.bases.extend(base.map(|base| (name.to_owned(), base)));
    }

    fn add(&mut self, mut other: Self) {
        self.images.append(&mut other.images);
        self.charts.append(&mut other.charts);
        self.files.append(&mut other.files);
        self.missing.append(&mut other.missing);
        self.indexes.append(&mut other.indexes);
        self.bases.append(&mut other.bases);
        self.blobs.append(&mut other.blobs);
        self.kept.append(&mut other.kept);
    }

    /// A document that Ferry made: it stands in the lock itself.
    fn made(&mut self, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let text = String::from_utf8(content.to_vec()).expect("Ferry makes documents of text");
        self.blob(digest, content.len() as u64, Encoding::Zstd, BlobSource::Content(text));
        digest
    }
}

/// Resolves every entry. All failures are reported together; an entry with `required: false` that is not there or
/// cannot be reached is noted as missing instead.
pub async fn resolve(request: Request<'_>) -> Result<Resolution, Error> {
    let entries = entry::entries(request.spec)?;
    if let Update::Named(names) = &request.update {
        check_names(names, &entries)?;
    }
    request.events.stage("resolve", None, Some(entries.len() as u64));
    let request = &request;
    let shared = Shared::default();
    let shared = &shared;
    let results: Vec<(usize, Result<Found, Error>)> = stream::iter(entries.iter().enumerate())
        .map(|(index, entry)| async move { (index, one(request, shared, entry).await) })
        .buffer_unordered(request.jobs.max(1))
        .collect()
        .await;
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for (index, result) in results {
        match result {
            Ok(one) => found.push((index, one)),
            Err(error) => failures.push((index, error)),
        }
    }
    failures.sort_by_key(|(index, _)| *index);
    let failed = |(index, error): (usize, Error)| {
        let origin = entries[index].origin.clone();
        match error {
            // An entry that stands for many things says of each what failed.
            Error::Several { failures } => failures
                .into_iter()
                .map(|failed| Failed { name: format!("{origin}: {}", failed.name), error: failed.error })
                .collect(),
            error => vec![Failed { name: origin, error: Box::new(error) }],
        }
    };
    Error::collect(failures.into_iter().flat_map(failed).collect())?;
    found.sort_by_key(|(index, _)| *index);
    let mut found: Vec<Found> = found.into_iter().map(|(_, found)| found).collect();
    let bases: Vec<_> = found.iter_mut().flat_map(|found| std::mem::take(&mut found.bases)).collect();
    let resolution = merge::merge(&request.spec.spec, found)?;
    for (name, base) in bases {
        if !resolution.lock.images.iter().any(|image| base.is(&image.repository)) {
            request.events.warn(format!(
                "{name} installs on top of {base}, which is not among the images: unless the site has it already, list it under `images`"
            ));
        }
    }
    Ok(resolution)
}

/// What entries look up in common, each thing once.
#[derive(Default)]
struct Shared {
    charts: charts::Indexes,
    bkdl: bkdl::Shared,
}

async fn one(request: &Request<'_>, shared: &Shared, entry: &Entry) -> Result<Found, Error> {
    if let Some(found) = keep(request, entry) {
        return Ok(found);
    }
    let task = request.events.start(entry.origin.clone(), None);
    let result = match &entry.wanted {
        Wanted::Image(image) => Box::pin(images::resolve(request, entry, image, &task)).await,
        Wanted::Chart(chart) => Box::pin(charts::resolve(request, &shared.charts, entry, chart, &task)).await,
        Wanted::Remote(remote) => Box::pin(files::resolve_remote(request, entry, remote, &task)).await,
        Wanted::Local(local) => files::resolve_local(request, entry, local, &task),
        Wanted::Bkdl(wanted) => Box::pin(bkdl::resolve(request, &shared.bkdl, entry, wanted, &task)).await,
    };
    match result {
        Ok(found) => {
            task.finish();
            Ok(found)
        }
        Err(error) if !entry.required && may_be_missing(error.class()) => {
            request.events.warn(format!("{} is left out: {error}", entry.origin));
            task.finish();
            Ok(Found { missing: vec![entry.missing(&error)], ..Found::default() })
        }
        Err(error) => {
            task.fail(&error);
            Err(error)
        }
    }
}

/// Content that is wrong, or an entry that makes no sense, is never just left out.
fn may_be_missing(class: Class) -> bool {
    match class {
        Class::NotFound
        | Class::Denied
        | Class::RateLimited
        | Class::Transient
        | Class::Protocol
        | Class::Local => true,
        Class::Usage | Class::Input | Class::Verification | Class::Internal => false,
    }
}

/// What the previous lock says of an entry, where that stays.
fn keep(request: &Request<'_>, entry: &Entry) -> Option<Found> {
    let previous = request.previous?;
    let moves = match &request.update {
        Update::Nothing => false,
        Update::All => true,
        Update::Named(names) => names.iter().any(|name| entry.is_called(name)),
    };
    // Local files are cheap to look at, and the point of locking them is to notice a change.
    if moves || entry.is_local() {
        return None;
    }
    // What could not be had is tried again, with all else that the entry asked for.
    if previous.missing.iter().any(|missing| missing.entry == entry.fingerprint) {
        return None;
    }
    let images = previous.images.iter().filter(|image| image.entries.contains(&entry.fingerprint)).cloned();
    let charts = previous.charts.iter().filter(|chart| chart.entries.contains(&entry.fingerprint)).cloned();
    let files = previous.files.iter().filter(|file| file.entries.contains(&entry.fingerprint)).cloned();
    let indexes = previous.indexes.iter().filter(|index| index.entries.contains(&entry.fingerprint)).cloned();
    let mut found = Found {
        images: images.collect(),
        charts: charts.collect(),
        files: files.collect(),
        indexes: indexes.collect(),
        ..Found::default()
    };
    for index in &mut found.indexes {
        index.entries = vec![entry.fingerprint.clone()];
    }
    for image in &mut found.images {
        image.required = entry.required;
        image.entries = vec![entry.fingerprint.clone()];
    }
    for chart in &mut found.charts {
        chart.required = entry.required;
        chart.entries = vec![entry.fingerprint.clone()];
    }
    for file in &mut found.files {
        file.required = entry.required;
        file.entries = vec![entry.fingerprint.clone()];
    }
    if found.images.is_empty() && found.charts.is_empty() && found.files.is_empty() {
        return None;
    }
    let part = Lock {
        images: found.images.clone(),
        charts: found.charts.clone(),
        files: found.files.clone(),
        ..merge::empty(&request.spec.spec)
    };
    let needed: std::collections::HashSet<Digest> = part.needs().map(|(_, digest)| digest).collect();
    let blobs = (0..).zip(&previous.blobs).filter(|(_, blob)| needed.contains(&blob.digest));
    // A blob that several images share is locked with the source of one of them, which may have left the spec.
    let at_home = |source: &BlobSource| match (source, entry.home()) {
        (BlobSource::Manifest(_), Some(home)) => BlobSource::Manifest(home),
        (BlobSource::Blob(_), Some(home)) => BlobSource::Blob(home),
        (other, _) => other.clone(),
    };
    let found_blob = |(order, blob): (u64, &LockedBlob)| {
        let blob = LockedBlob { source: at_home(&blob.source), ..blob.clone() };
        FoundBlob { blob, order }
    };
    found.blobs = blobs.map(found_blob).collect();
    Some(found)
}

fn check_names(names: &[String], entries: &[Entry]) -> Result<(), Error> {
    for name in names {
        if !entries.iter().any(|entry| entry.is_called(name)) {
            let nearest =
                entries.iter().flat_map(|entry| &entry.names).find(|known| known.contains(name.as_str()));
            let hint = match nearest {
                Some(known) => format!("did you mean `{known}`?"),
                None => "name it as the spec does: an image's reference, a chart's name, a file's path at the site".into(),
            };
            return Err(Error::Entry {
                problem: format!("the spec has no entry called `{name}`"),
                hint: Some(hint),
                class: Class::Usage,
            });
        }
    }
    Ok(())
}

/// Compares a lock with its spec: every entry must be there as it stands now, and nothing else.
pub fn differences(spec: &SpecFile, lock: &Lock) -> Result<Vec<String>, Error> {
    let entries = entry::entries(spec)?;
    let mut differences = Vec::new();
    if lock.name != spec.spec.name || lock.version != spec.spec.version {
        differences.push(format!(
            "it is for {} {}, the spec for {} {}",
            lock.name, lock.version, spec.spec.name, spec.spec.version
        ));
    }
    for entry in &entries {
        // An entry can stand for many things, some of them missing.
        let of_entry: Vec<Locked<'_>> =
            locked(lock).filter(|locked| locked.fingerprint == entry.fingerprint).collect();
        if of_entry.is_empty() {
            differences.push(format!("`{}` is not locked as the spec has it now", entry.origin));
        } else if entry.required && of_entry.iter().any(|locked| locked.is_missing) {
            differences.push(format!("`{}` is required, and the lock notes it as missing", entry.origin));
        }
    }
    for locked in locked(lock) {
        let gone = format!("`{}` is locked and no longer in the spec", locked.origin);
        if !entries.iter().any(|entry| entry.fingerprint == locked.fingerprint)
            && !differences.contains(&gone)
        {
            differences.push(gone);
        }
    }
    Ok(differences)
}

/// The part of a spec that `check` needs resolved: its charts, and images that an index names and the spec does not.
pub(crate) fn charts_of(spec: &SpecFile) -> SpecFile {
    let mut part = spec.clone();
    part.spec.images.clear();
    part.spec.runtimes.clear();
    part.spec.saas.clear();
    part.spec.files.clear();
    part.spec.bkdl.retain(|bkdl| bkdl.chart_images);
    for bkdl in &mut part.spec.bkdl {
        bkdl.items.clear();
    }
    part
}

/// The files of values that each chart of a spec is rendered with, by the fingerprint of its entry.
pub(crate) fn chart_values(spec: &SpecFile) -> Result<Vec<(String, Vec<PathBuf>)>, Error> {
    let values = |entry: Entry| match entry.wanted {
        Wanted::Chart(chart) => {
            Some((entry.fingerprint, chart.values.iter().map(|path| spec.folder().join(path)).collect()))
        }
        _ => None,
    };
    Ok(entry::entries(spec)?.into_iter().filter_map(values).collect())
}

/// What a lock says of one entry of the spec.
struct Locked<'a> {
    fingerprint: &'a str,
    origin: &'a str,
    is_missing: bool,
}

fn locked(lock: &Lock) -> impl Iterator<Item = Locked<'_>> {
    let images = lock.images.iter().map(|image| (&image.entries, &image.origin));
    let charts = lock.charts.iter().map(|chart| (&chart.entries, &chart.origin));
    let files = lock.files.iter().map(|file| (&file.entries, &file.origin));
    let there = images.chain(charts).chain(files).flat_map(|(entries, origin)| {
        entries.iter().map(move |fingerprint| Locked { fingerprint, origin, is_missing: false })
    });
    let missing = lock.missing.iter().map(|missing| Locked {
        fingerprint: &missing.entry,
        origin: &missing.origin,
        is_missing: true,
    });
    there.chain(missing)
}
