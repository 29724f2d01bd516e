//! Putting what the entries turned out to be into one lock: sorted, each blob once.

use std::collections::{BTreeMap, HashMap};

use ferry_model::Digest;
use ferry_model::catalog::Encoding;
use ferry_model::lock::{BlobSource, LOCK_VERSION, Lock};
use ferry_model::spec::Spec;

use super::{Found, FoundBlob, Resolution};
use crate::{Error, Failed};

/// Bytes of documents that are kept for the build; the rest is fetched again, so that memory stays bounded.
const MAX_KEPT: usize = 16 << 20;

/// A lock of nothing.
pub(super) fn empty(spec: &Spec) -> Lock {
    Lock {
        lock_version: LOCK_VERSION,
        name: spec.name.clone(),
        version: spec.version.clone(),
        missing: Vec::new(),
        indexes: Vec::new(),
        images: Vec::new(),
        charts: Vec::new(),
        files: Vec::new(),
        blobs: Vec::new(),
    }
}

pub(super) fn merge(spec: &Spec, found: Vec<Found>) -> Result<Resolution, Error> {
    let mut lock = empty(spec);
    let mut blobs: BTreeMap<Digest, FoundBlob> = BTreeMap::new();
    let (mut kept, mut kept_size) = (HashMap::new(), 0);
    for mut one in found {
        lock.images.append(&mut one.images);
        lock.charts.append(&mut one.charts);
        lock.files.append(&mut one.files);
        lock.missing.append(&mut one.missing);
        lock.indexes.append(&mut one.indexes);
        for (digest, bytes) in one.kept {
            kept_size += bytes.len();
            if kept_size <= MAX_KEPT {
                kept.insert(digest, bytes);
            }
        }
        one.blobs.into_iter().for_each(|blob| add_blob(&mut blobs, blob));
    }
    merge_indexes(&mut lock);
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

fn conflict(name: String, one: &str, other: &str, remedy: &str) -> Failed {
    let problem = format!("`{one}` and `{other}` both want this place, with different content");
    Failed { name, error: Box::new(Error::input(problem, remedy)) }
}

fn merge_indexes(lock: &mut Lock) {
    lock.indexes.sort();
    lock.indexes.dedup_by(|a, b| {
        let same = a.source == b.source && a.digest == b.digest;
        if same {
            b.entries.append(&mut a.entries);
        }
        same
    });
}

fn merge_images(lock: &mut Lock, conflicts: &mut Vec<Failed>) {
    lock.images
        .sort_by(|a, b| (&a.reference, &a.repository, &a.tag).cmp(&(&b.reference, &b.repository, &b.tag)));
    lock.images.dedup_by(|a, b| {
        let same = a.reference == b.reference
            && a.repository == b.repository
            && a.tag == b.tag
            && a.digest == b.digest;
        if same {
            b.required |= a.required;
            b.entries.append(&mut a.entries);
            let new = a
                .attachments
                .drain(..)
                .filter(|new| b.attachments.iter().all(|known| known.digest != new.digest));
            b.attachments.extend(new.collect::<Vec<_>>());
        }
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
            conflicts.push(conflict(
                name,
                &origin,
                &image.origin,
                "give one of them another place with `as:`",
            ));
        }
    }
}

fn merge_charts(lock: &mut Lock, conflicts: &mut Vec<Failed>) {
    lock.charts.sort_by(|a, b| (&a.name, &a.version, &a.source).cmp(&(&b.name, &b.version, &b.source)));
    lock.charts.dedup_by(|a, b| {
        let same = a.name == b.name && a.version == b.version && a.archive == b.archive;
        if same {
            b.required |= a.required;
            b.entries.append(&mut a.entries);
        }
        same
    });
    for pair in lock.charts.windows(2) {
        if pair[0].name == pair[1].name && pair[0].version == pair[1].version {
            conflicts.push(conflict(
                format!("chart {} {}", pair[0].name, pair[0].version),
                &pair[0].origin,
                &pair[1].origin,
                "carry one of the two; a site can have one chart of a name and version",
            ));
        }
    }
}

fn merge_files(lock: &mut Lock, conflicts: &mut Vec<Failed>) {
    lock.files.sort_by(|a, b| (&a.repository, &a.path, &a.source).cmp(&(&b.repository, &b.path, &b.source)));
    lock.files.dedup_by(|a, b| {
        let same = a.repository == b.repository && a.path == b.path && a.digest == b.digest;
        if same {
            b.required |= a.required;
            b.entries.append(&mut a.entries);
        }
        same
    });
    for pair in lock.files.windows(2) {
        if pair[0].repository == pair[1].repository && pair[0].path == pair[1].path {
            conflicts.push(conflict(
                pair[0].path.to_string(),
                &pair[0].origin,
                &pair[1].origin,
                "give one of them another place with `to:`",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferry_model::catalog::FileKind;
    use ferry_model::lock::LockedFile;

    fn file(entry: &str, content: &[u8]) -> Found {
        let file = LockedFile {
            kind: FileKind::File,
            repository: None,
            path: "a".parse().unwrap(),
            origin: format!("files: {entry}"),
            entries: vec![entry.to_owned()],
            required: entry == "two",
            name: None,
            version: None,
            source: "a".into(),
            digest: Digest::of(content),
            size: content.len() as u64,
        };
        Found { files: vec![file], ..Found::default() }
    }

    fn spec() -> Spec {
        Spec::parse("apiVersion: ferry/v1\nkind: Bundle\nname: a\nversion: \"1\"\n").unwrap()
    }

    #[test]
    fn two_entries_for_the_same_thing_are_one_with_both_names() {
        let lock = merge(&spec(), vec![file("one", b"x"), file("two", b"x")]).unwrap().lock;
        assert_eq!(lock.files.len(), 1);
        assert_eq!(lock.files[0].entries, ["one", "two"]);
        assert!(lock.files[0].required);
    }

    #[test]
    fn two_entries_for_one_place_conflict() {
        let error = merge(&spec(), vec![file("one", b"x"), file("two", b"y")]).unwrap_err();
        assert!(error.to_string().contains("both want this place"), "{error}");
    }
}
