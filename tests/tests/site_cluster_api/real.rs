//! The same on a real API server, which has no controllers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_installer::site::SiteFile;
use ferry_model::failure::Class;
use ferry_model::site::Node;
use ferry_tests::parts::{ApiServer, wait_until};
use ferry_tests::workspace::Workspace;
use serde_json::json;

use super::ground::Ground;
use super::objects::{make_and_change, put_pods_on_nodes, take_up_a_changed_configuration};
use super::others::leave_what_others_manage;

/// One server, with a namespace for each: starting it takes longer than the tests.
#[test]
fn a_real_api_server_is_treated_the_same() -> Result<()> {
    let Some(server) = ApiServer::start()? else { return Ok(()) };
    let ground = |name: &str, kubeconfig: PathBuf| {
        Ground::new(|_| Ok(kubeconfig))
            .map(|ground| Ground { namespace: format!("ferry-test-{name}"), ..ground })
    };
    for (name, kubeconfig) in
        [("certificate", server.kubeconfig()?), ("token", server.kubeconfig_with_token()?)]
    {
        let ground = ground(name, kubeconfig)?;
        make_and_change(&ground, || 0)?;
        take_all_back(&server, &ground)?;
    }
    take_up_a_changed_configuration(&server, &ground("configuration", server.kubeconfig()?)?)?;
    leave_what_others_manage(&server, &ground("others", server.kubeconfig()?)?)?;
    wait_for_a_rollout(&server, &ground("rollout", server.kubeconfig()?)?)?;
    put_pods_on_nodes(&ground("node-pods", server.kubeconfig()?)?)?;

    start_with_what_is_there(&server)?;

    let nobody = ground("nobody", server.kubeconfig_of_nobody()?)?;
    let denied = nobody.value("secret", "tls.key").err().context("it must fail")?;
    ensure!(denied.class == Class::Denied && denied.message.contains("secrets"), "{denied:?}");
    ensure!(denied.message.contains("ferry-test-nobody") && denied.message.contains("get"), "{denied:?}");
    let refused = nobody.plan(&nobody.registry("a: b\n")).err().context("nobody may look")?;
    ensure!(refused.to_string().contains("namespaces"), "{refused:?}");
    say_which_right_is_missing(&server, &ground("few-rights", server.kubeconfig_of_nobody()?)?)
}

/// No controller is there: the test lets the namespace go when all in it is gone, as one would.
fn take_all_back(server: &ApiServer, ground: &Ground) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}", ground.namespace);
    let left = std::thread::scope(|scope| {
        let played = scope.spawn(|| -> Result<()> {
            let is_going = || matches!(server.object(&path), Ok(Some(live)) if live["metadata"]["deletionTimestamp"].is_string());
            wait_until(Duration::from_secs(60), "the namespace is not being removed", is_going)?;
            let mut live = server.object(&path)?.context("it waits for its finalizer")?;
            live["spec"]["finalizers"] = json!([]);
            server.replace(&format!("{path}/finalize"), &live)
        });
        let left = ground.take_back("1");
        played.join().map_err(|_| anyhow::anyhow!("the player gave up"))??;
        left
    })?;
    ensure!(left.is_empty(), "{left:?}");
    for object in ["configmaps/config", "secrets/secret", "services/registry"] {
        ensure!(server.object(&format!("{path}/{object}"))?.is_none(), "{object} is still there");
    }
    ensure!(server.object(&path)?.is_none(), "the namespace is still there");
    Ok(())
}

