//! Objects are made, changed and taken back.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ferry_model::plan::{Action, Resource};
use ferry_tests::cluster::{FakeCluster, Peer};
use serde_json::{Value, json};

use super::ground::{Ground, KEY, PASSWORD};

fn all(action: Action) -> Vec<(Action, String)> {
    ["Namespace", "ConfigMap", "Secret", "Deployment", "Service"].map(|kind| (action, kind.to_owned())).into()
}

/// Makes everything, changes one thing, takes the change back. Leaves the namespace with its objects there.
pub(crate) fn make_and_change(ground: &Ground, writes: impl Fn() -> usize) -> Result<()> {
    let made = ground.apply(&ground.registry("log: {level: info}\n"))?;
    ensure!(made.failures.is_empty(), "{:?}", made.failures);
    ensure!(made.actions() == all(Action::Create), "{:?}", made.actions());
    ensure!(ground.value("secret", "tls.key")? == KEY.as_bytes());
    let line = String::from_utf8(ground.value("secret", "htpasswd")?)?;
    ensure!(line.starts_with("pusher:$2y$") && line.ends_with('\n'), "{line}");

    let before = writes();
    let again = ground.plan(&ground.registry("log: {level: info}\n"))?;
    ensure!(again.steps.is_empty() && writes() == before, "{:?}", again.steps);

    let changed = ground.apply(&ground.registry("log: {level: debug}\n"))?;
    ensure!(changed.failures.is_empty(), "{:?}", changed.failures);
    let expected = [(Action::Update, "ConfigMap".to_owned()), (Action::Restart, "Deployment".to_owned())];
    ensure!(changed.actions() == expected, "{:?}", changed.actions());
    let diff = changed.plan.steps[0].diff.as_deref().unwrap_or_default();
    let lines: Vec<&str> = diff.lines().filter(|line| line.starts_with(['+', '-'])).skip(2).collect();
    ensure!(lines.len() == 2 && lines[0].contains("info") && lines[1].contains("debug"), "{diff}");
    ensure!(ground.plan(&ground.registry("log: {level: debug}\n"))?.steps.is_empty());

    let left = ground.take_back("2")?;
    ensure!(left.is_empty(), "{left:?}");
    let back = ground.plan(&ground.registry("log: {level: info}\n"))?;
    ensure!(back.steps.is_empty(), "{:?}", back.steps);
    ensure!(ground.value("secret", "htpasswd")? == line.as_bytes(), "the hash was made anew");

    let written = ground.workspace.written()?;
    ensure!(written.contains("Secret") && !written.contains(PASSWORD), "the password was written down");
    ensure!(!written.contains("$2y$") && !written.contains("PRIVATE KEY"), "a secret was written down");
    Ok(())
}

/// What puts a pod on each node, as reviewers have seen it: the server takes it whole, and has nothing to add that would count.
pub(crate) fn put_pods_on_nodes(ground: &Ground) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../installer/src/fleet/pods/golden.yaml");
    let text = fs::read_to_string(&file).context("the installer's tests keep it")?;
    let parts = text.split("---\n").filter(|part| !part.is_empty());
    let mut manifests = parts.map(serde_saphyr::from_str).collect::<Result<Vec<Value>, _>>()?;
    manifests[0]["metadata"]["name"] = json!(ground.namespace);
    manifests[1]["metadata"]["namespace"] = json!(ground.namespace);
    let mut resources: Vec<Resource> =
        manifests.into_iter().map(|manifest| ground.resource(manifest)).collect();
    let namespace = resources[0].id();
    resources[1].needs.push(namespace);
    let made = ground.apply(&resources)?;
    ensure!(made.failures.is_empty() && made.plan.steps.len() == 2, "{:?}", made.failures);
    let again = ground.plan(&resources)?;
    ensure!(again.steps.is_empty(), "{:?}", again.steps);
    Ok(())
}

#[test]
fn pods_are_put_on_nodes() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    put_pods_on_nodes(&ground)?;
    let left = ground.take_back("1")?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(cluster.object(&format!("/api/v1/namespaces/{}", ground.namespace)).is_none());
    Ok(())
}

