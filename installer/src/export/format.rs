//! The two formats.

use std::collections::HashSet;
use std::io::Write;

use ferry_bundle::Bundle;
use ferry_model::catalog::{Image, Manifest};
use ferry_model::event::Events;
use ferry_model::{Digest, Platform};
use serde_json::json;

use super::ExportError;
use super::archive::{Archive, Member};
use super::contents::{self, Choice, choose};

/// What `docker load` takes, from docker 1.10 on: the config, the layers, and `manifest.json`, which names them. Layers
/// are as they were pushed; only those with zstd, which older dockers do not know, are unpacked.
///
/// `repo_tags` are the names that the image gets: `registry:2`. With none it has only its id. Unpacks zstd layers once
/// to learn their size, so this may take its time.
pub fn docker_archive(
    bundle: &Bundle,
    image: &Image,
    platform: Option<&Platform>,
    repo_tags: &[String],
) -> Result<Archive, ExportError> {
    let contents = contents::read(bundle, image, choose(image, platform)?)?;
    let (config, config_bytes) = contents.config;
    let config_name = format!("{}.json", config.hex());
    let mut members = vec![Member::bytes(&config_name, config_bytes)];
    let (mut layer_names, mut seen) = (Vec::new(), HashSet::new());
    for (layer, unpacked) in &contents.layers {
        let name = format!("{}.tar", layer.digest.hex());
        if seen.insert(layer.digest) {
            members.push(if layer.media_type.ends_with("zstd") {
                Member::unpacked(&name, bundle, layer.digest, *unpacked)?
            } else {
                Member::blob(&name, bundle, layer.digest)?
            });
        }
        layer_names.push(name);
    }
    let manifest = json!([{"Config": config_name, "RepoTags": repo_tags, "Layers": layer_names}]);
    members.push(Member::bytes("manifest.json", manifest.to_string().into_bytes()));
    Ok(Archive::new(bundle, members))
}

/// Writes what [`docker_archive`] makes.
pub fn write_docker_archive(
    bundle: &Bundle,
    image: &Image,
    platform: Option<&Platform>,
    repo_tags: &[String],
    out: &mut impl Write,
) -> Result<(), ExportError> {
    let archive = docker_archive(bundle, image, platform, repo_tags)?;
    archive.write(out, &Events::none().start("archive", None))
}

/// An OCI image layout in an archive: every blob as it is, so that the image's digest stays. It gets `name`, where one
/// is given.
pub fn oci_archive(
    bundle: &Bundle,
    image: &Image,
    choice: &Choice,
    name: Option<&str>,
) -> Result<Archive, ExportError> {
    let (root, manifests) = match choice {
        Choice::Host => one(choose(image, None)?),
        Choice::Platform(platform) => one(choose(image, Some(platform))?),
        Choice::All => {
            let root = image.root().expect("each image has its root manifest");
            (root, image.manifests.iter().collect::<Vec<_>>())
        }
    };
    let mut descriptor = json!({"mediaType": root.media_type, "digest": root.digest, "size": root.size});
    if let Some(name) = name {
        // The one is skopeo's, the other containerd's.
        descriptor["annotations"] = json!({
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name,
        });
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor],
    });
    let marker = ferry_bundle::layout::OCI_LAYOUT_CONTENT.to_vec();
    let mut members = vec![
        Member::bytes("oci-layout", marker),
        Member::bytes("index.json", index.to_string().into_bytes()),
    ];
    let mut seen = HashSet::new();
    let blobs =
        manifests.iter().flat_map(|manifest| std::iter::once(&manifest.digest).chain(&manifest.blobs));
    for digest in blobs.filter(|digest| seen.insert(**digest)) {
        members.push(Member::blob(blob_name(digest), bundle, *digest)?);
    }
    Ok(Archive::new(bundle, members))
}

fn one(manifest: &Manifest) -> (&Manifest, Vec<&Manifest>) {
    (manifest, vec![manifest])
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
