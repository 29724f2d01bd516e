use std::time::Duration;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::event::Task;
use std::sync::Arc;

use crate::{BlobSource, Descriptor, Error, PushedManifest, Resume, Sink};

/// A repository of a registry. Cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct Repository {}

/// A manifest as a registry gave it, checked against the digest that it was asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: String,
    /// The digest of `bytes`.
    pub digest: Digest,
}

/// How many pulls a registry still allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Pulls in one window.
    pub limit: u64,
    /// Pulls left in this one.
    pub remaining: u64,
    /// How long a window is.
    pub window: Duration,
}

impl Repository {
    /// What a tag or digest resolves to; `None` where there is no such manifest.
    pub async fn head(&self, reference: &str) -> Result<Option<Descriptor>, Error> {
        todo!()
    }
    /// The manifest under a tag or digest.
    pub async fn manifest(&self, reference: &str) -> Result<RawManifest, Error> {
        todo!()
    }
    /// The size of a blob; `None` where the repository does not have it.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        todo!()
    }
    /// Streams a blob into `sink`, going on from `resume`.
    pub async fn fetch_blob(
        &self,
        digest: &Digest,
        size: Option<u64>,
        resume: Resume,
        sink: &mut dyn Sink,
        task: &Task,
    ) -> Result<(Digest, u64), Error> {
        todo!()
    }
    /// A small blob (an image's config) as a whole.
    pub async fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Bytes, Error> {
        todo!()
    }
    /// All tags.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        todo!()
    }
    /// Artifacts about the manifest `digest`: from the referrers API, or from its tag where there is no such API.
    pub async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
        todo!()
    }
    /// How many pulls the registry still allows, where it says so. Costs none.
    pub async fn pull_quota(&self, reference: &str) -> Result<Option<Quota>, Error> {
        todo!()
    }
    /// Makes a blob of the repository `from`, of the same registry, one of this repository's too. `false` where the
    /// registry would rather have it uploaded.
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, Error> {
        todo!()
    }
    /// Uploads a blob.
    pub async fn upload_blob(
        &self,
        digest: &Digest,
        size: u64,
        source: Arc<dyn BlobSource>,
        task: &Task,
    ) -> Result<(), Error> {
        todo!()
    }
    /// Uploads a manifest under a tag or its digest.
    pub async fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<PushedManifest, Error> {
        todo!()
    }
}
