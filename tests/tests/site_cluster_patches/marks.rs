//! What was written and nobody has taken up yet keeps a mark.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::parts::wait_until;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::ground::{
    COREDNS, COREFILE, ENVS, Ground, NAMES, PATCHES, deployment, install_coredns, install_envs, is_marked,
    serve,
};

/// A StatefulSet that reads a ConfigMap, with that many of its two pods new. It starts none anew by itself.
fn install_on_delete(cluster: &FakeCluster, namespace: &str, map: &str, new: u64) -> Result<()> {
    let mut set =
        deployment(namespace, "slow", &json!({"volumes": [{"name": "envs", "configMap": {"name": map}}]}));
    set["kind"] = json!("StatefulSet");
    set["spec"]["replicas"] = json!(2);
    set["spec"]["serviceName"] = json!("slow");
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    set["status"] = json!({"observedGeneration": 100, "readyReplicas": 2, "currentReplicas": 2 - new,
        "updatedReplicas": new, "currentRevision": "a", "updateRevision": "b"});
    cluster.apply_as("ops", &set)
}

/// What fails after the write is left to do until it is done, or taken back.
#[test]
fn what_nobody_has_taken_up_is_not_done() -> Result<()> {
    let patches = PATCHES.split("  - secret").next().unwrap_or_default();
    let fixed = COREFILE.replace("    reload\n", "");
    for (site, namespace, map, path) in
        [(patches, "blueking", "envs", ENVS), (NAMES, "kube-system", "coredns", COREDNS)]
    {
        let (cluster, ground) = Ground::fake()?;
        install_coredns(&*cluster, "coredns", &fixed)?;
        install_envs(&*cluster)?;
        install_on_delete(&cluster, namespace, map, 0)?;
        ground.site(site)?;
        let data = || Ok::<_, anyhow::Error>(cluster.object(path).context("it is there")?["data"].clone());
        let before = data()?;
        for _ in 0..2 {
            ground.apply().fail_with(1)?.says("OnDelete")?;
            ensure!(data()? != before && is_marked(&*cluster, path)?, "{path} has no mark");
            ground.run(&["plan", "bundle"]).succeed()?.prints("1 to update")?;
        }
        // The second run found what the first had left.
        ground.run(&["rollback"]).succeed()?;
        ensure!(data()? != before && is_marked(&*cluster, path)?, "{path} is not as the first run left it");
        ground.run(&["rollback"]).succeed()?;
        ensure!(data()? == before && !is_marked(&*cluster, path)?, "{path} is not as it was");

        ground.apply().fail_with(1)?;
        // Somebody has deleted its pods.
        install_on_delete(&cluster, namespace, map, 2)?;
        ground.apply().succeed()?;
        ensure!(data()? != before && !is_marked(&*cluster, path)?, "{path} still has its mark");
        ground.apply().succeed()?.prints("nothing to do")?;
        let annotations = |object: Value| object["metadata"]["annotations"].clone();
        let left = cluster.object(path).map(annotations);
        ensure!(left == Some(Value::Null), "{left:?}");
    }
    Ok(())
}

/// The mark stays until the DNS servers have answered.
#[test]
fn names_are_marked_until_they_are_answered() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    let server = serve(&cluster, COREDNS)?;
    ground.site(NAMES)?;
    cluster.hold_after(1);
    let running = ground.apply().start()?;
    wait_until(Duration::from_secs(60), "the mark is not taken away", || cluster.holds())?;
    ensure!(server.asked() > 3 && is_marked(&*cluster, COREDNS)?, "there was no mark");
    running.signal(Signal::KILL)?;
    running.finish(Duration::from_secs(10))?;
    cluster.let_go();
    ground.apply().succeed()?;
    ensure!(!is_marked(&*cluster, COREDNS)?, "the mark is still there");
    Ok(())
}
