//! Manifests and indexes, read once into our own words.

use std::collections::BTreeMap;

use ferry_model::{Digest, Platform};
use oci_distribution::manifest::{
    IMAGE_LAYER_NONDISTRIBUTABLE_GZIP_MEDIA_TYPE, IMAGE_LAYER_NONDISTRIBUTABLE_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest,
};
use serde::Deserialize;

use crate::Error;

/// The largest manifest that is read: registries take no larger one.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// The largest index that is read.
pub const MAX_INDEX: u64 = 8 << 20;
/// The most layers, or manifests of an index, that are read.
const MAX_ENTRIES: usize = 10_000;

/// All that can be asked for. What is not listed, a registry may convert or deny.
pub(crate) const ACCEPT: [&str; 4] = [
    OCI_IMAGE_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
];

/// The media types of docker's schema 1, signed and not.
const SCHEMA1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

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
    /// Whether it is a layer that registries need not keep themselves (Windows base layers).
    pub fn is_foreign(&self) -> bool {
        self.media_type.contains(".foreign.")
            || self.media_type.starts_with(IMAGE_LAYER_NONDISTRIBUTABLE_MEDIA_TYPE)
            || self.media_type.starts_with(IMAGE_LAYER_NONDISTRIBUTABLE_GZIP_MEDIA_TYPE)
    }

    /// Whether it names an index.
    pub fn is_index(&self) -> bool {
        is_index(&self.media_type)
    }
}

/// Whether a media type is that of an index (manifest list).
pub fn is_index(media_type: &str) -> bool {
    [OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE].contains(&media_type)
}

/// A manifest, read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "held one at a time")]
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

/// What tells the kinds of manifests apart, and what `oci-client` leaves out of an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    subject: Option<OciDescriptor>,
    manifests: Option<serde::de::IgnoredAny>,
}

/// The media type of a manifest: the one that its registry gives, unless that says nothing; then its own.
pub fn media_type(bytes: &[u8], content_type: Option<&str>) -> Result<String, Error> {
    let given = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if given.starts_with("application/vnd.") {
        return Ok(given.to_owned());
    }
    let outline: Outline = serde_json::from_slice(bytes).map_err(|source| malformed(&source))?;
    Ok(match (outline.media_type, outline.manifests, outline.schema_version) {
        (_, _, 1) => SCHEMA1[0].to_owned(),
        (Some(media_type), _, _) => media_type,
        (None, Some(_), _) => OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned(),
        (None, None, _) => OCI_IMAGE_MEDIA_TYPE.to_owned(),
    })
}

/// Whether a media type is one of docker's schema 1.
pub(crate) fn is_schema1(media_type: &str) -> bool {
    SCHEMA1.contains(&media_type)
}

/// Reads a manifest or index.
pub fn parse(bytes: &[u8], media_type: &str) -> Result<Parsed, Error> {
    let limit = if is_index(media_type) { MAX_INDEX } else { MAX_MANIFEST };
    if bytes.len() as u64 > limit {
        return Err(Error::Manifest(format!("it is larger than {limit} bytes")));
    }
    let outline: Outline = serde_json::from_slice(bytes).map_err(|source| malformed(&source))?;
    if outline.schema_version != 2 {
        return Err(Error::Manifest(format!("its schema version is {}, not 2", outline.schema_version)));
    }
    if let Some(own) = outline.media_type.as_deref()
        && own != media_type
    {
        // A reader that believed the one and a checker that believed the other would see two different images.
        return Err(Error::Manifest(format!("it calls itself `{own}`, but is served as `{media_type}`")));
    }
    let subject = outline.subject.map(descriptor).transpose()?;
    match media_type {
        OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE => {
            let index: OciImageIndex = serde_json::from_slice(bytes).map_err(|source| malformed(&source))?;
            Ok(Parsed::Index {
                manifests: limited(index.manifests)?.into_iter().map(entry).collect::<Result<_, _>>()?,
                subject,
                artifact_type: index.artifact_type,
                annotations: index.annotations.unwrap_or_default(),
            })
        }
        OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE => {
            let image: OciImageManifest =
                serde_json::from_slice(bytes).map_err(|source| malformed(&source))?;
            Ok(Parsed::Image {
                config: descriptor(image.config)?,
                layers: limited(image.layers)?.into_iter().map(descriptor).collect::<Result<_, _>>()?,
                subject,
                artifact_type: image.artifact_type,
                annotations: image.annotations.unwrap_or_default(),
            })
        }
        other => Err(Error::Manifest(format!(
            "media type `{}` is not supported",
            other.chars().take(100).collect::<String>()
        ))),
    }
}

fn malformed(source: &serde_json::Error) -> Error {
    Error::Manifest(source.to_string())
}

fn limited<T>(entries: Vec<T>) -> Result<Vec<T>, Error> {
    if entries.len() > MAX_ENTRIES {
        return Err(Error::Manifest(format!("it has {} entries; {MAX_ENTRIES} is the most", entries.len())));
    }
    Ok(entries)
}

