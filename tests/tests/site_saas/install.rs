//! From nothing to all of it: in order, once, and told with its cause where PaaS does not take it.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::cluster::{FakeCluster, NAMESPACE, PaasFault, REDIS_PASSWORD};
use ferry_tests::parts::wait_until;
use serde_json::{Value, json};

use super::ground::{Ground, SOPS, is_secret};

#[test]
fn saas_is_installed_once_and_in_order() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    let plan = ground.run(&["plan", "bundle"]).succeed()?;
    ensure!(paas.packages().is_empty() && ground.record() == Value::Null, "planning changed something");
    let applied = ground.apply().succeed()?;
    ground.is_whole("3.28.13")?;
    is_secret(&ground, &[&plan, &applied])?;

    let credentials = &paas.redis()[9]["credentials"];
    let host = "bk-redis-master.blueking.svc.cluster.local";
    ensure!(*credentials == json!({"host": host, "port": 6379, "password": REDIS_PASSWORD}), "{credentials}");
    ensure!(paas.count("init_official_plugins") == 1 && paas.count("smart_tool -f ") == 2);
    let commands = paas.commands();
    let place =
        |words: &str| commands.iter().position(|command| command.contains(words)).unwrap_or(usize::MAX);
    ensure!(place("import_pre_created_instance") < place("smart_tool"), "{commands:?}");
    let default =
        place("deploy_bkapp --app-code bk_sops --module default --env prod --revision image:3.28.13");
    for module in SOPS {
        let other = place(&format!(
            "deploy_bkapp --app-code bk_sops --module {module} --env prod --revision image:3.28.13"
        ));
        ensure!(default < other && other < usize::MAX, "{commands:?}");
    }

    // The second time, PaaS is only asked how many Redis entries it has.
    paas.forget_commands();
    let writes = ground.cluster.writes().len();
    ground.apply().succeed()?.prints("nothing to do")?;
    ensure!(paas.commands() == ["shell"] && ground.cluster.writes().len() == writes, "{:?}", paas.commands());
    ground.run(&["plan", "bundle", "--detailed-exitcode"]).succeed()?;
    Ok(())
}

#[test]
fn a_run_that_was_killed_goes_on() -> Result<()> {
    for command in [
        "import_pre_created_instance",
        "smart_tool",
        "deploy_bkapp --app-code bk_sops --module api",
        "init_official_plugins",
    ] {
        let ground = Ground::new()?;
        ground.cluster.paas().slow_down(Duration::from_millis(700));
        ground.kill_at(command)?;
        ground.apply().succeed()?;
        ground.is_whole("3.28.13").map_err(|error| error.context(format!("killed at {command}")))?;
        ground.apply().succeed()?.prints("nothing to do")?;
    }
    Ok(())
}

#[test]
fn what_paas_does_not_take_is_told_with_its_cause() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    let missing = "moby_distribution.registry.exceptions.ResourceNotFound: bkpaas/docker/slug-pilot:heroku-18-v1.6.1 MANIFEST_UNKNOWN\nusing password=hunter2";
    paas.fault(PaasFault::SmartTool(missing.into()));
    let failed = ground.apply().fail_with(1)?;
    failed
        .says("PaaS did not take bk_sops 3.28.13")?
        .says("MANIFEST_UNKNOWN")?
        .prints("bkpaas3-apiserver-init-data")?;
    ensure!(!failed.stderr.contains("hunter2"), "{failed}");
    ensure!(paas.files().is_empty(), "left in pods: {:?}", paas.files());
    ensure!(ground.record().get("saas.bk_sops").is_none() && paas.count("deploy_bkapp") == 0);

    paas.heal();
    paas.fault(PaasFault::Deploy("资源不足, 配置资源实例失败.".into()));
    ground
        .apply()
        .fail_with(1)?
        .says("PaaS could not deploy module default of bk_sops (image:3.28.13)")?
        .prints("redisPool")?;
    ensure!(paas.count("deploy_bkapp --app-code bk_sops --module api") == 0, "before its default module");
    paas.heal();
    paas.fault(PaasFault::DeployApiError);
    ground.apply().fail_with(1)?.says("频道不存在")?;
    paas.heal();
    ground.apply().succeed()?;
    ground.is_whole("3.28.13")
}

