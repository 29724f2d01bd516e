//! What runs in the cluster: pods whose images do not come are explained, workloads that name images of the world are told and
//! changed. Against the API server in this process, and with `cargo xtask test --cluster`, against a real one.

mod care;
mod changes;
mod command_line;
mod ground;
mod waiting;

use anyhow::{Context as _, Result, ensure};
use ferry_installer::live::Doing;
use ferry_tests::parts::ApiServer;
use serde_json::json;

use changes::change_what_may_be_changed;
use ground::{Ground, one, only};

#[test]
fn a_real_api_server_is_treated_the_same() -> Result<()> {
    let Some(server) = ApiServer::start()? else { return Ok(()) };
    let ground = Ground::new(704, |_| server.kubeconfig())?;
    change_what_may_be_changed(&server, &ground, "ferry-test-live")?;
    let cron = json!({"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "ferry-test-live"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never",
            "containers": one(&ground.world("team/app:1.0"))}}}}}});
    server.apply_as("kubectl", &cron)?;
    let found = ground.rewrite("ferry-test-live", Doing::Show)?;
    let nightly = only(&found, "CronJob", "nightly")?;
    ensure!(nightly.path.starts_with("spec.jobTemplate.spec.template.spec."), "{nightly:?}");

    // Whoever may only look is told before anything is changed.
    let nobody = Ground::new(705, |_| server.kubeconfig_of_nobody())?;
    let denied = nobody.rewrite("ferry-test-live", Doing::Show).err().context("nobody may look")?;
    ensure!(format!("{denied:#}").contains("list deployments.apps -n ferry-test-live"), "{denied:#}");
    Ok(())
}
