//! The lock (`*.lock`, TOML, committed beside the spec): every digest, size and source, nothing left to chance.
//!
//! The lock alone decides the bytes of a bundle: [`Lock::blobs`] lists every blob in the order in which the
//! bundle lays them out, with its encoding.

use serde::{Deserialize, Serialize};

use crate::catalog::{Attachment, Encoding, FileKind, Manifest};
use crate::failure::{Class, Failure};
use crate::{Digest, FormatVersion, ImageReference, Name, SitePath};

/// The version that this program writes.
pub const LOCK_VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// The most bytes of one blob; keeps sums far from overflow.
const MAX_BLOB: u64 = 16 << 40;

/// What `ferry-builder lock` found behind each entry of the spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lock {
    /// The version of this document.
    pub lock_version: FormatVersion,
    /// The bundle's name.
    pub name: Name,
    /// The bundle's version.
    pub version: Name,
    /// Optional entries that could not be resolved.
    #[serde(default, rename = "missing", skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingEntry>,
    /// Indexes of download sites that entries were looked up in, sorted by URL.
    #[serde(default, rename = "index", skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<LockedIndex>,
    /// Images, sorted by reference.
    #[serde(default, rename = "image", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<LockedImage>,
    /// Charts, sorted by name and version.
    #[serde(default, rename = "chart", skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<LockedChart>,
    /// Files, sorted by repository and path.
    #[serde(default, rename = "file", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<LockedFile>,
    /// Every blob once, in the order in which the bundle lays them out.
    #[serde(default, rename = "blob", skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<LockedBlob>,
}

/// An entry that the spec marks `required: false` and that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MissingEntry {
    /// Which entry of the spec: `images: redis:7`.
    pub origin: String,
    /// A fingerprint of that entry.
    pub entry: String,
    /// `image`, `chart`, `runtime`, `saas` or `file`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// Why it could not be had.
    pub reason: String,
}

/// An index that names files, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockedIndex {
    /// Its URL: `https://…/ce7/7.1-stable/7.1.3.txt`.
    pub source: String,
    /// The release that it is of.
    pub release: String,
    /// Its content.
    pub digest: Digest,
    /// Fingerprints of the entries of the spec that were looked up in it.
    pub entries: Vec<String>,
}

/// An image, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockedImage {
    /// Its canonical name.
    pub reference: ImageReference,
    /// Which entry of the spec asked for it: `images: registry:2`.
    pub origin: String,
    /// Fingerprints of the entries of the spec that ask for it: when one changes, it is resolved anew.
    pub entries: Vec<String>,
    /// Whether a build fails without it.
    pub required: bool,
    /// Its repository at the site.
    pub repository: String,
    /// Its tag at the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What the tag will name at the site.
    pub digest: Digest,
    /// What the tag named at the source, where platforms were taken out of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_index: Option<Digest>,
    /// All manifests, children before parents.
    #[serde(rename = "manifest")]
    pub manifests: Vec<Manifest>,
    /// Signatures, SBOMs and other artifacts about it.
    #[serde(default, rename = "attachment", skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A chart, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockedChart {
    /// The chart's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Which entry of the spec asked for it.
    pub origin: String,
    /// Fingerprints of the entries of the spec that ask for it: when one changes, it is resolved anew.
    pub entries: Vec<String>,
    /// Whether a build fails without it.
    pub required: bool,
    /// The repository's URL, or `oci://…`.
    pub source: String,
    /// The archive.
    pub archive: Digest,
    /// The provenance file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Digest>,
    /// Its OCI repository at the site.
    pub repository: String,
    /// Its OCI tag at the site.
    pub tag: String,
    /// Its OCI manifest.
    pub manifest: Manifest,
}

/// A file, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockedFile {
    /// What it is to the site.
    pub kind: FileKind,
    /// Its artifact repository at the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Its path there.
    pub path: SitePath,
    /// Which entry of the spec asked for it.
    pub origin: String,
    /// Fingerprints of the entries of the spec that ask for it: when one changes, it is resolved anew.
    pub entries: Vec<String>,
    /// Whether a build fails without it.
    pub required: bool,
    /// Its name, where the spec gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version, where the spec gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it comes from: a URL or a path.
    pub source: String,
    /// Its content.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// A blob and where to get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockedBlob {
    /// The digest of its content.
    pub digest: Digest,
    /// Bytes of its content.
    pub size: u64,
    /// How the bundle keeps it.
    pub encoding: Encoding,
    /// Where it comes from.
    pub source: BlobSource,
}

/// Where a blob's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlobSource {
    /// A manifest in a registry's repository: `docker.io/library/registry`.
    Manifest(String),
    /// A blob in a registry's repository.
    Blob(String),
    /// A file over HTTP(S).
    Url(String),
    /// A local file, relative to the spec's folder.
    Path(String),
    /// A file in an image archive or in what a docker daemon saves.
    Member {
        /// The archive as the spec names it: `docker-archive:app.tar`.
        archive: String,
        /// The file's name in it: `blobs/sha256/…`, `…/layer.tar`.
        member: String,
    },
    /// The bytes themselves, for small documents that Ferry makes (chart configs and manifests).
    Content(String),
}

/// A text is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Written by a newer Ferry.
    #[error("lock format {found} is not known to this program, which reads {known}")]
    Version {
        /// The document's.
        found: FormatVersion,
        /// Ours.
        known: FormatVersion,
    },
    /// Not the form of a lock.
    #[error("not a lock file: {0}")]
    Form(#[source] Box<toml::de::Error>),
    /// A manifest, chart or file names a blob that the lock does not list.
    #[error("{owner} needs {digest}, which the lock does not list among its blobs")]
    Dangling {
        /// Who needs it.
        owner: String,
        /// What is not there.
        digest: Digest,
    },
    /// A blob of a size that no honest source has.
    #[error("blob {digest} has {size} bytes, over the limit of 16 TiB")]
    TooLarge {
        /// Which.
        digest: Digest,
        /// Its bytes.
        size: u64,
    },
    /// A blob stands in the list twice.
    #[error("blob {0} is listed twice")]
    Twice(Digest),
}

