//! What `ferry-installer` says to who meets it for the first time: what to do next, and why it does not go on.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts;
use ferry_tests::process::Program;
use ferry_tests::proxy::Proxy;
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Sample, Workspace};
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(30);

fn installer(workspace: &Workspace, arguments: &[&str]) -> Program {
    workspace.installer().args(arguments)
}

fn site(workspace: &Workspace, registry: &str) -> Result<()> {
    let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n";
    workspace.write("site.yaml", format!("{head}{registry}")).map(drop)
}

fn existing(workspace: &Workspace, host: &str) -> Result<()> {
    site(workspace, &format!("  address: {host}\n  existing: {{}}\n  plainHttp: true\n"))
}

#[test]
fn preflight_looks_at_the_site_of_its_folder() -> Result<()> {
    let sample = Sample::built(Corpus::small(811, 1_000))?;
    let workspace = &sample.workspace;
    let skipped = "disk-space,disk-inodes";
    for flag in ["--skip-check", "--skip"] {
        let looked = installer(workspace, &["preflight", "bundle", flag, skipped]).succeed()?;
        looked.says("no site file: only this machine is looked at")?;
        ensure!(!looked.stdout.contains("disk-"), "{looked}");
    }
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    existing(workspace, &free)?;
    let looked = installer(workspace, &["preflight", "bundle"]).fail_with(1)?;
    looked.prints("registry-port")?.says("--skip-check NAME")?;
    ensure!(!looked.stderr.contains("no site file"), "{looked}");
    Ok(())
}

#[test]
fn a_site_file_that_is_none_is_told_with_what_to_do() -> Result<()> {
    let sample = Sample::built(Corpus::small(812, 1_000))?;
    let workspace = &sample.workspace;
    installer(workspace, &["plan", "bundle"])
        .fail_with(1)?
        .says("there is no site file site.yaml")?
        .says("init BUNDLE -o site.yaml")?
        .says("--site FILE")?;
    for (file, words) in [("bundle", "it is a bundle"), ("spec.yaml", "it is the spec of a bundle")] {
        let refused = installer(workspace, &["plan", "bundle", "--site", file]).fail_with(1)?;
        refused.says("no site file")?.says(words)?;
    }
    let login = |password: &str| {
        site(workspace, &format!("  address: r.corp\n  login: {{user: a, password: {password}}}\n"))
    };
    for password in ["hunter2", "20171"] {
        login(password)?;
        let refused = installer(workspace, &["plan", "bundle"]).fail_with(1)?;
        refused.says("site.yaml:6:")?.says("{env: NAME}")?;
        ensure!(!refused.to_string().contains(password), "{refused}");
    }
    Ok(())
}

#[test]
fn what_was_written_is_said_and_what_comes_next() -> Result<()> {
    let sample = Sample::built(Corpus::small(813, 20_000))?;
    let workspace = &sample.workspace;
    let written = installer(workspace, &["init", "bundle", "-o", "mine.yaml"]).succeed()?;
    written.prints("mine.yaml written")?.prints("ferry-installer plan bundle --site mine.yaml")?;
    let text = fs::read_to_string(workspace.path("mine.yaml"))?;
    installer(workspace, &["init", "bundle", "-o", "mine.yaml"]).fail_with(1)?.says("is there already")?;
    ensure!(fs::read_to_string(workspace.path("mine.yaml"))? == text);
    let json = installer(workspace, &["init", "bundle", "--output", "json"]).succeed()?.json()?;
    ensure!(json["text"].as_str().is_some_and(|text| text.contains("kind: Site")), "{json}");

    let registry = Registry::start(Setup::default());
    existing(workspace, &registry.host())?;
    let kept = installer(workspace, &["plan", "bundle", "-o", "plan.json"]).succeed()?;
    kept.says("kept in plan.json")?.says("ferry-installer apply bundle plan.json --site site.yaml")?;

    // The same plan with another bundle: that alone is the reason.
    let other = Sample::built(Corpus::small(814, 20_000))?;
    fs::copy(other.workspace.path("bundle"), workspace.path("other"))?;
    let refused = installer(workspace, &["apply", "other", "plan.json"]).fail_with(1)?;
    refused.says("the plan was made for another bundle")?;
    ensure!(!refused.stderr.contains("image 127"), "{refused}");

    // A program knows a run's report from the plan of what there is not to do.
    let ran =
        installer(workspace, &["apply", "bundle", "plan.json", "--output", "json"]).succeed()?.json()?;
    ensure!(ran["kind"] == "Report" && ran["run"] == "0001", "{ran}");
    let none = installer(workspace, &["apply", "bundle", "--output", "json"]).succeed()?.json()?;
    ensure!(none["kind"] == "Plan" && none["steps"] == serde_json::json!([]), "{none}");
    let refused = installer(workspace, &["apply", "bundle", "plan.json"]).fail_with(1)?;
    refused.says("the site has changed since the plan was made:\n")?;
    let longest = refused.stderr.lines().map(str::len).max().unwrap_or_default();
    ensure!(longest < 200, "digests are not short: {refused}");

    let image = sample.corpus.images[0].name();
    let exported = installer(workspace, &["export", "bundle", &image, "-o", "image.tar"]).succeed()?;
    exported.prints("image.tar written")?.prints("docker load -i image.tar")?;
    let exported = installer(workspace, &["export", "bundle", &image, "-o", "image.tar", "--output", "json"])
        .succeed()?;
    let size = fs::metadata(workspace.path("image.tar"))?.len();
    ensure!(exported.json()?["bytes"] == size, "{exported}");
    Ok(())
}

