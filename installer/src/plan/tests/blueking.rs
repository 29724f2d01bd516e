//! Plans for what is installed through BlueKing's PaaS.

use std::fs;
use std::path::PathBuf;

use ferry_bundle::smart::{Module, Package, PackageKind};
use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_model::failure::Failure as _;
use ferry_model::plan::{Plan, State};
use ferry_model::site::Site;
use serde_json::{Value, json};

use super::{digest, folder};
use crate::Error;
use crate::desire::{Desire, Facts, GivenFile, desire};
use crate::observe::Observed;
use crate::plan::{plan, plan_text};
use crate::resources::Manage as _;
use crate::site::SiteFile;

const SITE: &str = "apiVersion: ferry/v1\nkind: Site\nname: dc1\n";
const SAAS: &str =
    "  redisPool: {}\n  saas:\n    - {app: bk_itsm}\n    - {app: bk_sops, variables: sops.yaml}\n";

fn file(kind: &str, path: &str, name: &[&str]) -> Value {
    let mut file = json!({"kind": kind, "path": path, "size": 50_000_000, "digest": digest(path),
        "source": format!("https://files.example.com/{path}")});
    if let [name, version] = name {
        file["name"] = json!(name);
        file["version"] = json!(version);
    }
    file
}

fn catalog(image: bool) -> Catalog {
    let files = [
        file("file", "gse2/plugins/bkmonitorbeat.tgz", &[]),
        file("file", "gse2/plugins/gse_plugins_freq.tgz", &[]),
        file("saas", "saas/bk_itsm.tgz", &["bk_itsm", "2.6.6"]),
        file("saas", "saas/bk_sops.tgz", &["bk_sops", "3.28.13"]),
    ];
    let base = json!({"reference": "hub.bktencent.com/blueking/slug-app:v1.1.0", "repository": "blueking/slug-app", "tag": "v1.1.0",
        "digest": digest("slug-app"), "manifests": [super::manifest("slug-app", Some("linux/amd64"), &[])]});
    let images = if image { vec![base] } else { vec![] };
    let blobs = json!([{"digest": digest("slug-app"), "size": 500, "offset": 0, "storedSize": 500, "encoding": "stored"}]);
    let catalog = json!({"formatVersion": "1.0", "name": "demo", "version": "1.0.0", "lock": digest("lock"),
        "images": images, "charts": [], "blobs": blobs, "files": files});
    serde_json::from_value(catalog).unwrap()
}

fn package(app: &str, version: &str, kind: PackageKind, modules: &[&str]) -> (Digest, Package) {
    let module = |name: &&str| Module { name: (*name).into(), source_dir: ".".into(), language: None };
    let modules = modules.iter().map(module).collect();
    let package = Package { app_code: app.into(), version: version.into(), spec_version: 2, kind, modules };
    (digest(&format!("saas/{app}.tgz")), package)
}

fn facts() -> Facts {
    let sops = ["api", "callback", "default", "pipeline"];
    let packages = [
        package("bk_itsm", "2.6.6", PackageKind::SlugImage, &["default"]),
        package("bk_sops", "3.28.13", PackageKind::SlugImage, &sops),
    ];
    let variables = [(PathBuf::from("/site/sops.yaml"), GivenFile::of(b"env_variables: []\n"))];
    Facts { packages: packages.into(), variables: variables.into(), ..super::facts() }
}

fn site(text: &str) -> SiteFile {
    let site = Site::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(text) }
}

fn blueking(entries: &str) -> SiteFile {
    site(&format!("{SITE}blueking:\n  domain: bkce7.example.com\n{entries}"))
}

fn planned(site: &SiteFile, desire: &Desire, state: impl Fn(&str, State) -> State) -> Plan {
    let observed: Observed = desire
        .resources
        .iter()
        .map(|resource| (resource.id(), state(resource.id().as_str(), resource.desired.wanted())))
        .collect();
    plan(super::identity(site.digest), desire, &observed).unwrap()
}

