use std::collections::BTreeMap;
use std::io::Read as _;

use ferry_bundle::Bundle;
use ferry_model::Digest;
use ferry_model::catalog::{Encoding, Image};
use ferry_model::event::Events;
use ferry_model::failure::{Class, Failure as _};
use serde_json::{Value, json};

use super::*;
use crate::serve::testing::{Sample, noise};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// The usual sample, with one image more, `zstd:1`: a layer of gzip (twice) and one of zstd that holds `plain`, for which
/// its config lists `unpacked`.
fn bundle(folder: &std::path::Path, plain: &[u8], unpacked: Digest) -> Bundle {
    let mut sample = Sample::new();
    let zstd = sample.add("zstd", zstd::encode_all(plain, 3).unwrap(), Encoding::Stored);
    let gzip = sample.add("gzip", noise(100_001), Encoding::Stored);
    let ids = [gzip, unpacked, gzip];
    let config = json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}}).to_string();
    let config = sample.add("image-config", config.into_bytes(), Encoding::Zstd);
    let gzip_layer = json!({"mediaType": format!("{TAR}+gzip"), "digest": gzip, "size": 100_001});
    let layers =
        json!([gzip_layer, {"mediaType": format!("{TAR}+zstd"), "digest": zstd, "size": 1}, gzip_layer]);
    let manifest = json!({"config": {"digest": config}, "layers": layers}).to_string();
    let size = manifest.len() as u64;
    let digest = sample.add("image-manifest", manifest.into_bytes(), Encoding::Zstd);
    let like = sample.catalog.images[0].clone();
    let mut own = like.manifests[0].clone();
    (own.digest, own.size, own.blobs) = (digest, size, vec![config, gzip, zstd]);
    sample.catalog.images.push(Image {
        reference: "zstd:1".parse().unwrap(),
        repository: "library/zstd".into(),
        tag: Some("1".into()),
        digest,
        manifests: vec![own],
        attachments: vec![],
        ..like
    });
    sample.build(&folder.join("bundle"))
}

fn members(archive: &Archive) -> BTreeMap<String, Vec<u8>> {
    let mut bytes = Vec::new();
    archive.write(&mut bytes, &Events::none().start("", None)).unwrap();
    assert_eq!(bytes.len() as u64, archive.size());
    let mut again = Vec::new();
    archive.write(&mut again, &Events::none().start("", None)).unwrap();
    assert!(bytes == again, "the same image gives the same bytes");
    let read = |entry: Result<tar::Entry<'_, &[u8]>, _>| {
        let mut entry: tar::Entry<'_, _> = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    };
    tar::Archive::new(bytes.as_slice()).entries().unwrap().map(read).collect()
}

#[test]
fn docker_gets_each_layer_once_and_none_with_zstd() {
    let folder = tempfile::tempdir().unwrap();
    let plain = noise(700_000);
    let bundle = bundle(folder.path(), &plain, Digest::of(&plain));
    let image = find_image(bundle.catalog(), "zstd:1").unwrap();
    let archive = docker_archive(&bundle, image, None, &["here/zstd:1".into()]).unwrap();
    let members = members(&archive);
    let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["RepoTags"], json!(["here/zstd:1"]));
    let layers: Vec<_> =
        manifest[0]["Layers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(layers[0], layers[2]);
    assert!(members[layers[1]] == plain && members[layers[0]] == noise(100_001));
    assert!(members.contains_key(manifest[0]["Config"].as_str().unwrap()));
    assert_eq!(members.len(), 4);

    let mut rest = archive.open();
    let mut whole = Vec::new();
    while let Some(chunk) = rest.next_chunk().unwrap() {
        whole.extend_from_slice(&chunk);
    }
    for from in [0, 1, 511, 512, 200_000, whole.len() - 1, whole.len()] {
        let (mut reader, mut part) =
            (ferry_transfer::BlobSource::open(&archive, from as u64).unwrap(), Vec::new());
        while let Some(chunk) = reader.next_chunk().unwrap() {
            part.extend_from_slice(&chunk);
        }
        assert!(part == whole[from..], "from {from}");
    }
}

#[test]
fn a_layer_that_is_not_what_the_config_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path(), b"one", Digest::of(b"other"));
    let image = find_image(bundle.catalog(), "zstd:1").unwrap();
    let error = docker_archive(&bundle, image, None, &[]).unwrap_err();
    assert_eq!(error.class(), Class::Verification);
    assert!(error.to_string().contains(&Digest::of(b"other").to_string()), "{error}");
    // Its digest is what counts there, and that is right.
    let members = members(&oci_archive(&bundle, image, &Choice::Host, Some("zstd:1")).unwrap());
    let index: Value = serde_json::from_slice(&members["index.json"]).unwrap();
    assert_eq!(index["manifests"][0]["digest"], image.digest.to_string());
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "zstd:1");
    for (name, content) in
        members.iter().filter_map(|(name, content)| Some((name.strip_prefix("blobs/sha256/")?, content)))
    {
        assert_eq!(Digest::of(content).hex(), name);
    }
    assert_eq!(members.len(), 6);
}

#[test]
fn platforms_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path(), b"", Digest::of(b""));
    let image = find_image(bundle.catalog(), "zstd:1").unwrap();
    let error = docker_archive(&bundle, image, Some(&"linux/s390x".parse().unwrap()), &[]).unwrap_err();
    assert_eq!(error.to_string(), "docker.io/library/zstd:1 is not there for linux/s390x");
    assert!(error.hints()[0].contains("linux/amd64"), "{:?}", error.hints());
    // The sample's first image has a config without layers.
    let artifact = find_image(bundle.catalog(), "registry:2").unwrap();
    assert_eq!(docker_archive(&bundle, artifact, None, &[]).unwrap_err().class(), Class::Input);
}

#[test]
fn images_by_the_names_that_people_write() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle(folder.path(), b"", Digest::of(b""));
    let catalog = bundle.catalog();
    let digest = catalog.images[0].digest;
    for (name, expected) in [
        ("registry:2", "docker.io/library/registry:2"),
        ("docker.io/library/registry:2", "docker.io/library/registry:2"),
        ("library/registry:2", "docker.io/library/registry:2"),
        ("registry", "docker.io/library/registry:2"),
        ("library/registry", "docker.io/library/registry:2"),
        ("quay.io/team/app:v1", "quay.io/team/app:v1"),
        ("team/renamed/app:v1-site", "quay.io/team/app:v1"),
        (&format!("quay.io/team/app@{digest}"), "quay.io/team/app:v1"),
        (&digest.to_string(), "docker.io/library/registry:2"),
    ] {
        let found = find_image(catalog, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.reference.to_string(), expected, "{name}");
    }
    for name in ["registry:3", "team/app:v1", "regsitry:2", "", "zstd@x"] {
        let error = find_image(catalog, name).unwrap_err();
        assert_eq!(error.class(), Class::NotFound, "{name}");
    }
    let hints = find_image(catalog, "regsitry:2").unwrap_err().hints();
    assert!(hints[0].contains("docker.io/library/registry:2"), "{hints:?}");

    let mut catalog = catalog.clone();
    let mut other = catalog.images[0].clone();
    other.reference = "docker.io/library/registry:3".parse().unwrap();
    (other.tag, other.digest) = (Some("3".into()), Digest::of(b"other"));
    catalog.images.push(other);
    let error = find_image(&catalog, "registry").unwrap_err();
    assert!(error.hints()[0].contains("registry:2, docker.io/library/registry:3"), "{:?}", error.hints());
}
