//! What charts, their values and what the spec silences make of it.

use anyhow::{Result, ensure};
use ferry_tests::corpus::tar;
use ferry_tests::parts;

use super::ground::{Ground, with_and_without_helm};

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
        ground.chart("other", &[("values.yaml", "a: 1\n")])?;
        let checked = ground.check(1, &["one", "other", "--values", "other=ours.yaml"])?;
        checked.expect("docker.io/team/a:1", "missing")?;
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
