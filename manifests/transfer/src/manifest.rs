//! Manifests and indexes, read once into our own words.

use std::collections::BTreeMap;

use ferry_model::{Digest, Platform};

use crate::Error;

/// What names a piece of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// For a manifest in an index, the platform that it runs on.
    pub platform: Option<Platform>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// For an artifact, its type.
    pub artifact_type: Option<String>,
    /// Where else it can be had; used by foreign layers only.
    pub urls: Vec<String>,
}

impl Descriptor {
    /// Whether it is a layer that registries do not keep themselves (Windows base layers).
    pub fn is_foreign(&self) -> bool {
        todo!()
    }
    /// Whether it names an index.
    pub fn is_index(&self) -> bool {
        todo!()
    }
}

/// A manifest, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An image or another artifact.
    Image {
        /// Its config.
        config: Descriptor,
        /// Its layers, in order.
        layers: Vec<Descriptor>,
        /// The manifest that it is about.
        subject: Option<Descriptor>,
        /// Its artifact type.
        artifact_type: Option<String>,
        /// Annotations.
        annotations: BTreeMap<String, String>,
    },
    /// An index (manifest list).
    Index {
        /// The manifests in it.
        manifests: Vec<Descriptor>,
        /// The manifest that it is about.
        subject: Option<Descriptor>,
        /// Its artifact type.
        artifact_type: Option<String>,
        /// Annotations.
        annotations: BTreeMap<String, String>,
    },
}

/// Reads a manifest or index.
pub fn parse(bytes: &[u8], media_type: &str) -> Result<Parsed, Error> {
    todo!()
}
