//! What runs in the cluster: pods whose images do not come are explained, workloads that name images of the world are told and
//! changed. Against the API server in this process, and with `cargo xtask test --cluster`, against a real one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_bundle::{Bundle, Trust};
use ferry_installer::context::Context;
use ferry_installer::desire::Desire;
use ferry_installer::journal::{Progress, RunFolder, StepState, Undo};
use ferry_installer::live::{
    Becomes, Choice, ClusterStatus, Doing, LiveReference, LiveReferences, cluster_status, rewrite,
};
use ferry_installer::session::{identity, rollback_site};
use ferry_installer::site::SiteFile;
use ferry_model::event::Events;
use ferry_model::failure::Failure as _;
use ferry_model::plan::{Desired, Renamed, Resource, WorkloadImages};
use ferry_tests::cluster::{FakeCluster, Peer, Told, WaitingPod};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::ApiServer;
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::Sample;
use ferry_transfer::Options;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A bundle, a site with a registry that has some of its images, and a cluster.
struct Ground {
    sample: Sample,
    registry: Registry,
    kubeconfig: PathBuf,
    runtime: Runtime,
}

impl Ground {
    /// The site's registry has all images of the bundle but `team/tools`.
    fn new(seed: u64, kubeconfig: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<Self> {
        let sample = Sample::built(Corpus::small(seed, 6_000))?;
        let registry = Registry::start(Setup::default());
        for image in sample.corpus.images.iter().filter(|image| image.repository != "team/tools") {
            registry.load(image);
        }
        let kubeconfig = kubeconfig(&sample.workspace.path(""))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ground = Self { sample, registry, kubeconfig, runtime };
        ground.write_site("")?;
        Ok(ground)
    }

    fn fake(seed: u64) -> Result<(FakeCluster, Self)> {
        let cluster = FakeCluster::start();
        let ground = Self::new(seed, |folder| cluster.kubeconfig(folder))?;
        Ok((cluster, ground))
    }

    fn write_site(&self, more: &str) -> Result<()> {
        let site = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: {}}}\nregistry:\n  address: {}\n  plainHttp: true\n  existing: {{product: registry}}\n{more}",
            self.kubeconfig.display(),
            self.registry.host()
        );
        self.sample.workspace.write("site.yaml", site).map(drop)
    }

    fn context(&self) -> Result<Context> {
        let bundle = Bundle::open(&self.sample.workspace.path("bundle"), &Trust::default())?;
        let site = SiteFile::read(&self.sample.workspace.path("site.yaml"))?;
        Ok(Context::new(site, Some(bundle), Options::default(), Events::none()))
    }

    /// An image as the world calls it.
    fn world(&self, name: &str) -> String {
        format!("{}/{name}", self.sample.registry.host())
    }

    /// And as the site does.
    fn site(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    fn status(&self) -> Result<ClusterStatus> {
        Ok(self.runtime.block_on(cluster_status(&self.context()?))?)
    }

    fn rewrite(&self, namespace: &str, doing: Doing) -> Result<LiveReferences> {
        let choice = Choice { namespaces: vec![namespace.to_owned()], ..Choice::default() };
        Ok(self.runtime.block_on(rewrite(&self.context()?, &choice, doing))?)
    }

    fn runs(&self) -> Result<Vec<RunFolder>> {
        Ok(RunFolder::all(&self.context()?.site.state_folder())?)
    }
}

fn pod_spec(containers: &Value) -> Value {
    json!({"metadata": {"labels": {"app": "it"}}, "spec": {"containers": containers}})
}

