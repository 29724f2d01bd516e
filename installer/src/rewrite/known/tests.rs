//! What a bundle has of a name, for registries that take images for several platforms and for such that do not.

use ferry_model::Platform;
use ferry_model::catalog::Manifest;

use super::*;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn manifest(text: &str, platform: Option<&str>) -> Manifest {
    let platform: Option<Platform> = platform.map(|platform| platform.parse().unwrap());
    Manifest { digest: digest(text), size: 1, media_type: "m".into(), platform, blobs: Vec::new() }
}

/// `nginx:1` for two platforms, out of an index with more; `redis:7` for one; an image without a tag.
fn catalog() -> Catalog {
    let image = |reference: &str, tag: Option<&str>, manifests: Vec<Manifest>, source: Option<&str>| {
        let reference: ImageReference = reference.parse().unwrap();
        Image {
            repository: reference.repository().to_owned(),
            tag: tag.map(str::to_owned),
            digest: manifests.last().unwrap().digest,
            source_index: source.map(digest),
            manifests,
            attachments: Vec::new(),
            reference,
        }
    };
    let nginx = vec![
        manifest("amd", Some("linux/amd64")),
        manifest("arm", Some("linux/arm64")),
        manifest("both", None),
    ];
    let untagged = format!("quay.io/a/b@{}", digest("b"));
    Catalog {
        format_version: ferry_model::catalog::CATALOG_VERSION,
        name: "test".parse().unwrap(),
        version: "1".parse().unwrap(),
        lock: digest("lock"),
        missing: Vec::new(),
        images: vec![
            image("nginx:1", Some("1"), nginx, Some("all")),
            image("redis:7", Some("7"), vec![manifest("redis", Some("linux/amd64"))], None),
            image(&untagged, None, vec![manifest("b", Some("linux/amd64"))], None),
        ],
        charts: Vec::new(),
        files: Vec::new(),
        blobs: Vec::new(),
    }
}

fn known(registry: &str, lists: ManifestLists) -> Known {
    known_in(&catalog(), registry, lists)
}

/// Images of one platform, at a site that keeps their paths.
pub(in crate::rewrite) fn known_of(references: &[&str]) -> Known {
    let mut catalog = catalog();
    let platform = Some("linux/amd64");
    let template = catalog.images[1].clone();
    let image = |reference: &&str| {
        let name: ImageReference = reference.parse().unwrap();
        Image {
            repository: name.repository().to_owned(),
            tag: name.tag().map(str::to_owned),
            digest: digest(reference),
            manifests: vec![manifest(reference, platform)],
            reference: name,
            ..template.clone()
        }
    };
    catalog.images = references.iter().map(image).collect();
    known_in(&catalog, "", ManifestLists::Accepted)
}

fn known_in(catalog: &Catalog, registry: &str, lists: ManifestLists) -> Known {
    let site = Site::parse(&format!(
        "apiVersion: ferry/v1\nkind: Site\nname: dc\nregistry:\n  address: r.corp:5000\n  existing: {{}}\n{registry}"
    ));
    let site = site.unwrap();
    let platform = "linux/amd64".parse().unwrap();
    let registry = site.registry.as_ref().unwrap();
    let naming = Naming { registry, charts: &site.charts, lists, platform: &platform };
    Known::new(catalog, &naming, &site).unwrap()
}

fn seen(known: &Known, text: &str) -> String {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let slash = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[slash..].find(':') {
        Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
        None => (name, None),
    };
    match known.find(&Name::new(None, name, tag, digest).unwrap()) {
        Match::Held(target) => format!("held {}", shown(&target)),
        Match::Right(target) => format!("right {}", shown(&target)),
        Match::Foreign(_) => "foreign".to_owned(),
        Match::AnyTag { repository, tags } => format!("any {} {tags:?}", repository.unwrap_or_default()),
        Match::OtherTags(tags) => format!("other tags {tags:?}"),
        Match::OtherDigest(digest) => format!("other digest {}", name_of(digest)),
        Match::NotPushed(digest) => format!("not pushed {}", name_of(digest)),
        Match::Nothing => "nothing".to_owned(),
    }
}

