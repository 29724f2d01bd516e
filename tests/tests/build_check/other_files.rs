//! Files that are no charts.

use anyhow::{Result, ensure};
use ferry_tests::corpus::{Chart, tar};

use super::ground::Ground;

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
