//! Plans for a dozen sites, as people read them. `FERRY_UPDATE_GOLDEN=1 cargo test -p ferry-installer golden` writes them anew.

mod bkrepo;
mod blueking;
mod manifests;
mod node_pods;
mod nodes;
mod preload;
mod room;
mod starter;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_model::plan::{Action, Identity, Plan, ResourceId, State};
use ferry_model::site::{Product, Site};
use serde_json::{Value, json};

use super::{PlanError, plan, plan_text};
use crate::desire::{Desire, Facts, GivenCertificate, GivenFile, ImageFile, desire};
use crate::observe::Observed;
use crate::resources::Manage as _;
use crate::site::SiteFile;

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn manifest(name: &str, platform: Option<&str>, blobs: &[&str]) -> Value {
    let mut manifest = json!({
        "digest": digest(name), "size": 500, "blobs": blobs.iter().map(|blob| digest(blob)).collect::<Vec<_>>(),
        "mediaType": "application/vnd.oci.image.manifest.v1+json"
    });
    if let Some(platform) = platform {
        manifest["platform"] = platform.into();
    }
    manifest
}

/// The registry's own image, one for two platforms, a chart and a file.
fn catalog() -> Catalog {
    let blob = |name: &str, size: u64| json!({"digest": digest(name), "size": size, "offset": 0, "storedSize": size, "encoding": "stored"});
    let catalog = json!({
        "formatVersion": "1.0", "name": "demo", "version": "1.0.0", "lock": digest("lock"),
        "images": [
            {"reference": "docker.io/library/multi:3", "repository": "library/multi", "tag": "3", "digest": digest("index"),
             "manifests": [manifest("amd64", Some("linux/amd64"), &["config", "layer"]),
                           manifest("arm64", Some("linux/arm64"), &["config", "layer2"]), manifest("index", None, &[])]},
            {"reference": "docker.io/library/registry:2", "repository": "library/registry", "tag": "2", "digest": digest("registry"),
             "manifests": [manifest("registry", Some("linux/amd64"), &["registry-config", "registry-layer"])]},
        ],
        "charts": [{"name": "demo", "version": "1.2.3", "source": "https://charts.example.com", "archive": digest("chart"),
                    "repository": "charts/demo", "tag": "1.2.3", "manifest": manifest("chart-manifest", None, &["chart-config", "chart"])}],
        "files": [{"kind": "runtime", "path": "node.tar.gz", "source": "https://files.example.com/node.tar.gz", "digest": digest("file"), "size": 10}],
        "blobs": [blob("amd64", 500), blob("arm64", 500), blob("index", 500), blob("registry", 500), blob("chart-manifest", 500),
                  blob("config", 2_000), blob("layer", 3_000_000), blob("layer2", 4_000_000), blob("registry-config", 3_000),
                  blob("registry-layer", 9_000_000), blob("chart-config", 200), blob("chart", 400), blob("file", 10)],
    });
    serde_json::from_value(catalog).unwrap()
}

fn facts() -> Facts {
    Facts {
        program: "/usr/local/bin/ferry-installer".into(),
        bundle: "/media/usb/demo.ferry.tar.zst".into(),
        catalog: digest("catalog"),
        bundle_size: 16_000_000,
        platform: "linux/amd64".parse().unwrap(),
        registry_program: Some(ImageFile {
            image: "docker.io/library/registry:2".parse().unwrap(),
            path: "/bin/registry".into(),
            digest: digest("program"),
            size: 18_000_000,
        }),
        certificate: Some(GivenCertificate {
            certificate: GivenFile::of(b"certificate"),
            key: GivenFile::of(b"key"),
        }),
        product: Product::Auto,
        packages: std::collections::BTreeMap::new(),
        variables: std::collections::BTreeMap::new(),
        nodes: Vec::new(),
        virtual_nodes: Vec::new(),
        ingress: None,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/golden")
}

fn site(name: &str) -> SiteFile {
    let text = fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    let site = Site::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(&text) }
}

fn sites() -> Vec<String> {
    let names =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut sites: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned())).collect();
    sites.sort();
    sites
}

