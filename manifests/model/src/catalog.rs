//! The catalog (`bundle.json`): every entry, every blob, and where in the bundle it lies.
//!
//! It crosses the gap, so it is versioned and read tolerantly: unknown keys are left alone, unknown encodings are
//! kept as they are and refused only with their name in the error. Its signature covers these bytes; everything
//! else in a bundle is checked against it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, FormatVersion, ImageReference, Name, Platform, SitePath};

/// The version that this program writes.
pub const CATALOG_VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// A bundle's table of contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// The version of this document.
    pub format_version: FormatVersion,
    /// The bundle's name.
    pub name: Name,
    /// The bundle's version.
    pub version: Name,
    /// The digest of the lock file that the bundle was built from.
    pub lock: Digest,
    /// What the lock asked for and the bundle lacks; empty in a complete bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Container images, sorted by reference.
    pub images: Vec<Image>,
    /// Helm charts, sorted by name and version.
    pub charts: Vec<Chart>,
    /// Runtimes, SaaS packages and other files, sorted by repository and path.
    pub files: Vec<File>,
    /// Every blob once, in the order in which they lie in the file.
    pub blobs: Vec<Blob>,
}

impl Catalog {
    /// Whether everything that the lock asked for is here.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The bytes of each blob, by its digest.
    pub fn blob_sizes(&self) -> BTreeMap<Digest, u64> {
        self.blobs.iter().map(|blob| (blob.digest, blob.size)).collect()
    }
}

/// An entry that the bundle was allowed to go without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// `image`, `chart`, `runtime`, `saas` or `file`.
    pub kind: String,
    /// What the spec calls it.
    pub name: String,
    /// Why it could not be had.
    pub reason: String,
}

/// A container image or another OCI artifact, with all manifests below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its name in the world, canonical: `docker.io/library/registry:2`.
    pub reference: ImageReference,
    /// Its repository at the site: `library/registry`.
    pub repository: String,
    /// Its tag at the site; absent for an image that is named by digest alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The manifest or index that the tag names.
    pub digest: Digest,
    /// The digest that the tag named at its source, where one platform (or some) was taken out of an index. That
    /// index is among the blobs, so that the choice can be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_index: Option<Digest>,
    /// All manifests below `digest`, in the order in which a registry takes them: children before parents,
    /// `digest` itself last.
    pub manifests: Vec<Manifest>,
    /// Signatures, SBOMs and other artifacts about this image, each with its own tag or as a referrer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

impl Image {
    /// The manifest that the tag names.
    pub fn root(&self) -> Option<&Manifest> {
        self.manifests.iter().find(|manifest| manifest.digest == self.digest)
    }

    /// The platforms that the image runs on.
    pub fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.manifests.iter().filter_map(|manifest| manifest.platform.as_ref())
    }

    /// Every manifest: the attachments' (in push order) behind the image's own.
    pub fn all_manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.iter().chain(self.attachments.iter().flat_map(|attachment| &attachment.manifests))
    }
}

/// One manifest or index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The digest of its bytes; it is a blob of the bundle like any other.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// The `Content-Type` that it is served and pushed with.
    pub media_type: String,
    /// The platform, for an image manifest that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The config and the layers, as blobs to push before the manifest. Empty for an index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Digest>,
}

/// An artifact about an image: a cosign signature, an SBOM, an attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The manifest of the artifact.
    pub digest: Digest,
    /// The tag it lies under, for cosign's scheme `sha256-<hex>.sig`; absent for an OCI referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `artifactType`, for OCI referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifest that it is about, for OCI referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// All manifests of the artifact, children before parents.
    pub manifests: Vec<Manifest>,
}

/// A helm chart: its archive, and the OCI artifact around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    /// The chart's name, from its `Chart.yaml`.
    pub name: String,
    /// The chart's version, from its `Chart.yaml`.
    pub version: String,
    /// Where it came from: a repository's URL, or `oci://…`.
    pub source: String,
    /// The chart archive (`.tgz`).
    pub archive: Digest,
    /// The provenance file (`.tgz.prov`), where the source has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Digest>,
    /// Its OCI repository at the site: `charts/bkrepo`.
    pub repository: String,
    /// Its tag at the site: the version with `+` as `_`, as helm does it.
    pub tag: String,
    /// The OCI manifest; the config blob is `Chart.yaml` as JSON.
    pub manifest: Manifest,
}

impl Chart {
    /// The archive's file name in a helm repository: `bkrepo-1.3.16.tgz`.
    pub fn file_name(&self) -> String {
        format!("{}-{}.tgz", self.name, self.version)
    }
}

/// What a file is to the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A PaaS runtime or buildpack.
    Runtime,
    /// A SaaS package (S-Mart).
    Saas,
    /// Anything else.
    #[serde(other)]
    File,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Runtime => "runtime",
            Self::Saas => "saas",
            Self::File => "file",
        })
    }
}

/// A file that is no image and no chart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// What it is.
    pub kind: FileKind,
    /// The artifact repository that it belongs to, as `project/repository`; absent where the site decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Its path within that repository.
    pub path: SitePath,
    /// For SaaS packages, the application's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For SaaS packages and runtimes, the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it came from.
    pub source: String,
    /// Its content.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

impl File {
    /// Its path below `/files/` when served: repository and path.
    pub fn served_path(&self) -> String {
        match &self.repository {
            Some(repository) => format!("{repository}/{}", self.path),
            None => self.path.to_string(),
        }
    }
}

/// One blob and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    /// The digest of its content.
    pub digest: Digest,
    /// Bytes of its content.
    pub size: u64,
    /// Where its first frame begins, in bytes from the start of the bundle (all volumes joined).
    pub offset: u64,
    /// Bytes of its frames.
    pub stored_size: u64,
    /// How it is kept.
    pub encoding: Encoding,
}

/// How a blob's bytes are kept in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// Frames of raw blocks: for what is compressed already.
    Stored,
    /// Frames of compressed blocks.
    Zstd,
    /// One that this program does not know.
    Unknown(String),
}

impl Encoding {
    pub(crate) const EXPECTING: &'static str = "an encoding: `stored` or `zstd`";
}

impl FromStr for Encoding {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "stored" => Self::Stored,
            "zstd" => Self::Zstd,
            other => Self::Unknown(other.chars().take(64).collect()),
        })
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stored => "stored",
            Self::Zstd => "zstd",
            Self::Unknown(name) => name,
        })
    }
}

crate::serde_as_string!(Encoding);
