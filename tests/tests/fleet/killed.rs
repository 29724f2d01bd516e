//! The program on a node is killed at each of its writes, each on a node of its own, there and back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::parts::{self, LoopbackFleet};
use ferry_tests::process::Program;

use super::ground::Ground;

/// What a write is to the kernel, and at how many of them a node is killed.
const WRITES: [(&str, usize); 6] =
    [("/^rename", 16), ("/^mkdir", 8), ("/^(unlink|rmdir)", 14), ("fsync", 16), ("fchown", 8), ("fchmod", 8)];
/// containerd as the documents of 2020 had it: beside these tables, `config_path` keeps its plug-in from starting.
const CONFIG: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://cache.corp\"]\n";
const PLUGIN: &str = "plugins.\"io.containerd.grpc.v1.cri\".registry";
/// A systemd whose services run, and which notes what it is told.
const SYSTEMCTL: &str = r#"#!/usr/bin/sh
case $1 in
show) echo "${2#--property=}=active" ;;
restart) echo "$*" >>/run/told ;;
esac
"#;

/// Nodes of which each will be killed at another write, but for the last one.
fn fleet(seed: u64) -> Result<Ground> {
    let count = WRITES.iter().map(|(_, count)| count).sum::<usize>() + 1;
    let ground = Ground::new(seed, count, |_| false)?;
    let programs = ground.fleet.programs();
    let bin = programs.parent().context("it lies in a folder")?.join("usr/bin");
    fs::write(bin.join("systemctl"), SYSTEMCTL)?;
    fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755))?;
    fs::copy("/usr/bin/strace", bin.join("strace"))?;
    for index in 0..count {
        let root = ground.fleet.root(index);
        fs::write(root.join("etc/containerd/config.toml"), CONFIG)?;
        fs::create_dir_all(root.join("run/systemd/system"))?;
        fs::create_dir_all(root.join("etc/systemd/system"))?;
        fs::write(
            root.join("etc/systemd/system/containerd.service"),
            "[Service]\nExecStart=/usr/bin/containerd\n",
        )?;
    }
    ground.write_site("canary: 0, wave: 20, maxFailures: 200", "registry.corp: [10.0.0.5]")?;
    Ok(ground)
}

/// Has each node's program be killed when it is asked for this; or leaves it in peace.
fn set_traps(ground: &Ground, asked: Option<&str>) -> Result<()> {
    let writes = WRITES.iter().flat_map(|(call, count)| (1..=*count).map(move |number| (call, number)));
    for (index, (call, number)) in writes.enumerate() {
        let strace = format!(
            "strace -f -q -o /dev/null -e trace='{call}' -e inject='{call}':signal=SIGKILL:when={number}"
        );
        let script = asked.map_or_else(String::new, |asked| {
            format!(
                "case $SSH_ORIGINAL_COMMAND in *'{asked}'*)\n  SSH_ORIGINAL_COMMAND=\"{strace} $SSH_ORIGINAL_COMMAND\" ;;\nesac\n"
            )
        });
        ground.fleet.trouble(index, &script)?;
    }
    Ok(())
}

/// Whatever a node's containerd reads at this moment, it starts with.
fn expect_containerds_start(ground: &Ground) -> Result<()> {
    for index in 0..ground.fleet.len() {
        let root = ground.fleet.root(index);
        let config = root.join("etc/containerd/config.toml");
        let dump = Program::new("containerd").arg("--config").arg(&config).args(["config", "dump"]).run()?;
        ensure!(dump.code == Some(0), "n{index}: {dump}");
        let text = fs::read_to_string(&config)?;
        let (has_path, has_tables) =
            (text.contains("config_path"), text.contains(&format!("{PLUGIN}.mirrors")));
        ensure!(has_path != has_tables, "n{index}: {text}");
        let hosts = root.join("etc/containerd/certs.d/docker.io/hosts.toml");
        ensure!(
            has_tables || fs::read_to_string(hosts)?.contains("cache.corp"),
            "n{index}: a mirror is lost"
        );
    }
    Ok(())
}

/// How often each containerd was restarted since the last time.
fn restarts(ground: &Ground) -> Result<Vec<usize>> {
    let told = |index: usize| -> Result<usize> {
        let path = ground.fleet.root(index).join("run/told");
        let count = fs::read_to_string(&path).unwrap_or_default().lines().count();
        if path.exists() {
            fs::remove_file(path)?;
        }
        Ok(count)
    };
    (0..ground.fleet.len()).map(told).collect()
}

/// All files below a node's `/etc`.
fn etc(root: &Path) -> Result<String> {
    let script = "cd \"$1/etc\" && find . -printf '%p %y %m %U:%G\\n' | sort && find . -type f | sort | xargs sha256sum";
    Ok(Program::new("sh").args(["-c", script, "sh"]).arg(root).succeed()?.stdout)
}

/// Applies with every trap set, and gives how many nodes fell into theirs.
fn apply_and_be_killed(ground: &Ground) -> Result<usize> {
    set_traps(ground, Some("node apply --output"))?;
    ground.installer(&["apply", "bundle"]).fail_with(1)?;
    set_traps(ground, None)?;
    expect_containerds_start(ground)?;
    let report = ground.newest_report()?;
    let changes = report["changes"].as_array().context("a report lists changes")?;
    let failed = changes.iter().filter(|change| change["outcome"] != "done").count();
    ensure!(failed >= 30 && failed < changes.len(), "{failed} of {} were killed", changes.len());
    Ok(failed)
}

#[test]
fn killed_at_any_write_a_node_starts_its_runtime_and_the_next_run_finishes() -> Result<()> {
    if !parts::ready(&LoopbackFleet::NEEDS) || !parts::ready(&["strace", "containerd"]) {
        return Ok(());
    }
    let ground = fleet(808)?;
    let before = ground.trees()?;

    // Straight back from wherever it was cut off.
    apply_and_be_killed(&ground)?;
    ground.installer(&["rollback"]).succeed()?;
    restarts(&ground)?;
    super::machines::expect_same(&before, &ground.trees()?, "back from a kill")?;

    // On from there.
    apply_and_be_killed(&ground)?;
    let of_the_killed = restarts(&ground)?;
    ground.installer(&["apply", "bundle"]).succeed()?;
    let of_the_next = restarts(&ground)?;
    let whole = etc(&ground.fleet.root(ground.fleet.len() - 1))?;
    for index in 0..ground.fleet.len() {
        super::machines::expect_same(&whole, &etc(&ground.fleet.root(index))?, &format!("n{index}"))?;
        let told = of_the_killed[index] + of_the_next[index];
        ensure!((1..=2).contains(&told), "n{index}: containerd was restarted {told} times");
    }
    ground.installer(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    ensure!(restarts(&ground)?.iter().all(|count| *count == 0), "something is restarted for nothing");

    // The way back, cut off as well. Two runs have changed the fleet.
    for _ in 0..2 {
        set_traps(&ground, Some("node undo"))?;
        ground.installer(&["rollback"]).fail_with(1)?;
        expect_containerds_start(&ground)?;
        set_traps(&ground, None)?;
        ground.installer(&["rollback"]).succeed()?;
    }
    restarts(&ground)?;
    super::machines::expect_same(&before, &ground.trees()?, "back from a kill on the way back")
}