fn descriptor(theirs: OciDescriptor) -> Result<Descriptor, Error> {
    Ok(Descriptor {
        digest: digest(&theirs.digest)?,
        size: size(theirs.size)?,
        media_type: theirs.media_type,
        platform: None,
        annotations: theirs.annotations.unwrap_or_default(),
        artifact_type: theirs.artifact_type,
        urls: theirs.urls.unwrap_or_default(),
    })
}

fn entry(theirs: ImageIndexEntry) -> Result<Descriptor, Error> {
    // One that cannot be written as a platform of ours matches none that anybody asks for.
    let platform = theirs.platform.and_then(|platform| {
        let variant = platform.variant.filter(|variant| !variant.is_empty());
        let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        format!("{}/{}{variant}", platform.os, platform.architecture).parse().ok()
    });
    Ok(Descriptor {
        digest: digest(&theirs.digest)?,
        size: size(theirs.size)?,
        media_type: theirs.media_type,
        platform,
        annotations: theirs.annotations.unwrap_or_default(),
        artifact_type: theirs.artifact_type,
        urls: Vec::new(),
    })
}

fn digest(text: &str) -> Result<Digest, Error> {
    text.parse().map_err(|source: ferry_model::digest::DigestError| Error::Manifest(source.to_string()))
}

fn size(size: i64) -> Result<u64, Error> {
    u64::try_from(size).map_err(|_| Error::Manifest(format!("{size} is not a size")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn image(extra: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{DIGEST}","size":2}},
            "layers":[{{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"{DIGEST}","size":3,"urls":["https://a/b"]}}]{extra}}}"#
        )
    }

    #[test]
    fn images_and_indexes() {
        let subject =
            format!(r#","subject":{{"mediaType":"{OCI_IMAGE_MEDIA_TYPE}","digest":"{DIGEST}","size":1}}"#);
        let Parsed::Image { config, layers, subject: Some(subject), .. } =
            parse(image(&subject).as_bytes(), OCI_IMAGE_MEDIA_TYPE).unwrap()
        else {
            panic!()
        };
        assert_eq!((config.size, subject.size), (2, 1));
        assert!(layers[0].is_foreign() && !config.is_foreign());
        assert_eq!(layers[0].urls, ["https://a/b"]);

        let platform = |text: &str| {
            format!(
                r#"{{"mediaType":"{OCI_IMAGE_MEDIA_TYPE}","digest":"{DIGEST}","size":9,"platform":{text}}}"#
            )
        };
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_IMAGE_INDEX_MEDIA_TYPE}","manifests":[{},{},{}],
            "subject":{{"mediaType":"x/y","digest":"{DIGEST}","size":4}}}}"#,
            platform(r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#),
            platform(r#"{"os":"unknown","architecture":"unknown"}"#),
            platform(r#"{"os":"a b","architecture":""}"#),
        );
        let Parsed::Index { manifests, subject: Some(subject), .. } =
            parse(index.as_bytes(), OCI_IMAGE_INDEX_MEDIA_TYPE).unwrap()
        else {
            panic!()
        };
        let platforms: Vec<_> =
            manifests.iter().map(|entry| entry.platform.as_ref().map(ToString::to_string)).collect();
        assert_eq!(platforms, [Some("linux/arm64/v8".to_owned()), Some("unknown/unknown".to_owned()), None]);
        assert_eq!(subject.size, 4);
    }

    #[test]
    fn refusals() {
        for (bytes, media_type, reason) in [
            (image(""), "application/vnd.oci.artifact.manifest.v1+json", "not supported"),
            (image("").replace("\"size\":2", "\"size\":-2"), OCI_IMAGE_MEDIA_TYPE, "-2 is not a size"),
            (image("").replace("sha256:", "sha512:"), OCI_IMAGE_MEDIA_TYPE, "sha512"),
            (
                image("").replace("\"schemaVersion\":2", "\"schemaVersion\":1"),
                OCI_IMAGE_MEDIA_TYPE,
                "schema version is 1",
            ),
            (
                image(&format!(r#","mediaType":"{OCI_IMAGE_INDEX_MEDIA_TYPE}""#)),
                OCI_IMAGE_MEDIA_TYPE,
                "calls itself",
            ),
            ("{".to_owned(), OCI_IMAGE_MEDIA_TYPE, "EOF"),
            (" ".repeat((MAX_MANIFEST + 1) as usize), OCI_IMAGE_MEDIA_TYPE, "larger than"),
        ] {
            let error = parse(bytes.as_bytes(), media_type).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn media_types() {
        for (bytes, content_type, expected) in [
            (
                image(""),
                Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
                OCI_IMAGE_MEDIA_TYPE,
            ),
            (image(""), Some("application/json"), OCI_IMAGE_MEDIA_TYPE),
            (
                image(&format!(r#","mediaType":"{IMAGE_MANIFEST_MEDIA_TYPE}""#)),
                None,
                IMAGE_MANIFEST_MEDIA_TYPE,
            ),
            (
                r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(),
                Some("text/plain"),
                OCI_IMAGE_INDEX_MEDIA_TYPE,
            ),
            (r#"{"schemaVersion":1}"#.to_owned(), None, SCHEMA1[0]),
        ] {
            assert_eq!(media_type(bytes.as_bytes(), content_type).unwrap(), expected);
        }
    }
}
