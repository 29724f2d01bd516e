//! Images out of layers: configs, manifests, indexes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ferry_model::Digest;
use serde_json::{Value, json};

use super::Layer;

/// Whose media types an image uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `application/vnd.oci.image.…`
    Oci,
    /// `application/vnd.docker.distribution.…`, schema 2.
    Docker,
}

impl Dialect {
    fn manifest(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    fn layer(self, layer: &Layer) -> &'static str {
        match (self, layer.is_gzip) {
            (Self::Oci, true) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Oci, false) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Docker, true) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Self::Docker, false) => "application/vnd.docker.image.rootfs.diff.tar",
        }
    }
}

/// What a single-platform image is called and looks like.
#[derive(Clone, Copy, Debug)]
pub struct ImageSetup<'a> {
    /// Its repository.
    pub repository: &'a str,
    /// Its tag.
    pub tag: &'a str,
    /// Whose media types it uses.
    pub dialect: Dialect,
    /// `os/architecture`.
    pub platform: &'a str,
}

/// A manifest or an index.
#[derive(Clone, Debug)]
pub struct Document {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Document {
    pub(crate) fn new(media_type: &'static str, value: &Value) -> Self {
        let bytes = Bytes::from(value.to_string());
        Self { digest: Digest::of(&bytes), media_type, bytes }
    }
}

/// An image with all its content.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its repository.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// The digest that the tag names.
    pub root: Digest,
    /// Manifests, children before parents; the last is `root`.
    pub documents: Vec<Document>,
    /// Configs and layers.
    pub blobs: BTreeMap<Digest, Bytes>,
    /// The layers of the first platform, lowest first.
    pub layers: Vec<Arc<Layer>>,
    /// The config of the first platform.
    pub config: Bytes,
}

impl Image {
    /// An image for one platform.
    pub fn single(setup: &ImageSetup<'_>, layers: &[Arc<Layer>]) -> Self {
        let (os, architecture) = setup.platform.split_once('/').expect("a platform is os/architecture");
        let config = Bytes::from(
            json!({
                "architecture": architecture,
                "os": os,
                "created": "2024-01-01T00:00:00Z",
                "config": {"Env": ["PATH=/usr/bin"], "Cmd": ["/etc"], "Labels": {"sample": setup.repository}},
                "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>()},
                "history": layers.iter().map(|_| json!({"created": "2024-01-01T00:00:00Z", "created_by": "samples"})).collect::<Vec<_>>(),
            })
            .to_string(),
        );
        let layer_descriptor = |layer: &Arc<Layer>| {
            json!({
                "mediaType": setup.dialect.layer(layer),
                "digest": layer.digest,
                "size": layer.bytes.len(),
            })
        };
        let manifest = Document::new(
            setup.dialect.manifest(),
            &json!({
                "schemaVersion": 2,
                "mediaType": setup.dialect.manifest(),
                "config": {"mediaType": setup.dialect.config(), "digest": Digest::of(&config), "size": config.len()},
                "layers": layers.iter().map(layer_descriptor).collect::<Vec<_>>(),
            }),
        );
        let mut blobs: BTreeMap<_, _> =
            layers.iter().map(|layer| (layer.digest, layer.bytes.clone())).collect();
        blobs.insert(Digest::of(&config), config.clone());
        Self {
            repository: setup.repository.to_owned(),
            tag: setup.tag.to_owned(),
            root: manifest.digest,
            documents: vec![manifest],
            blobs,
            layers: layers.to_vec(),
            config,
        }
    }

    /// An OCI index over one image per platform.
    pub fn index(repository: &str, tag: &str, platforms: &[(&str, Vec<Arc<Layer>>)]) -> Self {
        let children: Vec<_> = platforms
            .iter()
            .map(|(platform, layers)| {
                Self::single(&ImageSetup { repository, tag, dialect: Dialect::Oci, platform }, layers)
            })
            .collect();
        let descriptors: Vec<_> = platforms
            .iter()
            .zip(&children)
            .map(|((platform, _), child)| {
                let (os, architecture) = platform.split_once('/').expect("a platform is os/architecture");
                let document = &child.documents[0];
                json!({
                    "mediaType": document.media_type,
                    "digest": document.digest,
                    "size": document.bytes.len(),
                    "platform": {"os": os, "architecture": architecture},
                })
            })
            .collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = Document::new(
            media_type,
            &json!({"schemaVersion": 2, "mediaType": media_type, "manifests": descriptors}),
        );
        let first = children.first().expect("an index has platforms").clone();
        let mut documents: Vec<_> = children.iter().flat_map(|child| child.documents.clone()).collect();
        documents.push(index.clone());
        Self {
            root: index.digest,
            documents,
            blobs: children.into_iter().flat_map(|child| child.blobs).collect(),
            ..first
        }
    }

    /// An artifact about `subject`, such as a signature, to be found among its referrers.
    pub fn referrer(repository: &str, subject: &Document, artifact_type: &str, content: &[u8]) -> Self {
        let blob = Bytes::copy_from_slice(content);
        let empty = Bytes::from_static(b"{}");
        let media_type = Dialect::Oci.manifest();
        let manifest = Document::new(
            media_type,
            &json!({
                "schemaVersion": 2,
                "mediaType": media_type,
                "artifactType": artifact_type,
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(&empty), "size": 2},
                "layers": [{"mediaType": "application/octet-stream", "digest": Digest::of(&blob), "size": blob.len()}],
                "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.bytes.len()},
            }),
        );
        Self {
            repository: repository.to_owned(),
            tag: String::new(),
            root: manifest.digest,
            documents: vec![manifest],
            blobs: [(Digest::of(&blob), blob), (Digest::of(&empty), empty.clone())].into(),
            layers: Vec::new(),
            config: empty,
        }
    }

    /// The index of one referrer, under the tag by which registries without the referrers API are asked, together
    /// with the referrer itself.
    pub fn referrers_index(repository: &str, tag: &str, referrer: &Image) -> Self {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let document = referrer.root_document();
        let index = Document::new(
            media_type,
            &json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [{
                "mediaType": document.media_type,
                "digest": document.digest,
                "size": document.bytes.len(),
            }]}),
        );
        Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            root: index.digest,
            documents: vec![document.clone(), index],
            ..referrer.clone()
        }
    }

    /// The same image under another name.
    #[must_use]
    pub fn named(&self, repository: &str, tag: &str) -> Self {
        Self { repository: repository.to_owned(), tag: tag.to_owned(), ..self.clone() }
    }

    /// The document that the tag names.
    pub fn root_document(&self) -> &Document {
        self.documents.last().expect("an image has a manifest")
    }

    /// `repository:tag`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// All bytes, each blob and manifest once.
    pub fn size(&self) -> u64 {
        let documents = self.documents.iter().map(|document| document.bytes.len());
        documents.chain(self.blobs.values().map(Bytes::len)).sum::<usize>() as u64
    }
}