/// A workload of a kind with these containers.
fn workload(kind: &str, namespace: &str, name: &str, containers: &Value) -> Value {
    let template = pod_spec(containers);
    let selector = json!({"matchLabels": {"app": "it"}});
    let (version, spec) = match kind {
        "Pod" => ("v1", template["spec"].clone()),
        "Job" => {
            let mut template = template;
            template["spec"]["restartPolicy"] = json!("Never");
            ("batch/v1", json!({"template": template}))
        }
        "StatefulSet" => {
            ("apps/v1", json!({"serviceName": "it", "selector": selector, "template": template}))
        }
        _ => ("apps/v1", json!({"selector": selector, "template": template})),
    };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn one(image: &str) -> Value {
    json!([{"name": "main", "image": image}])
}

fn path_of(manifest: &Value) -> String {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let version = text("/apiVersion");
    let root = if version.contains('/') { "apis" } else { "api" };
    let plural = format!("{}s", text("/kind").to_lowercase());
    format!(
        "/{root}/{version}/namespaces/{}/{plural}/{}",
        text("/metadata/namespace"),
        text("/metadata/name")
    )
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn told<'a>(found: &'a LiveReferences, kind: &str, name: &str) -> Vec<&'a LiveReference> {
    found.references.iter().filter(|told| told.kind == kind && told.name == name).collect()
}

fn only<'a>(found: &'a LiveReferences, kind: &str, name: &str) -> Result<&'a LiveReference> {
    let told = told(found, kind, name);
    ensure!(told.len() == 1, "{kind} {name}: {told:?}");
    Ok(told[0])
}

const NO_HOST: &str = "rpc error: code = Unknown desc = Error response from daemon: Get \"https://h/v2/\": dial tcp: lookup h on 10.0.0.2:53: no such host";
const UNKNOWN: &str = "rpc error: code = NotFound desc = failed to pull and unpack image: manifest unknown";
const UNTRUSTED: &str = "rpc error: code = Unknown desc = failed to pull and unpack image \"a\": failed to resolve reference \"a\": failed to do request: Head \"https://h/v2/\": x509: certificate signed by unknown authority";
const HTTP: &str =
    "rpc error: code = Unknown desc = Get \"https://h/v2/\": http: server gave HTTP response to HTTPS client";
const LOGIN: &str =
    "rpc error: code = Unknown desc = reading manifest 1.0 in h/a: unauthorized: authentication required";
const SPACE: &str =
    "rpc error: code = Unknown desc = failed to register layer: write /x: no space left on device";
const PLATFORM: &str = "rpc error: code = NotFound desc = failed to pull and unpack image \"a\": no match for platform in manifest: not found";
const REFUSED: &str = "rpc error: code = Unknown desc = dial tcp 10.0.0.5:5000: connect: connection refused";

/// A pod that waits, and what must be said of it.
struct Row {
    name: &'static str,
    image: String,
    reason: &'static str,
    said: &'static str,
    why: &'static str,
    fixes: &'static [&'static str],
}

fn row(
    name: &'static str,
    image: &str,
    reason: &'static str,
    said: &'static str,
    why: &'static str,
    fixes: &'static [&'static str],
) -> Row {
    Row { name, image: image.to_owned(), reason, said, why, fixes }
}

