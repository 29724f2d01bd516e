//! What a run notes of its images while it pushes them: each that it is begun just before the registry gets anything of it, and
//! that it is done when that is proven.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::corpus::{Dialect, Image, ImageSetup, Layer};
use ferry_tests::parts;
use ferry_tests::process::Program;
use ferry_tests::proxy::Proxy;
use ferry_tests::registry::{Kind, Registry, Setup};
use ferry_tests::workspace::{Workspace, image_entries, plain_http};
use serde_json::Value;

const JOURNAL: &str = "site.ferry/runs/0001/journal.jsonl";

fn installer(workspace: &Workspace, arguments: &[&str]) -> Program {
    workspace.installer().args(arguments)
}

/// An image of a repository of its own, with layers of these sizes.
fn image(number: usize, sizes: &[usize]) -> Image {
    let layer = |(index, &size): (usize, &usize)| {
        Arc::new(Layer::plain(7000 + 100 * number as u64 + index as u64, size, 0))
    };
    let layers: Vec<_> = sizes.iter().enumerate().map(layer).collect();
    let repository = format!("team/app-{number:02}");
    let setup =
        ImageSetup { repository: &repository, tag: "1.0", dialect: Dialect::Oci, platform: "linux/amd64" };
    Image::single(&setup, &layers)
}

/// A bundle of these, and a site file for the registry at `host`.
fn site_of(images: &[Image], host: &str) -> Result<Workspace> {
    let source = Registry::start(Setup::default());
    for image in images {
        source.load(image);
    }
    let workspace = Workspace::new()?;
    workspace.spec(&format!("{}{}", plain_http(&[&source.host()]), image_entries(&source.host(), images)))?;
    workspace.lock_and_build()?;
    let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n";
    workspace
        .write("site.yaml", format!("{head}  address: {host}\n  existing: {{}}\n  plainHttp: true\n"))?;
    Ok(workspace)
}

/// Steps that a journal says were begun, and those that it says are done. A last line that is being written does not count.
fn noted(journal: &Path) -> Result<(BTreeSet<u64>, BTreeSet<u64>)> {
    let text = fs::read_to_string(journal)?;
    let (mut begun, mut done) = (BTreeSet::new(), BTreeSet::new());
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let entry: Value = serde_json::from_str(line)?;
        let event = &entry["event"];
        let step = || event["step"].as_u64().context("a step has a number");
        match event["is"].as_str() {
            Some("started") => begun.insert(step()?),
            Some("done") => done.insert(step()?),
            _ => false,
        };
    }
    Ok((begun, done))
}

/// In a push of hours the ones that are through are done, for whoever asks and for the run that goes on.
#[test]
fn images_are_done_while_a_large_one_is_still_sent() -> Result<()> {
    const SMALL: usize = 20;
    let mut images: Vec<Image> = (0..SMALL).map(|number| image(number, &[2000, 500])).collect();
    images.push(image(SMALL, &[6_000_000, 2000]));
    let registry = Registry::start(Setup::default());
    let proxy = Proxy::start(&registry.host());
    proxy.slow_down(Duration::from_millis(40));
    let workspace = site_of(&images, &proxy.host())?;
    let apply = installer(&workspace, &["apply", "bundle"]);
    let running = apply.start()?;
    let journal = workspace.path(JOURNAL);
    let all_small = || noted(&journal).is_ok_and(|(_, done)| done.len() == SMALL);
    parts::wait_until(Duration::from_secs(14), "no image is done while one is sent", all_small)?;
    let status = installer(&workspace, &["status", "--output", "json"]).fail_with(1)?.json()?;
    ensure!(status["runs"][0]["state"] == "running" && status["runs"][0]["done"] == SMALL, "{status:#}");
    drop(running);

    let (begun, done) = noted(&journal)?;
    ensure!(begun.len() == SMALL + 1 && done.len() == SMALL, "{begun:?} {done:?}");
    proxy.slow_down(Duration::ZERO);
    registry.reset_counts();
    apply.succeed()?.says("going on with run 0001")?;
    ensure!(registry.counts().of(Kind::ManifestPut) == 1, "{:?}", registry.counts());
    installer(&workspace, &["rollback"]).succeed()?;
    ensure!(!registry.content().contains(" manifest "), "{}", registry.content());
    Ok(())
}

