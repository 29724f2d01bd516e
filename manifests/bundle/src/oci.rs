//! The OCI index of a bundle: what makes the extracted archive an image layout that skopeo, oras and crane read.

use ferry_model::Digest;
use ferry_model::catalog::{Catalog, Manifest};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

/// `index.json`, made from the catalog alone. Names stand in `org.opencontainers.image.ref.name`, as skopeo's `oci:`
/// transport looks them up, and in `io.containerd.image.name`, as `ctr images import` does.
pub fn oci_index(catalog: &Catalog) -> Vec<u8> {
    let mut manifests = Vec::new();
    for image in &catalog.images {
        manifests.extend(image.root().map(|root| descriptor(root, Some(image.reference.to_string()))));
        for attachment in &image.attachments {
            let name = attachment.tag.as_ref().map(|tag| format!("{}:{tag}", image.reference.name()));
            let root = attachment.manifests.iter().find(|manifest| manifest.digest == attachment.digest);
            manifests.extend(root.map(|root| descriptor(root, name)));
        }
    }
    for chart in &catalog.charts {
        manifests.push(descriptor(&chart.manifest, Some(format!("{}:{}", chart.repository, chart.tag))));
    }
    let index = Index { schema_version: 2, media_type: "application/vnd.oci.image.index.v1+json", manifests };
    serde_json::to_vec(&index).expect("an index has only strings and numbers")
}

fn descriptor(manifest: &Manifest, name: Option<String>) -> Descriptor<'_> {
    let mut annotations = BTreeMap::new();
    if let Some(name) = name {
        annotations.insert("io.containerd.image.name", name.clone());
        annotations.insert("org.opencontainers.image.ref.name", name);
    }
    Descriptor { media_type: &manifest.media_type, digest: manifest.digest, size: manifest.size, annotations }
}