fn waiting_rows(ground: &Ground) -> Vec<Row> {
    let (app, web, multi) =
        (ground.site("team/app:1.0"), ground.site("team/web:2.0"), ground.site("library/multi:3"));
    let world = ground.world("team/app:1.0");
    vec![
        row(
            "world-1",
            &world,
            "ImagePullBackOff",
            NO_HOST,
            "still points at",
            &["rewrite --cluster", "nodes: {configure: true"],
        ),
        row(
            "busybox",
            "busybox:1.36",
            "ImagePullBackOff",
            NO_HOST,
            "is not in the bundle",
            &["`images:` in the spec"],
        ),
        row(
            "other-tag",
            &world.replace("1.0", "9.9"),
            "ImagePullBackOff",
            NO_HOST,
            "other tags of it: 1.0",
            &["one of those"],
        ),
        row(
            "tools",
            &ground.site("team/tools:7.1"),
            "ImagePullBackOff",
            UNKNOWN,
            "the bundle does",
            &["ferry-installer apply"],
        ),
        row(
            "none",
            &ground.site("team/none:1"),
            "ImagePullBackOff",
            UNKNOWN,
            "neither",
            &["`images:` in the spec"],
        ),
        row("there", &multi, "ImagePullBackOff", UNKNOWN, "has it by now", &["delete pod there"]),
        row(
            "x509",
            &app,
            "ErrImagePull",
            UNTRUSTED,
            "does not trust the certificate",
            &["nodes: {configure: true}"],
        ),
        row("http", &web, "ImagePullBackOff", HTTP, "plain HTTP", &["nodes: {configure: true}"]),
        row(
            "upper",
            &ground.site("team/App:1"),
            "InvalidImageName",
            "invalid reference format: repository name must be lowercase",
            "no image name",
            &["correct it"],
        ),
        row(
            "never",
            &multi,
            "ErrImageNeverPull",
            "Container image is not present with pull policy of Never",
            "forbids",
            &["ferry-installer export"],
        ),
        row("login", &app, "ImagePullBackOff", LOGIN, "asks for a login", &["pullSecrets"]),
        row("space", &app, "ImagePullBackOff", SPACE, "DiskPressure", &["crictl rmi --prune"]),
        row("platform", &web, "ImagePullBackOff", PLATFORM, "arm64", &["platforms:"]),
        row("refused", &app, "ImagePullBackOff", REFUSED, "does answer here", &["firewalls"]),
    ]
}

#[test]
fn every_image_that_does_not_come_is_explained_with_what_helps() -> Result<()> {
    let (cluster, ground) = Ground::fake(701)?;
    let arm = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "arm1"},
        "status": {"nodeInfo": {"architecture": "arm64"}, "conditions": [{"type": "DiskPressure", "status": "True"}]}});
    cluster.apply_as("kubelet", &arm)?;
    ensure!(ground.status()?.is_good(), "nothing waits");

    let (app, world) = (ground.site("team/app:1.0"), ground.world("team/app:1.0"));
    let rows = waiting_rows(&ground);
    for (number, Row { name, image, reason, said, .. }) in rows.iter().enumerate() {
        let said = format!("Failed to pull image \"{image}\": {said}");
        let told = if number % 2 == 0 { Told::InStatus } else { Told::ByEvent };
        // What is not pulled has no event.
        let told = if reason.starts_with("ErrImageNever") { Told::InStatus } else { told };
        cluster.let_wait(&WaitingPod {
            namespace: "shop",
            name,
            node: "arm1",
            image,
            reason,
            said: &said,
            told,
        })?;
    }
    let second = format!("Failed to pull image \"{world}\": {NO_HOST}");
    cluster.let_wait(&WaitingPod {
        namespace: "blueking",
        name: "world-2",
        node: "node1",
        image: &world,
        reason: "ErrImagePull",
        said: &second,
        told: Told::InStatus,
    })?;

    let status = ground.status()?;
    ensure!(!status.is_good() && status.pods == rows.len() + 1, "{status:?}");
    for Row { name, image, why, fixes, .. } in &rows {
        let pod = format!("shop/{name}");
        let trouble = status.troubles.iter().find(|trouble| trouble.pods.contains(&pod)).context(pod)?;
        ensure!(trouble.image == *image && trouble.why.contains(why), "{name}: {trouble:?}");
        for fix in *fixes {
            ensure!(trouble.fix.iter().any(|given| given.contains(fix)), "{name} lacks {fix}: {trouble:?}");
        }
    }
    let first = &status.troubles[0];
    ensure!(first.pods == ["blueking/world-2", "shop/world-1"], "most pods come first: {first:?}");
    ensure!(first.nodes == ["arm1", "node1"] && first.why.contains(&app), "{first:?}");
    let text = status.text();
    ensure!(text.contains("15 of 15 pods looked at wait for"), "{text}");

    // Whoever may not see events and nodes is told less, and of that.
    cluster.forbid("list", "events", "");
    cluster.forbid("list", "nodes", "");
    let less = ground.status()?;
    ensure!(less.unasked.len() == 3 && less.troubles.len() > 5, "{:?}", less.unasked);
    cluster.forbid("list", "pods", "");
    let denied = ground.status().err().context("it must fail")?;
    ensure!(format!("{denied:#}").contains("list pods -A"), "{denied:#}");
    Ok(())
}

