//! Packages: what is read of them, and those that are deployed as source.

use std::fs;

use anyhow::{Result, ensure};
use ferry_tests::cluster::NAMESPACE;
use serde_json::json;

use super::ground::Ground;

#[test]
fn packages_are_read_once() -> Result<()> {
    let ground = Ground::new()?;
    ground.run(&["plan", "bundle"]).succeed()?;
    let kept = ground.workspace.path("site.ferry/packages.json");
    let text = fs::read_to_string(&kept)?;
    // What is kept counts, so nothing was read.
    fs::write(&kept, text.replace("3.28.13", "3.28.99"))?;
    let refused = ground.run(&["plan", "bundle"]).run()?;
    refused.says("bk_sops 3.28.99 by its own description")?;
    for broken in [
        &text[..text.len() / 2],
        "",
        &text.replace("\"rules\":1", "\"rules\":0").replace("3.28.13", "3.28.99"),
    ] {
        fs::write(&kept, broken)?;
        ground.run(&["plan", "bundle"]).succeed()?;
        ensure!(fs::read_to_string(&kept)? == text);
    }
    Ok(())
}

#[test]
fn source_packages_are_deployed_as_such() -> Result<()> {
    let ground = Ground::new()?;
    ground.build("3.28.13", None)?;
    ground.site("  saas: [{app: bk_itsm, environment: stag}]\n")?;
    ground.apply().succeed()?;
    let paas = ground.cluster.paas();
    ensure!(
        paas.count("deploy_bkapp --app-code bk_itsm --module default --env stag --revision package:2.6.6")
            == 1
    );
    ground.apply().succeed()?.prints("nothing to do")?;

    // Somebody deletes it, in the Developer Center and here.
    paas.lose("bk_itsm");
    let namespace = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "bkapp-bk0us0itsm-stag"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "bk_itsm-default"}}, "template": {"metadata": {"labels": {"app": "bk_itsm-default"}},
            "spec": {"containers": [{"name": "web", "image": "docker.bkce7.example.com/bkpaas/docker/bk_itsm/default:1.0"}]}}}});
    ground.cluster.apply_as("paas", &namespace)?;
    let record = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ferry-installer", "namespace": NAMESPACE},
        "data": {"saas-module.bk_itsm.default.stag": "gone"}});
    ground.cluster.apply_as("kubectl", &record)?;
    ground.apply().fail_with(1)?.prints("apply again gives it anew")?;
    ground.apply().succeed()?;
    ensure!(paas.packages().len() == 1);
    Ok(())
}
