//! The room that a site's registry takes on this machine, from the bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ferry_model::Digest;
use ferry_model::catalog::{Catalog, Manifest};
use ferry_model::plan::Space;
use ferry_model::site::{Mode, Registry};

/// Configuration, certificates, and the registry's own program where that is taken out of its image.
const OWN_FILES: u64 = 64 << 20;

/// The room that `registry` will take on this machine, less what its storage holds already. Relative paths begin at
/// `folder`, which is the site file's.
pub fn needs(catalog: &Catalog, registry: &Registry, folder: &Path) -> Vec<Space> {
    let own = || Space::new(folder.join(&registry.folder), OWN_FILES);
    match &registry.mode {
        Mode::Docker(docker) => vec![own(), registry_space(catalog, &folder.join(&docker.storage))],
        Mode::Systemd(systemd) => vec![own(), registry_space(catalog, &folder.join(&systemd.storage))],
        // What it will cache nobody knows; it needs a place for it.
        Mode::Proxy(proxy) => vec![own(), Space::new(folder.join(&proxy.storage), 0)],
        Mode::Serve(_) => vec![own()],
        Mode::Existing(_) | Mode::Kubernetes(_) | Mode::Marathon(_) => Vec::new(),
    }
}

/// The room that the bundle's images and charts will take in a registry's storage folder, less what that holds already.
pub fn registry_space(catalog: &Catalog, storage: &Path) -> Space {
    let wanted = registry_blobs(catalog);
    let blobs = catalog.blobs.iter().filter(|blob| wanted.contains(&blob.digest));
    let missing = blobs.filter(|blob| {
        let hex = blob.digest.hex();
        !storage.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])).exists()
    });
    Space::new(storage, missing.map(|blob| blob.size).sum())
}

/// Every manifest that goes into a registry, with its repository in the bundle.
fn manifests(catalog: &Catalog) -> impl Iterator<Item = (&str, &Manifest)> {
    catalog
        .images
        .iter()
        .flat_map(|image| image.all_manifests().map(|manifest| (image.repository.as_str(), manifest)))
        .chain(catalog.charts.iter().map(|chart| (chart.repository.as_str(), &chart.manifest)))
}

/// The blobs that go into a registry, manifests too.
pub(super) fn registry_blobs(catalog: &Catalog) -> BTreeSet<Digest> {
    manifests(catalog)
        .flat_map(|(_, manifest)| manifest.blobs.iter().copied().chain([manifest.digest]))
        .collect()
}

/// Bytes of all that goes into a registry.
pub(super) fn registry_bytes(catalog: &Catalog) -> u64 {
    let wanted = registry_blobs(catalog);
    catalog.blobs.iter().filter(|blob| wanted.contains(&blob.digest)).map(|blob| blob.size).sum()
}

/// Files and folders that `registry:2` makes of the bundle: for each blob a folder and its data; in each repository a
/// folder and a link for each blob and each manifest, and the same twice again for a tag.
pub(super) fn registry_files(catalog: &Catalog) -> u64 {
    let mut repositories: BTreeMap<&str, (BTreeSet<Digest>, BTreeSet<Digest>)> = BTreeMap::new();
    for (repository, manifest) in manifests(catalog) {
        let (layers, revisions) = repositories.entry(repository).or_default();
        layers.extend(&manifest.blobs);
        revisions.insert(manifest.digest);
    }
    let tags = catalog.images.len() + catalog.charts.len();
    let blobs = registry_blobs(catalog).len();
    let within: usize =
        repositories.values().map(|(layers, revisions)| 8 + 2 * (layers.len() + revisions.len())).sum();
    // Blobs lie below folders by the first two digits of their digest.
    (blobs * 2 + blobs.min(256) + within + tags * 6) as u64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ferry_model::catalog::{Blob, CATALOG_VERSION, Encoding, Image};
    use ferry_model::site::Site;

    pub(in super::super) fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    /// Two images that share a layer, and a file. Sizes in bytes: manifests 100, layers 1000, 3000 and 20,000,000,000,
    /// the file 5000.
    pub(in super::super) fn catalog() -> Catalog {
        let manifest = |name: &str, blobs: &[&str]| Manifest {
            digest: digest(name),
            size: 100,
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            platform: None,
            blobs: blobs.iter().map(|name| digest(name)).collect(),
        };
        let image = |reference: &str, repository: &str, manifest: Manifest| Image {
            reference: reference.parse().unwrap(),
            repository: repository.into(),
            tag: Some("1".into()),
            digest: manifest.digest,
            source_index: None,
            manifests: vec![manifest],
            attachments: Vec::new(),
        };
        let sizes = [("a", 100), ("b", 100), ("small", 1000), ("shared", 3000), ("huge", 20_000_000_000)];
        let blob = |(name, size): &(&str, u64)| Blob {
            digest: digest(name),
            size: *size,
            offset: 0,
            stored_size: *size,
            encoding: Encoding::Stored,
        };
        Catalog {
            format_version: CATALOG_VERSION,
            name: "sample".parse().unwrap(),
            version: "1".parse().unwrap(),
            lock: digest("lock"),
            missing: Vec::new(),
            images: vec![
                image("docker.io/team/a:1", "team/a", manifest("a", &["small", "shared"])),
                image("docker.io/team/b:1", "team/b", manifest("b", &["shared", "huge"])),
            ],
            charts: Vec::new(),
            files: Vec::new(),
            blobs: sizes.iter().chain(&[("file", 5000)]).map(blob).collect(),
        }
    }

    fn registry(section: &str) -> Registry {
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc\nregistry:\n  address: r:5000\n  {section}\n"
        );
        Site::parse(&text).unwrap().registry.unwrap()
    }

    #[test]
    fn shared_layers_count_once() {
        assert_eq!(registry_bytes(&catalog()), 20_000_004_200);
        // 5 blobs in 5 folders, two repositories of 3 links each, two tags.
        assert_eq!(registry_files(&catalog()), 5 * 2 + 5 + 2 * (8 + 2 * 3) + 2 * 6);
    }

    #[test]
    fn modes_keep_what_they_keep() {
        let folder = tempfile::tempdir().unwrap();
        let at = |section: &str| needs(&catalog(), &registry(section), folder.path());
        for section in ["existing: {}", "kubernetes: {storage: {size: 1GiB}}"] {
            assert!(at(section).is_empty(), "{section}");
        }
        assert_eq!(at("serve: {}")[0].folder, Path::new("/etc/ferry/registry"));
        let systemd = "systemd: {storage: kept}";
        let kept = folder.path().join("kept");
        assert_eq!(at(systemd)[1], Space::new(&kept, 20_000_004_200));
        let hex = digest("huge").hex();
        let there = kept.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]));
        std::fs::create_dir_all(&there).unwrap();
        std::fs::write(there.join("data"), "").unwrap();
        assert_eq!(at(systemd)[1].bytes, 4200);
    }
}
