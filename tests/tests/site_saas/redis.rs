//! Entries of the Redis pool, which PaaS adds however often it is told to.

use anyhow::{Result, ensure};
use ferry_tests::cluster::{NAMESPACE, PaasFault};
use serde_json::json;

use super::ground::{Ground, is_secret};

#[test]
fn redis_entries_are_never_doubled() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    ground.site("  redisPool: {}\n")?;
    paas.fault(PaasFault::RedisDies(4));
    let failed = ground.apply().fail_with(1)?;
    failed.says("PaaS did not take the Redis entries")?;
    is_secret(&ground, &[&failed])?;
    ensure!(paas.redis().len() == 4);
    paas.heal();
    ground.apply().succeed()?;
    ensure!(paas.redis().len() == 10, "{}", paas.redis().len());
    ground.site("  redisPool: {entries: 12}\n")?;
    ground.apply().succeed()?;
    ensure!(paas.redis().len() == 12, "{}", paas.redis().len());
    // More than are asked for are enough.
    ground.site("  redisPool: {}\n")?;
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.run(&["rollback"]).run()?.prints("pre-created-instances/manage")?;
    Ok(())
}

#[test]
fn redis_entries_that_cannot_be_counted_are_left_to_the_operator() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    ground.site("  redisPool: {}\n")?;
    say_redis(&ground, 0)?;
    paas.fault(PaasFault::NoShell);
    paas.fault(PaasFault::RedisDies(4));
    ground.apply().fail_with(1)?;
    paas.heal();
    paas.fault(PaasFault::NoShell);
    for _ in 0..2 {
        let refused = ground.apply().fail_with(1)?;
        refused
            .says("an earlier run was cut off while it added Redis entries")?
            .prints("patch configmap ferry-installer")?;
    }
    ensure!(paas.redis().len() == 4, "{}", paas.redis().len());
    // He adds the rest by hand, and says so as he was told to.
    say_redis(&ground, 10)?;
    ground.apply().succeed()?.prints("nothing to do")?;
    Ok(())
}

/// What the operator records as he is told.
fn say_redis(ground: &Ground, entries: u32) -> Result<()> {
    let text = json!({"entries": entries, "server": "bk-redis-master.blueking.svc.cluster.local:6379", "stage": "done"});
    let record = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ferry-installer", "namespace": NAMESPACE},
        "data": {"redis-entries.0shared": text.to_string()}});
    ground.cluster.apply_as("kubectl", &record)
}

#[test]
fn a_pool_that_somebody_else_filled_is_not_filled_again() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    ground.site("  redisPool: {}\n")?;
    paas.add_redis(10);
    paas.fault(PaasFault::NoShell);
    for _ in 0..2 {
        let refused = ground.apply().fail_with(1)?;
        refused
            .says("PaaS does not say how many Redis entries of plan 0shared there are")?
            .prints("patch configmap ferry-installer")?;
        ensure!(paas.redis().len() == 10, "{}", paas.redis().len());
    }
    // That nobody could ask is no answer either.
    paas.heal();
    paas.fault(PaasFault::ShellBreaksOff);
    let failed = ground.apply().run()?;
    failed.says("broke off")?;
    ensure!(failed.code != Some(0) && paas.redis().len() == 10, "{failed}");
    paas.heal();
    paas.fault(PaasFault::NoShell);
    say_redis(&ground, 10)?;
    ground.apply().succeed()?.prints("nothing to do")?;
    // More are wanted: those that are missing are added.
    ground.site("  redisPool: {entries: 20}\n")?;
    ground.apply().succeed()?;
    ensure!(paas.redis().len() == 20, "{}", paas.redis().len());
    paas.heal();
    ground.apply().succeed()?.prints("nothing to do")?;
    Ok(())
}

#[test]
fn redis_entries_that_were_plainly_refused_leave_no_doubt() -> Result<()> {
    let ground = Ground::new()?;
    let paas = ground.cluster.paas();
    ground.site("  redisPool: {}\n")?;
    paas.fault(PaasFault::NoRedis);
    ground.apply().fail_with(1)?.says("PaaS did not take the Redis entries")?;
    ensure!(ground.record().get("redis-entries.0shared").is_none(), "{}", ground.record());
    // A password that nobody has is no reason for doubt.
    paas.heal();
    ground.site("  redisPool: {password: {env: FERRY_NO_SUCH_PASSWORD}}\n")?;
    ground.apply().fail_with(1)?;
    ensure!(ground.record().get("redis-entries.0shared").is_none(), "{}", ground.record());
    ground.site("  redisPool: {}\n")?;
    ground.apply().succeed()?;
    ensure!(paas.redis().len() == 10, "{}", paas.redis().len());
    Ok(())
}
