//! Plans for a bkrepo in which something is already.

use std::fs;

use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_model::plan::{Desired, Plan, State};
use ferry_model::site::Site;
use serde_json::json;

use super::{digest, folder};
use crate::desire::desire;
use crate::observe::Observed;
use crate::plan::{plan, plan_text};
use crate::resources::Manage as _;
use crate::site::SiteFile;

const PATHS: [&str; 3] =
    ["buildpacks/python.tar", "common/buildpack-stdlib/v7/stdlib.sh", "runtimes/node.tar.gz"];

fn planned(settings: &str, state: impl Fn(&str, State) -> State) -> Plan {
    let file = |path: &&str| {
        json!({"kind": "runtime", "repository": "bkpaas/bkpaas3-platform-assets", "path": path, "size": 2_000_000,
            "source": format!("https://files.example.com/{path}"), "digest": Digest::of(path.as_bytes())})
    };
    let files: Vec<_> = PATHS.iter().map(file).collect();
    let catalog = json!({"formatVersion": "1.0", "name": "demo", "version": "1.0.0", "lock": digest("lock"),
        "images": [], "charts": [], "blobs": [], "files": files});
    let catalog: Catalog = serde_json::from_value(catalog).unwrap();
    let text = format!(
        "apiVersion: ferry/v1\nkind: Site\nname: dc1\nbkrepo: {{url: \"http://bkrepo.corp\"{settings}}}\n"
    );
    let site = SiteFile {
        path: "/site/site.yaml".into(),
        site: Site::parse(&text).unwrap(),
        digest: Site::digest(&text),
    };
    let desire = desire(&catalog, &site, &super::facts()).unwrap();
    let observed: Observed = desire
        .resources
        .iter()
        .map(|resource| match &resource.desired {
            Desired::Upload(upload) => {
                let right = State::present([
                    ("sha256", upload.digest.hex()),
                    ("size", upload.size.to_string()),
                    ("misplaced", "none".to_owned()),
                ]);
                (resource.id(), state(&upload.path, right))
            }
            desired => (resource.id(), desired.wanted()),
        })
        .collect();
    plan(super::identity(site.digest), &desire, &observed).unwrap()
}

#[test]
fn golden_plans_for_a_bkrepo_with_something_in_it() {
    let other = || {
        State::present([
            ("sha256", digest("other").hex()),
            ("size", "9".into()),
            ("misplaced", "none".into()),
        ])
    };
    let is_lib = |path: &str| path.ends_with("stdlib.sh");
    let some = |path: &str, right: State| if is_lib(path) { State::Absent } else { right };
    let differs = |path: &str, right: State| if is_lib(path) { other() } else { right };
    let folder_there = |path: &str, right: State| {
        let folder = State::present([("folder", "true"), ("misplaced", "none")]);
        if is_lib(path) { folder } else { right }
    };
    let misplaced = |path: &str, right: State| match right {
        State::Present { mut properties, .. } if is_lib(path) => {
            properties.insert("misplaced".into(), "/buildpack-stdlib/v7/stdlib.sh/stdlib.sh".into());
            State::present(properties)
        }
        right if path.starts_with("/runtimes") => {
            drop(right);
            State::present([("misplaced", "/node.tar.gz/node.tar.gz")])
        }
        right => right,
    };
    let (overwrite, repair) = (", overwrite: true", ", repair: true");
    let plans = [
        ("some-there", planned("", some)),
        ("differs", planned("", differs)),
        ("differs-overwrite", planned(overwrite, differs)),
        ("folder", planned("", folder_there)),
        ("folder-repair", planned(repair, folder_there)),
        ("misplaced", planned("", misplaced)),
        ("misplaced-repair", planned(repair, misplaced)),
        ("all-there", planned(repair, |_, right| right)),
    ];
    let mut wrong = Vec::new();
    for (name, plan) in plans {
        let text = plan_text(&plan);
        let file = folder().join("bkrepo").join(format!("{name}.txt"));
        if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
            fs::write(&file, &text).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != text {
            wrong.push(format!("{name}:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "these are not what golden/bkrepo/*.txt says:\n{}", wrong.join("\n"));
}

/// What a service of a later day is part of waits; the registry's own trouble still stops everything.
#[test]
fn what_cannot_be_looked_at_yet_waits() {
    let text = "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry: {address: \"registry.corp:5000\", existing: {}}\nbkrepo: {url: \"http://bkrepo.corp\", files: [{repository: p/r}]}\ncharts: {repositories: [{url: \"http://museum.corp\"}, {bkrepo: p/charts}]}\n";
    let site = SiteFile {
        path: "/site/site.yaml".into(),
        site: Site::parse(text).unwrap(),
        digest: Site::digest(text),
    };
    let desire = desire(&super::catalog(), &site, &super::facts()).unwrap();
    let down = |kinds: &'static [&str]| -> Observed {
        let state = |resource: &ferry_model::plan::Resource| {
            let id = resource.id();
            let is_down = kinds.iter().any(|kind| id.as_str().starts_with(kind));
            let is_there = resource.desired.is_check();
            match (is_down, is_there) {
                (true, _) => State::Unknown { reason: "it does not answer".into() },
                (false, true) => resource.desired.wanted(),
                (false, false) => State::Absent,
            }
        };
        desire.resources.iter().map(|resource| (resource.id(), state(resource))).collect()
    };
    let planned = |observed: &Observed| plan(super::identity(site.digest), &desire, observed);
    let waiting = |plan: &Plan| plan.waiting.iter().map(ToString::to_string).collect::<Vec<_>>();

    let both = planned(&down(&["bkrepo-", "upload ", "chart-upload ", "chart "])).unwrap();
    let end = ": it does not answer; run `apply` again when it can be looked at";
    assert_eq!(
        waiting(&both),
        [
            format!("1 project, 2 repositories, 1 file, 1 chart for bkrepo at http://bkrepo.corp{end}"),
            format!("1 chart for the helm repository at http://museum.corp{end}"),
        ]
    );
    assert!(both.steps.iter().all(|step| step.resource.id().as_str().starts_with("image ")), "{both:?}");
    assert!(!both.steps.is_empty());
    // A file that could be seen, in a repository that could not, waits with it.
    let one = planned(&down(&["bkrepo-project "])).unwrap();
    assert_eq!(one.waiting.len(), 1);
    assert!(!one.steps.iter().any(|step| matches!(step.resource.desired, Desired::Upload(_))), "{one:?}");
    // Nothing else is to be brought, and the registry itself is not to be seen.
    assert!(planned(&down(&[""])).is_err());
    assert!(planned(&down(&["image "])).is_err());
}
