//! The same through the program itself.

use anyhow::{Context as _, Result, ensure};
use ferry_tests::cluster::{Told, WaitingPod};
use serde_json::{Value, json};

use super::ground::{Ground, one, path_of, workload};

#[test]
fn the_command_line_says_and_exits_the_same() -> Result<()> {
    let (cluster, ground) = Ground::fake(711)?;
    let workspace = &ground.sample.workspace;
    let status = ["status", "--cluster", "--site", "site.yaml", "--bundle", "bundle"];
    workspace.installer().args(status).succeed()?;
    let image = ground.world("team/app:1.0");
    let said = format!("Failed to pull image \"{image}\": dial tcp: lookup h: no such host");
    let (node, reason, told) = ("node1", "ImagePullBackOff", Told::ByEvent);
    cluster.let_wait(&WaitingPod {
        namespace: "shop",
        name: "a",
        node,
        image: &image,
        reason,
        said: &said,
        told,
    })?;
    let failed = workspace.installer().args(status).run()?;
    ensure!(failed.code == Some(1), "{failed:?}");
    ensure!(
        failed.stdout.contains("still points at") && failed.stdout.contains("rewrite --cluster"),
        "{}",
        failed.stdout
    );
    let parsed = workspace.installer().args(status).args(["--output", "json"]).fail_with(1)?.json()?;
    ensure!(
        parsed["troubles"][0]["cause"] == "resolution" && parsed["troubles"][0]["pods"] == json!(["shop/a"]),
        "{parsed}"
    );

    let mut web = workload("Deployment", "shop", "web", &one(&image));
    web["metadata"]["labels"] = json!({"tier": "front"});
    cluster.apply_as("kubectl", &web)?;
    let list =
        ["rewrite", "--cluster", "--site", "site.yaml", "--bundle", "bundle", "--selector", "tier=front"];
    let shown = workspace.installer().args(list).run()?;
    ensure!(shown.code == Some(1) && shown.stdout.contains("--apply"), "{shown:?}");
    let named = || -> Result<Value> {
        let live = cluster.object(&path_of(&web)).context("it is there")?;
        Ok(live["spec"]["template"]["spec"]["containers"][0]["image"].clone())
    };
    workspace.installer().args(list).args(["--namespace", "shop", "--apply"]).succeed()?;
    ensure!(named()? == ground.site("team/app:1.0"), "{}", named()?);
    workspace.installer().args(["status", "--site", "site.yaml"]).succeed()?;
    workspace.installer().args(["rollback", "--site", "site.yaml"]).succeed()?;
    ensure!(named()? == image, "{}", named()?);
    Ok(())
}