fn name_of(wanted: Digest) -> &'static str {
    ["amd", "arm", "both", "all", "redis", "b"].into_iter().find(|name| digest(name) == wanted).unwrap_or("?")
}

fn shown(target: &Target) -> String {
    let tag = target.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
    let digest = target.digest.map_or_else(String::new, |digest| format!("@{}", name_of(digest)));
    format!("{}{tag}{digest} = {}", target.repository, target.resolves.map_or("-", name_of))
}

fn with(name: &str, content: &str) -> String {
    format!("{name}@{}", digest(content))
}

#[test]
fn names_of_the_world_and_of_the_site() {
    let known = known("", ManifestLists::Accepted);
    for (text, expected) in [
        ("nginx:1".to_owned(), "held library/nginx:1 = both"),
        ("docker.io/library/nginx:1".to_owned(), "held library/nginx:1 = both"),
        ("index.docker.io/nginx:1".to_owned(), "held library/nginx:1 = both"),
        ("nginx:2".to_owned(), "other tags [\"1\"]"),
        ("nginx".to_owned(), "any library/nginx [\"1\"]"),
        ("quay.io/nginx:1".to_owned(), "nothing"),
        (with("nginx:1", "both"), "held library/nginx:1@both = both"),
        (with("nginx", "arm"), "held library/nginx@arm = arm"),
        (with("nginx:1", "all"), "held library/nginx:1@both = both"),
        (with("nginx:other", "both"), "held library/nginx:1@both = both"),
        (with("nginx:1", "unknown"), "other digest both"),
        (with("quay.io/a/b", "b"), "held a/b@b = b"),
        ("r.corp:5000/library/nginx:1".to_owned(), "right library/nginx:1 = both"),
        (with("r.corp:5000/library/nginx:1", "arm"), "right library/nginx:1@arm = arm"),
        (with("r.corp:5000/library/nginx:1", "all"), "foreign"),
        ("r.corp:5000/nginx:1".to_owned(), "foreign"),
        ("r.corp:5000/library/nginx:2".to_owned(), "foreign"),
    ] {
        assert_eq!(seen(&known, &text), expected, "{text}");
    }
    assert_eq!(
        (known.count_from("docker.io"), known.count_from("docker.io/library"), known.count_from("docker")),
        (2, 2, 0)
    );
}

#[test]
fn where_lists_are_refused_one_platform_stands_for_all() {
    let known = known("", ManifestLists::Refused);
    for (text, expected) in [
        ("nginx:1".to_owned(), "held library/nginx:1 = amd"),
        (with("nginx:1", "both"), "held library/nginx:1@amd = amd"),
        (with("nginx:1", "all"), "held library/nginx:1@amd = amd"),
        (with("nginx:1", "amd"), "held library/nginx:1@amd = amd"),
        (with("nginx:1", "arm"), "not pushed arm"),
        (with("r.corp:5000/library/nginx:1", "both"), "foreign"),
        (with("r.corp:5000/library/nginx:1", "amd"), "right library/nginx:1@amd = amd"),
    ] {
        assert_eq!(seen(&known, &text), expected, "{text}");
    }
}

#[test]
fn paths_and_names_of_the_site() {
    let prefixed =
        known("  prefix: mirror\n  names: {\"nginx:1\": base/web:stable}\n", ManifestLists::Accepted);
    for (text, expected) in [
        ("redis:7", "held mirror/library/redis:7 = redis"),
        ("nginx:1", "held base/web:stable = both"),
        ("nginx", "any  [\"1\"]"),
        ("r.corp:5000/base/web:stable", "right base/web:stable = both"),
        ("r.corp:5000/library/redis:7", "foreign"),
    ] {
        assert_eq!(seen(&prefixed, text), expected, "{text}");
    }
    assert_eq!(
        (prefixed.prefix(), known("  flatten: true\n", ManifestLists::Accepted).prefix()),
        (Some("mirror"), None)
    );
}