#[test]
fn nodes_that_mirror_are_told_apart_from_workloads_that_point_elsewhere() -> Result<()> {
    let (cluster, ground) = Ground::fake(702)?;
    let host = ground.sample.registry.host();
    ground.write_site(&format!(
        "nodes: {{configure: true, hosts: [{{name: node1}}], mirrors: ['{host}']}}\n"
    ))?;
    let (app, tools) = (ground.world("team/app:1.0"), ground.world("team/tools:7.1"));
    for (name, image) in [("app", &app), ("tools", &tools)] {
        let said = format!("Failed to pull image \"{image}\": dial tcp: lookup h: no such host");
        let (reason, told) = ("ImagePullBackOff", Told::InStatus);
        cluster.let_wait(&WaitingPod {
            namespace: "shop",
            name,
            node: "node1",
            image,
            reason,
            said: &said,
            told,
        })?;
    }
    let status = ground.status()?;
    let why = |image: &str| {
        status.troubles.iter().find(|trouble| trouble.image == image).map(|trouble| trouble.why.as_str())
    };
    ensure!(why(&app).is_some_and(|why| why.contains("node1 did not get it there")), "{status:?}");
    ensure!(why(&tools).is_some_and(|why| why.contains("does not have")), "{status:?}");

    let helm = json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"});
    let mut web = workload("Deployment", "shop", "web", &one(&ground.world("team/web:2.0")));
    web["metadata"]["annotations"] = helm;
    cluster.apply_as("helm", &web)?;
    let choice = Choice { namespaces: vec!["shop".into()], selector: String::new() };
    let found = ground.runtime.block_on(rewrite(&ground.context()?, &choice, Doing::Show))?;
    ensure!(only(&found, "Deployment", "web")?.mirrored && found.mirrors.is_empty(), "{found:?}");
    Ok(())
}

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
fn change_what_may_be_changed(cluster: &impl Peer, ground: &Ground, namespace_name: &str) -> Result<()> {
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
fn a_real_api_server_is_treated_the_same() -> Result<()> {
    let Some(server) = ApiServer::start()? else { return Ok(()) };
    let ground = Ground::new(704, |_| server.kubeconfig())?;
    change_what_may_be_changed(&server, &ground, "ferry-test-live")?;
    let cron = json!({"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "ferry-test-live"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never",
            "containers": one(&ground.world("team/app:1.0"))}}}}}});
    server.apply_as("kubectl", &cron)?;
    let found = ground.rewrite("ferry-test-live", Doing::Show)?;
    let nightly = only(&found, "CronJob", "nightly")?;
    ensure!(nightly.path.starts_with("spec.jobTemplate.spec.template.spec."), "{nightly:?}");

    // Whoever may only look is told before anything is changed.
    let nobody = Ground::new(705, |_| server.kubeconfig_of_nobody())?;
    let denied = nobody.rewrite("ferry-test-live", Doing::Show).err().context("nobody may look")?;
    ensure!(format!("{denied:#}").contains("list deployments.apps -n ferry-test-live"), "{denied:#}");
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