/// Wherever it is killed, nobody has to guess about more than what was under way.
#[test]
fn nothing_is_written_before_it_is_noted_and_little_is_in_doubt_at_once() -> Result<()> {
    const COUNT: usize = 120;
    let images: Vec<Image> = (0..COUNT).map(|number| image(number, &[1000])).collect();
    let registry = Registry::start(Setup::default());
    let workspace = site_of(&images, &registry.host())?;
    let (journal, plan) = (workspace.path(JOURNAL), workspace.path("site.ferry/runs/0001/plan.json"));
    let seen: Arc<Mutex<(usize, Vec<String>)>> = Arc::default();
    let noting = Arc::clone(&seen);
    registry.fail_when(move |kind, path, _| {
        // Before the run begins, its registry is tried out.
        if kind.writes() && journal.exists() {
            let doubt = doubt(&journal, &plan, path);
            let mut seen = noting.lock().unwrap();
            match doubt {
                Ok(count) => seen.0 = seen.0.max(count),
                Err(problem) => seen.1.push(format!("{path}: {problem}")),
            }
        }
        None
    });
    installer(&workspace, &["apply", "bundle"]).succeed()?;
    let (most, problems) = seen.lock().unwrap().clone();
    ensure!(problems.is_empty(), "{problems:#?}");
    // Eight at once, and as many that are begun with them or wait for each other's blobs.
    ensure!(most > 0 && most <= 32, "{most} images were in doubt at once");
    ensure!(noted(&workspace.path(JOURNAL))?.1.len() == COUNT);
    Ok(())
}

/// How many steps are begun and not done, at a time at which `path` is written to.
fn doubt(journal: &Path, plan: &Path, path: &str) -> Result<usize> {
    let (begun, done) = noted(journal)?;
    let plan: Value = serde_json::from_slice(&fs::read(plan)?)?;
    let name = path.split('/').skip(2).take(2).collect::<Vec<_>>().join("/");
    let steps = plan["steps"].as_array().context("a plan has steps")?;
    let is_it = |step: &&Value| step["resource"].to_string().contains(&format!("\"{name}\""));
    let step = steps.iter().find(is_it).and_then(|step| step["id"].as_u64());
    ensure!(begun.contains(&step.with_context(|| format!("{name} has a step"))?), "it is not begun");
    Ok(begun.difference(&done).count())
}

/// Some registries give out no image with known holes, and yet tell what a tag names and take pushes.
#[test]
fn what_the_registry_does_not_give_stops_no_push() -> Result<()> {
    let (old, new) = (image(0, &[3000]), image(0, &[2000, 500]));
    for keeps in [false, true] {
        let registry = Registry::start(Setup::default());
        registry.load(&old);
        let workspace = site_of(std::slice::from_ref(&new), &registry.host())?;
        let withhold = || {
            let root = old.root.to_string();
            registry.fail_when(move |kind, path, _| {
                let is_it = kind == Kind::ManifestGet && path.ends_with(&root);
                is_it.then_some(axum::http::StatusCode::PRECONDITION_FAILED)
            });
        };
        if !keeps {
            withhold();
        }
        installer(&workspace, &["apply", "bundle"]).succeed()?;
        ensure!(registry.tag("team/app-00", "1.0") == Some(new.root));
        withhold();
        let rollback = installer(&workspace, &["rollback"]);
        // What was kept can be given back; what was not is told.
        let expected = if keeps {
            rollback.succeed()?;
            old.root
        } else {
            rollback.fail_with(1)?.prints("which the registry does not give")?;
            new.root
        };
        ensure!(registry.tag("team/app-00", "1.0") == Some(expected));
    }
    Ok(())
}

/// A push may take hours, and others push meanwhile: what they put under a name is theirs.
#[test]
fn what_others_push_meanwhile_comes_back() -> Result<()> {
    const COUNT: usize = 60;
    let images: Vec<Image> = (0..COUNT).map(|number| image(number, &[1000])).collect();
    let (theirs, last) = (image(COUNT - 1, &[3000, 400]), format!("team/app-{:02}", COUNT - 1));
    let registry = Registry::start(Setup::default());
    let workspace = site_of(&images, &registry.host())?;
    let journal = workspace.path(JOURNAL);
    let (other, pushed, root) = (registry.clone(), std::sync::Once::new(), theirs.root);
    registry.fail_when(move |kind, path, _| {
        if kind.writes() && journal.exists() && path.contains("team/app-00/") {
            pushed.call_once(|| other.load(&theirs));
        }
        None
    });
    let apply = installer(&workspace, &["apply", "bundle"]).succeed()?;
    apply.says("names something else than when this was planned")?;
    ensure!(registry.tag(&last, "1.0") == Some(images[COUNT - 1].root));
    installer(&workspace, &["rollback"]).succeed()?;
    ensure!(registry.tag(&last, "1.0") == Some(root), "{}", registry.content());
    ensure!(registry.tag("team/app-00", "1.0").is_none());
    Ok(())
}
