//! What to do, decided from what the target has. Asks nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ferry_model::Digest;
use ferry_model::failure::Class;

use super::Failed;
use super::item::Item;
use super::observe::{Observed, Place};

/// Everything that a push will do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Items whose manifests and tags are to be put, the ones with the largest blobs first: many small ones then fill the time
    /// in which the last large one is sent.
    pub(super) bunches: Vec<Bunch>,
    /// Blobs to send, in the order of the bunches; each digest once.
    pub(super) uploads: Vec<Blob>,
    /// Blobs that another repository has, or will have by then.
    pub(super) mounts: Vec<Mount>,
    /// Blobs that are where they belong, with their sizes.
    pub(super) present: BTreeMap<Place, u64>,
    /// Items whose manifests and tags are to be put, by their index.
    pub(super) incomplete: BTreeSet<usize>,
    /// Items that nothing can be done for.
    pub(super) failed: BTreeMap<usize, Failed>,
}

/// Items of a repository that have manifests in common, or are about one another, and nothing in common with other bunches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bunch {
    /// By their index.
    pub(super) items: Vec<usize>,
    /// What they lack, the largest first. Of what several bunches lack, the first one uploads it.
    pub(super) lacking: Vec<Blob>,
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
    let mut lacking: BTreeMap<usize, BTreeSet<Digest>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let absent = item.blobs().chain(item.manifests.iter().map(|manifest| manifest.digest));
        if let Some(digest) = absent.into_iter().find(|digest| size(digest).is_none()) {
            let message = format!("{digest} belongs to it and is not in the bundle");
            plan.failed.entry(index).or_insert_with(|| Failed::because(Class::Verification, message));
        }
        if plan.failed.contains_key(&index) {
            continue;
        }
        for digest in item.blobs() {
            let place = (item.repository.clone(), digest);
            if observed.present.contains(&place) {
                plan.present.insert(place, size(&digest).unwrap_or_default());
            } else {
                lacking.entry(index).or_default().insert(digest);
            }
        }
        if lacking.contains_key(&index) || !observed.right.contains(&index) {
            plan.incomplete.insert(index);
        }
    }
    for members in bunch(items, &plan.incomplete) {
        let digests: BTreeSet<Digest> =
            members.iter().filter_map(|index| lacking.get(index)).flatten().copied().collect();
        let repository = members.first().map(|&first| items[first].repository.clone()).unwrap_or_default();
        let blob =
            |digest| Blob { repository: repository.clone(), digest, size: size(&digest).unwrap_or_default() };
        let mut lacking: Vec<Blob> = digests.into_iter().map(blob).collect();
        lacking.sort_by_key(|blob| (Reverse(blob.size), blob.digest));
        plan.bunches.push(Bunch { items: members, lacking });
    }
    plan.bunches.sort_by_key(|bunch| Reverse(bunch.lacking.first().map(|blob| blob.size)));
    plan.find_sources(observed);
    plan
}

impl Plan {
    /// Decides which blobs are uploaded, and which are mounted from where.
    fn find_sources(&mut self, observed: &Observed) {
        let mut sources: BTreeMap<Digest, String> = BTreeMap::new();
        for (repository, digest) in &observed.present {
            sources.entry(*digest).or_insert_with(|| repository.clone());
        }
        let mut known: BTreeSet<Place> = BTreeSet::new();
        for blob in self.bunches.iter().flat_map(|bunch| &bunch.lacking) {
            if !known.insert(blob.place()) {
                continue;
            }
            match sources.get(&blob.digest) {
                Some(from) => self.mounts.push(Mount { blob: blob.clone(), from: from.clone() }),
                None => {
                    sources.insert(blob.digest, blob.repository.clone());
                    self.uploads.push(blob.clone());
                }
            }
        }
    }
}

/// The chosen items in bunches.
fn bunch(items: &[Item], chosen: &BTreeSet<usize>) -> Vec<Vec<usize>> {
    // Each item leads to an earlier one of its bunch, the first one to itself.
    let mut earlier: Vec<usize> = (0..items.len()).collect();
    let first = |earlier: &[usize], mut index: usize| {
        while earlier[index] != index {
            index = earlier[index];
        }
        index
    };
    let mut holders: BTreeMap<(&str, Digest), usize> = BTreeMap::new();
    for &index in chosen {
        let item = &items[index];
        let manifests = item.manifests.iter().map(|manifest| manifest.digest);
        for digest in manifests.chain([item.digest]).chain(item.subject).chain(item.source_index) {
            let holder = *holders.entry((&item.repository, digest)).or_insert(index);
            let (one, other) = (first(&earlier, holder), first(&earlier, index));
            earlier[one.max(other)] = one.min(other);
        }
    }
    let mut bunches: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &index in chosen {
        bunches.entry(first(&earlier, index)).or_default().push(index);
    }
    bunches.into_values().collect()
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
    fn each_blob_is_sent_once_and_images_with_the_largest_first() {
        let items = [item("a", &["x"]), item("b", &["x", "yyy"]), item("c", &["yyy", "zz"])];
        let plan = plan(&items, &Observed::default(), &["x", "yyy", "zz"]);
        let uploads: Vec<_> = plan.uploads.iter().map(|blob| (blob.repository.as_str(), blob.size)).collect();
        assert_eq!(uploads, [("b", 3), ("b", 1), ("c", 2)]);
        let mounts: Vec<_> =
            plan.mounts.iter().map(|mount| (mount.blob.repository.as_str(), mount.from.as_str())).collect();
        assert_eq!(mounts, [("c", "b"), ("a", "b")]);
        let bunches: Vec<_> = plan.bunches.iter().map(|bunch| bunch.items.as_slice()).collect();
        assert_eq!(bunches, [[1], [2], [0]]);
    }

    #[test]
    fn what_has_manifests_in_common_is_pushed_together() {
        let index = item("a", &["x"]);
        let child = Item { tag: Some("amd64".into()), ..index.clone() };
        let other = item("a", &["yyy"]);
        let elsewhere = Item { repository: "b".into(), ..index.clone() };
        let mut signature = item("a", &["zz"]);
        signature.subject = Some(other.digest);
        let mut both = item("a", &["x", "yyy"]);
        both.manifests.extend([index.manifests[0].clone(), other.manifests[0].clone()]);
        let bunches = |items: &[Item]| bunch(items, &(0..items.len()).collect());
        let apart = [index, other, elsewhere, child, signature];
        assert_eq!(bunches(&apart), [vec![0, 3], vec![1, 4], vec![2]]);
        assert_eq!(bunches(&[&apart[..], &[both]].concat()), [vec![0, 1, 3, 4, 5], vec![2]]);
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
