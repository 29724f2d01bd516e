//! `ferry-builder check`: what charts and other files name, found and compared with what is carried. Once with a real helm,
//! once without one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::corpus::{Chart, Corpus, tar};
use ferry_tests::files::{Files, FilesSetup};
use ferry_tests::parts;
use ferry_tests::process::{Outcome, Program};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Workspace, chart_entries, plain_http};
use serde_json::Value;

/// Runs once without helm, and once with helm 3 where it is there.
fn with_and_without_helm(test: impl Fn(&Ground) -> Result<()>) -> Result<()> {
    test(&Ground::new(false)?).context("without helm")?;
    if parts::ready(&["helm3"]) {
        test(&Ground::new(true)?).context("with helm")?;
    }
    Ok(())
}

struct Ground {
    workspace: Workspace,
    has_helm: bool,
}

impl Ground {
    fn new(has_helm: bool) -> Result<Self> {
        Ok(Self { workspace: Workspace::new()?, has_helm })
    }

    fn builder(&self) -> Program {
        let folder = if self.has_helm { parts::helm_folder(3) } else { self.workspace.path("nothing") };
        self.workspace.builder().env("PATH", folder)
    }

    /// Checks `spec.yaml` and these paths, and expects this exit code.
    fn check(&self, code: i32, arguments: &[&str]) -> Result<Checked> {
        let program = self.builder().args(["check", "spec.yaml", "--output", "json"]).args(arguments);
        Checked::new(&program.fail_with(code)?)
    }

    /// Writes a chart's files below `name/`.
    fn chart(&self, name: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
        if !files.iter().any(|(path, _)| *path == "Chart.yaml") {
            let metadata = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\nappVersion: v2.5.0\n");
            self.workspace.write(&format!("{name}/Chart.yaml"), metadata)?;
        }
        for (path, content) in files {
            self.workspace.write(&format!("{name}/{path}"), content)?;
        }
        Ok(self.workspace.path(name))
    }
}

/// What a check said: of each image its state and its entry.
struct Checked {
    report: Value,
    states: BTreeMap<String, String>,
}

impl Checked {
    fn new(outcome: &Outcome) -> Result<Self> {
        let report = outcome.json()?;
        let images = report["images"].as_array().context("a list of images")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let states = images.iter().map(|image| (text(&image["image"]), text(&image["state"]))).collect();
        Ok(Self { report, states })
    }

    fn state(&self, image: &str) -> &str {
        self.states.get(image).map_or("", String::as_str)
    }

    fn expect(&self, image: &str, state: &str) -> Result<&Self> {
        ensure!(
            self.state(image) == state,
            "{image} is `{}`, not {state}: {:#}",
            self.state(image),
            self.report
        );
        Ok(self)
    }

    fn missing(&self) -> Vec<&str> {
        let missing = self.states.iter().filter(|(_, state)| *state == "missing");
        missing.map(|(image, _)| image.as_str()).collect()
    }

    /// The first place of an image.
    fn place(&self, image: &str) -> Result<&Value> {
        let images = self.report["images"].as_array().context("a list")?;
        let found = images.iter().find(|found| found["image"] == image);
        found.and_then(|found| found["places"].get(0)).with_context(|| format!("{image}: {:#}", self.report))
    }
}

const REGISTRY: &str = "hub.example.com";

