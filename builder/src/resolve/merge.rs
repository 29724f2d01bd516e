//! Putting what the entries turned out to be into one lock: sorted, each blob once.

use std::collections::{BTreeMap, HashMap};

use ferry_model::Digest;
use ferry_model::catalog::Encoding;
use ferry_model::lock::{BlobSource, LOCK_VERSION, Lock};
use ferry_model::spec::Spec;

use super::{Found, FoundBlob, Resolution};
use crate::{Error, Failed};

/// A lock of nothing.
pub(super) fn empty(spec: &Spec) -> Lock {
    Lock {
        lock_version: LOCK_VERSION,
        name: spec.name.clone(),
        version: spec.version.clone(),
        missing: Vec::new(),
        images: Vec::new(),
        charts: Vec::new(),
        files: Vec::new(),
        blobs: Vec::new(),
    }
}

pub(super) fn merge(spec: &Spec, found: Vec<Found>) -> Result<Resolution, Error> {
    let mut lock = empty(spec);
    let mut blobs: BTreeMap<Digest, FoundBlob> = BTreeMap::new();
    let mut kept = HashMap::new();
    for mut one in found {
        lock.images.append(&mut one.images);
        lock.charts.append(&mut one.charts);
        lock.files.append(&mut one.files);
        lock.missing.append(&mut one.missing);
        kept.extend(one.kept);
        one.blobs.into_iter().for_each(|blob| add_blob(&mut blobs, blob));
    }
    let mut conflicts = Vec::new();
    merge_images(&mut lock, &mut conflicts);
    merge_charts(&mut lock, &mut conflicts);
    merge_files(&mut lock, &mut conflicts);
    Error::collect(conflicts)?;
    lock.blobs = in_layout_order(blobs.into_values().collect());
    Ok(Resolution { lock, kept })
}

/// Several entries may bring the same blob; which source is used must not depend on who came first.
fn add_blob(blobs: &mut BTreeMap<Digest, FoundBlob>, new: FoundBlob) {
    blobs
        .entry(new.blob.digest)
        .and_modify(|known| {
            let encoding = known.blob.encoding.clone().min(new.blob.encoding.clone());
            if (&new.blob.source, new.order) < (&known.blob.source, known.order) {
                *known = new.clone();
            }
            known.blob.encoding = encoding;
        })
        .or_insert(new);
}

/// Stored blobs by digest; then compressed ones, those of one archive in its order, so that an archive that can only
/// be streamed is streamed once.
fn in_layout_order(blobs: Vec<FoundBlob>) -> Vec<ferry_model::lock::LockedBlob> {
    let mut blobs = blobs;
    blobs.sort_by_cached_key(|found| {
        let stored = found.blob.encoding == Encoding::Stored;
        let archive = match &found.blob.source {
            BlobSource::Member { archive, .. } if !stored => Some((archive.clone(), found.order)),
            _ => None,
        };
        (!stored, archive, found.blob.digest)
    });
    blobs.into_iter().map(|found| found.blob).collect()
}

fn conflict(name: String, one: &str, other: &str) -> Failed {
    let problem = format!("`{one}` and `{other}` both want this place, with different content");
    Failed {
        name,
        error: Box::new(Error::input(problem, "give one of them another place with `as:` or `to:`")),
    }
}

fn merge_images(lock: &mut Lock, conflicts: &mut Vec<Failed>) {
    lock.images
        .sort_by(|a, b| (&a.reference, &a.repository, &a.tag).cmp(&(&b.reference, &b.repository, &b.tag)));
    lock.images.dedup_by(|a, b| {
        let same = a.reference == b.reference
            && a.repository == b.repository
            && a.tag == b.tag
            && a.digest == b.digest;
        b.required |= same && a.required;
        same
    });
    let mut places: HashMap<(String, Option<String>), (Digest, String)> = HashMap::new();
    for image in &lock.images {
        let place = (image.repository.clone(), image.tag.clone());
        let here = (image.digest, image.origin.clone());
        if let Some((digest, origin)) = places.insert(place, here)
            && image.tag.is_some()
            && digest != image.digest
        {
            let name = format!("{}:{}", image.repository, image.tag.clone().unwrap_or_default());
            conflicts.push(conflict(name, &origin, &image.origin));
        }
    }
}

fn merge_charts(lock: &mut Lock, conflicts: &mut Vec<Failed>) {
    lock.charts.sort_by(|a, b| (&a.name, &a.version, &a.source).cmp(&(&b.name, &b.version, &b.source)));
    lock.charts.dedup_by(|a, b| {
        let same = a.name == b.name && a.version == b.version && a.archive == b.archive;
        b.required |= same && a.required;
        same
    });
    for pair in lock.charts.windows(2) {
        if pair[0].name == pair[1].name && pair[0].version == pair[1].version {
            conflicts.push(conflict(
                format!("chart {} {}", pair[0].name, pair[0].version),
                &pair[0].origin,
                &pair[1].origin,
            ));
        }
    }
}

fn merge_files(lock: &mut Lock, conflicts: &mut Vec<Failed>) {
    lock.files.sort_by(|a, b| (&a.repository, &a.path, &a.source).cmp(&(&b.repository, &b.path, &b.source)));
    lock.files.dedup_by(|a, b| {
        let same = a.repository == b.repository && a.path == b.path && a.digest == b.digest;
        b.required |= same && a.required;
        same
    });
    for pair in lock.files.windows(2) {
        if pair[0].repository == pair[1].repository && pair[0].path == pair[1].path {
            conflicts.push(conflict(pair[0].path.to_string(), &pair[0].origin, &pair[1].origin));
        }
    }
}