#[test]
fn a_newer_paas_is_asked_in_its_way() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    paas.fault(PaasFault::AppExists);
    paas.fault(PaasFault::NoRegions);
    // What is there is not replaced unasked.
    ground.apply().fail_with(1)?.says("PaaS did not take bk_sops 3.28.13")?.prints("overwrite: true")?;
    ensure!(paas.count("smart_tool --overwrite") == 0 && paas.packages().is_empty());
    ground.site("  redisPool: {}\n  plugins: true\n  saas: [{app: bk_itsm, overwrite: true}, {app: bk_sops, overwrite: true}]\n")?;
    ground.apply().succeed()?;
    ground.is_whole("3.28.13")?;
    ensure!(
        paas.commands().iter().filter(|command| command.starts_with("smart_tool --overwrite -f ")).count()
            == 2
    );

    // It has these bytes already, and nobody has noted that.
    let record = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ferry-installer", "namespace": NAMESPACE},
        "data": {"saas.bk_itsm": "{}", "saas.bk_sops": "{}"}});
    ground.cluster.apply_as("somebody", &record)?;
    ground.cluster.deploy(
        "bk_itsm",
        "default",
        "docker.bkce7.example.com/bkpaas/docker/bk_itsm/default:2.6.5",
    );
    paas.heal();
    paas.fault(PaasFault::SkipsKnown);
    ground.apply().succeed()?;
    ensure!(paas.packages().len() == 2, "{:?}", paas.packages());
    ground.is_whole("3.28.13")
}

#[test]
fn variables_are_imported_before_and_stay_secret() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_sops, modules: [default], variables: sops.yaml}]\n")?;
    let text = |value: &str| {
        format!(
            "env_variables:\n- key: NPM\n  value: {value}\n  environment_name: _global_\n  description: npm\n"
        )
    };
    ground.workspace.write("sops.yaml", text("hunter2secret"))?;
    let paas = ground.cluster.paas();
    paas.fault(PaasFault::Variables);
    let refused = ground.apply().fail_with(1)?;
    refused.says("PaaS did not take the variables for module default of bk_sops")?;
    ensure!(!refused.stderr.contains("hunter2secret"), "{refused}");
    paas.heal();
    let key = "env_variables:\n- key: KEY\n  value: |\n    -----BEGIN KEY-----\n    bGluZSBvbmU\n  environment_name: _global_\n";
    ground.workspace.write("sops.yaml", key)?;
    paas.fault(PaasFault::Variables);
    let refused = ground.apply().fail_with(1)?;
    ensure!(!refused.stderr.contains("bGluZSBvbmU") && !refused.stdout.contains("bGluZSBvbmU"), "{refused}");
    ground.workspace.write("sops.yaml", text("hunter2secret"))?;
    // A build may print them.
    paas.heal();
    paas.fault(PaasFault::Deploy("npm login --_auth hunter2secret".into()));
    let failed = ground.apply().fail_with(1)?;
    failed.says("npm login --_auth …")?;
    ensure!(!failed.stderr.contains("hunter2secret") && !failed.stdout.contains("hunter2secret"), "{failed}");
    paas.heal();
    ground.apply().succeed()?;
    ensure!(paas.variables("bk_sops/default") == Some(text("hunter2secret")));
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.workspace.write("sops.yaml", text("another"))?;
    ground.apply().succeed()?;
    ensure!(paas.variables("bk_sops/default") == Some(text("another")) && paas.packages().len() == 1);
    Ok(())
}

#[test]
fn before_blueking_is_there_the_rest_is_done() -> Result<()> {
    let (mut ground, cluster) = (Ground::new()?, FakeCluster::start());
    cluster.kubeconfig(&ground.workspace.path(""))?;
    ground.cluster = cluster;
    ground.site("  settings: settings\n  saas: [{app: bk_itsm}]\n")?;
    ground.run(&["plan", "bundle"]).succeed()?.prints("give PaaS the SaaS bk_itsm")?;
    ground
        .apply()
        .fail_with(1)?
        .says("bkpaas3-apiserver-worker")?
        .prints("must be installed and running first")?;
    ensure!(ground.workspace.path("settings/blueking.env").exists());
    ground.cluster.install_blueking();
    let works = || ground.apply().run().is_ok_and(|outcome| outcome.code == Some(0));
    wait_until(Duration::from_secs(20), "it never worked", works)?;
    ensure!(ground.image("bk_itsm", "default").is_some());
    Ok(())
}

#[test]
fn plugins_that_are_none_are_told() -> Result<()> {
    let ground = Ground::new()?;
    ground.workspace.write("plugins/zzz.tgz", "an error page")?;
    let _ = fs::remove_file(ground.workspace.path("bundle"));
    ground.workspace.lock_and_build()?;
    ground.site("  plugins: true\n")?;
    // What others have left there is taken, too, and is not ours.
    ground.cluster.paas().leave_plugin("/app/official_plugin/other.tgz");
    ground.cluster.paas().leave_plugin("/app/official_plugin/zzz.tgz");
    let failed = ground.apply().fail_with(3)?;
    failed.prints("node management did not take zzz.tgz")?;
    ensure!(ground.cluster.paas().files().is_empty() && ground.record() == Value::Null);
    Ok(())
}
