//! Nodes without ssh: through pods of a DaemonSet, which are there for the time of the work, or stay.

use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::cluster::{FakeCluster, Fate};
use ferry_tests::parts;
use ferry_tests::process::Program;
use rustix::process::Signal;
use serde_json::json;

use super::ground::Ground;

/// What it needs of this machine: no ssh.
const NEEDS: [&str; 3] = ["root", "unshare", "chroot"];
const NAMESPACE: &str = "/api/v1/namespaces/ferry-system";
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/ferry-system/daemonsets/ferry-nodes";

/// A cluster with three machines that nobody can log in to, a master, and two nodes that are none.
fn cluster(ground: &Ground) -> Result<FakeCluster> {
    let cluster = FakeCluster::start();
    for index in 0..3 {
        let name = format!("n{index}");
        cluster.add_node(&name, &json!({"tier": "app", "kubernetes.io/hostname": name}), &["dedicated"])?;
        let (program, arguments) = ground.fleet.pod(index);
        cluster.set_machine(&name, &program, &[&arguments[0], &arguments[1]]);
    }
    cluster.add_node("kci-1", &json!({"tier": "app", "type": "virtual-kubelet"}), &[])?;
    cluster.add_node("kci-2", &json!({"tier": "app"}), &["virtual-kubelet.io/provider"])?;
    cluster.kubeconfig(&ground.sample.workspace.path(""))?;
    Ok(cluster)
}

fn write_site(ground: &Ground, daemon_set: &str, address: &str) -> Result<()> {
    ground.write_site_of(&format!(
        "cluster: {{kubeconfig: kubeconfig}}\nnodes:\n  via: daemonSet\n  daemonSet: {{{daemon_set}}}\n  \
         fromCluster: {{selector: 'tier in (app),!gpu', roles: [worker]}}\n  configure: true\n  \
         names: {{registry.corp: [{address}]}}\n  maxFailures: 1\n"
    ))
}

fn is_gone(cluster: &FakeCluster) -> bool {
    cluster.object(NAMESPACE).is_none() && cluster.object(DAEMON_SET).is_none()
}

