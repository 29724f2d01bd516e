//! What `docker` and `proxy` make of a site file.

use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_model::plan::{Container, Content, DaemonImage, Desired, File, Opening, ResourceId};
use ferry_model::site::Site;
use serde_json::json;

use crate::Error;
use crate::desire::{Desire, Facts, desire};
use crate::site::SiteFile;

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// The registry's image for two platforms.
fn catalog() -> Catalog {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = |name: &str, platform: &str| {
        let blobs = [digest(&format!("config of {name}")), digest(&format!("layer of {name}"))];
        json!({"digest": digest(name), "size": 500, "mediaType": media_type, "platform": platform, "blobs": blobs})
    };
    let index = json!({"digest": digest("index"), "size": 500, "mediaType": "application/vnd.oci.image.index.v1+json"});
    let blob = |name: &str, size: u64| json!({"digest": digest(name), "size": size, "offset": 0, "storedSize": size, "encoding": "stored"});
    let catalog = json!({
        "formatVersion": "1.0", "name": "demo", "version": "1", "lock": digest("lock"), "charts": [], "files": [],
        "images": [{
            "reference": "docker.io/library/registry:2", "repository": "library/registry", "tag": "2", "digest": digest("index"),
            "manifests": [manifest("amd64", "linux/amd64"), manifest("arm64", "linux/arm64"), index],
        }],
        "blobs": [
            blob("config of amd64", 3), blob("layer of amd64", 40), blob("config of arm64", 5), blob("layer of arm64", 600),
        ],
    });
    serde_json::from_value(catalog).unwrap()
}

fn try_desire(registry: &str, platform: &str) -> Result<Desire, Error> {
    let text = format!(
        "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n  address: registry.corp:5443\n{registry}"
    );
    let site = Site::parse(&text).unwrap();
    let site = SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(&text) };
    let facts = Facts {
        program: "/usr/local/bin/ferry-installer".into(),
        bundle: "/bundle".into(),
        catalog: digest("catalog"),
        bundle_size: 1,
        platform: platform.parse().unwrap(),
        registry_program: None,
        certificate: None,
        product: ferry_model::site::Product::Auto,
        packages: std::collections::BTreeMap::new(),
        variables: std::collections::BTreeMap::new(),
        nodes: Vec::new(),
        virtual_nodes: Vec::new(),
        ingress: None,
    };
    desire(&catalog(), &site, &facts)
}

fn desired(registry: &str) -> Desire {
    try_desire(registry, "linux/amd64").unwrap()
}

fn container(desire: &Desire) -> &Container {
    let found = desire.resources.iter().find_map(|resource| match &resource.desired {
        Desired::Container(container) => Some(container),
        _ => None,
    });
    found.unwrap()
}

fn daemon_image(desire: &Desire) -> &DaemonImage {
    let found = desire.resources.iter().find_map(|resource| match &resource.desired {
        Desired::DaemonImage(image) => Some(image),
        _ => None,
    });
    found.unwrap()
}

