//! Keys of ConfigMaps and Secrets.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::cluster::FakeCluster;
use serde_json::json;

use super::ground::{
    COREDNS, COREFILE, Corefiles, Ground, NAMES, PASSWORD, PATCHES, config_map, data, install_coredns,
    install_envs, web,
};

/// Pods that cannot start, as they read the old value: of a Job that goes on, of Jobs that have ended, and of one that is gone.
fn install_failed_pods(cluster: &FakeCluster) -> Result<()> {
    for (name, condition) in [("init", None), ("failed", Some("Failed")), ("complete", Some("Complete"))] {
        let conditions = condition.map(|condition| json!({"type": condition, "status": "True"}));
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "blueking"},
            "spec": {"template": {"spec": {"containers": []}}}, "status": {"conditions": Vec::from_iter(conditions)}});
        cluster.apply_as("job-controller", &job)?;
    }
    for name in ["init", "failed", "complete", "gone"] {
        let owner = match name {
            // Of something that is no Job, as the pod would be removed with its owner.
            "gone" => "/api/v1/namespaces/blueking".to_owned(),
            _ => format!("/apis/batch/v1/namespaces/blueking/jobs/{name}"),
        };
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("{name}-1"), "namespace": "blueking",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "controller": true,
                "uid": cluster.object(&owner).context("it is there")?["metadata"]["uid"]}]},
            "spec": {"containers": [{"name": "init", "image": "hub/it:1", "envFrom": [{"configMapRef": {"name": "envs"}}]}]},
            "status": {"phase": "Failed"}});
        cluster.apply_as("job-controller", &pod)?;
    }
    Ok(())
}

#[test]
fn keys_are_set_taken_up_and_put_back() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_envs(&*cluster)?;
    install_failed_pods(&cluster)?;
    let (before, template) = (data(&*cluster)?, web(&*cluster)?);
    let other =
        cluster.object("/apis/apps/v1/namespaces/blueking/deployments/other").context("it is there")?["spec"]
            .clone();
    ground.site(PATCHES)?;
    let plan = ground.run(&["plan", "bundle"]).succeed()?;
    plan.prints("+PAAS_APP_IMAGE: registry.corp/blueking/slug-app:v1")?
        .prints("set password in Secret blueking/login")?;
    let applied = ground.apply().succeed()?;
    let (envs, login) = data(&*cluster)?;
    ensure!(
        envs == json!({"PAAS_APP_IMAGE": "registry.corp/blueking/slug-app:v1", "NEW": "1", "OTHER": "stays"}),
        "{envs}"
    );
    ensure!(
        login == json!({"password": STANDARD.encode(PASSWORD), "user": STANDARD.encode("admin")}),
        "{login}"
    );
    ensure!(web(&*cluster)? != template, "nobody has taken it up");
    ensure!(
        cluster
            .object("/apis/apps/v1/namespaces/blueking/deployments/other")
            .is_some_and(|now| now["spec"] == other)
    );
    // Only the Job that goes on starts another.
    let pod = |job: &str| cluster.object(&format!("/api/v1/namespaces/blueking/pods/{job}-1"));
    ensure!(pod("init").is_none(), "the failed pod is still there");
    for job in ["failed", "complete", "gone"] {
        ensure!(pod(job).is_some(), "the pod of a Job that starts no other was deleted: {job}");
    }
    ensure!(applied.stderr.matches("its Job starts another").count() == 1, "{}", applied.stderr);
    let said = format!("{plan}{applied}{}", ground.workspace.written()?);
    for secret in [PASSWORD, "the-old-one", &STANDARD.encode(PASSWORD), &STANDARD.encode("the-old-one")] {
        ensure!(!said.contains(secret), "a secret was told");
    }
    let writes = cluster.writes().len();
    ground.apply().succeed()?.prints("nothing to do")?;
    ensure!(cluster.writes().len() == writes, "{:?}", cluster.writes());
    ground.run(&["rollback"]).succeed()?;
    ensure!(data(&*cluster)? == before && web(&*cluster)? == template, "not as it was");
    Ok(())
}

#[test]
fn a_value_that_somebody_else_set_since_stays() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_envs(&*cluster)?;
    ground.site(PATCHES)?;
    ground.apply().succeed()?;
    cluster.apply_as("ops", &config_map("blueking", "envs", &json!({"NEW": "theirs"})))?;
    let left = ground.run(&["rollback"]).run()?;
    ensure!(left.code == Some(1), "{left}");
    ensure!(data(&*cluster)?.0["NEW"] == "theirs");
    Ok(())
}

#[test]
fn a_secret_key_is_taken_back_without_its_secret() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_envs(&*cluster)?;
    let before = data(&*cluster)?;
    for password in [Some("rotated-since"), None] {
        ground.workspace.write("password", PASSWORD)?;
        ground.site(PATCHES)?;
        ground.apply().succeed()?;
        ensure!(data(&*cluster)? != before);
        match password {
            Some(password) => drop(ground.workspace.write("password", password)?),
            None => std::fs::remove_file(ground.workspace.path("password"))?,
        }
        ground.run(&["rollback"]).succeed()?;
        ensure!(data(&*cluster)? == before, "{password:?}: {:?}", data(&*cluster)?);
    }
    Ok(())
}

#[test]
fn what_is_yet_to_be_installed_waits() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    ground.site(
        &PATCHES.replace("  - secret: blueking/login\n    set: {password: {from: {file: password}}}\n", ""),
    )?;
    ground.apply().fail_with(1)?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    ground.site(&format!("{NAMES}{PATCHES}"))?;
    let waits = ground.apply().run()?;
    ensure!(waits.code == Some(1) && format!("{waits}").contains("ConfigMap blueking/envs"), "{waits}");
    ensure!(cluster.corefile(COREDNS)?.contains("registry.corp"), "what is there was not done");
    install_envs(&*cluster)?;
    ground.apply().succeed()?;
    ensure!(data(&*cluster)?.0["NEW"] == "1");
    Ok(())
}
