//! What an image is made of: which of its manifests, with which config and layers.

use std::str::FromStr;

use ferry_bundle::Bundle;
use ferry_model::catalog::{Image, Manifest};
use ferry_model::platform::PlatformError;
use ferry_model::{Digest, Platform};
use serde::Deserialize;

use super::ExportError;

/// Manifests and configs are small; one that is not is not read.
const MAX_DOCUMENT: u64 = 8 << 20;

/// Which platform of an image to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This host's; whatever there is, where an image is for one platform only.
    Host,
    /// This one.
    Platform(Platform),
    /// All, with the index that lists them.
    All,
}

impl FromStr for Choice {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::Platform) }
    }
}

/// What images for this host are made for.
pub fn host_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
}

/// The one manifest that is wanted.
pub(crate) fn choose<'a>(image: &'a Image, platform: Option<&Platform>) -> Result<&'a Manifest, ExportError> {
    // `Bundle::open` refuses catalogs with an image that lacks its root.
    let root = image.root().expect("each image has its root manifest");
    let is_index = root.blobs.is_empty() && image.manifests.len() > 1;
    if !is_index && platform.is_none() {
        return Ok(root);
    }
    let wanted = platform.cloned().unwrap_or_else(host_platform);
    let fits = |manifest: &&Manifest| manifest.platform.as_ref().is_some_and(|own| own.satisfies(&wanted));
    image.manifests.iter().find(fits).ok_or_else(|| ExportError::Platform {
        image: image.reference.to_string(),
        wanted: wanted.to_string(),
        available: image.platforms().map(ToString::to_string).collect(),
    })
}

/// A layer as the manifest lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layer {
    pub(super) media_type: String,
    pub(super) digest: Digest,
}

/// A container image for one platform.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) config: (Digest, Vec<u8>),
    /// Each layer with the digest of its content unpacked.
    pub(super) layers: Vec<(Layer, Digest)>,
}

/// Reads a manifest and its config.
pub(super) fn read(bundle: &Bundle, image: &Image, manifest: &Manifest) -> Result<Contents, ExportError> {
    #[derive(Deserialize)]
    struct Document {
        config: Config,
        layers: Vec<Layer>,
    }
    #[derive(Deserialize)]
    struct Config {
        digest: Digest,
    }
    #[derive(Deserialize)]
    struct ImageConfig {
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        diff_ids: Vec<Digest>,
    }
    let no_image = |reason: String| ExportError::NotAnImage { image: image.reference.to_string(), reason };
    let bytes = bundle.read_all(&manifest.digest, MAX_DOCUMENT)?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| no_image(error.to_string()))?;
    let config = bundle.read_all(&document.config.digest, MAX_DOCUMENT)?;
    let parsed: ImageConfig =
        serde_json::from_slice(&config).map_err(|error| no_image(format!("its config: {error}")))?;
    let (layers, unpacked) = (document.layers, parsed.rootfs.diff_ids);
    if layers.len() != unpacked.len() {
        let reason = format!("it has {} layers, its config {}", layers.len(), unpacked.len());
        return Err(no_image(reason));
    }
    let layers = layers.into_iter().zip(unpacked).collect();
    Ok(Contents { config: (document.config.digest, config), layers })
}
