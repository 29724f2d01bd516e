//! Workloads that point outside: changed where they may be, and put back.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_installer::live::{Becomes, Doing};
use ferry_installer::session::rollback_site;
use ferry_tests::cluster::Peer;
use serde_json::{Value, json};

use super::ground::{Ground, namespace, one, only, path_of, told, workload};

/// Everything that points outside, of each kind and owner.
fn workloads(ground: &Ground, namespace: &str) -> Vec<Value> {
    let (app, web, tools) =
        (ground.world("team/app:1.0"), ground.world("team/web:2.0"), ground.world("team/tools:7.1"));
    let multi = ground.world("library/multi:3");
    let make = |kind: &str, name: &str, containers: &Value| workload(kind, namespace, name, containers);
    let mut web_deployment = make(
        "Deployment",
        "web",
        &json!([
        {"name": "log", "image": ground.site("team/web:2.0")},
        {"name": "main", "image": web, "args": ["--verbose", format!("--sidecar-image={app}")],
            "env": [{"name": "MODE", "value": "fast"}, {"name": "SLUG_IMAGE", "value": multi}]}]),
    );
    web_deployment["spec"]["template"]["spec"]["initContainers"] = json!([{"name": "first", "image": app}]);
    let marked = |name: &str, labels: Value, annotations: Value| {
        let mut deployment = make("Deployment", name, &one(&app));
        deployment["metadata"]["labels"] = labels;
        deployment["metadata"]["annotations"] = annotations;
        deployment
    };
    let release = json!({"meta.helm.sh/release-name": "redis", "meta.helm.sh/release-namespace": namespace});
    vec![
        web_deployment,
        make("StatefulSet", "db", &one(&web)),
        make("DaemonSet", "agent", &one(&app)),
        make("ReplicaSet", "old", &one(&app)),
        make("Pod", "bare", &one(&web)),
        make("Job", "init", &one(&app)),
        make("Deployment", "later", &one(&tools)),
        make("Deployment", "foreign", &one("docker.io/library/busybox:1.36")),
        make("Deployment", "fine", &one(&ground.site("team/app:1.0"))),
        marked("redis", json!({"app.kubernetes.io/managed-by": "Helm"}), release),
        marked(
            "tracked",
            json!({}),
            json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:a/tracked"}),
        ),
    ]
}