/// The site file that `init` writes knows the cluster and its nodes.
fn start_with_what_is_there(server: &ApiServer) -> Result<()> {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1"}});
    server.apply_as("kubelet", &node)?;
    let mut live = server.object("/api/v1/nodes/node1")?.context("it was made")?;
    live["status"]["addresses"] =
        json!([{"type": "Hostname", "address": "node1"}, {"type": "InternalIP", "address": "10.77.0.11"}]);
    server.replace("/api/v1/nodes/node1/status", &live)?;

    let workspace = Workspace::new()?;
    for kubeconfig in [server.kubeconfig()?, server.kubeconfig_with_token()?] {
        let name = kubeconfig.file_name().and_then(|name| name.to_str()).context("it has a name")?;
        let to = workspace.path(&format!("{name}.yaml"));
        let arguments = [Path::new("init"), Path::new("--kubeconfig"), &kubeconfig, Path::new("-o"), &to];
        workspace.installer().args(arguments).succeed()?;
        let text = fs::read_to_string(&to)?;
        ensure!(text.contains(&format!("Kubernetes {}", ferry_tests::cluster::VERSION)), "{text}");
        let site = SiteFile::read(&to)?.site;
        let address = |host: &Node| host.address.as_ref().map(ToString::to_string);
        let hosts: Vec<_> =
            site.nodes.hosts.iter().map(|host| (host.name.to_string(), address(host))).collect();
        ensure!(hosts == [("node1".to_owned(), Some("10.77.0.11".to_owned()))], "{hosts:?}");
        let named = site.cluster.and_then(|cluster| cluster.kubeconfig);
        ensure!(named.as_ref() == Some(&kubeconfig), "{named:?}");
    }
    Ok(())
}

/// Somebody who may make some things and not others makes those, and is told of the others who may not do what, and where.
fn say_which_right_is_missing(server: &ApiServer, ground: &Ground) -> Result<()> {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": verbs});
    let rules = [
        rule(&[""], &["namespaces", "configmaps"], &["get", "create", "patch"]),
        rule(&["", "apps"], &["secrets", "services", "deployments"], &["get"]),
    ];
    server.apply_as(
        "ops",
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "few-rights"}, "rules": rules}),
    )?;
    server.apply_as(
        "ops",
        &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "few-rights"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "few-rights"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}]}),
    )?;
    let may =
        || ground.runtime.block_on(async { ground.target().secret(&ground.namespace, "none", "a").await });
    wait_until(Duration::from_secs(20), "the rights do not arrive", || {
        may().is_err_and(|failed| failed.class == Class::NotFound)
    })?;

    let outcome = ground.apply(&ground.registry("a: b\n"))?;
    for kind in ["secrets", "services"] {
        let what = format!(
            "User \"nobody\" cannot patch resource \"{kind}\" in API group \"\" in the namespace \"{}\"",
            ground.namespace
        );
        let (_, failed) = outcome
            .failures
            .iter()
            .find(|(_, failed)| failed.message.contains(&what))
            .with_context(|| what.clone())?;
        ensure!(failed.class == Class::Denied, "{failed:?}");
        ensure!(failed.hints.iter().any(|hint| hint.contains("administrator")), "{failed:?}");
    }
    ensure!(outcome.failures.len() == 2, "{:?}", outcome.failures);
    let path = format!("/api/v1/namespaces/{}", ground.namespace);
    ensure!(server.object(&format!("{path}/configmaps/config"))?.is_some(), "what is allowed was not done");
    ensure!(server.object(&format!("{path}/secrets/secret"))?.is_none());
    Ok(())
}

/// No controller is there: the test says of the Deployment what one would.
fn wait_for_a_rollout(server: &ApiServer, ground: &Ground) -> Result<()> {
    let namespace = ground.namespace();
    let deployment = ground.deployment(600).after([namespace.id()]);
    let rollout = ground.rollout().after([deployment.id()]);
    let resources = [namespace, deployment, rollout];
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/registry", ground.namespace);
    let outcome = std::thread::scope(|scope| {
        let played = scope.spawn(|| -> Result<()> {
            wait_until(Duration::from_secs(60), "no Deployment", || {
                matches!(server.object(&path), Ok(Some(_)))
            })?;
            let mut live = server.object(&path)?.context("it is there")?;
            live["status"] = json!({"observedGeneration": live["metadata"]["generation"], "replicas": 1,
                "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
                "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]});
            server.replace(&format!("{path}/status"), &live)
        });
        let outcome = ground.apply(&resources);
        played.join().map_err(|_| anyhow::anyhow!("the player gave up"))??;
        outcome
    })?;
    ensure!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    ensure!(ground.plan(&resources)?.steps.is_empty(), "it has rolled out");
    Ok(())
}