#[test]
fn rights_are_asked_for_before_anything_is_changed() -> Result<()> {
    let (cluster, ground) = Ground::fake(707)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let app = ground.world("team/app:1.0");
    cluster.apply_as("kubectl", &workload("Deployment", "shop", "web", &one(&app)))?;
    cluster.apply_as("kubectl", &workload("DaemonSet", "shop", "agent", &one(&app)))?;
    cluster.forbid("patch", "daemonsets", "shop");
    cluster.forbid("list", "replicasets", "");
    let denied = ground.runtime.block_on(rewrite(
        &ground.context()?,
        &Choice { namespaces: vec!["shop".into()], ..Choice::default() },
        Doing::Apply,
    ));
    let denied = denied.err().context("it must fail")?;
    ensure!(denied.to_string().contains("patch daemonsets.apps -n shop"), "{denied}");
    ensure!(!denied.to_string().contains("deployments"), "{denied}");
    ensure!(
        denied.hints().iter().any(|hint| hint.contains("auth can-i patch daemonsets.apps -n shop")),
        "{:?}",
        denied.hints()
    );
    ensure!(cluster.writes().is_empty() && ground.runs()?.is_empty(), "{:?}", cluster.writes());
    cluster.allow_everything();
    cluster.forbid("list", "replicasets", "");
    let found = ground.rewrite("shop", Doing::Apply)?;
    ensure!(found.run.is_some() && found.unasked.len() == 1, "{found:?}");
    ensure!(found.unasked[0].contains("list replicasets.apps -n shop"), "{:?}", found.unasked);
    Ok(())
}

#[test]
fn what_somebody_changed_since_stays_and_is_told() -> Result<()> {
    let (cluster, ground) = Ground::fake(708)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let app = ground.world("team/app:1.0");
    let (web, api) = (
        workload("Deployment", "shop", "web", &one(&app)),
        workload("Deployment", "shop", "api", &one(&app)),
    );
    cluster.apply_as("kubectl", &web)?;
    cluster.apply_as("kubectl", &api)?;
    ground.rewrite("shop", Doing::Apply)?;
    cluster.apply_as("somebody", &workload("Deployment", "shop", "web", &one("theirs:1")))?;
    let (report, _) = ground.runtime.block_on(rollback_site(&ground.context()?, None))?;
    let left: Vec<_> = report.changes.iter().filter_map(|change| change.failure.as_ref()).collect();
    ensure!(left.len() == 1, "{report:?}");
    let image = |manifest: &Value| -> Result<Value> {
        let live = cluster.object(&path_of(manifest)).context("it is there")?;
        Ok(live["spec"]["template"]["spec"]["containers"][0]["image"].clone())
    };
    ensure!(image(&web)? == "theirs:1" && image(&api)? == json!(app), "{} {}", image(&web)?, image(&api)?);
    Ok(())
}

/// While others write to the workload all the time, the change gets through, and nothing of theirs is lost.
#[test]
fn whoever_is_faster_is_not_overwritten() -> Result<()> {
    let (cluster, ground) = Ground::fake(709)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let made = workload("Deployment", "shop", "web", &one(&ground.world("team/app:1.0")));
    cluster.apply_as("kubectl", &made)?;
    let done = std::sync::atomic::AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let others = scope.spawn(|| -> Result<u32> {
            let mut count = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                count += 1;
                let note = json!({"apiVersion": "apps/v1", "kind": "Deployment",
                    "metadata": {"name": "web", "namespace": "shop", "annotations": {"count": count.to_string()}},
                    "spec": {"selector": {"matchLabels": {"app": "it"}}}});
                cluster.apply_as("counter", &note)?;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Ok(count)
        });
        let changed = ground.rewrite("shop", Doing::Apply);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let count = others.join().map_err(|_| anyhow::anyhow!("the others gave up"))??;
        ensure!(only(&changed?, "Deployment", "web")?.becomes == Becomes::Changed);
        Ok(count)
    })?;
    let live = cluster.object(&path_of(&made)).context("it is there")?;
    let counted = live["metadata"]["annotations"]["count"].as_str().and_then(|text| text.parse().ok());
    ensure!(counted == Some(count), "{live}");
    ensure!(
        live["spec"]["template"]["spec"]["containers"][0]["image"] == ground.site("team/app:1.0"),
        "{live}"
    );
    Ok(())
}

