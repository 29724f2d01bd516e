//! What is carried: the images of a spec, a lock or a bundle, and whether one of them is meant.

use ferry_model::catalog::Catalog;
use ferry_model::lock::Lock;
use ferry_model::spec::{ImageEntry, Spec};
use ferry_model::{Digest, ImageReference};

/// The images that are carried.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    images: Vec<Held>,
    /// Images that may be missing, and are.
    left_out: Vec<ImageReference>,
}

/// An image that is carried.
#[derive(Clone, Debug)]
struct Held {
    /// Its name in the world, where it has one.
    reference: Option<ImageReference>,
    /// Its name at the site.
    repository: String,
    tag: Option<String>,
    /// Its digests; empty where they are not known yet.
    digests: Vec<Digest>,
    /// Of the index that it was taken out of.
    source_index: Option<Digest>,
}

/// Whether an image is carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// It is.
    Held,
    /// It is, as this one; the site's names or mirrors lead there.
    As(String),
    /// Its tag is, with other content.
    OtherDigest(String),
    /// It may be missing (`required: false`), and is.
    LeftOut,
    /// It is not.
    Missing,
}

impl Holdings {
    /// What a lock carries.
    pub fn of_lock(lock: &Lock) -> Self {
        Self::of_catalog(&crate::assemble::catalog(lock))
    }

    /// What a bundle carries.
    pub fn of_catalog(catalog: &Catalog) -> Self {
        let images = catalog.images.iter().map(|image| Held {
            reference: Some(image.reference.clone()),
            repository: image.repository.clone(),
            tag: image.tag.clone(),
            digests: image.manifests.iter().map(|manifest| manifest.digest).chain([image.digest]).collect(),
            source_index: image.source_index,
        });
        let missing = catalog.missing.iter().filter(|missing| missing.kind == "image");
        let left_out = missing.filter_map(|missing| missing.name.parse().ok());
        Self { images: images.collect(), left_out: left_out.collect() }
    }

    /// What a spec asks for by name, what else is resolved of it, and the digests that an earlier lock `known` has.
    pub fn of_spec(spec: &Spec, resolved: &Lock, known: Option<&Lock>) -> Self {
        let mut holdings = Self::of_lock(resolved);
        let known = known.map(Self::of_lock).unwrap_or_default();
        for entry in &spec.images {
            let held = Held::wanted(entry);
            let is_same = |other: &&Held| {
                (&other.reference, &other.repository, &other.tag)
                    == (&held.reference, &held.repository, &held.tag)
            };
            let locked = known.images.iter().find(is_same).cloned();
            holdings.images.push(locked.unwrap_or(held));
        }
        holdings
    }

    /// Whether `wanted` is carried. One without tag and digest is where any tag of it is.
    pub(super) fn look_for(&self, wanted: &ImageReference, is_pinned: bool) -> Holding {
        let by_name = |held: &&Held| held.is_called(wanted) && (!is_pinned || held.has_tag(wanted));
        let at_site =
            |held: &&Held| held.repository == wanted.repository() && (!is_pinned || held.tag_is(wanted));
        let mut other = None;
        for (held, is_own) in self
            .images
            .iter()
            .filter(by_name)
            .map(|held| (held, true))
            .chain(self.images.iter().filter(at_site).map(|held| (held, false)))
        {
            match held.has_digest(wanted) {
                true if is_own => return Holding::Held,
                true => return Holding::As(held.name()),
                false => other = other.or_else(|| Some(held.name())),
            }
        }
        match other {
            Some(name) => Holding::OtherDigest(name),
            None if self.left_out.contains(wanted) => Holding::LeftOut,
            None => Holding::Missing,
        }
    }
}

impl Holdings {
    /// What is carried in place of `wanted`, which is not, where somebody may have mistaken the one for the other: other tags
    /// of it, or a name that is nearly the same.
    pub(super) fn near(&self, wanted: &ImageReference) -> Option<String> {
        let same = self.images.iter().filter(|held| held.is_called(wanted));
        let tags: Vec<&str> = same.filter_map(|held| held.tag.as_deref()).take(NEAR).collect();
        if !tags.is_empty() {
            return Some(format!("{} of it is carried", tags.join(", ")));
        }
        let likeness = |held: &Held| {
            let own = held.reference.as_ref().map(ImageReference::name)?;
            Some(strsim::damerau_levenshtein(&own, &wanted.name()))
        };
        let nearest = self.images.iter().filter_map(|held| Some((likeness(held)?, held)));
        let (distance, held) = nearest.min_by_key(|(distance, _)| *distance)?;
        (distance <= TYPO).then(|| format!("{} is carried", held.name()))
    }
}