/// Lists, changes and takes back.
pub(crate) fn change_what_may_be_changed(
    cluster: &impl Peer,
    ground: &Ground,
    namespace_name: &str,
) -> Result<()> {
    cluster.apply_as("kubectl", &namespace(namespace_name))?;
    let made = workloads(ground, namespace_name);
    for manifest in &made {
        cluster.apply_as("kubectl", manifest)?;
    }
    let record = json!({"name": "redis", "chart": {"metadata": {"name": "redis", "version": "17.1.0"},
        "values": {"image": {"registry": ground.sample.registry.host(), "repository": "team/app", "tag": "1.0"}}}});
    let data = STANDARD.encode(STANDARD.encode(record.to_string()));
    cluster.apply_as(
        "helm",
        &json!({"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "data": {"release": data},
        "metadata": {"name": "sh.helm.release.v1.redis.v1", "namespace": namespace_name,
            "labels": {"owner": "helm", "name": "redis", "status": "deployed"}}}),
    )?;
    let specs = || -> Result<Vec<Value>> {
        made.iter()
            .map(|made| Ok(cluster.object(&path_of(made))?.context("it is there")?["spec"].clone()))
            .collect()
    };
    let before = specs()?;

    let found = ground.rewrite(namespace_name, Doing::Show)?;
    ensure!(specs()? == before && ground.runs()?.is_empty(), "a look has changed something");
    let becomes = |kind: &str, name: &str| -> Result<Becomes> { Ok(only(&found, kind, name)?.becomes) };
    for (kind, name) in
        [("StatefulSet", "db"), ("DaemonSet", "agent"), ("ReplicaSet", "old"), ("Pod", "bare")]
    {
        ensure!(becomes(kind, name)? == Becomes::Changeable, "{kind} {name}: {found:?}");
    }
    ensure!(becomes("Job", "init")? == Becomes::Immutable);
    ensure!(becomes("Deployment", "later")? == Becomes::NotPushed);
    ensure!(becomes("Deployment", "foreign")? == Becomes::NotInBundle);
    ensure!(told(&found, "Deployment", "fine").is_empty(), "{found:?}");
    let redis = only(&found, "Deployment", "redis")?;
    ensure!(redis.becomes == Becomes::LeftToOwner, "{redis:?}");
    ensure!(redis.set.len() == 1 && redis.set[0].path == "image.registry", "{redis:?}");
    ensure!(redis.set[0].value == ground.registry.host(), "{redis:?}");
    ensure!(redis.hint.as_ref().is_some_and(|hint| hint.contains("helm upgrade redis")), "{redis:?}");
    let tracked = only(&found, "Deployment", "tracked")?;
    ensure!(tracked.hint.as_ref().is_some_and(|hint| hint.contains(&ground.site("team/app"))), "{tracked:?}");
    let mirror = format!("  mirrors: [{}]", ground.sample.registry.host());
    ensure!(found.mirrors.last() == Some(&mirror), "{:?}", found.mirrors);
    let paths: Vec<&str> = told(&found, "Deployment", "web").iter().map(|told| told.path.as_str()).collect();
    let place = |rest: &str| format!("spec.template.spec.{rest}");
    let expected = [
        "initContainers[first].image",
        "containers[main].image",
        "containers[main].args[1]",
        "containers[main].env[SLUG_IMAGE].value",
    ]
    .map(place);
    ensure!(paths.len() == 4 && expected.iter().all(|path| paths.contains(&path.as_str())), "{paths:?}");

    let changed = ground.rewrite(namespace_name, Doing::Apply)?;
    ensure!(changed.run.as_deref() == Some("0001"), "{changed:?}");
    let web = cluster.object(&path_of(&made[0]))?.context("it is there")?["spec"]["template"]["spec"].clone();
    let main = &web["containers"][1];
    ensure!(
        main["image"] == ground.site("team/web:2.0")
            && web["initContainers"][0]["image"] == ground.site("team/app:1.0"),
        "{web}"
    );
    ensure!(
        main["args"] == json!(["--verbose", format!("--sidecar-image={}", ground.site("team/app:1.0"))]),
        "{web}"
    );
    ensure!(
        main["env"][0]["value"] == "fast" && main["env"][1]["value"] == ground.site("library/multi:3"),
        "{web}"
    );
    let after = specs()?;
    for (number, name) in
        [(5, "init"), (6, "later"), (7, "foreign"), (8, "fine"), (9, "redis"), (10, "tracked")]
    {
        ensure!(before[number] == after[number], "{name} was changed");
    }
    for number in 0..5 {
        ensure!(before[number] != after[number], "{} was not changed", made[number]["metadata"]["name"]);
    }
    ensure!(changed.text().contains("`ferry-installer rollback 0001`"), "{}", changed.text());

    let again = ground.rewrite(namespace_name, Doing::Apply)?;
    ensure!(again.run.is_none() && ground.runs()?.len() == 1, "{again:?}");
    ensure!(!again.is_good() && again.references.len() == 5, "{again:?}");

    let (report, _) = ground.runtime.block_on(rollback_site(&ground.context()?, None))?;
    ensure!(report.changes.iter().all(|change| change.failure.is_none()), "{report:?}");
    ensure!(specs()? == before, "not as it was");
    Ok(())
}

#[test]
fn workloads_are_changed_where_that_is_nobody_elses_business() -> Result<()> {
    let (cluster, ground) = Ground::fake(703)?;
    change_what_may_be_changed(&cluster, &ground, "shop")
}

