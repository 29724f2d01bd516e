//! Runs that are killed, or may not do what they would.

use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::parts::wait_until;
use rustix::process::Signal;
use serde_json::Value;

use super::ground::{
    COREDNS, COREFILE, Corefiles, Ground, NAMES, PATCHES, data, install_coredns, install_envs, web,
};

/// Killed before each of its changes, a run is gone on with to the same end, and taken back to the same beginning.
#[test]
fn killed_between_any_two_steps_it_goes_on() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", &COREFILE.replace("    reload\n", ""))?;
    install_envs(&*cluster)?;
    ground.site(&format!("{NAMES}{PATCHES}"))?;
    let state = || -> Result<(String, (Value, Value), bool)> {
        let is_restarted = web(&*cluster)?.pointer("/metadata/annotations/ferry~1restarted-for").is_some();
        Ok((cluster.corefile(COREDNS)?, data(&*cluster)?, is_restarted))
    };
    let before = state()?;
    ground.apply().succeed()?;
    let (after, count) = (state()?, cluster.writes().len());
    ground.run(&["rollback"]).succeed()?;
    ensure!(state()? == before, "not as it was");
    ensure!(count >= 5, "only {count} changes");
    for goes_on in [true, false] {
        for number in 0..count {
            cluster.hold_after(number);
            let running = ground.apply().start()?;
            wait_until(Duration::from_secs(60), "it changes less than before", || cluster.holds())?;
            running.signal(Signal::KILL)?;
            running.finish(Duration::from_secs(10))?;
            cluster.let_go();
            if goes_on {
                ground.apply().succeed()?;
                ensure!(state()? == after, "killed before change {number}, it came to another end");
                ground.apply().succeed()?.prints("nothing to do")?;
            }
            ground.run(&["rollback"]).succeed()?;
            ensure!(state()? == before, "killed before change {number}, it was not taken back");
        }
    }
    Ok(())
}

#[test]
fn rights_are_asked_for_before_anything_is_changed() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    install_envs(&*cluster)?;
    ground.site(&format!("{NAMES}{PATCHES}"))?;
    cluster.forbid("update", "secrets", "blueking");
    cluster.forbid("patch", "deployments", "");
    let refused = ground.apply().fail_with(1)?;
    refused.says("update secrets/login -n blueking")?.says("patch deployments.apps -n blueking")?;
    ensure!(cluster.writes().is_empty(), "{:?}", cluster.writes());
    let looked = ground.run(&["preflight", "bundle", "--site", "site.yaml"]).run()?;
    ensure!(format!("{looked}").contains("update secrets/login -n blueking"), "{looked}");
    let printed = ground.run(&["cluster-role", "bundle"]).succeed()?;
    printed.prints("kind: ClusterRole")?.prints("configmaps")?.prints("deployments")?;
    cluster.allow_everything();
    ground.apply().succeed()?;
    Ok(())
}
