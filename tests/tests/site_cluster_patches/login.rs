//! The registry's login for pods.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::cluster::Peer;
use serde_json::{Value, json};

use super::ground::{Ground, PASSWORD};

const LOGIN: &str = "registry: {address: registry.corp, existing: {product: registry}, login: {user: puller, password: {file: password}}}\n";

#[test]
fn pods_get_the_registrys_login() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    give_login(&*cluster, &ground)
}

/// The registry itself is not there: what it needs of a plan is left out by planning only the cluster.
pub(crate) fn give_login(peer: &impl Peer, ground: &Ground) -> Result<()> {
    peer.apply_as(
        "ops",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blueking"}}),
    )?;
    let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "blueking"}});
    let mut named = account("builder");
    named["imagePullSecrets"] = json!([{"name": "theirs"}]);
    peer.apply_as("ops", &account("default"))?;
    peer.apply_as("ops", &named)?;
    let pulls = |name: &str| -> Result<Value> {
        let path = format!("/api/v1/namespaces/blueking/serviceaccounts/{name}");
        Ok(peer.object(&path)?.context("it is there")?["imagePullSecrets"].clone())
    };
    let registry = ferry_tests::registry::Registry::start(ferry_tests::registry::Setup::default());
    let login =
        LOGIN.replace("registry.corp", &registry.host()).replace("existing:", "plainHttp: true, existing:");
    ground.site_with(
        &login,
        "  pullSecrets: [{name: ferry-login, namespaces: [blueking], serviceAccounts: [default, builder]}]\n",
    )?;
    ground.apply().succeed()?;
    let path = "/api/v1/namespaces/blueking/secrets/ferry-login";
    let secret = peer.object(path)?.context("it was made")?;
    let config = STANDARD.decode(secret["data"][".dockerconfigjson"].as_str().unwrap_or_default())?;
    let config: Value = serde_json::from_slice(&config)?;
    let expected = STANDARD.encode(format!("puller:{PASSWORD}"));
    ensure!(
        config["auths"][registry.host()]["auth"] == expected.as_str()
            && secret["type"] == "kubernetes.io/dockerconfigjson"
    );
    ensure!(pulls("default")? == json!([{"name": "ferry-login"}]), "{}", pulls("default")?);
    ensure!(
        pulls("builder")? == json!([{"name": "theirs"}, {"name": "ferry-login"}]),
        "{}",
        pulls("builder")?
    );
    ground.apply().succeed()?.prints("nothing to do")?;
    ensure!(
        !ground.workspace.written()?.contains(PASSWORD) && !ground.workspace.written()?.contains(&expected),
        "the password was written down"
    );
    // Somebody's other login in it keeps it, and pods go on using it.
    let mut shared = secret.clone();
    let mut logins = config.clone();
    logins["auths"]["other.corp"] = json!({"auth": STANDARD.encode("them:theirs")});
    shared["data"][".dockerconfigjson"] = STANDARD.encode(logins.to_string()).into();
    let login = |secret: &Value| json!({"apiVersion": "v1", "kind": "Secret", "type": secret["type"], "data": secret["data"], "metadata": {"name": "ferry-login", "namespace": "blueking"}});
    peer.apply_as("ops", &login(&shared))?;
    ground.run(&["rollback"]).fail_with(1)?.prints("was changed by somebody else since")?;
    ensure!(pulls("default")? == json!([{"name": "ferry-login"}]), "{}", pulls("default")?);
    peer.apply_as("ops", &login(&secret))?;
    // Taking it back needs no password, neither the one it was given nor another.
    ground.workspace.write("password", "rotated-since")?;
    let runs = fs::read_dir(ground.workspace.path("site.ferry/runs"))?.count().to_string();
    let undone = ground.run(&["rollback", &runs]).succeed()?;
    ensure!(peer.object(path)?.is_none(), "{undone}");
    ensure!(pulls("default")? == Value::Null, "{}: {undone}", pulls("default")?);
    ensure!(pulls("builder")? == json!([{"name": "theirs"}]), "{}", pulls("builder")?);
    Ok(())
}