#[test]
fn an_argument_with_several_images_is_changed_where_each_stands() -> Result<()> {
    let (cluster, ground) = Ground::fake(716)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let script = |old: &str, app: &str, multi: &str| {
        json!([
            "-c",
            format!(
                "say \"größer\" --old-image={old} --image={app} --image={app}\nrun \"{multi}\"; run {multi}"
            )
        ])
    };
    let (old, app, multi) =
        (ground.world("team/app:1.0-old"), ground.world("team/app:1.0"), ground.world("library/multi:3"));
    let containers =
        json!([{"name": "main", "image": ground.site("team/app:1.0"), "args": script(&old, &app, &multi)}]);
    let manifest = workload("Deployment", "shop", "several", &containers);
    cluster.apply_as("kubectl", &manifest)?;
    let changed = ground.rewrite("shop", Doing::Apply)?;
    let becomes: Vec<Becomes> = changed.references.iter().map(|told| told.becomes).collect();
    ensure!(becomes[0] == Becomes::NotInBundle && becomes[1..] == [Becomes::Changed; 4], "{changed:?}");
    let live = cluster.object(&path_of(&manifest)).context("it is there")?;
    let args = &live["spec"]["template"]["spec"]["containers"][0]["args"];
    let expected = script(&old, &ground.site("team/app:1.0"), &ground.site("library/multi:3"));
    ensure!(*args == expected, "{args}\n{expected}");
    ground.runtime.block_on(rollback_site(&ground.context()?, None))?;
    let live = cluster.object(&path_of(&manifest)).context("it is there")?;
    let args = &live["spec"]["template"]["spec"]["containers"][0]["args"];
    ensure!(*args == script(&old, &app, &multi), "not as it was: {args}");
    Ok(())
}

#[test]
fn what_others_write_back_is_left_to_them() -> Result<()> {
    let (cluster, ground) = Ground::fake(717)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let labelled = |name: &str, label: &str, value: &str| {
        let mut deployment = workload("Deployment", "shop", name, &one(&ground.world("team/app:1.0")));
        deployment["metadata"]["labels"] = json!({label: value});
        deployment
    };
    let instance = "app.kubernetes.io/instance";
    cluster.apply_as("argocd-controller", &labelled("argo", instance, "front"))?;
    cluster.apply_as("kubectl", &labelled("plain", instance, "front"))?;
    cluster.apply_as("kubectl", &labelled("addon", "addonmanager.kubernetes.io/mode", "Reconcile"))?;
    let changed = ground.rewrite("shop", Doing::Apply)?;
    for (name, owner) in [("argo", "Argo CD's application front"), ("addon", "add-on manager")] {
        let told = only(&changed, "Deployment", name)?;
        ensure!(told.becomes == Becomes::LeftToOwner, "{told:?}");
        ensure!(told.hint.as_ref().is_some_and(|hint| hint.contains(owner)), "{told:?}");
    }
    ensure!(only(&changed, "Deployment", "plain")?.becomes == Becomes::Changed, "{changed:?}");
    Ok(())
}

#[test]
fn old_clusters_operators_and_what_has_ended() -> Result<()> {
    let (cluster, ground) = Ground::fake(706)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let app = ground.world("team/app:1.0");
    cluster.apply_as(
        "kubectl",
        &json!({"apiVersion": "batch/v1beta1", "kind": "CronJob",
        "metadata": {"name": "nightly", "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": one(&app)}}}}}}),
    )?;
    let mut over = workload("Job", "shop", "over", &one(&app));
    over["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    cluster.apply_as("kubectl", &over)?;
    cluster.apply_as(
        "kubectl",
        &json!({"apiVersion": "paas.bk.tencent.com/v1alpha2", "kind": "BkApp",
        "metadata": {"name": "demo", "namespace": "shop"}, "spec": {"build": {"image": app}}}),
    )?;
    let mut owned = workload("Deployment", "shop", "demo-web", &one(&app));
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "paas.bk.tencent.com/v1alpha2", "kind": "BkApp", "name": "demo",
        "uid": "1", "controller": true}]);
    cluster.apply_as("kubectl", &owned)?;

    let found = ground.rewrite("shop", Doing::Apply)?;
    ensure!(only(&found, "CronJob", "nightly")?.becomes == Becomes::Changed, "{found:?}");
    let path = "/apis/batch/v1beta1/namespaces/shop/cronjobs/nightly";
    let nightly = cluster.object(path).context("it is there")?;
    let image = nightly.pointer("/spec/jobTemplate/spec/template/spec/containers/0/image");
    ensure!(image == Some(&json!(ground.site("team/app:1.0"))), "{nightly}");
    ensure!(told(&found, "Job", "over").is_empty(), "{found:?}");
    // Its pods and what makes them are the Deployment's, and that is the operator's.
    ensure!(found.references.iter().all(|told| told.kind != "Pod"), "{found:?}");
    let demo = only(&found, "Deployment", "demo-web")?;
    ensure!(demo.becomes == Becomes::LeftToOwner && demo.set[0].path == "spec.build.image", "{demo:?}");
    ensure!(demo.set[0].value == ground.site("team/app:1.0"), "{demo:?}");
    Ok(())
}
