//! What to do, decided from what the target has. Asks nothing.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::Digest;
use ferry_model::failure::Class;

use super::Failed;
use super::item::Item;
use super::observe::{Observed, Place};

/// Everything that a push will do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Blobs to send, the largest first; each digest once.
    pub(super) uploads: Vec<Blob>,
    /// Blobs that another repository has, or will have by then; the largest first.
    pub(super) mounts: Vec<Mount>,
    /// Blobs that are where they belong, with their sizes.
    pub(super) present: BTreeMap<Place, u64>,
    /// Items whose manifests and tags are to be put, by their index.
    pub(super) incomplete: BTreeSet<usize>,
    /// Items that nothing can be done for.
    pub(super) failed: BTreeMap<usize, Failed>,
}

/// A blob, and the repository that it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) repository: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl Blob {
    pub(super) fn place(&self) -> Place {
        (self.repository.clone(), self.digest)
    }
}

/// A blob to take over from another repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) blob: Blob,
    pub(super) from: String,
}

/// Decides what to send where. `size` knows the blobs of the bundle.
pub(super) fn plan_push(items: &[Item], observed: &Observed, size: impl Fn(&Digest) -> Option<u64>) -> Plan {
    let mut plan = Plan { failed: observed.failed.clone(), ..Plan::default() };
    let mut missing: BTreeMap<Digest, BTreeSet<&str>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let absent = item.blobs().chain(item.manifests.iter().map(|manifest| manifest.digest));
        if let Some(digest) = absent.into_iter().find(|digest| size(digest).is_none()) {
            let message = format!("{digest} belongs to it and is not in the bundle");
            plan.failed.entry(index).or_insert_with(|| Failed::because(Class::Verification, message));
        }
        if plan.failed.contains_key(&index) {
            continue;
        }
        let mut lacks = false;
        for digest in item.blobs() {
            let place = (item.repository.clone(), digest);
            if observed.present.contains(&place) {
                plan.present.insert(place, size(&digest).unwrap_or_default());
            } else {
                missing.entry(digest).or_default().insert(&item.repository);
                lacks = true;
            }
        }
        if lacks || !observed.right.contains(&index) {
            plan.incomplete.insert(index);
        }
    }
    let mut sources: BTreeMap<Digest, &str> = BTreeMap::new();
    for (repository, digest) in &observed.present {
        sources.entry(*digest).or_insert(repository);
    }
    for (digest, repositories) in missing {
        let mut repositories = repositories.into_iter().map(|repository| Blob {
            repository: repository.to_owned(),
            digest,
            size: size(&digest).unwrap_or_default(),
        });
        let from = match sources.get(&digest) {
            Some(&from) => from.to_owned(),
            None => match repositories.next() {
                Some(first) => {
                    let from = first.repository.clone();
                    plan.uploads.push(first);
                    from
                }
                None => continue,
            },
        };
        plan.mounts.extend(repositories.map(|blob| Mount { blob, from: from.clone() }));
    }
    plan.uploads.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
    plan.mounts.sort_by_key(|mount| (std::cmp::Reverse(mount.blob.size), mount.blob.digest));
    plan
}

#[cfg(test)]
mod tests {
    use super::super::item::ItemKind;
    use super::*;
    use ferry_model::catalog::Manifest;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    /// A blob's name is its size in `x`es, behind a letter.
    fn item(repository: &str, blobs: &[&str]) -> Item {
        let manifest = digest(&format!("{repository} {blobs:?}"));
        Item {
            kind: ItemKind::Image,
            repository: repository.into(),
            tag: Some("1".into()),
            digest: manifest,
            manifests: vec![Manifest {
                digest: manifest,
                size: 1,
                media_type: "m".into(),
                platform: None,
                blobs: blobs.iter().map(|blob| digest(blob)).collect(),
            }],
            subject: None,
            source_index: None,
        }
    }

    fn plan(items: &[Item], observed: &Observed, known: &[&str]) -> Plan {
        plan_push(items, observed, |wanted| {
            let manifest = items.iter().any(|item| item.digest == *wanted).then_some(1);
            known.iter().find(|name| digest(name) == *wanted).map(|name| name.len() as u64).or(manifest)
        })
    }

    #[test]
    fn each_blob_is_sent_once_and_the_largest_first() {
        let items = [item("a", &["x", "yyy"]), item("b", &["yyy", "zz"]), item("c", &["yyy"])];
        let plan = plan(&items, &Observed::default(), &["x", "yyy", "zz"]);
        let uploads: Vec<_> = plan.uploads.iter().map(|blob| (blob.repository.as_str(), blob.size)).collect();
        assert_eq!(uploads, [("a", 3), ("b", 2), ("a", 1)]);
        let mounts: Vec<_> =
            plan.mounts.iter().map(|mount| (mount.blob.repository.as_str(), mount.from.as_str())).collect();
        assert_eq!(mounts, [("b", "a"), ("c", "a")]);
        assert_eq!(plan.incomplete.len(), 3);
    }

    #[test]
    fn what_is_there_is_left_alone_and_mounted_from() {
        let items = [item("a", &["x", "yyy"]), item("b", &["yyy"])];
        let mut observed = Observed::default();
        observed.right.insert(0);
        observed.present.extend([("a".to_owned(), digest("x")), ("a".to_owned(), digest("yyy"))]);
        let plan = plan(&items, &observed, &["x", "yyy"]);
        assert!(plan.uploads.is_empty());
        assert_eq!((plan.mounts.len(), plan.mounts[0].from.as_str()), (1, "a"));
        assert_eq!(plan.incomplete, BTreeSet::from([1]));
        assert_eq!(plan.present.values().sum::<u64>(), 4);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let items = [item("a", &["x"]), item("b", &["yyy"]), item("c", &["zz"])];
        let mut observed = Observed::default();
        observed.failed.insert(1, Failed::because(ferry_model::failure::Class::Transient, "not tried"));
        let plan = plan(&items, &observed, &["yyy", "zz"]);
        assert_eq!(plan.failed.len(), 2);
        assert_eq!(plan.failed[&0].class, Class::Verification);
        assert!(plan.failed[&0].message.contains(&digest("x").to_string()));
        assert_eq!((plan.uploads.len(), plan.incomplete), (1, BTreeSet::from([2])));
    }
}