#[test]
fn charts_and_files_are_exported_as_they_are() -> Result<()> {
    let sample = Sample::built(Corpus::small(819, 1_000))?;
    let workspace = &sample.workspace;
    let export = |name: &str| installer(workspace, &["export", "bundle", name, "-o", "out"]);
    let chart = &sample.corpus.charts[0];
    for name in ["demo", "demo:1.2.3", "demo-1.2.3.tgz"] {
        export(name).succeed()?.prints("out written: demo-1.2.3.tgz")?;
        ensure!(fs::read(workspace.path("out"))? == chart.archive, "{name}");
    }
    let (path, bytes) = &sample.corpus.runtimes[0];
    for name in [path.as_str(), "node-v16.16.0.tar.gz"] {
        export(name).succeed()?;
        ensure!(fs::read(workspace.path("out"))? == *bytes, "{name}");
    }
    export("demo").arg("--platform").arg("all").fail_with(2)?.says("is no image")?;
    export("nothing").fail_with(1)?.says("no image, chart or file `nothing`")?;
    Ok(())
}

#[test]
fn what_the_site_forbids_is_no_wrong_usage() -> Result<()> {
    let sample = Sample::built(Corpus::small(815, 1_000))?;
    let workspace = &sample.workspace;
    let registry = Registry::start(Setup::default());
    existing(workspace, &registry.host())?;
    for (arguments, words) in [
        (&["rollback"][..], "there is no run to take back"),
        (&["report"], "has no such run"),
        (&["registry", "manifests", "bundle"], "has no manifests"),
    ] {
        let refused = installer(workspace, arguments).fail_with(1)?;
        refused.says(words)?;
        ensure!(!refused.stderr.contains("--help"), "{refused}");
    }
    let role = installer(workspace, &["cluster-role", "bundle"]).succeed()?;
    role.prints("rules: []")?.says("the role allows nothing")?;
    Ok(())
}

#[test]
fn push_tells_what_a_registry_does_not_take() -> Result<()> {
    let sample = Sample::built(Corpus::small(816, 1_000))?;
    let registry = Registry::start(Setup::default());
    let host = registry.host();
    let pushed =
        installer(&sample.workspace, &["push", "bundle", "--registry", &host, "--plain-http", &host]);
    pushed.succeed()?.prints("3 files (runtimes, SaaS packages and others) are not pushed")?;
    Ok(())
}

#[test]
fn interrupted_it_says_that_the_same_command_goes_on() -> Result<()> {
    let sample = Sample::built(Corpus::small(817, 2_000_000))?;
    let workspace = &sample.workspace;
    let registry = Registry::start(Setup::default());
    let proxy = Proxy::start(&registry.host());
    proxy.slow_down(Duration::from_millis(50));
    existing(workspace, &proxy.host())?;
    let apply = installer(workspace, &["apply", "bundle"]);
    let running = apply.start()?;
    let begun = || workspace.path("site.ferry/runs/0001/journal.jsonl").exists();
    parts::wait_until(LIMIT, "the run has not begun", begun)?;
    running.signal(Signal::INT)?;
    let interrupted = running.finish(LIMIT)?;
    ensure!(interrupted.code == Some(130), "{interrupted}");
    interrupted.says("interrupted")?.says("the same command goes on where it stopped")?;
    proxy.slow_down(Duration::ZERO);
    apply.succeed()?.says("going on with run 0001")?;

    proxy.slow_down(Duration::from_millis(300));
    let rollback = installer(workspace, &["rollback"]);
    let running = rollback.start()?;
    let journal = || fs::read_to_string(workspace.path("site.ferry/runs/0001/journal.jsonl"));
    let begun = || journal().is_ok_and(|text| text.contains("\"undoing\""));
    parts::wait_until(LIMIT, "nothing is taken back", begun)?;
    running.signal(Signal::INT)?;
    let interrupted = running.finish(LIMIT)?;
    ensure!(interrupted.code == Some(130), "{interrupted}");
    interrupted.says("the same command goes on where it stopped")?;
    proxy.slow_down(Duration::ZERO);
    rollback.succeed()?;
    Ok(())
}