fn desired(name: &str) -> Desire {
    desire(&catalog(), &site(name), &facts()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn identity(site_file: Digest) -> Identity {
    Identity {
        bundle: "demo".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        catalog: digest("catalog"),
        site: "dc1".parse().unwrap(),
        site_file,
    }
}

fn planned(name: &str, desire: &Desire, observed: &Observed) -> Result<Plan, PlanError> {
    plan(identity(site(name).digest), desire, observed)
}

/// A site where nothing is yet. A registry that is there answers; one that is not does not.
fn bare(desire: &Desire) -> Observed {
    let mut observed = BTreeMap::new();
    for resource in &desire.resources {
        let waits = !resource.needs.is_empty();
        let is_there = ["/etc", "/var", "/var/lib", "/usr", "/usr/local", "/usr/local/lib", "/data"]
            .iter()
            .any(|folder| resource.id() == ResourceId::new("folder", folder));
        let state = match (resource.desired.is_check(), waits) {
            _ if is_there => State::present([("mode", "0755")]),
            (true, true) => State::Unknown { reason: "it does not answer".into() },
            (true, false) => resource.desired.wanted(),
            (false, _) => State::Absent,
        };
        observed.insert(resource.id(), state);
    }
    observed
}

fn finished(desire: &Desire) -> Observed {
    desire.resources.iter().map(|resource| (resource.id(), resource.desired.wanted())).collect()
}

#[test]
fn golden_plans() {
    let mut wrong = Vec::new();
    let sites = sites();
    assert!(sites.len() >= 12, "{sites:?}");
    for name in sites {
        let desire = desired(&name);
        let plan = planned(&name, &desire, &bare(&desire)).unwrap();
        let text = plan_text(&plan);
        let file = folder().join(format!("{name}.txt"));
        if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
            fs::write(&file, &text).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != text {
            wrong.push(format!("{name}:\n{text}"));
        }
        assert_eq!(planned(&name, &desired(&name), &bare(&desire)).unwrap(), plan, "{name}: the same again");
    }
    assert!(wrong.is_empty(), "these are not what golden/*.txt says:\n{}", wrong.join("\n"));
}

#[test]
fn plans_keep_their_promises() {
    for name in sites() {
        let desire = desired(&name);
        let plan = planned(&name, &desire, &bare(&desire)).unwrap();
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan, "{name}: it can be kept in a file");
        for step in &plan.steps {
            assert!(
                step.after.iter().all(|need| *need < step.id),
                "{name}: step {} comes too early",
                step.id
            );
            assert!(
                !step.resource.reason.is_empty() && !step.summary.is_empty() && !step.undo.is_empty(),
                "{name}: {step:?}"
            );
        }
        for resource in &desire.resources {
            let known = |need: &ResourceId| desire.resources.iter().any(|other| other.id() == *need);
            assert!(resource.needs.iter().all(known), "{name}: {} needs what is not there", resource.id());
        }
        let nothing = planned(&name, &desire, &finished(&desire)).unwrap();
        assert!(nothing.steps.is_empty(), "{name}: a second run has nothing to do");
    }
}

#[test]
fn what_runs_takes_up_what_changes() {
    for (name, runs) in [("systemd", "unit "), ("serve", "unit "), ("docker", "container ")] {
        let desire = desired(name);
        let mut observed = finished(&desire);
        let changed = desire
            .resources
            .iter()
            .find(|resource| resource.id().as_str().starts_with("certificates "))
            .unwrap();
        observed.insert(changed.id(), State::present([("names", "another.corp"), ("valid", "yes")]));
        let plan = planned(name, &desire, &observed).unwrap();
        let actions: Vec<_> =
            plan.steps.iter().map(|step| (step.action, step.resource.id().to_string())).collect();
        assert_eq!(actions[0], (Action::Update, changed.id().to_string()), "{name}");
        assert!(
            actions.iter().any(|(action, id)| *action == Action::Restart && id.starts_with(runs)),
            "{name}: {actions:?}"
        );
        assert!(
            actions.iter().any(|(action, id)| *action == Action::Check && id.starts_with("endpoint ")),
            "{name}: {actions:?}"
        );
    }
}

#[test]
fn what_cannot_be_seen_is_not_planned_for() {
    let desire = desired("existing");
    let mut observed = bare(&desire);
    let endpoint = ResourceId::new("endpoint", "registry.corp:5000");
    observed.insert(endpoint, State::Unknown { reason: "no route to it".into() });
    let error = planned("existing", &desire, &observed).unwrap_err().to_string();
    assert!(error.contains("endpoint registry.corp:5000: no route to it"), "{error}");
}

#[test]
fn a_registry_that_moves_is_looked_into_again() {
    let desire = desired("systemd");
    let mut observed = finished(&desire);
    observed.insert(
        ResourceId::new("file", "/etc/ferry/registry/config.yml"),
        State::present([("sha256", "another")]),
    );
    let plan = planned("systemd", &desire, &observed).unwrap();
    let looked = plan
        .steps
        .iter()
        .filter(|step| step.resource.id().as_str().starts_with("image "))
        .collect::<Vec<_>>();
    assert!(looked.len() == 3 && looked.iter().all(|step| step.action == Action::Check), "{looked:?}");
}

#[test]
fn what_is_in_the_way_is_told_before_anything_is_changed() {
    let desire = desired("docker");
    let mut observed = bare(&desire);
    let reason = "container ferry-registry is not Ferry's";
    observed.insert(ResourceId::new("container", "ferry-registry"), State::Unknown { reason: reason.into() });
    let error = planned("docker", &desire, &observed).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
    // Images cannot be seen before their registry answers, and that is no obstacle.
    let mut observed = bare(&desire);
    for resource in &desire.resources {
        if resource.id().as_str().starts_with("image ") {
            observed.insert(resource.id(), State::Unknown { reason: "it does not answer".into() });
        }
    }
    planned("docker", &desire, &observed).unwrap();
}