/// A chart with a hole of every kind that BlueKing's charts have.
fn holed(ground: &Ground) -> Result<()> {
    ground.chart(
        "platform",
        &[
            (
                "Chart.yaml",
                "apiVersion: v2\nname: platform\nversion: 1.0.0\nappVersion: v2.5.0\nannotations:\n  artifacthub.io/images: |\n    - name: agent\n      image: hub.example.com/team/annotated:1.0\ndependencies:\n  - {name: cache, version: 0.1.0, condition: cache.enabled}\n  - {name: search, version: 0.1.0, condition: search.enabled}\n",
            ),
            (
                "values.yaml",
                "global: {imageRegistry: hub.example.com}\nweb:\n  image:\n    registry: docker.io\n    repository: team/web\n    # the chart's appVersion\n    tag: \"\"\ncache: {enabled: true}\nsearch: {enabled: false}\nbackup: {enabled: false}\n",
            ),
            (
                "templates/web.yaml",
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      initContainers:\n        - name: wait\n          image: busybox\n        - name: waiter\n          image: groundnuty/k8s-wait-for:v1.3\n      containers:\n        - name: web\n          image: \"{{ .Values.global.imageRegistry }}/{{ .Values.web.image.repository }}:{{ .Values.web.image.tag | default .Chart.AppVersion }}\"\n          env:\n            - name: PAAS_HEROKU_BUILDER_IMAGE\n              value: \"{{ .Values.global.imageRegistry }}/blueking/bk-builder-heroku-bionic:v1.0.1\"\n            - name: RUNNER\n              value: hub.example.com/blueking/run-heroku-bionic:v1.0.1\n            - name: REDIS\n              value: redis:6379\n          args:\n            - --listen=0.0.0.0:8080\n            - --sidecar-image=hub.example.com/team/sidecar:3\n",
            ),
            (
                "templates/config.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: envs\ndata:\n  PAAS_APP_IMAGE: \"{{ .Values.global.imageRegistry }}/blueking/slug-app:v1.1.0-beta.27\"\n  LEVEL: info\n",
            ),
            (
                "templates/database.yaml",
                "apiVersion: db.example.com/v1\nkind: Database\nmetadata:\n  name: main\nspec:\n  serverImage: hub.example.com/team/database:8\n",
            ),
            (
                "templates/hook.yaml",
                "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: keys\n  annotations:\n    helm.sh/hook: pre-install\nspec:\n  template:\n    spec:\n      containers:\n        - name: keys\n          image: frapsoft/openssl:latest\n",
            ),
            (
                "templates/backup.yaml",
                "{{- if .Values.backup.enabled }}\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: backup\nspec:\n  template:\n    spec:\n      containers:\n        - name: backup\n          image: amazon/aws-cli:2\n{{- end }}\n",
            ),
            (
                "templates/tests/connection.yaml",
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: test\n  annotations:\n    helm.sh/hook: test\nspec:\n  containers:\n    - name: wget\n      image: curlimages/curl:7.72.0\n",
            ),
            (
                "charts/cache/Chart.yaml",
                "apiVersion: v2\nname: cache\nversion: 0.1.0\nappVersion: \"7.2\"\n",
            ),
            ("charts/cache/values.yaml", "image:\n  registry: docker.io\n  repository: team/cache\n"),
            (
                "charts/cache/templates/cache.yaml",
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: cache\nspec:\n  containers:\n    - name: cache\n      image: \"{{ .Values.global.imageRegistry }}/{{ .Values.image.repository }}:{{ .Chart.AppVersion }}\"\n",
            ),
        ],
    )?;
    let search = tar(&[
        ("search/Chart.yaml", &b"apiVersion: v2\nname: search\nversion: 0.1.0\nappVersion: \"9\"\n"[..]),
        ("search/values.yaml", &b"image: {registry: docker.io, repository: team/search, tag: \"9.1\"}\n"[..]),
        (
            "search/templates/search.yaml",
            &b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: search\nspec:\n  containers:\n    - name: search\n      image: \"{{ .Values.global.imageRegistry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}\"\n"[..],
        ),
    ]);
    ground.workspace.write("platform/charts/search-0.1.0.tgz", ferry_tests::corpus::gzip(&search))?;
    Ok(())
}

/// What the chart pulls, whichever way one looks.
const NEEDED: [&str; 10] = [
    "docker.io/library/busybox:latest",
    "docker.io/groundnuty/k8s-wait-for:v1.3",
    "hub.example.com/team/web:v2.5.0",
    "hub.example.com/blueking/bk-builder-heroku-bionic:v1.0.1",
    "hub.example.com/blueking/run-heroku-bionic:v1.0.1",
    "hub.example.com/team/sidecar:3",
    "hub.example.com/blueking/slug-app:v1.1.0-beta.27",
    "hub.example.com/team/database:8",
    "docker.io/frapsoft/openssl:latest",
    "hub.example.com/team/cache:7.2",
];

