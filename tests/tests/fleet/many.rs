//! Two hundred nodes, of which ten hang, refuse or have no room.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::parts::{self, LoopbackFleet};

use super::ground::Ground;

const NODES: usize = 200;
/// What is wrong with some: none of them is the canary. Those that hang are in two waves, each of which waits for its own.
const HANGING: [usize; 4] = [7, 12, 61, 70];
const REFUSING: [usize; 3] = [13, 100, 150];
const FULL: [usize; 3] = [1, 42, 120];
/// Looks that go on at once, and connections that are kept beside.
const MOST_CONNECTIONS: usize = 32 + 16 + 4;

#[test]
fn two_hundred_nodes_of_which_ten_are_in_trouble() -> Result<()> {
    if !parts::ready(&LoopbackFleet::NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(803, NODES, |index| REFUSING.contains(&index))?;
    for index in HANGING {
        ground.fleet.trouble(index, "exec sleep 60\n")?;
    }
    for index in FULL {
        ground.fleet.fill(index, true)?;
    }
    ground.write_site("wave: 20, maxFailures: 10, timeLimit: 15", "registry.corp: [10.0.0.5]")?;

    let (is_over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(ground.masters(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let outcome = ground.installer(&["apply", "bundle"]).limit(Duration::from_secs(900)).run();
        is_over.store(true, Ordering::Relaxed);
        outcome
    })?;
    ensure!(outcome.code == Some(1), "{outcome}");
    let report = ground.newest_report()?;
    let mut failures: BTreeMap<usize, String> = BTreeMap::new();
    let mut done = 0;
    for change in report["changes"].as_array().into_iter().flatten() {
        let node =
            change["resource"].as_str().unwrap_or_default().trim_start_matches("node-setup n").parse()?;
        match change["outcome"].as_str() {
            Some("done") => done += 1,
            _ => drop(failures.insert(node, change["failure"]["message"].to_string())),
        }
    }
    ensure!(done == NODES - 10 && failures.len() == 10, "{done} done, {failures:#?}");
    for (nodes, said) in [
        (&HANGING[..], "no answer in 15 s"),
        (&REFUSING[..], "Connection refused"),
        (&FULL[..], "No space left on device"),
    ] {
        for node in nodes {
            let told = failures.get(node).map(String::as_str).unwrap_or_default();
            ensure!(told.contains(said) && told.contains(&format!("node n{node}")), "n{node}: {told}");
        }
    }
    let most = most.into_inner();
    ensure!((1..=MOST_CONNECTIONS).contains(&most), "{most} connections were open at once");
    ensure!(outcome.peak_memory < 150 << 10, "{} KiB", outcome.peak_memory);
    ensure!(outcome.elapsed < Duration::from_secs(600), "{:?}", outcome.elapsed);
    ensure!(ground.masters() == 0, "connections are left open");

    // What was never reached holds up nothing: the run can be taken back whole.
    ground.installer(&["rollback"]).limit(Duration::from_secs(900)).succeed()?;
    ensure!(
        (0..NODES).all(|index| ground.read(index, "etc/hosts").is_ok_and(|text| !text.contains("10.0.0.5")))
    );
    Ok(())
}