#[test]
fn golden_plans_for_saas() {
    let with = |name: &str, value: &str, state: State| match state {
        State::Present { mut properties, .. } => {
            properties.insert(name.into(), value.into());
            State::present(properties)
        }
        other => other,
    };
    let everything = blueking(&format!("{SAAS}  plugins: true\n"));
    let registry = site(&format!(
        "{SITE}registry: {{address: \"registry.corp:5000\", existing: {{manifestLists: accepted}}}}\nblueking:\n  domain: bkce7.example.com\n{SAAS}"
    ));
    let of = |site: &SiteFile, image| desire(&catalog(image), site, &facts()).unwrap();
    let is_sops = |id: &str| id.contains("bk_sops");
    let old = |id: &str, right: State| match id {
        "saas bk_sops" => with("version", "3.28.12", right),
        id if is_sops(id) => with("revision", "image:3.28.12", right),
        _ => right,
    };
    let unsure = |id: &str, right: State| match id {
        "redis-entries 0shared" => with("entries", "unsure", right),
        _ => right,
    };
    let (bare, base) = (of(&everything, false), of(&registry, true));
    let is_up = |id: &str, right: State| if id.starts_with("endpoint ") { right } else { State::Absent };
    let plans = [
        ("fresh", planned(&everything, &bare, |_, _| State::Absent)),
        ("with-registry", planned(&registry, &base, is_up)),
        ("update", planned(&everything, &bare, old)),
        ("redis-unsure", planned(&everything, &bare, unsure)),
        ("all-there", planned(&everything, &bare, |_, right| right)),
    ];
    let mut wrong = Vec::new();
    for (name, plan) in plans {
        let text = plan_text(&plan);
        let file = folder().join("blueking").join(format!("{name}.txt"));
        if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(folder().join("blueking")).unwrap();
            fs::write(&file, &text).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != text {
            wrong.push(format!("{name}:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "these are not what golden/blueking/*.txt says:\n{}", wrong.join("\n"));
}

#[test]
fn everything_comes_behind_what_it_needs() {
    let desire = desire(&catalog(true), &blueking(SAAS), &facts()).unwrap();
    let ids: Vec<String> = desire.resources.iter().map(|resource| resource.id().to_string()).collect();
    let place =
        |id: &str| ids.iter().position(|known| known == id).unwrap_or_else(|| panic!("{id}: {ids:?}"));
    for resource in &desire.resources {
        for need in &resource.needs {
            assert!(place(need.as_str()) < place(resource.id().as_str()), "{} before {need}", resource.id());
        }
    }
    let needs = |id: &str| {
        desire.resources[place(id)].needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(needs("saas bk_sops"), "redis-entries 0shared");
    assert_eq!(needs("saas-module bk_sops/default prod"), "saas bk_sops");
    assert_eq!(needs("saas-module bk_sops/api prod"), "saas-module bk_sops/default prod, saas bk_sops");
}

#[test]
fn what_cannot_be_installed_is_told() {
    let told = |entries: &str, facts: &Facts| match desire(&catalog(true), &blueking(entries), facts) {
        Err(Error::Blueking(error)) => format!("{error} ({})", error.hints().join("; ")),
        other => panic!("{entries}: {other:?}"),
    };
    for (entries, expected) in [
        (
            "  saas: [{app: bk_nothing}]\n",
            "the bundle has no SaaS package of it (it has packages of bk_itsm, bk_sops)",
        ),
        (
            "  saas: [{app: bk_itsm, modules: [default, api]}]\n",
            "names module api of bk_itsm, which has default",
        ),
        (
            "  saas: [{app: bk_sops, modules: [api], variables: sops.yaml}]\n",
            "gives bk_sops variables, which go to its module default, and deploys only api (add `default`",
        ),
        (
            "  redisPool: {plan: 1exclusive}\n",
            "asks for 10 entries of plan 1exclusive, which would all be the same server (say `entries: 1`",
        ),
    ] {
        let error = told(entries, &facts());
        assert!(error.contains(expected), "{error}");
    }
    let mut other = facts();
    other.packages.extend([package("bk_itsm", "2.6.5", PackageKind::SlugImage, &["default"])]);
    let error = told("  saas: [{app: bk_itsm}]\n", &other);
    assert!(error.contains("saas/bk_itsm.tgz is bk_itsm 2.6.6 by the bundle's catalog, and bk_itsm 2.6.5 by its own description"), "{error}");
}

#[test]
fn source_packages_wait_for_the_runtimes_that_build_them() {
    let mut catalog = catalog(false);
    let runtime = json!({"kind": "runtime", "repository": "bkpaas/bkpaas3-platform-assets", "path": "runtimes/node.tar.gz", "size": 10,
        "source": "https://files.example.com/node.tar.gz", "digest": digest("node")});
    let tool = json!({"kind": "file", "repository": "bkpaas/tools", "path": "tool.tgz", "size": 10,
        "source": "https://files.example.com/tool.tgz", "digest": digest("tool")});
    for file in [runtime, tool] {
        catalog.files.push(serde_json::from_value(file).unwrap());
    }
    let mut facts = facts();
    facts.packages.extend([package("bk_itsm", "2.6.6", PackageKind::Source, &["default"])]);
    let site = site(&format!(
        "{SITE}bkrepo: {{url: \"http://bkrepo.corp\"}}\nblueking:\n  domain: bkce7.example.com\n  saas: [{{app: bk_itsm}}, {{app: bk_sops}}]\n"
    ));
    let desire = desire(&catalog, &site, &facts).unwrap();
    let needs = |id: &str, name: &str| {
        let resource = desire.resources.iter().find(|resource| resource.id().as_str() == id).unwrap();
        resource.needs.iter().any(|need| need.as_str().contains(name))
    };
    assert!(needs("saas bk_itsm", "node.tar.gz") && !needs("saas bk_sops", "node.tar.gz"));
    assert!(!needs("saas bk_itsm", "tool.tgz"), "a file that no build asks for");

    // What lies in the runtime's place may do: it holds nothing back.
    let other = |id: &str, _: State| match id {
        id if id.contains("node.tar.gz") => State::present([("sha256", "0123"), ("size", "10")]),
        _ => State::Absent,
    };
    let plan = planned(&site, &desire, other);
    let step =
        |name: &str| plan.steps.iter().find(|step| step.resource.id().as_str().contains(name)).unwrap();
    assert!(step("node.tar.gz").summary.starts_with("leave "), "{}", step("node.tar.gz").summary);
    assert!(!step("saas bk_itsm").after.contains(&step("node.tar.gz").id));
    let revision = desire.resources.iter().find_map(|resource| match &resource.desired {
        ferry_model::plan::Desired::SaasModule(module) if module.app == "bk_itsm" => {
            Some(module.revision.clone())
        }
        _ => None,
    });
    assert_eq!(revision.as_deref(), Some("package:2.6.6"));
}

#[test]
fn image_packages_wait_for_their_base_image_alone() {
    let mut catalog = catalog(true);
    let mut other = catalog.images[0].clone();
    other.reference = "hub.bktencent.com/blueking/bk-cmdb:v1".parse().unwrap();
    other.repository = "blueking/bk-cmdb".into();
    catalog.images.push(other);
    let site = site(&format!(
        "{SITE}registry: {{address: \"registry.corp:5000\", existing: {{manifestLists: accepted}}}}\nblueking:\n  domain: bkce7.example.com\n{SAAS}"
    ));
    let desire = desire(&catalog, &site, &facts()).unwrap();
    let package = desire.resources.iter().find(|resource| resource.id().as_str() == "saas bk_sops").unwrap();
    let needs = |name: &str| package.needs.iter().any(|need| need.as_str().contains(name));
    assert!(needs("blueking/slug-app") && !needs("blueking/bk-cmdb"), "{:?}", package.needs);
}