#[test]
fn pods_come_and_go_with_the_work() -> Result<()> {
    if !parts::ready(&NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(811, 3, |_| true)?;
    let cluster = cluster(&ground)?;
    let before = ground.trees()?;
    write_site(&ground, "image: 'busybox:1.36', onNodes: true", "10.0.0.5")?;

    let plan = ground.installer(&["plan", "bundle"]).succeed()?;
    for said in [
        "set up node n2",
        "`apply` makes DaemonSet ferry-system/ferry-nodes, privileged, with image busybox:1.36",
    ] {
        ensure!(plan.stdout.contains(said), "no `{said}` in {plan}");
    }
    ensure!(!plan.stdout.contains("node kci") && !plan.stdout.contains("node node1"), "{plan}");
    ensure!(cluster.writes().is_empty(), "a plan makes pods: {:?}", cluster.writes());

    // One connection breaks while the program is copied, one while its work is waited for; one node cannot pull.
    let pull = "Back-off pulling image \"busybox:1.36\": x509: certificate signed by unknown authority";
    cluster.set_fate_on("n2", Fate::Waits("ImagePullBackOff".into(), pull.into()));
    cluster.cut("n0", "the copy differs", 300_000);
    cluster.cut("n1", "exit 97", 0);
    let failed = ground.installer(&["apply", "bundle"]).fail_with(1)?;
    for said in ["node n2 has no pod that runs", "x509", "onNodes: true", "ctr -n k8s.io images import"] {
        ensure!(failed.to_string().contains(said), "no `{said}` in {failed}");
    }
    ensure!(cluster.cuts() == 0, "{} connections were not broken", cluster.cuts());
    for index in 0..2 {
        let hosts = ground.read(index, "etc/hosts")?;
        ensure!(hosts.contains("10.0.0.5"), "n{index}: {hosts}\n{failed}");
        let begun = ground.fleet.asked(index).matches("--unit=ferry-").count();
        ensure!(begun == 1, "n{index} was begun {begun} times: {}", ground.fleet.asked(index));
    }
    ensure!(!ground.read(2, "etc/hosts")?.contains("10.0.0.5"));
    ensure!(ground.copies()? == 1, "the half of a copy stays");
    ensure!(is_gone(&cluster), "the pods stay");
    let with_pods = cluster.nodes_of_daemon_sets();
    ensure!(with_pods == ["n0", "n1", "n2"].map(str::to_owned).into(), "{with_pods:?}");

    // What is mended goes on from there, and then there is nothing to do.
    cluster.set_fate_on("n2", Fate::Ready);
    ground.installer(&["apply", "bundle"]).succeed()?;
    ensure!(ground.read(2, "etc/hosts")?.contains("10.0.0.5"));
    let begun = |index: usize| ground.fleet.asked(index).matches("--unit=ferry-").count();
    ensure!((0..3).all(|index| begun(index) == 1), "what is right is done again");
    ground.installer(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    ensure!((0..3).all(|index| begun(index) == 1) && is_gone(&cluster));

    let mut said = String::new();
    for _ in 0..2 {
        said.push_str(&ground.installer(&["rollback"]).succeed()?.to_string());
    }
    let after = ground.trees()?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}\n{said}");
    ensure!(is_gone(&cluster), "the pods stay");
    // The cluster's login is in nothing that is kept.
    let grep = Program::new("grep").args(["-rl", "the-token-of-the-tests", "."]);
    let found = grep.within(ground.sample.workspace.path("")).run()?;
    ensure!(found.stdout.trim() == "./kubeconfig", "{found}");
    ensure!((0..3).all(|index| !ground.fleet.asked(index).contains("token")));
    Ok(())
}

#[test]
fn pods_that_stay_are_of_the_plan() -> Result<()> {
    if !parts::ready(&NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(812, 3, |_| true)?;
    let cluster = cluster(&ground)?;
    let before = ground.trees()?;
    write_site(&ground, "image: 'busybox:1.36', onNodes: true, keep: true", "10.0.0.5")?;
    let plan = ground.installer(&["plan", "bundle"]).succeed()?;
    for said in
        ["create Namespace ferry-system", "create DaemonSet ferry-system/ferry-nodes", "hostPID: true"]
    {
        ensure!(plan.stdout.contains(said), "no `{said}` in {plan}");
    }
    ground.installer(&["apply", "bundle"]).succeed()?;
    let daemon_set = cluster.object(DAEMON_SET).unwrap_or_default();
    ensure!(daemon_set["spec"]["template"]["spec"]["hostPID"] == json!(true), "{daemon_set}");
    let writes = cluster.writes();
    // Whoever looks now sees the nodes.
    ground.installer(&["plan", "bundle", "--detailed-exitcode"]).succeed()?.prints("nothing to do")?;
    ground.installer(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    ground.installer(&["status"]).succeed()?;
    ensure!(cluster.writes() == writes, "{:?}", &cluster.writes()[writes.len()..]);

    write_site(&ground, "image: 'busybox:1.36', onNodes: true, keep: true", "10.0.0.6")?;
    let plan = ground.installer(&["plan", "bundle"]).succeed()?;
    ensure!(plan.stdout.contains("+10.0.0.6"), "{plan}");
    ground.installer(&["apply", "bundle"]).succeed()?;
    ground.installer(&["rollback"]).succeed()?;
    ensure!(cluster.object(DAEMON_SET).is_some(), "another run made that");
    ensure!(ground.read(1, "etc/hosts")?.contains("10.0.0.5"));
    ground.installer(&["rollback"]).succeed()?;
    ensure!(ground.trees()? == before, "not as it was");
    ensure!(is_gone(&cluster), "the pods stay");
    Ok(())
}

#[test]
fn a_run_that_was_killed_leaves_no_pods_for_ever() -> Result<()> {
    if !parts::ready(&NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(813, 3, |_| true)?;
    let cluster = cluster(&ground)?;
    // A namespace of the operator's own stays, and what else is in it.
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ops", "labels": {"team": "a"}}});
    cluster.apply_as("kubectl", &namespace)?;
    write_site(&ground, "image: 'busybox:1.36', onNodes: true, namespace: ops", "10.0.0.5")?;
    ground.fleet.trouble(1, "case $last in *'node apply --output'*) sleep 20; exit 1;; esac\n")?;
    let killed = ground.installer(&["apply", "bundle"]).start()?;
    let daemon_set = "/apis/apps/v1/namespaces/ops/daemonsets/ferry-nodes";
    parts::wait_until(Duration::from_secs(60), "n1 is not begun", || {
        ground.fleet.asked(1).contains("node apply --output")
    })?;
    killed.signal(Signal::KILL)?;
    killed.finish(Duration::from_secs(10))?;
    ensure!(cluster.object(daemon_set).is_some());
    ground.fleet.trouble(1, "")?;
    ground.installer(&["apply", "bundle"]).succeed()?;
    ensure!((0..3).all(|index| ground.read(index, "etc/hosts").is_ok_and(|text| text.contains("10.0.0.5"))));
    ensure!(cluster.object(daemon_set).is_none(), "the pods stay");
    let namespace = cluster.object("/api/v1/namespaces/ops").unwrap_or_default();
    ensure!(namespace["metadata"]["labels"]["team"] == json!("a"), "{namespace}");
    let labels = namespace["metadata"]["labels"].as_object().map_or(0, serde_json::Map::len);
    ensure!(labels == 2, "{namespace}");
    ground.installer(&["rollback"]).succeed()?;
    ensure!(cluster.object(daemon_set).is_none(), "the pods stay");
    ensure!(cluster.object("/api/v1/namespaces/ops").is_some(), "the operator's namespace is gone");
    Ok(())
}
