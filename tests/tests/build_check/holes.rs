//! A chart with a hole of every kind.

use anyhow::{Result, ensure};
use ferry_tests::corpus::tar;

use super::ground::{Ground, with_and_without_helm};

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
