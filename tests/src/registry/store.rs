//! What a registry holds, in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use bytes::Bytes;
use ferry_model::Digest;
use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Store {
    content: BTreeMap<Digest, Bytes>,
    repositories: BTreeMap<String, Repository>,
    uploads: HashMap<String, Vec<u8>>,
    next_upload: u64,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeSet<Digest>,
    manifests: BTreeMap<Digest, String>,
    tags: BTreeMap<String, Digest>,
}

impl Store {
    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(super) fn put_blob(&mut self, repository: &str, digest: Digest, bytes: Bytes) {
        self.content.insert(digest, bytes);
        self.repository(repository).blobs.insert(digest);
    }

    pub(super) fn put_manifest(&mut self, repository: &str, digest: Digest, media_type: &str, bytes: Bytes) {
        self.content.insert(digest, bytes);
        self.repository(repository).manifests.insert(digest, media_type.to_owned());
    }

    /// Whether it was there. Tags that name it go with it.
    pub(super) fn delete_manifest(&mut self, repository: &str, digest: Digest) -> bool {
        let held = self.repository(repository);
        held.tags.retain(|_, named| *named != digest);
        held.manifests.remove(&digest).is_some()
    }

    pub(super) fn put_tag(&mut self, repository: &str, tag: &str, digest: Digest) {
        self.repository(repository).tags.insert(tag.to_owned(), digest);
    }

    pub(super) fn replace(&mut self, digest: Digest, bytes: Bytes) {
        self.content.insert(digest, bytes);
    }

    pub(super) fn tag(&self, repository: &str, tag: &str) -> Option<Digest> {
        self.repositories.get(repository)?.tags.get(tag).copied()
    }

    pub(super) fn blob(&self, repository: &str, digest: Digest) -> Option<Bytes> {
        let known = self.repositories.get(repository)?.blobs.contains(&digest);
        known.then(|| self.content.get(&digest).cloned()).flatten()
    }

    /// A manifest by tag or digest, with its media type.
    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<(Digest, String, Bytes)> {
        let held = self.repositories.get(repository)?;
        let digest = reference.parse().ok().or_else(|| held.tags.get(reference).copied())?;
        Some((digest, held.manifests.get(&digest)?.clone(), self.content.get(&digest)?.clone()))
    }

    /// What a manifest names and this repository lacks.
    pub(super) fn lacking(&self, repository: &str, manifest: &Value) -> Vec<String> {
        let held = self.repositories.get(repository);
        let digest = |value: &Value| value["digest"].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
        let has_blob = |text: &str| {
            text.parse().is_ok_and(|digest| held.is_some_and(|held| held.blobs.contains(&digest)))
        };
        let has_manifest = |text: &str| {
            text.parse().is_ok_and(|digest| held.is_some_and(|held| held.manifests.contains_key(&digest)))
        };
        let config = manifest.get("config").map(digest);
        let layers = list("layers");
        let blobs = layers.iter().map(digest).chain(config).filter(|text| !has_blob(text));
        let children = list("manifests");
        let manifests = children.iter().map(digest).filter(|text| !has_manifest(text));
        blobs.chain(manifests).collect()
    }

    pub(super) fn mount(&mut self, repository: &str, digest: Digest, from: &str) -> bool {
        let known = self.repositories.get(from).is_some_and(|from| from.blobs.contains(&digest));
        if known {
            self.repository(repository).blobs.insert(digest);
        }
        known
    }

    pub(super) fn tags(&self, repository: &str) -> Option<Vec<&String>> {
        self.repositories.get(repository).map(|held| held.tags.keys().collect())
    }

    pub(super) fn names(&self) -> Vec<&String> {
        self.repositories.keys().collect()
    }

    /// Manifests whose `subject` is `digest`, as descriptors.
    pub(super) fn referrers(&self, repository: &str, digest: &str) -> Vec<Value> {
        let Some(held) = self.repositories.get(repository) else { return Vec::new() };
        let about = |(found, media_type): (&Digest, &String)| {
            let bytes = self.content.get(found)?;
            let manifest: Value = serde_json::from_slice(bytes).ok()?;
            (manifest["subject"]["digest"] == digest).then(|| {
                serde_json::json!({
                    "mediaType": media_type, "digest": found, "size": bytes.len(),
                    "artifactType": manifest["artifactType"],
                })
            })
        };
        held.manifests.iter().filter_map(about).collect()
    }

    pub(super) fn begin_upload(&mut self) -> String {
        self.next_upload += 1;
        let id = format!("upload-{}", self.next_upload);
        self.uploads.insert(id.clone(), Vec::new());
        id
    }

    pub(super) fn upload(&mut self, id: &str) -> Option<&mut Vec<u8>> {
        self.uploads.get_mut(id)
    }

    pub(super) fn end_upload(&mut self, id: &str) -> Option<Vec<u8>> {
        self.uploads.remove(id)
    }

    pub(super) fn content(&self) -> String {
        let mut text = String::new();
        for (name, held) in &self.repositories {
            for blob in &held.blobs {
                let _ = writeln!(text, "{name} blob {blob}");
            }
            for (manifest, media_type) in &held.manifests {
                let _ = writeln!(text, "{name} manifest {manifest} {media_type}");
            }
            for (tag, digest) in &held.tags {
                let _ = writeln!(text, "{name} tag {tag} {digest}");
            }
        }
        text
    }
}