impl Failure for LockError {
    fn class(&self) -> Class {
        Class::Input
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Version { .. } => {
                vec!["use the ferry-builder that wrote it, or run `ferry-builder lock` again".into()]
            }
            Self::Form(_) | Self::Dangling { .. } | Self::TooLarge { .. } | Self::Twice(_) => {
                vec!["a lock is not edited by hand; `ferry-builder lock SPEC` makes it anew".into()]
            }
        }
    }
}

/// The header alone, read first, so that a newer lock gets a clear answer.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Header {
    lock_version: FormatVersion,
}

impl Lock {
    /// Parses a lock and checks that it is whole: each blob once, and each that is needed there.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let form = |error| LockError::Form(Box::new(error));
        let header: Header = toml::from_str(text).map_err(form)?;
        if !header.lock_version.readable_by(LOCK_VERSION) {
            return Err(LockError::Version { found: header.lock_version, known: LOCK_VERSION });
        }
        let lock: Self = toml::from_str(text).map_err(form)?;
        lock.check()?;
        Ok(lock)
    }

    /// The lock as text, the same for the same lock.
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("a lock has only types that TOML can hold");
        format!("# Made by `ferry-builder lock`. Commit it beside the spec; do not edit it.\n\n{body}")
    }

    /// The digest of [`Lock::to_text`]: what a bundle says it was built from.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_text().as_bytes())
    }

    /// Bytes of content of all blobs.
    pub fn content_size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).sum()
    }

    /// Whether the lock is whole: each blob once and of a possible size, and each that is needed there.
    pub fn check(&self) -> Result<(), LockError> {
        let mut known = std::collections::HashSet::with_capacity(self.blobs.len());
        for blob in &self.blobs {
            if blob.size > MAX_BLOB {
                return Err(LockError::TooLarge { digest: blob.digest, size: blob.size });
            }
            if !known.insert(blob.digest) {
                return Err(LockError::Twice(blob.digest));
            }
        }
        for (owner, digest) in self.needs() {
            if !known.contains(&digest) {
                return Err(LockError::Dangling { owner, digest });
            }
        }
        Ok(())
    }

    /// Every blob that an entry needs, with the entry's name.
    pub fn needs(&self) -> impl Iterator<Item = (String, Digest)> {
        let manifest_needs = |manifest: &Manifest| {
            std::iter::once(manifest.digest).chain(manifest.blobs.iter().copied()).collect::<Vec<_>>()
        };
        let images = self.images.iter().flat_map(move |image| {
            let attached = image.attachments.iter().flat_map(|attachment| &attachment.manifests);
            let digests =
                image.manifests.iter().chain(attached).flat_map(manifest_needs).chain(image.source_index);
            digests.map(|digest| (image.reference.to_string(), digest)).collect::<Vec<_>>()
        });
        let charts = self.charts.iter().flat_map(move |chart| {
            let digests =
                manifest_needs(&chart.manifest).into_iter().chain([chart.archive]).chain(chart.provenance);
            digests
                .map(|digest| (format!("chart {} {}", chart.name, chart.version), digest))
                .collect::<Vec<_>>()
        });
        let files = self.files.iter().map(|file| (format!("{} {}", file.kind, file.path), file.digest));
        images.chain(charts).chain(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Lock {
        let digest = Digest::of(b"x");
        Lock {
            lock_version: LOCK_VERSION,
            name: "demo".parse().unwrap(),
            version: "1".parse().unwrap(),
            missing: vec![],
            indexes: vec![LockedIndex {
                source: "https://example.com/ce7/7.1-stable/7.1.3.txt".into(),
                release: "7.1.3".into(),
                digest,
                entries: vec!["0123456789ab".into()],
            }],
            images: vec![],
            charts: vec![],
            files: vec![LockedFile {
                kind: FileKind::Runtime,
                repository: Some("bkpaas/assets".into()),
                path: "a/b.tgz".parse().unwrap(),
                origin: "runtimes: a/b.tgz".into(),
                entries: vec!["0123456789ab".into()],
                required: true,
                name: None,
                version: None,
                source: "https://example.com/b.tgz".into(),
                digest,
                size: 1,
            }],
            blobs: vec![LockedBlob {
                digest,
                size: 1,
                encoding: Encoding::Stored,
                source: BlobSource::Url("https://example.com/b.tgz".into()),
            }],
        }
    }

    #[test]
    fn round_trip() {
        let lock = sample();
        assert_eq!(Lock::parse(&lock.to_text()).unwrap(), lock);
    }

    #[test]
    fn refuses_what_is_not_whole() {
        let mut dangling = sample();
        dangling.blobs.clear();
        assert!(matches!(Lock::parse(&dangling.to_text()), Err(LockError::Dangling { .. })));
        let mut twice = sample();
        twice.blobs.push(twice.blobs[0].clone());
        assert!(matches!(Lock::parse(&twice.to_text()), Err(LockError::Twice(_))));
        let mut huge = sample();
        huge.blobs[0].size = i64::MAX as u64;
        assert!(matches!(Lock::parse(&huge.to_text()), Err(LockError::TooLarge { .. })));
        let newer = sample().to_text().replace("lock-version = \"1.0\"", "lock-version = \"2.0\"");
        assert!(matches!(Lock::parse(&newer), Err(LockError::Version { .. })));
        assert!(matches!(Lock::parse("nonsense"), Err(LockError::Form(_))));
    }
}
