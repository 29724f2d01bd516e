//! What must resolve at the target once a push is done.

use std::fmt;

use ferry_model::catalog::{self, Catalog, Manifest};
use ferry_model::{Digest, Platform};
use serde::Serialize;

use super::Target;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// A container image or another artifact of its own.
    Image,
    /// A signature, an SBOM or another artifact about an image.
    Attachment,
    /// A helm chart.
    Chart,
}

/// One tag (or digest) of the target, with all below it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) kind: ItemKind,
    /// Its repository at the target.
    pub(crate) repository: String,
    pub(crate) tag: Option<String>,
    /// What the tag must name.
    pub(crate) digest: Digest,
    /// Children before parents, `digest` last.
    pub(crate) manifests: Vec<Manifest>,
    /// What it is about, for OCI referrers.
    pub(crate) subject: Option<Digest>,
    /// The index that it was taken out of, whose digest people may have pinned.
    pub(crate) source_index: Option<Digest>,
}

impl Item {
    /// What stands behind `/manifests/` when it is asked for.
    pub(crate) fn reference(&self) -> String {
        self.tag.clone().unwrap_or_else(|| self.digest.to_string())
    }

    /// The blobs that must be in its repository before its manifests.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        self.manifests.iter().flat_map(|manifest| manifest.blobs.iter().copied())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{}:{tag}", self.repository),
            None => write!(f, "{}@{}", self.repository, self.digest),
        }
    }
}

/// An entry of the catalog that gets a name at the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    Image(&'a catalog::Image),
    Chart(&'a catalog::Chart),
}

/// Everything in the catalog that belongs into a registry; `name` gives repository and tag there. Attachments follow
/// their image.
pub(crate) fn items<'a>(
    catalog: &'a Catalog,
    name: impl Fn(Entry<'a>) -> (String, Option<String>),
) -> Vec<Item> {
    let mut items = Vec::new();
    for image in &catalog.images {
        let (repository, tag) = name(Entry::Image(image));
        items.push(Item::image(image, repository.clone(), tag));
        items.extend(image.attachments.iter().map(|attachment| Item {
            kind: ItemKind::Attachment,
            repository: repository.clone(),
            tag: attachment.tag.clone(),
            digest: attachment.digest,
            manifests: attachment.manifests.clone(),
            subject: attachment.subject,
            source_index: None,
        }));
    }
    items.extend(catalog.charts.iter().map(|chart| {
        let (repository, tag) = name(Entry::Chart(chart));
        Item {
            kind: ItemKind::Chart,
            repository,
            tag,
            digest: chart.manifest.digest,
            manifests: vec![chart.manifest.clone()],
            subject: None,
            source_index: None,
        }
    }));
    items
}

impl Item {
    /// An image under its name at the target, without what is about it.
    pub(crate) fn image(image: &catalog::Image, repository: String, tag: Option<String>) -> Self {
        Self {
            kind: ItemKind::Image,
            repository,
            tag,
            digest: image.digest,
            manifests: image.manifests.clone(),
            subject: None,
            source_index: image.source_index,
        }
    }

    /// The names of `push --registry`: the catalog's, behind the target's prefix.
    pub(super) fn at_target(catalog: &Catalog, target: &Target) -> Vec<Self> {
        items(catalog, |entry| match entry {
            Entry::Image(image) => (target.repository(&image.repository), image.tag.clone()),
            Entry::Chart(chart) => (target.repository(&chart.repository), Some(chart.tag.clone())),
        })
    }

    /// The single image below this index that runs on `platform`, under the same name, for registries that take no
    /// indexes. `None` if there is none; an item that is no index stays as it is.
    pub(crate) fn for_platform(&self, platform: &Platform) -> Option<Self> {
        let is_single = self.manifests.len() == 1;
        if is_single {
            return Some(self.clone());
        }
        let manifest = self.manifests.iter().find(|manifest| manifest.platform.as_ref() == Some(platform))?;
        Some(Self {
            digest: manifest.digest,
            manifests: vec![manifest.clone()],
            source_index: None,
            ..self.clone()
        })
    }
}
