//! A whole site: one site file, a plan, its application, its proof, its report, and the way back. With a registry that is
//! there already.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{self, DockerRegistry, RegistrySetup};
use ferry_tests::process::Program;
use ferry_tests::proxy::Proxy;
use ferry_tests::random::Random;
use ferry_tests::registry::{Kind, Registry, Setup};
use ferry_tests::workspace::{Sample, Workspace};
use serde_json::Value;

const PASSWORD: &str = "correct-horse-battery";

/// Writes `site.yaml` with this registry section.
fn site(workspace: &Workspace, registry: &str) -> Result<()> {
    let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n";
    workspace.write("site.yaml", format!("{head}{registry}")).map(drop)
}

fn plain(workspace: &Workspace, host: &str) -> Result<()> {
    site(workspace, &format!("  address: {host}\n  existing: {{}}\n  plainHttp: true\n"))
}

fn installer(workspace: &Workspace, arguments: &[&str]) -> Program {
    workspace.installer().args(arguments).env("REGISTRY_PASSWORD", PASSWORD)
}

#[test]
fn a_registry_with_tls_and_login_gets_everything_and_gives_it_back() -> Result<()> {
    if !parts::ready(&["docker-registry", "htpasswd", "skopeo"]) {
        return Ok(());
    }
    let sample = Sample::built(Corpus::small(301, 60_000))?;
    let workspace = &sample.workspace;
    let login = Some(("ferry".to_owned(), PASSWORD.to_owned()));
    let registry = DockerRegistry::start(&RegistrySetup { tls: true, login, ..RegistrySetup::default() })?;
    let (host, authority) = (registry.host(), registry.authority().display());
    let login = "{user: ferry, password: {env: REGISTRY_PASSWORD}}";
    site(
        workspace,
        &format!(
            "  address: {host}\n  existing: {{}}\n  authority: {authority}\n  login: {login}\n  prefix: mirror\n"
        ),
    )?;
    let run = |arguments: &[&str]| installer(workspace, arguments);

    run(&["plan", "bundle", "--detailed-exitcode"]).fail_with(4)?.prints(&format!("{host}/mirror/"))?;
    let applied = run(&["apply", "bundle", "--output", "json"]).succeed()?.json()?;
    let changes = applied["changes"].as_array().map_or(0, Vec::len);
    ensure!(changes >= sample.corpus.images.len() + sample.corpus.charts.len(), "{applied:#}");
    ensure!(
        applied["changes"].as_array().is_some_and(|all| all.iter().all(|change| change["outcome"] == "done"))
    );
    run(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    run(&["plan", "bundle", "--detailed-exitcode"]).succeed()?;
    run(&["status"]).succeed()?.prints("done")?;

    run(&["rollback"]).succeed()?.prints("undone")?;
    let image = sample.corpus.images[0].name();
    let gone = parts::skopeo()
        .args(["inspect", "--tls-verify=false", "--creds"])
        .arg(format!("ferry:{PASSWORD}"))
        .arg(format!("docker://{host}/mirror/{image}"))
        .run()?;
    ensure!(gone.code != Some(0), "{gone}");
    run(&["status"]).succeed()?.prints("undone")?;
    secret_is_nowhere(workspace)
}

/// The password is in no file of the state folder and in no output that tests have seen.
fn secret_is_nowhere(workspace: &Workspace) -> Result<()> {
    let mut folders = vec![workspace.path("site.ferry")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
                ensure!(!text.contains(PASSWORD), "the password is in {}", path.display());
                files += 1;
            }
        }
    }
    ensure!(files > 4, "only {files} files were looked at");
    Ok(())
}

