//! `ferry-installer runtimes missing`: from a file, from standard input, and from the pods' log through the cluster.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::parts::wait_until;
use ferry_tests::workspace::Workspace;
use serde_json::{Value, json};

const ASSETS: &str = "/bkpaas/bkpaas3-platform-assets";
const NODE: &str = "/runtimes/nodejs/node/release/linux-x64/node-v14.16.1-linux-x64.tar.gz";

fn log() -> Vec<String> {
    vec![
        "INFO 1 --- started".to_owned(),
        format!("10.0.0.7 \"HEAD {ASSETS}{NODE} HTTP/1.1\" 404 0"),
        format!("10.0.0.7 \"GET {ASSETS}{NODE} HTTP/1.1\" 404 121"),
        format!("10.0.0.7 \"GET {ASSETS}/common/buildpack-stdlib/v7/stdlib.sh HTTP/1.1\" 200 121"),
        format!("10.0.0.7 \"GET {ASSETS}/runtimes/golang/go1.19.1.linux-amd64.tar.gz HTTP/1.1\" 404 121"),
    ]
}

#[test]
fn what_builds_lack_becomes_a_spec() -> Result<()> {
    let workspace = Workspace::new()?;
    let path = workspace.path("generic.log");
    // A log may hold anything, a line without an end and bytes that are no text among them.
    let mut bytes = log().join("\n").into_bytes();
    bytes.splice(0..0, b"\xff\xfe\n".iter().copied());
    bytes.extend(std::iter::repeat_n(b'x', 1 << 20));
    fs::write(&path, bytes)?;
    let missing = || workspace.installer().args(["runtimes", "missing"]).arg(&path);
    missing().succeed()?.prints("node 14.16.1")?.prints("go 1.19.1")?;
    let found = missing().args(["--output", "json"]).succeed()?.json()?;
    ensure!(found["files"].as_array().map(Vec::len) == Some(2), "{found}");
    let spec = missing().arg("--spec").succeed()?;
    spec.prints("- node=14.16.1")?.prints("- go=1.19.1")?.prints("kind: Bundle")?;
    let gone = workspace.installer().args(["runtimes", "missing", "nothing.log"]).fail_with(1)?;
    ensure!(gone.stderr.contains("nothing.log"), "{gone}");
    Ok(())
}

#[test]
fn the_log_comes_from_the_pods() -> Result<()> {
    let workspace = Workspace::new()?;
    let cluster = FakeCluster::start();
    let site = workspace.path("site.yaml");
    let kubeconfig = cluster.kubeconfig(site.parent().unwrap_or(&site))?;
    fs::write(
        &site,
        format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: {}}}\n",
            kubeconfig.display()
        ),
    )?;
    let missing = || workspace.installer().args(["runtimes", "missing", "--site"]).arg(&site);
    let none = missing().fail_with(1)?;
    ensure!(none.stderr.contains("Deployment blueking/bk-repo-bkrepo-generic"), "{none}");

    let labels = json!({"app": "generic"});
    let metadata = |name: &str| json!({"name": name, "namespace": "blueking"});
    cluster.apply_as(
        "helm",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blueking"}}),
    )?;
    cluster.apply_as(
        "helm",
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("bk-repo-bkrepo-generic"),
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "generic", "image": "bkrepo-generic:1"}]},
                },
            },
        }),
    )?;
    let lines = log();
    cluster.set_log("generic", "generic", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let count = || -> Result<Value> { missing().args(["--output", "json"]).succeed()?.json() };
    wait_until(Duration::from_secs(10), "two pods", || count().is_ok_and(|found| found["lines"] == 10))?;
    let found = count()?;
    let node = found["files"].as_array().into_iter().flatten().find(|file| file["path"] == NODE);
    // Two pods, each with two requests for it.
    let is_right = |file: &Value| file["requests"] == 4 && file["last"] == "2024-05-13T02:00:00";
    ensure!(node.is_some_and(is_right), "{found}");
    let wrong = missing().args(["--container", "other"]).fail_with(1)?;
    ensure!(wrong.stderr.contains("other"), "{wrong}");
    Ok(())
}
