//! What the tests of several modes share.

use std::collections::BTreeMap;

use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_model::plan::{Content, Desired};
use ferry_model::site::Site;
use serde_json::json;

use crate::Error;
use crate::desire::{Desire, Facts, desire};
use crate::site::SiteFile;

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// A bundle with the registry's own image.
pub(in crate::desire) fn catalog() -> Catalog {
    let blob = |name: &str| json!({"digest": digest(name), "size": 500, "offset": 0, "storedSize": 500, "encoding": "stored"});
    let manifest = json!({
        "digest": digest("registry"), "size": 500, "platform": "linux/amd64",
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "blobs": [digest("config"), digest("layer")],
    });
    let catalog = json!({
        "formatVersion": "1.0", "name": "demo", "version": "1.0.0", "lock": digest("lock"), "charts": [], "files": [],
        "images": [{"reference": "docker.io/library/registry:2", "repository": "library/registry", "tag": "2",
                    "digest": digest("registry"), "manifests": [manifest]}],
        "blobs": [blob("registry"), blob("config"), blob("layer")],
    });
    serde_json::from_value(catalog).unwrap()
}

/// What shall stand at a site with these sections.
pub(in crate::desire) fn desire_of(sections: &str) -> Result<Desire, Error> {
    desire_with(&catalog(), sections)
}

/// What shall stand there with this bundle.
pub(in crate::desire) fn desire_with(catalog: &Catalog, sections: &str) -> Result<Desire, Error> {
    let text = format!("apiVersion: ferry/v1\nkind: Site\nname: dc1\n{sections}");
    let site = Site::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let site = SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(&text) };
    let facts = Facts {
        program: "/usr/local/bin/ferry-installer".into(),
        bundle: "/media/usb/demo.ferry.tar.zst".into(),
        catalog: digest("catalog"),
        bundle_size: 1500,
        platform: "linux/amd64".parse().unwrap(),
        registry_program: None,
        certificate: None,
        product: ferry_model::site::Product::Auto,
        packages: std::collections::BTreeMap::new(),
        variables: std::collections::BTreeMap::new(),
        nodes: Vec::new(),
        virtual_nodes: Vec::new(),
        ingress: None,
    };
    desire(catalog, &site, &facts)
}

/// The texts of all files, by path.
pub(super) fn texts(desire: &Desire) -> BTreeMap<String, String> {
    let text = |desired: &Desired| match desired {
        Desired::File(file) => match &file.content {
            Content::Text { text } => Some((file.path.display().to_string(), text.clone())),
            _ => None,
        },
        _ => None,
    };
    desire.resources.iter().filter_map(|resource| text(&resource.desired)).collect()
}