/// The most tags that are told.
const NEAR: usize = 3;
/// The most letters that a typing error is made of.
const TYPO: usize = 2;

impl Held {
    fn wanted(entry: &ImageEntry) -> Self {
        let own = entry.source.reference();
        let site = entry.site_name.as_ref().or(own);
        let tag = site.and_then(ImageReference::tag).or_else(|| own.and_then(ImageReference::tag));
        Self {
            repository: site.map(|site| site.repository().to_owned()).unwrap_or_default(),
            tag: tag.map(str::to_owned),
            digests: own.and_then(ImageReference::digest).into_iter().collect(),
            source_index: None,
            reference: own.cloned(),
        }
    }

    fn name(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        match &self.reference {
            Some(reference) => reference.to_string(),
            None => format!("{}{tag}", self.repository),
        }
    }

    fn is_called(&self, wanted: &ImageReference) -> bool {
        self.reference.as_ref().is_some_and(|own| own.name() == wanted.name())
    }

    /// Whether its name in the world has the tag that is wanted, or a digest is what is wanted.
    fn has_tag(&self, wanted: &ImageReference) -> bool {
        let own = self.reference.as_ref().and_then(ImageReference::tag);
        wanted.tag().is_none_or(|tag| own == Some(tag)) || (wanted.digest().is_some() && own.is_none())
    }

    /// Whether its name at the site has the tag that is wanted, or a digest is what is wanted.
    fn tag_is(&self, wanted: &ImageReference) -> bool {
        wanted.tag().is_none_or(|tag| self.tag.as_deref() == Some(tag))
    }

    fn has_digest(&self, wanted: &ImageReference) -> bool {
        match wanted.digest() {
            None => true,
            // What is not locked yet has whatever its tag names then.
            Some(_) if self.digests.is_empty() && self.source_index.is_none() => true,
            Some(digest) => self.digests.contains(&digest) || self.source_index == Some(digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const OTHER: &str = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

    #[test]
    fn names_are_compared_as_docker_and_the_site_read_them() {
        let spec = Spec::parse(&format!(
            "apiVersion: ferry/v1\nkind: Bundle\nname: a\nversion: \"1\"\nimages:\n  - busybox:1.34\n  - hub.example.com/library/alpine:3\n  - {{image: quay.io/a/b:1, as: other/b:2}}\n  - {{image: \"docker-archive:x.tar\", as: \"team/x:1\"}}\n  - redis@{DIGEST}\n"
        ));
        let empty = "lock-version = \"1.0\"\nname = \"a\"\nversion = \"1\"\n";
        let holdings = Holdings::of_spec(&spec.unwrap(), &Lock::parse(empty).unwrap(), None);
        let as_one = |name: &str| Holding::As(name.to_owned());
        let redis = format!("docker.io/library/redis@{DIGEST}");
        for (wanted, expect) in [
            ("docker.io/library/busybox:1.34".to_owned(), Holding::Held),
            ("busybox".to_owned(), Holding::Missing),
            ("alpine:3".to_owned(), as_one("hub.example.com/library/alpine:3")),
            ("quay.io/a/b:1".to_owned(), Holding::Held),
            ("registry.site/other/b:2".to_owned(), as_one("quay.io/a/b:1")),
            ("registry.site/other/b:1".to_owned(), Holding::Missing),
            ("team/x:1".to_owned(), as_one("team/x:1")),
            (format!("busybox:1.34@{DIGEST}"), Holding::Held),
            (format!("redis:7@{DIGEST}"), Holding::Held),
            (format!("redis@{DIGEST}"), Holding::Held),
            (format!("redis@{OTHER}"), Holding::OtherDigest(redis)),
            ("redis:7".to_owned(), Holding::Missing),
        ] {
            assert_eq!(holdings.look_for(&wanted.parse().unwrap(), true), expect, "{wanted}");
        }
        for (wanted, near) in [
            ("busybox:1.35", Some("1.34 of it is carried")),
            ("busibox:1.34", Some("docker.io/library/busybox:1.34 is carried")),
            ("nginx:1", None),
        ] {
            assert_eq!(holdings.near(&wanted.parse().unwrap()).as_deref(), near, "{wanted}");
        }
        assert_eq!(holdings.look_for(&"busybox".parse().unwrap(), false), Holding::Held);
        assert_eq!(holdings.look_for(&"nginx".parse().unwrap(), false), Holding::Missing);
    }
}