#[test]
fn no_hole_is_missed_and_none_is_made_up() -> Result<()> {
    with_and_without_helm(|ground| {
        holed(ground)?;
        ground.workspace.spec("images: []\n")?;
        let checked = ground.check(1, &["platform"])?;
        for image in NEEDED {
            checked.expect(image, "missing")?;
        }
        let (uncertain, missing) = if ground.has_helm { ("possible", 10) } else { ("missing", 11) };
        checked.expect("hub.example.com/team/annotated:1.0", "possible")?;
        checked.expect("docker.io/amazon/aws-cli:2", uncertain)?;
        checked.expect("hub.example.com/team/search:9.1", "optional")?;
        checked.expect("docker.io/curlimages/curl:7.72.0", "optional")?;
        ensure!(checked.missing().len() == missing, "{:?}", checked.missing());
        ensure!(checked.states.len() == NEEDED.len() + 4, "{:?}", checked.states);
        ensure!(checked.report["helm"].is_string() == ground.has_helm);
        ensure!(checked.report["charts"][0]["rendered"] == ground.has_helm, "{:#}", checked.report);

        let busybox = checked.place("docker.io/library/busybox:latest")?;
        ensure!(busybox["source"] == "platform" && busybox["file"] == "templates/web.yaml", "{busybox:#}");
        ensure!(busybox["line"] == 10 && busybox["how"] == "image", "{busybox:#}");
        ensure!(busybox["rendered"] == ground.has_helm, "{busybox:#}");
        let slug = checked.place("hub.example.com/blueking/slug-app:v1.1.0-beta.27")?;
        ensure!(slug["how"] == "config-map" && slug["object"] == "ConfigMap envs", "{slug:#}");
        for (image, how) in [
            ("hub.example.com/blueking/run-heroku-bionic:v1.0.1", "environment"),
            ("hub.example.com/team/sidecar:3", "argument"),
            ("hub.example.com/team/database:8", "custom-resource"),
        ] {
            ensure!(checked.place(image)?["how"] == how, "{:#}", checked.place(image)?);
        }
        let cache = checked.place("hub.example.com/team/cache:7.2")?;
        ensure!(cache["file"].as_str().is_some_and(|file| file.starts_with("charts/cache/")), "{cache:#}");
        Ok(())
    })
}

#[test]
fn a_chart_of_which_all_is_carried_is_clean() -> Result<()> {
    with_and_without_helm(|ground| {
        holed(ground)?;
        let more = ["hub.example.com/team/annotated:1.0", "docker.io/amazon/aws-cli:2"];
        let lines: String = NEEDED.iter().chain(&more).map(|image| format!("  - {image}\n")).collect();
        ground.workspace.spec(&format!("images:\n{lines}"))?;
        let checked = ground.check(0, &["platform"])?;
        ensure!(checked.missing().is_empty() && checked.report["complete"] == true, "{:#}", checked.report);
        let text = ground.builder().args(["check", "spec.yaml", "platform"]).succeed()?;
        text.prints("12 carried, 0 missing")?;
        ensure!(ground.has_helm != text.stdout.contains("helm was not used"), "{text}");
        Ok(())
    })
}

#[test]
fn fix_writes_what_is_missing_and_nothing_else() -> Result<()> {
    with_and_without_helm(|ground| {
        holed(ground)?;
        let spec = "# ours\nplatforms: [linux/amd64] # for now\nimages:\n    # the base\n    - registry:2   # kept\n\nfiles: []\n";
        let path = ground.workspace.spec(spec)?;
        let before = std::fs::read_to_string(&path)?;
        ground.builder().args(["check", "spec.yaml", "platform", "--fix"]).succeed()?.prints("added     ")?;
        let after = std::fs::read_to_string(&path)?;
        let kept: Vec<&str> = after.lines().filter(|line| !line.contains("   # platform/")).collect();
        ensure!(kept.join("\n") + "\n" == before, "{after}");
        ensure!(
            after.contains("    - docker.io/library/busybox:latest   # platform/templates/web.yaml:10\n"),
            "{after}"
        );
        let checked = ground.check(0, &["platform"])?;
        ensure!(checked.missing().is_empty(), "{:#}", checked.report);
        ground.builder().args(["check", "spec.yaml", "platform", "--fix"]).succeed()?;
        ensure!(std::fs::read_to_string(&path)? == after, "there was nothing to do");
        ground.builder().args(["check", "spec.lock", "platform", "--fix"]).fail_with(2)?.says("spec")?;
        Ok(())
    })
}

#[test]
fn false_alarms_are_silenced_where_the_spec_says_so() -> Result<()> {
    with_and_without_helm(|ground| {
        let web = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - {name: a, image: busybox}\n";
        ground.chart("one", &[("templates/a.yaml", web)])?;
        ground.chart("two", &[("templates/a.yaml", web)])?;
        let rule = |place: &str| {
            format!("check:\n  ignore:\n    - {{image: \"busybox*\"{place}, reason: ours has it}}\n")
        };
        ground.workspace.spec(&rule(""))?;
        let checked = ground.check(0, &["one", "two"])?;
        checked.expect("docker.io/library/busybox:latest", "silenced")?;
        ground.workspace.spec(&rule(", in: \"one/*\""))?;
        ground.check(0, &["one"])?;
        ground.check(1, &["one", "two"])?.expect("docker.io/library/busybox:latest", "missing")?;
        let idle = ground.check(1, &["two"])?;
        ensure!(idle.report["idle"][0]["in"] == "one/*", "{:#}", idle.report);
        ground.workspace.spec("check: {fail: false}\n")?;
        ground.check(0, &["two"])?.expect("docker.io/library/busybox:latest", "missing")?;
        ground.workspace.spec("check: {ignore: [{image: a}]}\n")?;
        ground.builder().args(["check", "spec.yaml"]).fail_with(1)?.says("reason")?;
        Ok(())
    })
}

