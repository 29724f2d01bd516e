//! Many nodes through real sshds: a canary and waves, nodes that hang, refuse and have no room, and everything as it was
//! afterwards.

mod ground;
mod killed;
mod machines;
mod many;
mod mixed;
mod one_real;
mod pods;
mod preflight;

use anyhow::{Result, ensure};
use ferry_tests::parts::{self, LoopbackFleet};

use ground::Ground;

#[test]
fn from_a_bare_fleet_and_back() -> Result<()> {
    if !parts::ready(&LoopbackFleet::NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(801, 5, |_| false)?;
    let before = ground.trees()?;
    ground.write_site("wave: 2", "registry.corp: [10.0.0.5]")?;

    let plan = ground.installer(&["plan", "bundle"]).succeed()?;
    for said in ["set up node n0: 3 files", "+10.0.0.5", "set up node n4: 3 files, as step 1"] {
        ensure!(plan.stdout.contains(said), "no `{said}` in {plan}");
    }
    ensure!(ground.trees()? == before, "a plan changes nodes");
    ensure!(ground.copies()? == 1, "the program is there more than once");

    ground.installer(&["apply", "bundle"]).succeed()?;
    for index in 0..5 {
        let hosts = ground.read(index, "etc/hosts")?;
        ensure!(
            hosts.contains("10.0.0.5") && hosts.starts_with("127.0.0.1 localhost\n"),
            "n{index}: {hosts}"
        );
        let asked = ground.fleet.asked(index);
        ensure!(asked.matches("--dry-run").count() >= 2, "{asked}");
        ensure!(asked.matches("node check").count() == 1, "n{index} is proven once: {asked}");
    }
    let asked = ground.asked_for("node apply --output");
    ground.installer(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    ensure!(ground.asked_for("node apply --output") == asked, "a second run changes something");
    let first = ground.trees()?;

    // Taking back a later run brings back what the run before asked for, and not what stood there before that.
    ground.write_site("wave: 2", "registry.corp: [10.0.0.6]")?;
    ground.installer(&["apply", "bundle"]).succeed()?;
    ensure!(ground.read(4, "etc/hosts")?.contains("10.0.0.6"));
    ground.installer(&["rollback"]).succeed()?;
    ensure!(ground.trees()? == first, "not as the first run left it");
    ground.installer(&["rollback"]).succeed()?;
    let after = ground.trees()?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    ensure!(ground.masters() == 0, "connections are left open");
    Ok(())
}

#[test]
fn a_canary_holds_back_all_others() -> Result<()> {
    if !parts::ready(&LoopbackFleet::NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(802, 6, |_| false)?;
    let before = ground.trees()?;
    ground.write_site("wave: 2, maxFailures: 4", "registry.corp: [10.0.0.5]")?;
    ground.fleet.fill(0, true)?;
    let failed = ground.installer(&["apply", "bundle"]).fail_with(1)?;
    for said in [
        "the canary n0 failed: 5 more nodes are left as they were",
        "No space left on device",
        "not tried: 5 nodes",
    ] {
        ensure!(failed.to_string().contains(said), "no `{said}` in {failed}");
    }
    ensure!(ground.trees()? == before, "a node was changed");

    // Behind the canary, waves end where too many have failed.
    ground.fleet.fill(0, false)?;
    ground.write_site("wave: 2", "registry.corp: [10.0.0.5]")?;
    ground.fleet.trouble(2, "echo 'the node is on fire' >&2; exit 7\n")?;
    let failed = ground.installer(&["apply", "bundle"]).fail_with(1)?;
    for said in ["node n2 failed: 3 more nodes are left as they were", "node n2: the node is on fire"] {
        ensure!(failed.to_string().contains(said), "no `{said}` in {failed}");
    }
    let done = |index: usize| Ok::<_, anyhow::Error>(ground.read(index, "etc/hosts")?.contains("10.0.0.5"));
    ensure!(done(0)? && done(1)? && !done(2)? && !done(3)? && !done(5)?, "{}", ground.trees()?);

    // What is mended goes on from there.
    ground.fleet.trouble(2, "")?;
    ground.installer(&["apply", "bundle"]).succeed()?;
    ensure!((0..6).all(|index| done(index).unwrap_or(false)));
    Ok(())
}

#[test]
fn a_password_of_sudo_goes_nowhere_else() -> Result<()> {
    if !parts::ready(&LoopbackFleet::NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(805, 2, |_| false)?;
    let workspace = &ground.sample.workspace;
    for index in 0..2 {
        std::fs::write(ground.fleet.root(index).join("etc/sudo-password"), "s3cret of the tests\n")?;
    }
    let before = ground.trees()?;
    let names = "registry.corp: [10.0.0.5]";
    ground.write_site_with(", sudo: true", "wave: 1", names)?;
    let refused = ground.installer(&["apply", "bundle"]).fail_with(1)?;
    ensure!(refused.to_string().contains("a password is required"), "{refused}");
    ensure!(refused.to_string().contains("sudoPassword"), "{refused}");

    ground.write_site_with(", sudo: true, sudoPassword: {file: password}", "wave: 1", names)?;
    workspace.write("password", "not the one\n")?;
    let refused = ground.installer(&["apply", "bundle"]).fail_with(1)?;
    ensure!(refused.to_string().contains("is not this node's"), "{refused}");
    ensure!(ground.trees()? == before, "a node was changed");

    workspace.write("password", "s3cret of the tests\n")?;
    let mut said = ground.installer(&["plan", "bundle", "-o", "plan.json"]).succeed()?.to_string();
    said.push_str(&ground.installer(&["apply", "bundle"]).succeed()?.to_string());
    ensure!((0..2).all(|index| ground.read(index, "etc/hosts").is_ok_and(|text| text.contains("10.0.0.5"))));
    said.push_str(&ground.installer(&["rollback"]).succeed()?.to_string());
    ensure!(ground.trees()? == before, "not as it was");
    said.push_str(&(0..2).map(|index| ground.fleet.asked(index)).collect::<String>());
    ensure!(!said.contains("s3cret"), "{said}");
    let grep = ferry_tests::process::Program::new("grep").args(["-rl", "s3cret", "."]);
    let found = grep.within(workspace.path("")).run()?;
    ensure!(found.stdout.trim() == "./password", "{found}");
    Ok(())
}
