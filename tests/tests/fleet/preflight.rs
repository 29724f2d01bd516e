//! Nodes looked at before anything is changed: those that hang or refuse have not passed, and hold up no other.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::parts::{self, LoopbackFleet};

use super::ground::Ground;

const HANGS: usize = 2;
const REFUSES: usize = 4;

#[test]
fn a_fleet_is_looked_at_before_anything_is_changed() -> Result<()> {
    if !parts::ready(&LoopbackFleet::NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(821, 6, |index| index == REFUSES)?;
    ground.write_site("maxFailures: 2, timeLimit: 8", "registry.corp: [10.0.0.5]")?;
    ground.fleet.trouble(HANGS, "exec sleep 60\n")?;
    // A master, by what lies there.
    let manifests = ground.fleet.root(5).join("etc/kubernetes/manifests");
    std::fs::create_dir_all(&manifests)?;
    std::fs::write(manifests.join("kube-apiserver.yaml"), "")?;
    let before = ground.trees()?;

    let look = ["preflight", "bundle", "--site", "site.yaml", "--profile", "blueking", "--output", "json"];
    let outcome = ground.installer(&look).limit(Duration::from_secs(120)).fail_with(1)?;
    ensure!(
        outcome.elapsed < Duration::from_secs(60),
        "a node that hangs holds up all: {:?}",
        outcome.elapsed
    );
    let report = outcome.json()?;
    let nodes = report["nodes"].as_array().context("there are no nodes")?;
    ensure!(nodes.len() == 6, "{report}");
    for (index, node) in nodes.iter().enumerate() {
        let checks = node["checks"].as_array().context("there are no checks")?;
        ensure!(node["node"] == format!("n{index}").as_str(), "{node}");
        let reach = &checks[0];
        ensure!(reach["name"] == "node-reach" && reach["subject"] == node["node"], "{reach}");
        let found = reach["found"].to_string();
        match index {
            HANGS => ensure!(found.contains("no answer in 8 s"), "{found}"),
            REFUSES => ensure!(found.contains("Connection refused"), "{found}"),
            _ => {
                ensure!(reach["finding"] == "passed" && checks.len() > 12, "{node}");
                let memory =
                    checks.iter().find(|check| check["name"] == "host-memory").context("no memory")?;
                let wanted = if index == 5 { "for a master" } else { "for a node" };
                ensure!(memory["found"].to_string().contains(wanted), "{memory}");
                continue;
            }
        }
        ensure!(reach["finding"] == "unknown" && checks.len() == 1, "{node}");
        let blocking = report["blocking"].to_string();
        ensure!(blocking.contains(&format!("node-reach n{index}")), "{blocking}");
    }

    // Without BlueKing, as people read it: nodes that are alike share a row.
    let look = ["preflight", "bundle", "--site", "site.yaml", "--skip", "node-room"];
    let text = ground.installer(&look).limit(Duration::from_secs(120)).fail_with(1)?;
    for said in [
        "n0, n1, n3, n5",
        "6 nodes: 4 passed, 0 failed, 2 could not be checked",
        "UNKNOWN  node-reach  n4: ",
        "UNKNOWN  node-reach  n2: ",
    ] {
        ensure!(text.stdout.contains(said), "no `{said}` in {text}");
    }
    ensure!(!text.stdout.contains("host-swap") && !text.stdout.contains(" room"), "{text}");
    ensure!(ground.trees()? == before, "a look has changed nodes");
    ensure!((0..6).all(|index| ground.fleet.asked(index).matches("node apply").count() == 0));

    // What was found is in the report of the run, and holds nobody up.
    ground.installer(&["apply", "bundle"]).limit(Duration::from_secs(240)).fail_with(1)?;
    let report = ground.newest_report()?;
    let reached: Vec<&str> = report["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|check| check["name"] == "node-reach" && check["finding"] == "passed")
        .filter_map(|check| check["subject"].as_str())
        .collect();
    ensure!(reached == ["n0", "n1", "n3", "n5"], "{reached:?}");
    ensure!(ground.read(5, "etc/hosts")?.contains("10.0.0.5"));
    Ok(())
}