#[test]
fn values_of_the_spec_and_of_the_command_line_count() -> Result<()> {
    with_and_without_helm(|ground| {
        let template = "{{- if .Values.job }}\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - name: a\n      image: \"{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}\"\n{{- end }}\n";
        let values = "job: true\nimage:\n  registry: docker.io\n  repository: team/a\n  tag: \"1\"\n";
        ground.chart("one", &[("templates/a.yaml", template), ("values.yaml", values)])?;
        ground.workspace.spec("images: []\n")?;
        ground.workspace.write("ours.yaml", "image: {registry: hub.example.com, tag: \"2\"}\n")?;
        ground.check(1, &["one"])?.expect("docker.io/team/a:1", "missing")?;
        for flag in ["ours.yaml", "one=ours.yaml"] {
            let checked = ground.check(1, &["one", "--values", flag])?;
            checked.expect("hub.example.com/team/a:2", "missing")?;
            ensure!(checked.states.len() == 1, "{:?}", checked.states);
        }
        ground.check(1, &["one", "--values", "other=ours.yaml"])?.expect("docker.io/team/a:1", "missing")?;
        ground.workspace.write("off.yaml", "job: false\n")?;
        let (code, state) = if ground.has_helm { (0, "possible") } else { (1, "missing") };
        ground.check(code, &["one", "--values", "off.yaml"])?.expect("docker.io/team/a:1", state)?;
        ground.workspace.write("bad.yaml", "- no map\n")?;
        ground
            .builder()
            .args(["check", "spec.yaml", "one", "--values", "bad.yaml"])
            .fail_with(1)?
            .says("bad.yaml")?;
        Ok(())
    })
}

