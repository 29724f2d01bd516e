//! What others manage or have made, and who may do what.

use anyhow::{Context as _, Result, ensure};
use ferry_model::failure::Class;
use ferry_tests::cluster::Peer;
use serde_json::json;

use super::ground::Ground;

#[test]
fn what_others_manage_is_left_to_them() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    leave_what_others_manage(&cluster, &ground)
}

pub(crate) fn leave_what_others_manage(cluster: &impl Peer, ground: &Ground) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}/configmaps/config", ground.namespace);
    cluster.apply_as(
        "ops",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ground.namespace}}),
    )?;
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "config", "namespace": ground.namespace}, "data": {"config.yml": "theirs", "more": "1"}});
    cluster.apply_as("argocd-controller", &theirs)?;
    let before = cluster.object(&path)?;

    let refused = ground.apply(&[ground.config_map("ours")])?;
    let (_, failed) = refused.failures.first().context("it must be refused")?;
    ensure!(failed.class == Class::Denied, "{failed}");
    ensure!(failed.message.contains("argocd-controller manages data.config.yml"), "{failed}");
    ensure!(cluster.object(&path)? == before, "it was changed");
    ensure!(ground.take_back("1")?.is_empty() && cluster.object(&path)? == before);

    // Handed over by its label, it is taken, and given back as it was.
    let mut handed_over = theirs.clone();
    handed_over["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "ferry"});
    cluster.apply_as("argocd-controller", &handed_over)?;
    let taken = ground.apply(&[ground.config_map("ours")])?;
    ensure!(taken.failures.is_empty(), "{:?}", taken.failures);
    let live = cluster.object(&path)?.context("it is there")?;
    ensure!(live["data"] == json!({"config.yml": "ours", "more": "1"}), "{live}");
    ensure!(ground.take_back("2")?.is_empty());
    let live = cluster.object(&path)?.context("it is there")?;
    ensure!(live["data"] == theirs["data"], "{live}");
    Ok(())
}

#[test]
fn what_others_made_is_not_removed() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let made = ground.apply(&ground.registry("a: b\n"))?;
    ensure!(made.failures.is_empty(), "{:?}", made.failures);
    let theirs = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "backup", "namespace": ground.namespace}});
    cluster.apply_as("kubectl", &theirs)?;
    let left = ground.take_back("1")?;
    ensure!(left.len() == 1 && left[0].contains("Job backup"), "{left:?}");
    ensure!(cluster.object(&format!("/api/v1/namespaces/{}", ground.namespace)).is_some());
    ensure!(cluster.object(&format!("/api/v1/namespaces/{}/services/registry", ground.namespace)).is_none());
    Ok(())
}

#[test]
fn a_cluster_says_what_it_is_like() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let service = |name: &str, port: u16| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "kube-system",
            "labels": {"app.kubernetes.io/instance": "ingress-nginx"}}, "spec": {"ports": [{"port": port}]}})
    };
    cluster.apply_as("helm", &service("a-webhook", 443))?;
    cluster.apply_as("helm", &service("controller", 80))?;
    let summary = ground.runtime.block_on(async { ground.target().connect().await?.summary().await })?;
    ensure!(summary.version == ferry_tests::cluster::VERSION, "{summary:?}");
    let node = summary.nodes.first().context("there is a node")?;
    ensure!(node.name == "node1" && node.addresses == ["10.77.0.11"] && node.roles == ["master"], "{node:?}");
    ensure!(node.runtime == "docker://19.3.15" && node.ready, "{node:?}");
    let controller = cluster.object("/api/v1/namespaces/kube-system/services/controller").context("there")?;
    ensure!(summary.ingress.as_deref() == controller["spec"]["clusterIP"].as_str(), "{summary:?}");
    Ok(())
}

#[test]
fn trouble_names_the_kubeconfig_and_what_to_do() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let missing = ground.value("none", "password").err().context("it must fail")?;
    ensure!(missing.class == Class::NotFound && missing.message.contains("/none"), "{missing}");
    let config = ground.kubeconfig.display().to_string();
    ensure!(
        missing.message.contains(&config) && missing.hints[0].contains("kubectl --kubeconfig"),
        "{missing:?}"
    );

    cluster.kubeconfig_with(&ground.workspace.path(""), "another")?;
    let denied = ground.value("none", "password").err().context("it must fail")?;
    ensure!(denied.class == Class::Denied && denied.message.contains(&config), "{denied:?}");
    ensure!(denied.hints.iter().any(|hint| hint.contains("token")), "{denied:?}");

    drop(cluster);
    let gone = ground.value("none", "password").err().context("it must fail")?;
    ensure!(gone.class == Class::Transient && gone.message.contains(&config), "{gone:?}");
    ensure!(gone.message.contains("refused"), "{gone:?}");
    Ok(())
}