#[test]
fn objects_are_made_changed_and_taken_back() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    make_and_change(&ground, || cluster.writes().len())?;
    let left = ground.take_back("1")?;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(cluster.object(&format!("/api/v1/namespaces/{}", ground.namespace)).is_none());
    Ok(())
}

#[test]
fn secrets_are_taken_back_whatever_the_password_is_by_then() -> Result<()> {
    let is_gone = |cluster: &FakeCluster, ground: &Ground| {
        cluster.object(&format!("/api/v1/namespaces/{}", ground.namespace)).is_none()
    };
    for password in [Some("rotated-since"), None] {
        let (cluster, ground) = Ground::fake()?;
        let made = ground.apply(&[ground.namespace(), ground.secret().after([ground.namespace().id()])])?;
        ensure!(made.failures.is_empty(), "{:?}", made.failures);
        match password {
            Some(password) => drop(ground.workspace.write("password", password)?),
            None => {
                fs::remove_file(ground.workspace.path("password"))?;
                fs::remove_file(ground.workspace.path("tls.key"))?;
            }
        }
        let left = ground.take_back("1")?;
        ensure!(left.is_empty() && is_gone(&cluster, &ground), "{password:?}: {left:?}");
    }

    // What somebody else has put there is theirs, with the same password too.
    let (cluster, ground) = Ground::fake()?;
    ground.apply(&[ground.namespace(), ground.secret().after([ground.namespace().id()])])?;
    cluster.apply_as(
        "ops",
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": ground.metadata("secret"),
            "data": {"tls.key": "dGhlaXJz"}}),
    )?;
    let left = ground.take_back("1")?;
    ensure!(left.iter().any(|reason| reason.contains("changed by somebody else")), "{left:?}");
    ensure!(ground.value("secret", "tls.key")? == b"theirs");
    Ok(())
}

#[test]
fn objects_are_made_and_changed_on_the_cluster_at_hand() -> Result<()> {
    let Some(kubeconfig) = std::env::var_os("FERRY_TEST_KUBECONFIG") else {
        println!("SKIPPED: FERRY_TEST_KUBECONFIG names no cluster");
        return Ok(());
    };
    let ground = Ground::new(|_| Ok(fs::canonicalize(kubeconfig)?))?;
    let outcome = make_and_change(&ground, || 0);
    // Where no controllers run, a namespace is never quite gone.
    let left = ground.take_back("1")?;
    ensure!(left.iter().all(|reason| reason.contains("is being removed")), "{left:?}");
    outcome
}

#[test]
fn pods_take_up_a_changed_configuration() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    take_up_a_changed_configuration(&cluster, &ground)
}

pub(crate) fn take_up_a_changed_configuration(cluster: &impl Peer, ground: &Ground) -> Result<()> {
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/registry", ground.namespace);
    let template =
        || Ok::<_, anyhow::Error>(cluster.object(&path)?.context("it is there")?["spec"]["template"].clone());
    ground.apply(&ground.registry("a: 1\n"))?;
    let first = template()?;
    ground.apply(&ground.registry("a: 2\n"))?;
    let second = template()?;
    ensure!(first != second, "its pods run on with the old configuration: {second}");
    ensure!(ground.take_back("2")?.is_empty() && template()? == first, "not as it was");
    Ok(())
}

#[test]
fn claims_are_bound_and_removed_when_no_pod_uses_them() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let namespace = ground.namespace();
    let claim = ground
        .resource(
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": ground.metadata("images"),
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20480Mi"}}}}),
        )
        .after([namespace.id()]);
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": ground.metadata("once"), "spec": {"a": 1}});
    let job = ground.resource(job).after([namespace.id()]);
    let resources = [namespace, claim, job];
    let made = ground.apply(&resources)?;
    ensure!(made.failures.is_empty(), "{:?}", made.failures);
    ensure!(made.plan.steps[1].undo.contains("all images"), "{}", made.plan.steps[1].undo);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let path = format!("/api/v1/namespaces/{}/persistentvolumeclaims/images", ground.namespace);
    let live = cluster.object(&path).context("it is there")?;
    ensure!(live["status"]["phase"] == "Bound", "{live}");
    ensure!(ground.plan(&resources)?.steps.is_empty(), "what a controller adds is no difference");
    ensure!(ground.take_back("1")?.is_empty() && cluster.object(&path).is_none());
    Ok(())
}
