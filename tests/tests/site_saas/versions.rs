//! Other versions and other content of what is there.

use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::parts::wait_until;

use super::ground::{Ground, IMAGE};

#[test]
fn other_content_of_the_same_version_is_deployed() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_sops}]\n")?;
    ground.apply().succeed()?;
    ground.build_of("3.28.13", IMAGE, 1_900_000)?;
    ground
        .run(&["plan", "bundle"])
        .succeed()?
        .prints("give PaaS the SaaS bk_sops (3.28.13) again, with other content")?;
    let paas = ground.cluster.paas();
    paas.forget_commands();
    paas.slow_down(Duration::from_millis(700));
    // Killed between the package and its modules, it still knows.
    ground.kill_at("deploy_bkapp --app-code bk_sops --module default")?;
    paas.slow_down(Duration::ZERO);
    paas.forget_commands();
    ground.apply().succeed()?;
    for module in ["default", "api", "callback", "pipeline"] {
        let count = paas.count(&format!("deploy_bkapp --app-code bk_sops --module {module} "));
        ensure!(count >= 1, "{module}: {:?}", paas.commands());
    }
    ensure!(paas.count("smart_tool") == 0, "{:?}", paas.commands());
    ground.apply().succeed()?.prints("nothing to do")?;
    Ok(())
}

#[test]
fn a_newer_version_stays_unless_it_is_to_be_replaced() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_sops}]\n")?;
    ground.apply().succeed()?;
    let image = |version: &str| format!("docker.bkce7.example.com/bkpaas/docker/bk_sops/default:{version}");
    // Somebody has it upgraded in the Developer Center.
    ground.cluster.deploy("bk_sops", "default", &image("3.29.0"));
    let newer = "bk_sops 3.29.0 is there, which is newer than the bundle's";
    ground.run(&["plan", "bundle"]).succeed()?.prints(newer)?;
    let paas = ground.cluster.paas();
    paas.forget_commands();
    ground.apply().fail_with(1)?.says(newer)?.prints("overwrite: true")?;
    ensure!(paas.count("deploy_bkapp") == 0 && paas.count("smart_tool") == 0, "{:?}", paas.commands());
    // An older package is not even given to PaaS: its description would take the newer one's place.
    ground.build("3.28.14", IMAGE)?;
    ground.apply().fail_with(1)?.says(newer)?;
    ensure!(paas.count("smart_tool") == 0, "{:?}", paas.commands());
    ground.build("3.28.13", IMAGE)?;
    ground.site("  saas: [{app: bk_sops, overwrite: true}]\n")?;
    ground
        .run(&["plan", "bundle"])
        .succeed()?
        .prints("deploy module default of bk_sops anew (image:3.29.0 → image:3.28.13 in prod)")?;
    ground.apply().succeed()?;
    ensure!(ground.image("bk_sops", "default") == Some(image("3.28.13")));
    Ok(())
}

#[test]
fn what_somebody_else_deployed_since_is_not_taken_back() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_sops, modules: [default, api]}]\n")?;
    ground.apply().succeed()?;
    ground.build("3.28.14", IMAGE)?;
    let paas = ground.cluster.paas();
    paas.slow_down(Duration::from_millis(700));
    paas.forget_commands();
    ground.kill_at("deploy_bkapp --app-code bk_sops --module api")?;
    // PaaS goes on, and comes to its end.
    wait_until(Duration::from_secs(20), "it was never deployed", || {
        ground.image("bk_sops", "api").is_some_and(|image| image.ends_with(":3.28.14"))
    })?;
    paas.slow_down(Duration::ZERO);
    let newer = "docker.bkce7.example.com/bkpaas/docker/bk_sops/api:3.28.15";
    ground.cluster.deploy("bk_sops", "api", newer);
    let taken_back = ground.run(&["rollback"]).run()?;
    taken_back.prints("module api of bk_sops is image:3.28.15 in prod by now")?;
    ensure!(ground.image("bk_sops", "api").as_deref() == Some(newer));
    let default = ground.image("bk_sops", "default").unwrap_or_default();
    ensure!(default.ends_with(":3.28.13"), "{default}");
    Ok(())
}

#[test]
fn a_new_version_takes_the_place_of_the_old_and_back() -> Result<()> {
    let ground = Ground::new()?;
    ground.apply().succeed()?;
    ground.build("3.28.14", IMAGE)?;
    ground.cluster.paas().forget_commands();
    ground
        .run(&["plan", "bundle"])
        .succeed()?
        .prints("give PaaS another version of the SaaS bk_sops (3.28.13 → 3.28.14)")?
        .prints("deploy module api of bk_sops anew (image:3.28.13 → image:3.28.14 in prod)")?;
    ground.apply().succeed()?;
    ground.is_whole("3.28.14")?;
    let commands = ground.cluster.paas().commands();
    ensure!(!commands.iter().any(|command| command.contains("bk_itsm")), "{commands:?}");

    let taken_back = ground.run(&["rollback"]).run()?;
    taken_back.prints("PaaS keeps bk_sops 3.28.14 beside 3.28.13")?;
    ground.is_whole("3.28.13")?;

    // What was taken back is in nobody's way.
    ground.build("3.28.13", IMAGE)?;
    ground.apply().succeed()?;
    ground.is_whole("3.28.13")
}

#[test]
fn what_the_official_script_installed_is_there() -> Result<()> {
    let ground = Ground::new()?;
    ground.site("  saas: [{app: bk_itsm}, {app: bk_sops, modules: [api, default]}]\n")?;
    for (app, module, version) in [("bk_itsm", "default", "2.6.6"), ("bk_sops", "default", "3.28.12")] {
        let image = format!("docker.bkce7.example.com/bkpaas/docker/{app}/{module}:{version}");
        ground.cluster.deploy(app, module, &image);
    }
    ground.apply().succeed()?;
    let paas = ground.cluster.paas();
    ensure!(paas.packages() == [("bk_sops".to_owned(), "3.28.13".to_owned())], "{:?}", paas.packages());
    ensure!(ground.image("bk_sops", "api").is_some() && ground.image("bk_sops", "pipeline").is_none());
    Ok(())
}
