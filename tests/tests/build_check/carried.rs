//! A spec, its lock and its bundle, compared with what is named.

use anyhow::{Result, ensure};
use ferry_tests::corpus::{Chart, Corpus, tar};
use ferry_tests::files::{Files, FilesSetup};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{chart_entries, plain_http};

use super::ground::{Checked, Ground, with_and_without_helm};

const REGISTRY: &str = "hub.example.com";

/// A chart that runs `team/app:1.0`.
fn demo() -> Chart {
    let archive = tar(&[
        ("demo/Chart.yaml", "apiVersion: v2\nname: demo\nversion: 1.2.3\nappVersion: \"1.0\"\n"),
        ("demo/values.yaml", "image: {repository: team/app}\n"),
        (
            "demo/templates/pod.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - name: a\n      image: {{ .Values.image.repository }}:{{ .Chart.AppVersion }}\n",
        ),
    ]);
    Chart { name: "demo".into(), version: "1.2.3".into(), archive: ferry_tests::corpus::gzip(&archive) }
}

#[test]
fn a_spec_its_lock_and_its_bundle_say_the_same() -> Result<()> {
    with_and_without_helm(|ground| {
        let workspace = &ground.workspace;
        let corpus = Corpus::small(70, 10_000);
        let registry = Registry::start(Setup::default());
        let app = corpus.image("team/app");
        registry.load(app);
        let files = Files::start(FilesSetup::default());
        let charts = [demo()];
        files.add_charts("charts", &charts);
        let hosts = plain_http(&[&registry.host(), &files.host()]);
        let charts = chart_entries(&format!("{}/charts", files.url()), &charts);
        let spec = |images: &str| workspace.spec(&format!("platforms: all\n{hosts}{charts}{images}"));

        // The chart's image is nowhere yet: not locked, locked, built.
        spec("")?;
        ground.check(1, &[])?.expect("docker.io/team/app:1.0", "missing")?;
        let build = || ground.builder().args(["build", "spec.yaml", "-o", "bundle"]);
        let failed = build().fail_with(1)?;
        failed.says("docker.io/team/app:1.0  in charts/demo-1.2.3/")?.says("--fix")?.says("--skip-check")?;
        ensure!(!workspace.path("bundle").exists(), "nothing was fetched");
        build().arg("--skip-check").succeed()?;
        for subject in ["spec.lock", "bundle"] {
            let outcome = ground.builder().args(["check", subject, "--output", "json"]).fail_with(1)?;
            let checked = Checked::new(&outcome)?;
            checked.expect("docker.io/team/app:1.0", "missing")?;
            ensure!(checked.place("docker.io/team/app:1.0")?["source"] == "charts/demo-1.2.3");
        }

        // The same image from another registry has its name at the site.
        spec(&format!("images:\n  - {}/{}\n", registry.host(), app.name()))?;
        let before = files.requests().len();
        std::fs::remove_file(workspace.path("bundle"))?;
        let built = build().succeed()?;
        ensure!(ground.has_helm != built.stderr.contains("helm is not on PATH"), "{built}");
        ensure!(files.requests().len() > before, "the chart was looked into");
        for subject in ["spec.yaml", "spec.lock", "bundle"] {
            let outcome = ground.builder().args(["check", subject, "--output", "json"]).succeed()?;
            Checked::new(&outcome)?.expect("docker.io/team/app:1.0", "held")?;
        }
        // What is built needs nothing from outside, to be checked or to be built again.
        let before = files.requests().len();
        build().arg("--locked").succeed()?;
        ground.builder().args(["check", "bundle"]).succeed()?;
        ensure!(files.requests().len() == before, "{:?}", &files.requests()[before..]);
        Ok(())
    })
}

#[test]
fn nothing_is_built_of_charts_that_lack_a_part() -> Result<()> {
    with_and_without_helm(|ground| {
        let workspace = &ground.workspace;
        let metadata = "apiVersion: v2\nname: demo\nversion: 1.2.3\ndependencies:\n  - {name: mysql, version: 1.0.0, repository: \"https://charts.example.com\"}\n";
        let archive = ferry_tests::corpus::gzip(&tar(&[("demo/Chart.yaml", metadata)]));
        let files = Files::start(FilesSetup::default());
        let charts = [Chart { name: "demo".into(), version: "1.2.3".into(), archive }];
        files.add_charts("charts", &charts);
        let hosts = plain_http(&[&files.host()]);
        let charts = chart_entries(&format!("{}/charts", files.url()), &charts);
        let spec = |rules: &str| workspace.spec(&format!("{hosts}{charts}{rules}"));
        let build = || ground.builder().args(["build", "spec.yaml", "-o", "bundle"]);
        spec("")?;
        let failed = build().fail_with(1)?;
        failed.says("its dependency mysql is not in charts/")?.says("chart:NAME")?;
        ensure!(!workspace.path("bundle").exists(), "nothing was fetched");
        spec("check: {ignore: [{image: \"chart:mysql\", reason: the database is outside}]}\n")?;
        build().succeed()?;
        Ok(())
    })
}

#[test]
fn a_digest_must_be_the_one_that_is_carried() -> Result<()> {
    let ground = Ground::new(false)?;
    let corpus = Corpus::small(71, 10_000);
    let registry = Registry::start(Setup::default());
    let (app, multi) = (corpus.image("team/app"), corpus.image("library/multi"));
    registry.load(app);
    registry.load(multi);
    let host = registry.host();
    ground.workspace.spec(&format!(
        "{}images:\n  - {host}/{}\n  - {{image: {host}/{}, as: other/multi:4}}\n",
        plain_http(&[&host]),
        app.name(),
        multi.name()
    ))?;
    ground.workspace.lock()?;
    let other = ferry_model::Digest::of(b"another");
    let list = format!(
        "{host}/team/app:1.0@{}\n{host}/library/multi:3@{}\nregistry.site/other/multi:4\n{REGISTRY}/team/app@{other}\n",
        app.root, multi.root
    );
    ground.workspace.write("list.txt", list)?;
    let checked = ground.check(1, &["list.txt"])?;
    ensure!(checked.missing() == [format!("{REGISTRY}/team/app@{other}")], "{:?}", checked.states);
    // Nothing that could be added would bring it.
    let fixed = ground.builder().args(["check", "spec.yaml", "list.txt", "--fix"]).fail_with(1)?;
    fixed.prints("with another digest")?;
    Ok(())
}