/// A run of these that was cut off is ended by the next one, which finds what it left.
#[test]
fn a_run_that_was_cut_off_is_followed_by_one_for_the_rest() -> Result<()> {
    let (cluster, ground) = Ground::fake(710)?;
    cluster.apply_as("kubectl", &namespace("shop"))?;
    let app = ground.world("team/app:1.0");
    cluster.apply_as("kubectl", &workload("Deployment", "shop", "web", &one(&app)))?;
    let context = ground.context()?;
    let renamed = Renamed { from: app, to: ground.site("team/app:1.0") };
    let images = WorkloadImages {
        kubeconfig: Some(ground.kubeconfig.clone()),
        context: None,
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "web".into(),
        values: [("spec.template.spec.containers[main].image".to_owned(), renamed)].into(),
    };
    let desire = Desire {
        resources: vec![Resource::new(Desired::WorkloadImages(images), "the test wants it")],
        ..Desire::default()
    };
    let observed = ground.runtime.block_on(ferry_installer::observe::observe(&context, &desire.resources));
    let plan = ferry_installer::plan::plan(identity(&context)?, &desire, &observed)?;
    ensure!(
        plan.steps[0].diff.as_ref().is_some_and(|diff| diff.contains("containers[main].image")),
        "{:?}",
        plan.steps
    );
    RunFolder::begin(&context.site.state_folder(), &plan, &[])?;

    let changed = ground.rewrite("shop", Doing::Apply)?;
    ensure!(changed.run.as_deref() == Some("0002"), "{changed:?}");
    let runs = ground.runs()?;
    let (first, second): (Progress, Progress) = (runs[0].progress()?, runs[1].progress()?);
    ensure!(
        first.ended.is_some() && first.undo == Undo::No && second.ended.is_some(),
        "{first:?} {second:?}"
    );
    let states: Vec<&StepState> = second.steps.values().map(|step| &step.state).collect();
    ensure!(matches!(states[..], [StepState::Done(_)]), "{second:?}");
    Ok(())
}

#[test]
fn the_command_line_says_and_exits_the_same() -> Result<()> {
    let (cluster, ground) = Ground::fake(711)?;
    let workspace = &ground.sample.workspace;
    let status = ["status", "--cluster", "--site", "site.yaml", "--bundle", "bundle"];
    workspace.installer().args(status).succeed()?;
    let image = ground.world("team/app:1.0");
    let said = format!("Failed to pull image \"{image}\": dial tcp: lookup h: no such host");
    let (node, reason, told) = ("node1", "ImagePullBackOff", Told::ByEvent);
    cluster.let_wait(&WaitingPod {
        namespace: "shop",
        name: "a",
        node,
        image: &image,
        reason,
        said: &said,
        told,
    })?;
    let failed = workspace.installer().args(status).run()?;
    ensure!(failed.code == Some(1), "{failed:?}");
    ensure!(
        failed.stdout.contains("still points at") && failed.stdout.contains("rewrite --cluster"),
        "{}",
        failed.stdout
    );
    let parsed = workspace.installer().args(status).args(["--output", "json"]).fail_with(1)?.json()?;
    ensure!(
        parsed["troubles"][0]["cause"] == "resolution" && parsed["troubles"][0]["pods"] == json!(["shop/a"]),
        "{parsed}"
    );

    let mut web = workload("Deployment", "shop", "web", &one(&image));
    web["metadata"]["labels"] = json!({"tier": "front"});
    cluster.apply_as("kubectl", &web)?;
    let list =
        ["rewrite", "--cluster", "--site", "site.yaml", "--bundle", "bundle", "--selector", "tier=front"];
    let shown = workspace.installer().args(list).run()?;
    ensure!(shown.code == Some(1) && shown.stdout.contains("--apply"), "{shown:?}");
    let named = || -> Result<Value> {
        let live = cluster.object(&path_of(&web)).context("it is there")?;
        Ok(live["spec"]["template"]["spec"]["containers"][0]["image"].clone())
    };
    workspace.installer().args(list).args(["--namespace", "shop", "--apply"]).succeed()?;
    ensure!(named()? == ground.site("team/app:1.0"), "{}", named()?);
    workspace.installer().args(["status", "--site", "site.yaml"]).succeed()?;
    workspace.installer().args(["rollback", "--site", "site.yaml"]).succeed()?;
    ensure!(named()? == image, "{}", named()?);
    Ok(())
}