#[test]
fn a_second_apply_only_asks() -> Result<()> {
    let sample = Sample::built(Corpus::small(302, 40_000))?;
    let (workspace, registry) = (&sample.workspace, Registry::start(Setup::default()));
    plain(workspace, &registry.host())?;
    installer(workspace, &["apply", "bundle"]).succeed()?;
    registry.reset_counts();
    installer(workspace, &["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    let counts = registry.counts();
    ensure!(counts.bytes_received == 0, "{counts:?}");
    for kind in [Kind::UploadStart, Kind::ManifestPut] {
        ensure!(counts.of(kind) == 0, "{counts:?}");
    }
    ensure!(!workspace.path("site.ferry/runs/0002").exists(), "a run of nothing");
    Ok(())
}

#[test]
fn a_reviewed_plan_is_taken_exactly_or_not_at_all() -> Result<()> {
    let sample = Sample::built(Corpus::small(303, 20_000))?;
    let (workspace, registry) = (&sample.workspace, Registry::start(Setup::default()));
    plain(workspace, &registry.host())?;
    let run = |arguments: &[&str]| installer(workspace, arguments);
    run(&["plan", "bundle", "-o", "plan.json"]).succeed()?;

    // Somebody pushes one of the images meanwhile.
    let image = &sample.corpus.images[0];
    registry.load(image);
    let refused = run(&["apply", "bundle", "plan.json"]).fail_with(1)?;
    refused.says("has changed since the plan was made")?.says(&image.name())?;
    ensure!(!workspace.path("site.ferry/runs").exists(), "it was begun");

    registry.clear();
    run(&["apply", "bundle", "plan.json"]).succeed()?;
    let plan: Value = serde_json::from_slice(&fs::read(workspace.path("plan.json"))?)?;
    let ran: Value = serde_json::from_slice(&fs::read(workspace.path("site.ferry/runs/0001/plan.json"))?)?;
    ensure!(plan == ran, "other steps were taken");
    run(&["apply", "bundle", "plan.json"]).fail_with(1)?.says("has changed")?;

    // The site file is part of it.
    registry.clear();
    run(&["plan", "bundle", "-o", "plan.json"]).succeed()?;
    let text = fs::read_to_string(workspace.path("site.yaml"))?;
    workspace.write("site.yaml", format!("{text}  prefix: other\n"))?;
    run(&["apply", "bundle", "plan.json"]).fail_with(1)?.says("site file was edited")?;
    Ok(())
}

#[test]
fn one_image_that_fails_does_not_stop_the_others() -> Result<()> {
    let sample = Sample::built(Corpus::small(304, 20_000))?;
    let (workspace, registry) = (&sample.workspace, Registry::start(Setup::default()));
    plain(workspace, &registry.host())?;
    let bad = sample.corpus.images[0].repository.clone();
    let refused = bad.clone();
    registry.fail_when(move |kind, path, _| {
        (kind == Kind::ManifestPut && path.contains(&refused)).then_some(http_status(403))
    });
    let failed = installer(workspace, &["apply", "bundle"]).fail_with(1)?;
    failed.prints(&bad)?.prints("next:")?;
    installer(workspace, &["status"]).fail_with(1)?.prints("failed")?;
    registry.heal();
    installer(workspace, &["apply", "bundle"]).succeed()?;
    installer(workspace, &["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    Ok(())
}

fn http_status(code: u16) -> axum::http::StatusCode {
    axum::http::StatusCode::from_u16(code).unwrap_or_default()
}

#[test]
fn killed_anywhere_it_goes_on_to_the_same_end_and_can_be_taken_back() -> Result<()> {
    let sample = Sample::built(Corpus::small(305, 300_000))?;
    let (workspace, registry) = (&sample.workspace, Registry::start(Setup::default()));
    let proxy = Proxy::start(&registry.host());
    proxy.slow_down(Duration::from_millis(2));
    plain(workspace, &proxy.host())?;
    let apply = installer(workspace, &["apply", "bundle"]);
    let usual = apply.succeed()?.elapsed;
    let right = registry.content();
    let mut random = Random::new(305);
    for number in 0..25 {
        registry.clear();
        fs::remove_dir_all(workspace.path("site.ferry"))?;
        for _ in 0..2 {
            apply.kill_after(usual * u32::try_from(random.below(1000))? / 1000)?;
        }
        if number % 2 == 0 {
            apply.succeed()?;
            ensure!(registry.content() == right, "another end");
            installer(workspace, &["status"]).succeed()?;
        }
        // A run that is cut off is taken back as a whole one is. What was killed early has begun none.
        let journal = fs::read_to_string(workspace.path("site.ferry/runs/0001/journal.jsonl"));
        if journal.is_ok_and(|journal| journal.contains('\n')) {
            installer(workspace, &["rollback"]).succeed()?;
        }
        let content = registry.content();
        ensure!(!content.contains(" manifest ") && !content.contains(" tag "), "{content}");
    }
    Ok(())
}

#[test]
fn two_runs_at_once_are_kept_apart() -> Result<()> {
    let sample = Sample::built(Corpus::small(306, 2_000_000))?;
    let (workspace, registry) = (&sample.workspace, Registry::start(Setup::default()));
    let proxy = Proxy::start(&registry.host());
    proxy.slow_down(Duration::from_millis(50));
    plain(workspace, &proxy.host())?;
    let apply = installer(workspace, &["apply", "bundle"]);
    let first = apply.start()?;
    wait_for_run(workspace)?;
    apply.fail_with(1)?.says("another run")?.says(&first.id().to_string())?;
    drop(first);
    // Its process is gone, and the lock with it.
    apply.succeed()?;
    Ok(())
}

/// Waits until the first run has begun.
fn wait_for_run(workspace: &Workspace) -> Result<()> {
    let begun = || workspace.path("site.ferry/runs/0001/journal.jsonl").exists();
    parts::wait_until(Duration::from_secs(20), "the run has not begun", begun)
}

#[test]
fn a_run_that_goes_on_is_told_from_one_that_was_cut_off() -> Result<()> {
    let sample = Sample::built(Corpus::small(310, 2_000_000))?;
    let (workspace, registry) = (&sample.workspace, Registry::start(Setup::default()));
    let proxy = Proxy::start(&registry.host());
    proxy.slow_down(Duration::from_millis(50));
    plain(workspace, &proxy.host())?;
    let apply = installer(workspace, &["apply", "bundle"]);
    let running = apply.start()?;
    wait_for_run(workspace)?;

    let status = installer(workspace, &["status"]).fail_with(1)?;
    status.prints(&format!("process {} on ", running.id()))?.prints("is changing this site now")?;
    status.prints("running")?.prints("next: wait for it to end")?;
    ensure!(!status.stdout.contains("cut off"), "{status}");
    let json = installer(workspace, &["status", "--output", "json"]).fail_with(1)?.json()?;
    ensure!(json["runs"][0]["state"] == "running" && json["runs"][0]["failures"] == serde_json::json!([]));
    ensure!(json["changing"].as_str().is_some_and(|holder| holder.contains(&running.id().to_string())));

    // Killed, it leaves its name in the lock's file, and that does not count.
    drop(running);
    let status = installer(workspace, &["status"]).fail_with(1)?;
    status.prints("cut off")?;
    ensure!(!status.stdout.contains("changing"), "{status}");
    proxy.slow_down(Duration::ZERO);
    apply.succeed()?;
    installer(workspace, &["status"]).succeed()?.prints("done")?;
    Ok(())
}

#[test]
fn a_wrong_site_file_is_refused_with_its_place() -> Result<()> {
    let sample = Sample::built(Corpus::small(307, 1_000))?;
    let workspace = &sample.workspace;
    site(workspace, "  address: registry.corp:5000\n  existng: {}\n")?;
    installer(workspace, &["plan", "bundle"])
        .fail_with(1)?
        .says("site.yaml:6:3")?
        .says("did you mean `existing`?")?;
    site(workspace, "  address: 127.0.0.1:1\n  existing: {}\n  plainHttp: true\n")?;
    installer(workspace, &["plan", "bundle"]).fail_with(1)?.says("does not answer")?;
    site(
        workspace,
        "  address: 127.0.0.1:1\n  existing: {}\n  flatten: true\n  names: {'docker.io/library/a:1': 'x:1'}\n",
    )?;
    installer(workspace, &["status"]).succeed()?.prints("no run yet")?;
    Ok(())
}

/// A tag that moved goes back before the manifest that it moved to is deleted with every tag that names it.
#[test]
fn taking_back_gives_moved_tags_their_images_again() -> Result<()> {
    let sample = Sample::built(Corpus::small(308, 20_000))?;
    let workspace = &sample.workspace;
    let registry = Registry::start(Setup::default());
    let (old, new) = (&sample.corpus.images[0], &sample.corpus.images[1]);
    // The operator's image under the tag that the bundle's will take.
    registry.load(&old.named(&new.repository, &new.tag));
    let before = registry.tag(&new.repository, &new.tag);
    plain(workspace, &registry.host())?;
    installer(workspace, &["apply", "bundle"]).succeed()?;
    ensure!(registry.tag(&new.repository, &new.tag) == Some(new.root), "it was not pushed");
    installer(workspace, &["rollback"]).run()?;
    ensure!(registry.tag(&new.repository, &new.tag) == before, "the operator's tag is not back");
    installer(workspace, &["rollback", "9"]).fail_with(1)?.says("there is no run 9")?;
    Ok(())
}

/// What a later run stands on stays.
#[test]
fn runs_are_taken_back_from_the_last_one() -> Result<()> {
    let sample = Sample::built(Corpus::small(309, 10_000))?;
    let (workspace, registry) = (&sample.workspace, Registry::start(Setup::default()));
    plain(workspace, &registry.host())?;
    installer(workspace, &["apply", "bundle"]).succeed()?;
    registry.clear();
    installer(workspace, &["apply", "bundle"]).succeed()?;
    installer(workspace, &["rollback", "1"]).fail_with(1)?.says("run 0002 stands on run 0001")?;
    Ok(())
}

/// As if the process had been killed before it noted that anything was done.
fn forget_what_was_done(workspace: &Workspace) -> Result<()> {
    let path = workspace.path("site.ferry/runs/0001/journal.jsonl");
    let text = fs::read_to_string(&path)?;
    let lines = text.lines().map(|line| Ok((line, serde_json::from_str::<Value>(line)?)));
    let lines = lines.collect::<Result<Vec<_>>>()?;
    let is_kept = |entry: &Value| !["done", "ended"].iter().any(|is| entry["event"]["is"] == *is);
    let kept: String =
        lines.iter().filter(|(_, entry)| is_kept(entry)).map(|(line, _)| format!("{line}\n")).collect();
    ensure!(kept.len() < text.len() && kept.contains("started"), "{text}");
    Ok(fs::write(path, kept)?)
}

#[test]
fn a_tag_that_somebody_took_while_the_run_was_cut_off_is_given_back() -> Result<()> {
    let sample = Sample::built(Corpus::small(311, 20_000))?;
    let (workspace, registry) = (&sample.workspace, Registry::start(Setup::default()));
    plain(workspace, &registry.host())?;
    installer(workspace, &["apply", "bundle"]).succeed()?;
    let right = registry.content();
    forget_what_was_done(workspace)?;
    installer(workspace, &["apply", "bundle"]).succeed()?;
    ensure!(!workspace.path("site.ferry/runs/0002").exists(), "what it left itself is gone on with");
    ensure!(registry.content() == right, "another end");

    forget_what_was_done(workspace)?;
    let (theirs, ours) = (&sample.corpus.images[0], &sample.corpus.images[1]);
    let tag = || registry.tag(&ours.repository, &ours.tag);
    registry.load(&theirs.named(&ours.repository, &ours.tag));
    ensure!(tag() == Some(theirs.root));
    let again = installer(workspace, &["apply", "bundle"]).succeed()?;
    again.says("run 0001 was cut off and is not gone on with")?.says(&ours.name())?;
    ensure!(tag() == Some(ours.root));
    installer(workspace, &["rollback"]).succeed()?;
    ensure!(tag() == Some(theirs.root), "the operator's tag is lost");
    // The first run has never seen it, and leaves it.
    installer(workspace, &["rollback"]).fail_with(1)?.prints("was changed by somebody else")?;
    ensure!(tag() == Some(theirs.root), "the operator's tag is lost");
    Ok(())
}