fn config(desire: &Desire) -> &str {
    let found = desire.resources.iter().find_map(|resource| match &resource.desired {
        Desired::File(File { path, content: Content::Text { text }, .. }) if path.ends_with("config.yml") => {
            Some(text.as_str())
        }
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_container_sees_its_own_files_and_no_key_of_the_authority() {
    let desire = desired("  login: {user: ferry, password: {env: PASSWORD}}\n  docker: {listen: 10.0.0.5}\n");
    let container = container(&desire);
    assert_eq!(
        container.binds,
        [
            "/var/lib/ferry/registry:/var/lib/registry",
            "/etc/ferry/registry/config.yml:/etc/ferry/config.yml:ro",
            "/etc/ferry/registry/tls/server.crt:/etc/ferry/tls/server.crt:ro",
            "/etc/ferry/registry/tls/server.key:/etc/ferry/tls/server.key:ro",
            "/etc/ferry/registry/htpasswd:/etc/ferry/htpasswd:ro",
        ]
    );
    assert_eq!(container.command, ["serve", "/etc/ferry/config.yml"]);
    let address = "10.0.0.5".parse().ok();
    assert_eq!(container.opening, Opening::Published { address, port: 5443, to: 5000 });
    let config = config(&desire);
    for line in ["addr: \":5000\"", "rootdirectory: /var/lib/registry", "path: /etc/ferry/htpasswd"] {
        assert!(config.contains(line), "{line} is not in {config}");
    }
    assert_eq!(desire.space.len(), 1);
    assert_eq!(desire.space[0].bytes, 648);
}

#[test]
fn everything_is_there_before_the_container_which_takes_up_what_it_reads() {
    let desire = desired("  login: {user: ferry, password: {env: PASSWORD}}\n  docker: {}\n");
    let mut known: Vec<ResourceId> = Vec::new();
    for resource in &desire.resources {
        assert!(resource.needs.iter().all(|need| known.contains(need)), "{} comes too early", resource.id());
        known.push(resource.id());
    }
    let id = ResourceId::new("container", "ferry-registry");
    let container = desire.resources.iter().find(|resource| resource.id() == id).unwrap();
    for followed in [
        "file /etc/ferry/registry/config.yml",
        "file /etc/ferry/registry/htpasswd",
        "certificates /etc/ferry/registry/tls",
        "daemon-image registry.corp:5443/library/registry:2",
    ] {
        assert!(container.follows.iter().any(|id| id.as_str() == followed), "{followed}");
    }
    assert!(container.needs.iter().any(|id| id.as_str() == "folder /var/lib/ferry/registry"));
}

#[test]
fn the_image_is_the_one_for_this_machine() {
    for (platform, name, manifest, size) in
        [("linux/amd64", "config of amd64", "amd64", 43), ("linux/arm64", "config of arm64", "arm64", 605)]
    {
        let desire = try_desire("  docker: {}\n", platform).unwrap();
        let image = daemon_image(&desire);
        assert_eq!((image.config, image.size), (digest(name), size));
        assert_eq!(image.manifests, [digest(manifest), digest("index")]);
        let container = container(&desire);
        assert_eq!((container.config, &container.manifests), (image.config, &image.manifests));
    }
    let error = try_desire("  docker: {}\n", "linux/s390x").unwrap_err();
    assert!(error.to_string().contains("linux/s390x"), "{error}");
    let named = desired("  prefix: mirror\n  docker: {}\n");
    assert_eq!(daemon_image(&named).tag, "registry.corp:5443/mirror/library/registry:2");
}

#[test]
fn the_host_network_is_listened_on_directly() {
    for (listen, expected) in
        [("", ":5443"), (", listen: 10.0.0.5", "10.0.0.5:5443"), (", listen: 'fd00::5'", "[fd00::5]:5443")]
    {
        let desire = desired(&format!("  plainHttp: true\n  docker: {{hostNetwork: true{listen}}}\n"));
        assert_eq!(container(&desire).opening, Opening::Host);
        let config = config(&desire);
        assert!(config.contains(expected) && !config.contains("tls:"), "{config}");
    }
}

#[test]
fn names_that_docker_would_take_for_something_else_are_refused() {
    for name in ["x", "-x", "a/b", "a b", "../x", "蓝鲸"] {
        let error = try_desire(&format!("  docker: {{container: '{name}'}}\n"), "linux/amd64").unwrap_err();
        assert!(matches!(error, Error::Usage { .. }), "{name}: {error}");
    }
    try_desire("  docker: {image: other:1}\n", "linux/amd64").unwrap_err();
}

#[test]
fn a_cache_takes_no_images_and_keeps_its_password_out_of_the_plan() {
    let desire = desired(
        "  proxy: {remote: 'https://hub.bktencent.com', remoteLogin: {user: puller, password: {env: REMOTE}}}\n",
    );
    let container = container(&desire);
    assert_eq!(container.secrets.keys().collect::<Vec<_>>(), ["REGISTRY_PROXY_PASSWORD"]);
    assert!(!container.environment.contains_key("REGISTRY_PROXY_PASSWORD"));
    let config = config(&desire);
    assert!(
        config.contains("remoteurl: https://hub.bktencent.com") && config.contains("username: puller"),
        "{config}"
    );
    assert!(!config.contains("password"), "{config}");
    assert!(!desire.resources.iter().any(|resource| matches!(resource.desired, Desired::Image(_))));
}

#[test]
fn clients_are_told_how_to_use_the_cache() {
    let told = |remote: &str| desired(&format!("  proxy: {{remote: '{remote}'}}\n")).by_hand[0].clone();
    let hub = told("https://registry-1.docker.io");
    for part in [
        "put {\"registry-mirrors\": [\"https://registry.corp:5443\"]} into /etc/docker/daemon.json",
        "`server = \"https://registry-1.docker.io\"`",
        "`[host.\"https://registry.corp:5443\"]`",
        "/etc/containerd/certs.d/docker.io/hosts.toml",
        "/etc/ferry/registry/tls/ca.crt",
    ] {
        assert!(hub.contains(part), "{part} is not in {hub}");
    }
    let other = told("https://hub.bktencent.com/");
    for part in [
        "let it pull registry.corp:5443/NAME:TAG in place of hub.bktencent.com/NAME:TAG",
        "`server = \"https://hub.bktencent.com\"`",
        "/etc/containerd/certs.d/hub.bktencent.com/hosts.toml",
    ] {
        assert!(other.contains(part), "{part} is not in {other}");
    }
}

#[test]
fn a_remote_is_a_url_without_path_or_password() {
    let error = try_desire("  proxy: {remote: 'https://hub.corp/library'}\n", "linux/amd64").unwrap_err();
    assert!(matches!(error, Error::Usage { .. }), "{error}");
    for remote in ["hub.corp", "ftp://hub.corp", "https://", "https://me:s3cret@hub.corp"] {
        let site = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n  address: r.corp\n  proxy: {{remote: '{remote}'}}\n"
        );
        let error = ferry_model::site::Site::parse(&site).unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
