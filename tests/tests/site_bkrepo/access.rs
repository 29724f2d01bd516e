//! Who uploads.

use std::fs;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::bkrepo::{Release, Setup};
use ferry_tests::cluster::FakeCluster;
use serde_json::json;

use super::ground::{Ground, LOGIN, PASSWORD, after_paas, runtimes, shows_no_secret};

#[test]
fn whom_paas_uploads_as_is_read_from_the_cluster() -> Result<()> {
    let ground = Ground::usual(Release::V1_3_16, "")?;
    let cluster = FakeCluster::start();
    let kubeconfig = cluster.kubeconfig(&ground.workspace.path(""))?;
    let text = |access: &str| {
        format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: {}}}\nbkrepo: {{url: \"{}\", {access}}}\n",
            kubeconfig.display(),
            ground.server.url()
        )
    };
    ground.workspace.write("site.yaml", text("paasSecret: {}"))?;
    let missing = ground.run(&["plan", "bundle"]).fail_with(1)?;
    missing.says("no Secret blueking/bkpaas3-apiserver-bkrepo-envs")?;

    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blueking"}});
    cluster.apply_as("helm", &namespace)?;
    let table = format!(
        "{{PROJECT='bkpaas', ENDPOINT='{}', USERNAME='bkpaas3', PASSWORD=\"{PASSWORD}\"}}",
        ground.server.url()
    );
    let secret = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "bkpaas3-apiserver-bkrepo-envs", "namespace": "blueking"},
            "data": {"BLOBSTORE_BKREPO_CONFIG": STANDARD.encode(value)}})
    };
    cluster.apply_as("helm", &secret("{USERNAME='bkpaas3'}"))?;
    ground.run(&["plan", "bundle"]).fail_with(1)?.says("it has no PASSWORD")?;
    cluster.apply_as("helm", &secret(&table))?;
    let applied = ground.apply().succeed()?;
    shows_no_secret(&ground, &applied)?;
    ground.expect_all()?;
    ensure!(cluster.writes().is_empty(), "{:?}", cluster.writes());
    ensure!(ground.server.requests().iter().any(|asked| asked.user.as_deref() == Some("bkpaas3")));

    // Nobody in particular may not upload.
    ground.workspace.write("site.yaml", text("create: true"))?;
    ground.run(&["plan", "bundle"]).fail_with(1)?.says("paasSecret: {}")?;
    Ok(())
}

#[test]
fn platform_accounts_upload() -> Result<()> {
    let setup = Setup { platforms: vec![("access".into(), PASSWORD.into())], ..after_paas(Release::V3_3) };
    let ground = Ground::new(setup, &runtimes(), "")?;
    let text = fs::read_to_string(ground.workspace.path("site.yaml"))?;
    ground.workspace.write("access-key", "access\n")?;
    let platform =
        "platform: {accessKey: {file: access-key}, secretKey: {env: BKREPO_PASSWORD}, user: bkpaas3}";
    ground.workspace.write("site.yaml", text.replace(LOGIN, platform))?;
    ground.apply().succeed()?;
    ground.expect_all()
}