#[test]
fn a_chart_that_does_not_render_is_told_and_read_all_the_same() -> Result<()> {
    if !parts::ready(&["helm3"]) {
        return Ok(());
    }
    let ground = Ground::new(true)?;
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - {name: a, image: \"busybox:1\"}\n";
    ground.chart(
        "one",
        &[
            ("templates/a.yaml", pod),
            ("templates/b.yaml", "{{ required \"set the domain\" .Values.domain }}\n"),
        ],
    )?;
    ground.workspace.spec("images: []\n")?;
    let checked = ground.check(1, &["one"])?;
    checked.expect("docker.io/library/busybox:1", "missing")?;
    let failure = checked.report["charts"][0]["failure"].as_str().unwrap_or_default().to_owned();
    ensure!(failure.contains("set the domain"), "{failure}");
    // A chart for newer clusters is rendered for one of those.
    let newer = "apiVersion: v2\nname: two\nversion: 1.0.0\nkubeVersion: \">=1.25.0-0\"\n";
    ground.chart("two", &[("Chart.yaml", newer), ("templates/a.yaml", pod)])?;
    ensure!(ground.check(1, &["two"])?.report["charts"][0]["rendered"] == true);
    let pinned = ground.check(1, &["two", "--kube-version", "1.20.0"])?;
    ensure!(pinned.report["charts"][0]["rendered"] == false, "{:#}", pinned.report);
    ensure!(ground.check(1, &["two", "--charts=none"])?.report["helm"].is_string());
    Ok(())
}

#[test]
fn other_files_count_too() -> Result<()> {
    let ground = Ground::new(false)?;
    let workspace = &ground.workspace;
    workspace.spec("images: [\"hub.example.com/library/nginx:1.20.2\"]\n")?;
    for (path, content) in [
        (
            "all/deploy.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - {name: a, image: \"team/manifest:1\"}\n",
        ),
        ("all/compose.yaml", "services:\n  web:\n    image: team/compose:1\n"),
        ("all/build/Dockerfile", "FROM team/dockerfile:1\nRUN true\n"),
        ("all/app.json", "{\"id\": \"/a\", \"container\": {\"docker\": {\"image\": \"team/marathon:1\"}}}\n"),
        ("all/site.env", "APP_IMAGE=team/env:1\nPORT=8080\n"),
        ("all/images.txt", "# list\nnginx:1.20.2\nteam/list:1\n"),
        (
            "all/values.yaml.gotmpl",
            "image:\n  repository: team/templated\n  tag: \"1\"\nother: {image: \"{{ .Values.imageRegistry }}/team/unclear:1\"}\n",
        ),
        ("all/.git/config.yaml", "image: team/hidden:1\n"),
        ("all/notes.md", "image: team/prose:1\n"),
    ] {
        workspace.write(path, content)?;
    }
    let chart = Chart::new("packed", "1.0.0");
    workspace.write("all/charts/packed-1.0.0.tgz", &chart.archive)?;
    workspace.write("all/charts/other.tgz", ferry_tests::corpus::gzip(&tar(&[("a/b", &b"c"[..])])))?;
    let checked = ground.check(1, &["all"])?;
    for name in ["manifest", "compose", "dockerfile", "marathon", "env", "list"] {
        checked.expect(&format!("docker.io/team/{name}:1"), "missing")?;
    }
    checked.expect("docker.io/library/nginx:1.20.2", "held")?;
    checked.expect("docker.io/team/templated:1", "possible")?;
    checked.expect("docker.io/team/app:1.0", "missing")?;
    ensure!(checked.missing().len() == 7, "{:?}", checked.missing());
    let unclear = &checked.report["unclear"];
    ensure!(unclear[0]["source"] == "all/values.yaml.gotmpl" && unclear[0]["line"] == 4, "{unclear:#}");
    ground.builder().args(["check", "spec.yaml", "all/notes.md"]).fail_with(2)?.says("notes.md")?;
    ground.builder().args(["check", "spec.yaml", "nowhere"]).fail_with(1)?.says("nowhere")?;
    Ok(())
}

#[test]
fn nothing_is_proven_of_a_chart_that_does_not_render() -> Result<()> {
    with_and_without_helm(|ground| {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - name: a\n      image: {{ printf \"%s/%s:%s\" \"quay.io\" (lower \"TEAM/a\") \"v1\" }}\n";
        let domain = "{{ required \"set the domain\" .Values.domain }}\n";
        ground.chart("one", &[("templates/a.yaml", pod), ("templates/b.yaml", domain)])?;
        ground.workspace.spec("images: []\n")?;
        let checked = ground.check(i32::from(ground.has_helm), &["one"])?;
        ensure!(checked.report["complete"] == !ground.has_helm, "{:#}", checked.report);
        let unclear = &checked.report["unclear"][0];
        ensure!(unclear["file"] == "templates/a.yaml" && unclear["line"] == 7, "{:#}", checked.report);

        // A subchart that is not there.
        let metadata = "apiVersion: v2\nname: two\nversion: 1.0.0\ndependencies:\n  - {name: mysql, version: 1.0.0, repository: \"https://charts.example.com\", condition: mysql.enabled}\n";
        ground.chart("two", &[("Chart.yaml", metadata)])?;
        let text = ground.builder().args(["check", "spec.yaml", "two"]).fail_with(1)?;
        text.prints("UNREAD    two: its dependency mysql is not in charts/")?;
        ground.workspace.spec(
            "check: {ignore: [{image: \"chart:mysql\", in: two, reason: it is outside}, {image: \"chart:one\", reason: tried by hand}]}\n",
        )?;
        let silenced = ground.check(0, &["two", "one"])?;
        ensure!(silenced.report["unread"].as_array().is_some_and(Vec::is_empty), "{:#}", silenced.report);
        let idle = usize::from(!ground.has_helm);
        ensure!(silenced.report["idle"].as_array().map(Vec::len) == Some(idle), "{:#}", silenced.report);
        Ok(())
    })
}

#[test]
fn what_values_switch_off_is_no_hole() -> Result<()> {
    let ground = Ground::new(false)?;
    let template = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - name: a\n      image: {{ include \"a.image\" .Values.image }}\n";
    let values = "image: {registry: docker.io, repository: team/a, tag: \"1\"}\nmetrics:\n  enabled: false\n  image: {registry: docker.io, repository: team/exporter, tag: \"1\"}\nbackup:\n  enabled: true\n  image: {registry: docker.io, repository: team/backup, tag: \"1\"}\n";
    ground.chart("one", &[("templates/a.yaml", template), ("values.yaml", values)])?;
    ground.workspace.spec("images: []\n")?;
    let checked = ground.check(1, &["one"])?;
    checked.expect("docker.io/team/a:1", "missing")?.expect("docker.io/team/backup:1", "missing")?;
    checked.expect("docker.io/team/exporter:1", "optional")?;
    let note = &checked.place("docker.io/team/exporter:1")?["note"];
    ensure!(note == "the values switch `metrics` off", "{note}");
    ensure!(checked.report["unclear"][0]["line"] == 7, "{:#}", checked.report);
    Ok(())
}

#[test]
fn values_files_below_a_registry_for_all_are_named_so() -> Result<()> {
    let ground = Ground::new(false)?;
    ground.workspace.spec("images: []\n")?;
    ground.workspace.write(
        "all/values.yaml",
        "global:\n  imageRegistry: hub.example.com\nweb:\n  image:\n    registry: docker.io\n    repository: team/web\n    tag: v1\n---\nimage: {repository: team/other, tag: v1}\n",
    )?;
    let checked = ground.check(1, &["all"])?;
    checked.expect("hub.example.com/team/web:v1", "missing")?;
    checked.expect("docker.io/team/other:v1", "possible")?;
    ensure!(checked.states.len() == 2, "{:?}", checked.states);
    Ok(())
}

#[test]
fn kustomizations_say_what_is_pulled() -> Result<()> {
    let ground = Ground::new(false)?;
    let pod = |name: &str, image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n    - {{name: a, image: \"{image}\"}}\n"
        )
    };
    for (path, text) in [
        ("k/base/kustomization.yaml", "resources: [pod.yaml, web.yaml]\n".to_owned()),
        ("k/base/pod.yaml", pod("a", "controller:latest")),
        ("k/base/web.yaml", pod("b", "team/web:1")),
        ("k/kustomization.yaml", "resources: [base]\nimages:\n- {name: controller, newName: redis, newTag: 7.2.4}\n- {name: team/web, newName: hub.example.com/web}\n".to_owned()),
        ("k/alone.yaml", pod("c", "controller:2")),
    ] {
        ground.workspace.write(path, text)?;
    }
    ground.workspace.spec("images: [\"redis:7.2.4\"]\n")?;
    let checked = ground.check(1, &["k"])?;
    checked.expect("docker.io/library/redis:7.2.4", "held")?;
    checked.expect("docker.io/library/controller:latest", "optional")?;
    checked.expect("docker.io/team/web:1", "optional")?;
    checked.expect("hub.example.com/web:1", "missing")?;
    checked.expect("docker.io/library/controller:2", "missing")?;
    ensure!(checked.missing().len() == 2, "{:?}", checked.missing());
    Ok(())
}

#[test]
fn what_is_built_on_the_spot_and_what_is_ferry_s_own_is_not_missing() -> Result<()> {
    let ground = Ground::new(false)?;
    ground.workspace.write(
        "all/compose.yaml",
        "services:\n  app: {build: ., image: \"mine/app:1\"}\n  web: {image: \"team/web:1\"}\n",
    )?;
    let own = "apiVersion: ferry/v1\nkind: Bundle\nname: a\nversion: \"1\"\nimages: [\"team/own:1\"]\n";
    ground.workspace.write("all/other-spec.yaml", own)?;
    ground.workspace.write("all/pull.txt", "team/list:1\ndocker pull alpine:3.19\n")?;
    ground.workspace.spec("images: []\n")?;
    let checked = ground.check(1, &["all"])?;
    checked.expect("docker.io/mine/app:1", "optional")?;
    let missing = ["docker.io/library/alpine:3.19", "docker.io/team/list:1", "docker.io/team/web:1"];
    ensure!(checked.missing() == missing, "{:?}", checked.missing());
    Ok(())
}

#[test]
fn hostile_charts_are_refused_within_bounds() -> Result<()> {
    with_and_without_helm(|ground| {
        ground.workspace.spec("images: []\n")?;
        let zeros = vec![0; 150 << 20];
        let bomb = tar(&[("a/Chart.yaml", &b"name: a\nversion: 1.0.0\n"[..]), ("a/big", &zeros[..])]);
        ground.workspace.write("bomb.tgz", ferry_tests::corpus::gzip(&bomb))?;
        let outcome = ground.builder().args(["check", "spec.yaml", "bomb.tgz"]).fail_with(1)?;
        outcome.prints("bomb.tgz: big: it unpacks to more than 100 MiB")?;
        ensure!(outcome.peak_memory < 100 << 10, "{} KiB", outcome.peak_memory);
        Ok(())
    })
}

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
