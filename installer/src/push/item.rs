//! What must resolve at the target once a push is done.

use std::fmt;

use ferry_model::Digest;
use ferry_model::catalog::{Catalog, Manifest};
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
pub(super) struct Item {
    pub(super) kind: ItemKind,
    /// Its repository at the target.
    pub(super) repository: String,
    pub(super) tag: Option<String>,
    /// What the tag must name.
    pub(super) digest: Digest,
    /// Children before parents, `digest` last.
    pub(super) manifests: Vec<Manifest>,
    /// What it is about, for OCI referrers.
    pub(super) subject: Option<Digest>,
}

impl Item {
    /// What stands behind `/manifests/` when it is asked for.
    pub(super) fn reference(&self) -> String {
        self.tag.clone().unwrap_or_else(|| self.digest.to_string())
    }

    /// The blobs that must be in its repository before its manifests.
    pub(super) fn blobs(&self) -> impl Iterator<Item = Digest> {
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

/// Everything in the catalog that belongs into a registry.
pub(super) fn items(catalog: &Catalog, target: &Target) -> Vec<Item> {
    let mut items = Vec::new();
    for image in &catalog.images {
        let repository = target.repository(&image.repository);
        items.push(Item {
            kind: ItemKind::Image,
            repository: repository.clone(),
            tag: image.tag.clone(),
            digest: image.digest,
            manifests: image.manifests.clone(),
            subject: None,
        });
        items.extend(image.attachments.iter().map(|attachment| Item {
            kind: ItemKind::Attachment,
            repository: repository.clone(),
            tag: attachment.tag.clone(),
            digest: attachment.digest,
            manifests: attachment.manifests.clone(),
            subject: attachment.subject,
        }));
    }
    items.extend(catalog.charts.iter().map(|chart| Item {
        kind: ItemKind::Chart,
        repository: target.repository(&chart.repository),
        tag: Some(chart.tag.clone()),
        digest: chart.manifest.digest,
        manifests: vec![chart.manifest.clone()],
        subject: None,
    }));
    items
}
