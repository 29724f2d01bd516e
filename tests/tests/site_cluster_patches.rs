//! What of a cluster others made and Ferry changes: names in its DNS, keys of ConfigMaps and Secrets, service accounts. The whole
//! program, against the API server in this process; with `cargo xtask test --cluster`, against a real one too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::cluster::{FakeCluster, Peer};
use ferry_tests::parts::{ApiServer, DnsServer, table_of, wait_until};
use ferry_tests::process::Program;
use ferry_tests::workspace::Workspace;
use rustix::process::Signal;
use serde_json::{Value, json};

const COREFILE: &str = ".:53 {
    errors
    health {
       lameduck 5s
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    reload
}
";
const K3S: &str = ".:53 {
    errors
    kubernetes cluster.local
    hosts /etc/coredns/NodeHosts {
      ttl 60
      fallthrough
    }
    forward . /etc/resolv.conf
    reload
    import /etc/coredns/custom/*.override
}
import /etc/coredns/custom/*.server
";
const OF_NODES: &str = "cluster.local:53 {
    forward . __PILLAR__CLUSTER__DNS__
}
.:53 {
    prometheus :9253
    forward . __PILLAR__UPSTREAM__SERVERS__
    reload
}
";
const NAMES: &str = "  dns: {names: {registry.corp: [10.0.0.5, 'fd00::5'], bkrepo.corp: [10.0.0.6]}}\n";
const COREDNS: &str = "/api/v1/namespaces/kube-system/configmaps/coredns";
const ENVS: &str = "/api/v1/namespaces/blueking/configmaps/envs";
const PASSWORD: &str = "the-password-of-the-test";

/// What the configuration of a cluster's DNS says.
trait Corefiles: Peer {
    fn corefile(&self, path: &str) -> Result<String> {
        let object = Peer::object(self, path)?.with_context(|| format!("{path} is gone"))?;
        Ok(object["data"]["Corefile"].as_str().unwrap_or_default().to_owned())
    }
}

impl<P: Peer> Corefiles for P {}

/// A site, and a bundle for it.
struct Ground {
    workspace: Workspace,
    kubeconfig: PathBuf,
}

impl Ground {
    fn new(kubeconfig: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<Self> {
        let workspace = Workspace::new()?;
        workspace.write("docs/readme.md", "text")?;
        workspace.write("password", PASSWORD)?;
        workspace.spec("files: [{path: docs, to: docs/}]\n")?;
        workspace.lock_and_build()?;
        let kubeconfig = kubeconfig(&workspace.path(""))?;
        Ok(Self { workspace, kubeconfig })
    }

    fn fake() -> Result<(Arc<FakeCluster>, Self)> {
        let cluster = Arc::new(FakeCluster::start());
        let ground = Self::new(|folder| cluster.kubeconfig(folder))?;
        Ok((cluster, ground))
    }

    /// A site with this `cluster`.
    fn site(&self, cluster: &str) -> Result<()> {
        self.site_with("", cluster)
    }

    fn site_with(&self, sections: &str, cluster: &str) -> Result<()> {
        let kubeconfig = self.kubeconfig.display();
        let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\n";
        let text = format!("{head}{sections}cluster:\n  kubeconfig: {kubeconfig}\n{cluster}");
        self.workspace.write("site.yaml", text).map(drop)
    }

    fn run(&self, arguments: &[&str]) -> Program {
        self.workspace.installer().args(arguments)
    }

    fn apply(&self) -> Program {
        self.run(&["apply", "bundle"])
    }
}

fn config_map(namespace: &str, name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

/// A Deployment of one pod.
fn deployment(namespace: &str, name: &str, pod: &Value) -> Value {
    let mut pod = pod.clone();
    if !pod["containers"].is_array() {
        pod["containers"] = json!([{}]);
    }
    pod["containers"][0]["name"] = json!(name);
    pod["containers"][0]["image"] = json!("hub/it:1");
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace, "labels": {"k8s-app": name}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod}}})
}

/// CoreDNS with this Corefile, in a ConfigMap with this name.
fn install_coredns(peer: &impl Peer, name: &str, corefile: &str) -> Result<()> {
    peer.apply_as("kubeadm", &config_map("kube-system", name, &json!({"Corefile": corefile})))?;
    let mut coredns = deployment(
        "kube-system",
        "coredns",
        &json!({"volumes": [{"name": "config", "configMap": {"name": name}}]}),
    );
    coredns["metadata"]["labels"] = json!({"k8s-app": "kube-dns"});
    peer.apply_as("kubeadm", &coredns)
}

/// The DNS server of a cluster, which takes up its Corefile after a while, as CoreDNS does.
fn serve(cluster: &Arc<FakeCluster>, path: &'static str) -> Result<DnsServer> {
    let weak = Arc::downgrade(cluster);
    let known: Mutex<(String, String, Instant)> = Mutex::new((String::new(), String::new(), Instant::now()));
    let server = DnsServer::start(move || {
        let now = weak.upgrade().and_then(|cluster| cluster.corefile(path).ok()).unwrap_or_default();
        let Ok(mut known) = known.lock() else { return BTreeMap::new() };
        if now != known.1 {
            *known = (known.0.clone(), now, Instant::now());
        }
        if known.2.elapsed() > Duration::from_millis(700) {
            let (served, now, _) = &mut *known;
            served.clone_from(now);
        }
        table_of(&known.0)
    })?;
    let (ip, port) = (server.address().ip().to_string(), server.address().port());
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "subsets": [{"addresses": [{"ip": ip}], "ports": [{"name": "metrics", "port": 9153, "protocol": "TCP"}, {"name": "dns", "port": port, "protocol": "UDP"}]}]});
    cluster.apply_as("endpoints-controller", &endpoints)?;
    Ok(server)
}

#[test]
fn names_are_answered_and_taken_out_again() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    let server = serve(&cluster, COREDNS)?;
    ground.site(NAMES)?;
    ground.run(&["plan", "bundle"]).succeed()?.prints("+        10.0.0.5 registry.corp")?;
    ensure!(cluster.writes().is_empty(), "{:?}", cluster.writes());
    ground.apply().succeed()?;
    // The names with a mark, and the mark taken away when they were answered.
    ensure!(cluster.writes() == [COREDNS; 2].map(|path| format!("PUT {path}")), "{:?}", cluster.writes());
    ensure!(!is_marked(&*cluster, COREDNS)?, "the mark is still there");
    // Three questions with the right answer, after one at least that had the old one.
    ensure!(server.asked() > 3, "its servers were asked {} times", server.asked());
    let named = cluster.corefile(COREDNS)?;
    ensure!(table_of(&named)["bkrepo.corp"] == ["10.0.0.6".parse::<std::net::IpAddr>()?], "{named}");
    ground.apply().succeed()?.prints("nothing to do")?;
    ensure!(cluster.writes().len() == 2, "{:?}", cluster.writes());
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == COREFILE, "{}", cluster.corefile(COREDNS)?);

    // What others have changed since stays.
    ground.apply().succeed()?;
    let changed = cluster.corefile(COREDNS)?.replace("cache 30", "cache 60 # ours");
    cluster.apply_as("ops", &config_map("kube-system", "coredns", &json!({"Corefile": changed})))?;
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == COREFILE.replace("cache 30", "cache 60 # ours"));
    Ok(())
}

/// A second run stands on the first: taking it back leaves the first one's names.
#[test]
fn a_later_run_is_taken_back_to_the_one_before() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    ground.site(NAMES)?;
    ground.apply().succeed()?.says("not proven")?;
    let first = cluster.corefile(COREDNS)?;
    ground.site("  dns: {names: {registry.corp: [10.0.0.9]}}\n")?;
    ground.apply().succeed()?;
    let second = cluster.corefile(COREDNS)?;
    ensure!(
        !second.contains("10.0.0.5") && !second.contains("bkrepo") && second.contains("10.0.0.9"),
        "{second}"
    );
    let theirs = format!("# theirs\n{second}");
    cluster.apply_as("ops", &config_map("kube-system", "coredns", &json!({"Corefile": theirs})))?;
    ground.run(&["rollback"]).succeed()?;
    let back = cluster.corefile(COREDNS)?;
    ensure!(back.starts_with("# theirs\n") && table_of(&back) == table_of(&first), "{back}");
    Ok(())
}

#[test]
fn what_others_say_is_told_and_only_replaced_when_asked() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let theirs = COREFILE.replace(
        "    forward",
        "    hosts {\n        10.9.9.9 registry.corp other.corp\n        fallthrough\n    }\n    forward",
    );
    install_coredns(&*cluster, "coredns", &theirs)?;
    ground.site(NAMES)?;
    ground.apply().fail_with(1)?.says("registry.corp is 10.9.9.9")?;
    ensure!(cluster.writes().is_empty() && cluster.corefile(COREDNS)? == theirs);
    ground.site(&NAMES.replace("{names", "{replace: true, names"))?;
    ground.apply().succeed()?;
    let named = cluster.corefile(COREDNS)?;
    ensure!(named.contains("10.9.9.9 other.corp\n") && !named.contains("10.9.9.9 registry.corp"), "{named}");
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == theirs);
    Ok(())
}

#[test]
fn somebody_who_is_faster_loses_nothing() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    ground.site(NAMES)?;
    cluster.interfere(3);
    ground.apply().succeed()?;
    ensure!(cluster.writes().len() == 5, "{:?}", cluster.writes());
    let live = cluster.object(COREDNS).context("it is there")?;
    ensure!(live["metadata"]["annotations"]["others"] == "xxx", "{live}");
    ensure!(live["data"]["Corefile"].as_str().is_some_and(|text| text.contains("registry.corp")));
    Ok(())
}

#[test]
fn servers_that_do_not_reload_start_anew() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let fixed = COREFILE.replace("    reload\n", "");
    install_coredns(&*cluster, "coredns", &fixed)?;
    ground.site(NAMES)?;
    let template = || template(&*cluster, "kube-system", "coredns");
    let before = template()?;
    ground.apply().succeed()?;
    let after = template()?;
    ensure!(after.pointer("/metadata/annotations/ferry~1restarted-for").is_some(), "{after}");
    ground.run(&["rollback"]).succeed()?;
    ensure!(cluster.corefile(COREDNS)? == fixed && template()? == before, "{}", template()?);
    Ok(())
}

#[test]
fn every_distribution_has_its_own_ways() -> Result<()> {
    for (name, corefile) in
        [("coredns", K3S), ("rke2-coredns-rke2-coredns", COREFILE), ("by-its-volume", COREFILE)]
    {
        let (cluster, ground) = Ground::fake()?;
        install_coredns(&*cluster, name, corefile)?;
        cluster
            .apply_as("k", &config_map("kube-system", "node-local-dns", &json!({"Corefile": OF_NODES})))?;
        ground.site(NAMES)?;
        ground.apply().succeed()?.says("NodeLocal DNS")?;
        let (main, nodes) = (
            format!("/api/v1/namespaces/kube-system/configmaps/{name}"),
            "/api/v1/namespaces/kube-system/configmaps/node-local-dns",
        );
        for path in [main.as_str(), nodes] {
            let text = cluster.corefile(path)?;
            let blocks = text.lines().filter(|line| line.trim_start().starts_with("hosts ")).count();
            ensure!(blocks == 1, "{text}");
            ensure!(table_of(&text).len() == 2, "{path}: {text}");
        }
        ground.apply().succeed()?.prints("nothing to do")?;
        ground.run(&["rollback"]).succeed()?;
        ensure!(cluster.corefile(&main)? == corefile && cluster.corefile(nodes)? == OF_NODES, "{name}");
    }
    Ok(())
}

/// A second `hosts` block would keep CoreDNS from starting.
#[test]
fn hosts_that_are_imported_are_told() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    let imports = COREFILE.replace("    reload", "    import custom/*.override\n    reload");
    install_coredns(&*cluster, "coredns", &imports)?;
    let custom = json!({"theirs.override": "hosts {\n    10.9.9.9 a.corp\n    fallthrough\n}\n"});
    cluster.apply_as("k", &config_map("kube-system", "coredns-custom", &custom))?;
    ground.site(NAMES)?;
    ground.apply().fail_with(1)?.says("has a `hosts` in theirs.override")?;
    ensure!(cluster.corefile(COREDNS)? == imports);
    let other = json!({"theirs.override": "log\n"});
    cluster.apply_as("k", &config_map("kube-system", "coredns-custom", &other))?;
    ground.apply().succeed()?;
    Ok(())
}

/// Names that NodeLocal DNS passes on to CoreDNS are not written there.
#[test]
fn node_local_dns_that_asks_coredns_is_left_alone() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    let passes_on = OF_NODES.replace("__PILLAR__UPSTREAM__SERVERS__", "__PILLAR__CLUSTER__DNS__");
    cluster.apply_as("k", &config_map("kube-system", "node-local-dns", &json!({"Corefile": passes_on})))?;
    ground.site(NAMES)?;
    ground.apply().succeed()?;
    ensure!(cluster.corefile("/api/v1/namespaces/kube-system/configmaps/node-local-dns")? == passes_on);
    Ok(())
}

/// Namespace, ConfigMap, Secret, one workload that reads the ConfigMap and one that does not.
fn install_envs(peer: &impl Peer) -> Result<()> {
    peer.apply_as(
        "ops",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blueking"}}),
    )?;
    let data = json!({"PAAS_APP_IMAGE": "hub.bktencent.com/blueking/slug-app:v1", "OTHER": "stays"});
    peer.apply_as("helm", &config_map("blueking", "envs", &data))?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "blueking"},
        "data": {"password": STANDARD.encode("the-old-one"), "user": STANDARD.encode("admin")}});
    peer.apply_as("helm", &secret)?;
    let reads = json!({"containers": [{"envFrom": [{"configMapRef": {"name": "envs"}}]}]});
    peer.apply_as("helm", &deployment("blueking", "web", &reads))?;
    peer.apply_as("helm", &deployment("blueking", "other", &json!({"containers": [{}]})))
}

/// Pods that cannot start, as they read the old value: of a Job that goes on, of Jobs that have ended, and of one that is gone.
fn install_failed_pods(cluster: &FakeCluster) -> Result<()> {
    for (name, condition) in [("init", None), ("failed", Some("Failed")), ("complete", Some("Complete"))] {
        let conditions = condition.map(|condition| json!({"type": condition, "status": "True"}));
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "blueking"},
            "spec": {"template": {"spec": {"containers": []}}}, "status": {"conditions": Vec::from_iter(conditions)}});
        cluster.apply_as("job-controller", &job)?;
    }
    for name in ["init", "failed", "complete", "gone"] {
        let owner = match name {
            // Of something that is no Job, as the pod would be removed with its owner.
            "gone" => "/api/v1/namespaces/blueking".to_owned(),
            _ => format!("/apis/batch/v1/namespaces/blueking/jobs/{name}"),
        };
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("{name}-1"), "namespace": "blueking",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "controller": true,
                "uid": cluster.object(&owner).context("it is there")?["metadata"]["uid"]}]},
            "spec": {"containers": [{"name": "init", "image": "hub/it:1", "envFrom": [{"configMapRef": {"name": "envs"}}]}]},
            "status": {"phase": "Failed"}});
        cluster.apply_as("job-controller", &pod)?;
    }
    Ok(())
}

const PATCHES: &str = "  patches:\n  - configMap: blueking/envs\n    set: {PAAS_APP_IMAGE: 'registry.corp/blueking/slug-app:v1', NEW: '1'}\n  - secret: blueking/login\n    set: {password: {from: {file: password}}}\n";

fn web(peer: &impl Peer) -> Result<Value> {
    template(peer, "blueking", "web")
}

/// The pod template of a Deployment; annotations that are none are left out, as a real server does.
fn template(peer: &impl Peer, namespace: &str, name: &str) -> Result<Value> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let mut template = peer.object(&path)?.context("it is there")?["spec"]["template"].clone();
    let metadata = template["metadata"].as_object_mut().context("it has labels")?;
    if metadata.get("annotations") == Some(&json!({})) {
        metadata.remove("annotations");
    }
    Ok(template)
}

fn data(peer: &impl Peer) -> Result<(Value, Value)> {
    let data =
        |path: &str| Ok::<_, anyhow::Error>(peer.object(path)?.context("it is there")?["data"].clone());
    Ok((data(ENVS)?, data("/api/v1/namespaces/blueking/secrets/login")?))
}

#[test]
fn keys_are_set_taken_up_and_put_back() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_envs(&*cluster)?;
    install_failed_pods(&cluster)?;
    let (before, template) = (data(&*cluster)?, web(&*cluster)?);
    let other =
        cluster.object("/apis/apps/v1/namespaces/blueking/deployments/other").context("it is there")?["spec"]
            .clone();
    ground.site(PATCHES)?;
    let plan = ground.run(&["plan", "bundle"]).succeed()?;
    plan.prints("+PAAS_APP_IMAGE: registry.corp/blueking/slug-app:v1")?
        .prints("set password in Secret blueking/login")?;
    let applied = ground.apply().succeed()?;
    let (envs, login) = data(&*cluster)?;
    ensure!(
        envs == json!({"PAAS_APP_IMAGE": "registry.corp/blueking/slug-app:v1", "NEW": "1", "OTHER": "stays"}),
        "{envs}"
    );
    ensure!(
        login == json!({"password": STANDARD.encode(PASSWORD), "user": STANDARD.encode("admin")}),
        "{login}"
    );
    ensure!(web(&*cluster)? != template, "nobody has taken it up");
    ensure!(
        cluster
            .object("/apis/apps/v1/namespaces/blueking/deployments/other")
            .is_some_and(|now| now["spec"] == other)
    );
    // Only the Job that goes on starts another.
    let pod = |job: &str| cluster.object(&format!("/api/v1/namespaces/blueking/pods/{job}-1"));
    ensure!(pod("init").is_none(), "the failed pod is still there");
    for job in ["failed", "complete", "gone"] {
        ensure!(pod(job).is_some(), "the pod of a Job that starts no other was deleted: {job}");
    }
    ensure!(applied.stderr.matches("its Job starts another").count() == 1, "{}", applied.stderr);
    let said = format!("{plan}{applied}{}", ground.workspace.written()?);
    for secret in [PASSWORD, "the-old-one", &STANDARD.encode(PASSWORD), &STANDARD.encode("the-old-one")] {
        ensure!(!said.contains(secret), "a secret was told");
    }
    let writes = cluster.writes().len();
    ground.apply().succeed()?.prints("nothing to do")?;
    ensure!(cluster.writes().len() == writes, "{:?}", cluster.writes());
    ground.run(&["rollback"]).succeed()?;
    ensure!(data(&*cluster)? == before && web(&*cluster)? == template, "not as it was");
    Ok(())
}

/// Whether an object says that nobody has taken up its data yet.
fn is_marked(peer: &impl Peer, path: &str) -> Result<bool> {
    let object = peer.object(path)?.context("it is there")?;
    Ok(object.pointer("/metadata/annotations/ferry~1not-taken-up").is_some())
}

/// A StatefulSet that reads a ConfigMap, with that many of its two pods new. It starts none anew by itself.
fn install_on_delete(cluster: &FakeCluster, namespace: &str, map: &str, new: u64) -> Result<()> {
    let mut set =
        deployment(namespace, "slow", &json!({"volumes": [{"name": "envs", "configMap": {"name": map}}]}));
    set["kind"] = json!("StatefulSet");
    set["spec"]["replicas"] = json!(2);
    set["spec"]["serviceName"] = json!("slow");
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    set["status"] = json!({"observedGeneration": 100, "readyReplicas": 2, "currentReplicas": 2 - new,
        "updatedReplicas": new, "currentRevision": "a", "updateRevision": "b"});
    cluster.apply_as("ops", &set)
}

/// What fails after the write is left to do until it is done, or taken back.
#[test]
fn what_nobody_has_taken_up_is_not_done() -> Result<()> {
    let patches = PATCHES.split("  - secret").next().unwrap_or_default();
    let fixed = COREFILE.replace("    reload\n", "");
    for (site, namespace, map, path) in
        [(patches, "blueking", "envs", ENVS), (NAMES, "kube-system", "coredns", COREDNS)]
    {
        let (cluster, ground) = Ground::fake()?;
        install_coredns(&*cluster, "coredns", &fixed)?;
        install_envs(&*cluster)?;
        install_on_delete(&cluster, namespace, map, 0)?;
        ground.site(site)?;
        let data = || Ok::<_, anyhow::Error>(cluster.object(path).context("it is there")?["data"].clone());
        let before = data()?;
        for _ in 0..2 {
            ground.apply().fail_with(1)?.says("OnDelete")?;
            ensure!(data()? != before && is_marked(&*cluster, path)?, "{path} has no mark");
            ground.run(&["plan", "bundle"]).succeed()?.prints("1 to update")?;
        }
        // The second run found what the first had left.
        ground.run(&["rollback"]).succeed()?;
        ensure!(data()? != before && is_marked(&*cluster, path)?, "{path} is not as the first run left it");
        ground.run(&["rollback"]).succeed()?;
        ensure!(data()? == before && !is_marked(&*cluster, path)?, "{path} is not as it was");

        ground.apply().fail_with(1)?;
        // Somebody has deleted its pods.
        install_on_delete(&cluster, namespace, map, 2)?;
        ground.apply().succeed()?;
        ensure!(data()? != before && !is_marked(&*cluster, path)?, "{path} still has its mark");
        ground.apply().succeed()?.prints("nothing to do")?;
        let annotations = |object: Value| object["metadata"]["annotations"].clone();
        let left = cluster.object(path).map(annotations);
        ensure!(left == Some(Value::Null), "{left:?}");
    }
    Ok(())
}

/// The mark stays until the DNS servers have answered.
#[test]
fn names_are_marked_until_they_are_answered() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    let server = serve(&cluster, COREDNS)?;
    ground.site(NAMES)?;
    cluster.hold_after(1);
    let running = ground.apply().start()?;
    wait_until(Duration::from_secs(60), "the mark is not taken away", || cluster.holds())?;
    ensure!(server.asked() > 3 && is_marked(&*cluster, COREDNS)?, "there was no mark");
    running.signal(Signal::KILL)?;
    running.finish(Duration::from_secs(10))?;
    cluster.let_go();
    ground.apply().succeed()?;
    ensure!(!is_marked(&*cluster, COREDNS)?, "the mark is still there");
    Ok(())
}

#[test]
fn a_value_that_somebody_else_set_since_stays() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_envs(&*cluster)?;
    ground.site(PATCHES)?;
    ground.apply().succeed()?;
    cluster.apply_as("ops", &config_map("blueking", "envs", &json!({"NEW": "theirs"})))?;
    let left = ground.run(&["rollback"]).run()?;
    ensure!(left.code == Some(1), "{left}");
    ensure!(data(&*cluster)?.0["NEW"] == "theirs");
    Ok(())
}

#[test]
fn what_is_yet_to_be_installed_waits() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    ground.site(
        &PATCHES.replace("  - secret: blueking/login\n    set: {password: {from: {file: password}}}\n", ""),
    )?;
    ground.apply().fail_with(1)?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    ground.site(&format!("{NAMES}{PATCHES}"))?;
    let waits = ground.apply().run()?;
    ensure!(waits.code == Some(1) && format!("{waits}").contains("ConfigMap blueking/envs"), "{waits}");
    ensure!(cluster.corefile(COREDNS)?.contains("registry.corp"), "what is there was not done");
    install_envs(&*cluster)?;
    ground.apply().succeed()?;
    ensure!(data(&*cluster)?.0["NEW"] == "1");
    Ok(())
}

const LOGIN: &str = "registry: {address: registry.corp, existing: {product: registry}, login: {user: puller, password: {file: password}}}\n";

#[test]
fn pods_get_the_registrys_login() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    give_login(&*cluster, &ground)
}

/// The registry itself is not there: what it needs of a plan is left out by planning only the cluster.
fn give_login(peer: &impl Peer, ground: &Ground) -> Result<()> {
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
    ground.run(&["rollback"]).succeed()?;
    ensure!(peer.object(path)?.is_none() && pulls("default")? == Value::Null);
    ensure!(pulls("builder")? == json!([{"name": "theirs"}]), "{}", pulls("builder")?);
    Ok(())
}

/// Killed before each of its changes, a run is gone on with to the same end, and taken back to the same beginning.
#[test]
fn killed_between_any_two_steps_it_goes_on() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", &COREFILE.replace("    reload\n", ""))?;
    install_envs(&*cluster)?;
    ground.site(&format!("{NAMES}{PATCHES}"))?;
    let state = || -> Result<(String, (Value, Value), bool)> {
        let is_restarted = web(&*cluster)?.pointer("/metadata/annotations/ferry~1restarted-for").is_some();
        Ok((cluster.corefile(COREDNS)?, data(&*cluster)?, is_restarted))
    };
    let before = state()?;
    ground.apply().succeed()?;
    let (after, count) = (state()?, cluster.writes().len());
    ground.run(&["rollback"]).succeed()?;
    ensure!(state()? == before, "not as it was");
    ensure!(count >= 5, "only {count} changes");
    for goes_on in [true, false] {
        for number in 0..count {
            cluster.hold_after(number);
            let running = ground.apply().start()?;
            wait_until(Duration::from_secs(60), "it changes less than before", || cluster.holds())?;
            running.signal(Signal::KILL)?;
            running.finish(Duration::from_secs(10))?;
            cluster.let_go();
            if goes_on {
                ground.apply().succeed()?;
                ensure!(state()? == after, "killed before change {number}, it came to another end");
                ground.apply().succeed()?.prints("nothing to do")?;
            }
            ground.run(&["rollback"]).succeed()?;
            ensure!(state()? == before, "killed before change {number}, it was not taken back");
        }
    }
    Ok(())
}

#[test]
fn rights_are_asked_for_before_anything_is_changed() -> Result<()> {
    let (cluster, ground) = Ground::fake()?;
    install_coredns(&*cluster, "coredns", COREFILE)?;
    install_envs(&*cluster)?;
    ground.site(&format!("{NAMES}{PATCHES}"))?;
    cluster.forbid("update", "secrets", "blueking");
    cluster.forbid("patch", "deployments", "");
    let refused = ground.apply().fail_with(1)?;
    refused.says("update secrets/login -n blueking")?.says("patch deployments.apps -n blueking")?;
    ensure!(cluster.writes().is_empty(), "{:?}", cluster.writes());
    let looked = ground.run(&["preflight", "bundle", "--site", "site.yaml"]).run()?;
    ensure!(format!("{looked}").contains("update secrets/login -n blueking"), "{looked}");
    let printed = ground.run(&["cluster-role", "bundle"]).succeed()?;
    printed.prints("kind: ClusterRole")?.prints("configmaps")?.prints("deployments")?;
    cluster.allow_everything();
    ground.apply().succeed()?;
    Ok(())
}

/// One server: starting it takes longer than the tests.
#[test]
fn a_real_api_server_is_treated_the_same() -> Result<()> {
    let Some(server) = ApiServer::start()? else { return Ok(()) };
    let ground = Ground::new(|_| server.kubeconfig())?;
    install_coredns(&server, "coredns", COREFILE)?;
    ground.site(NAMES)?;
    ground.apply().succeed()?.says("not proven")?;
    let named = server.corefile(COREDNS)?;
    ensure!(table_of(&named).len() == 2, "{named}");
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.run(&["rollback"]).succeed()?;
    ensure!(server.corefile(COREDNS)? == COREFILE);

    install_envs(&server)?;
    let before = data(&server)?;
    // No controller is there that would start pods anew.
    let nobody = PATCHES.replace("    set:", "    restart: false\n    set:");
    ground.site(&nobody)?;
    ground.apply().succeed()?;
    ensure!(data(&server)?.0["NEW"] == "1");
    ground.apply().succeed()?.prints("nothing to do")?;
    ground.run(&["rollback"]).succeed()?;
    ensure!(data(&server)? == before);
    give_login(&server, &ground)?;

    let nobody = Ground::new(|_| server.kubeconfig_of_nobody())?;
    nobody.site(NAMES)?;
    nobody.apply().fail_with(1)?.says("deployments")?;
    Ok(())
}

/// PaaS with its ConfigMap, whose job has failed as the image's name led to the internet.
fn install_paas(cluster: &FakeCluster, release: &str, wanted: &str) -> Result<()> {
    let envs = "bkpaas3-apiserver-general-envs";
    cluster.apply_as(
        "ops",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blueking"}}),
    )?;
    let data = json!({"PAAS_APP_IMAGE": "hub.bktencent.com/blueking/slug-app:v1.1.0", "PAAS_OTHER": "1"});
    cluster.apply_as("helm", &config_map("blueking", envs, &data))?;
    let pod = json!({"containers": [{"envFrom": [{"configMapRef": {"name": envs}}]}]});
    let mut web = deployment("blueking", "bkpaas3-apiserver-web", &pod);
    web["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!(format!("hub/blueking/bkpaas3-apiserver:{release}"));
    cluster.apply_as("helm", &web)?;
    let needs = format!("{envs} PAAS_APP_IMAGE {wanted}");
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bkpaas3-apiserver-init-data-1", "namespace": "blueking"},
        "spec": {"backoffLimit": 1, "template": {"metadata": {"annotations": {"ferry-tests/needs": needs}, "labels": {"job-name": "x"}}, "spec": pod}}});
    cluster.apply_as("helm", &job)?;
    wait_until(Duration::from_secs(20), "the job does not fail", || {
        let job = cluster.object("/apis/batch/v1/namespaces/blueking/jobs/bkpaas3-apiserver-init-data-1");
        job.is_some_and(|job| job.pointer("/status/conditions/0/type") == Some(&json!("Failed")))
    })
}

#[test]
fn the_base_image_of_saas_comes_from_the_site() -> Result<()> {
    let mut corpus = ferry_tests::corpus::Corpus::small(611, 20_000);
    corpus.charts.clear();
    let image = corpus.images.first_mut().context("a corpus has images")?;
    image.repository = "blueking/slug-app".into();
    image.tag = "v1.1.0".into();
    let sample = ferry_tests::workspace::Sample::built(corpus)?;
    let cluster = FakeCluster::start();
    let registry = ferry_tests::registry::Registry::start(ferry_tests::registry::Setup::default());
    cluster.kubeconfig(&sample.workspace.path(""))?;
    let wanted = format!("{}/blueking/slug-app:v1.1.0", registry.host());
    install_paas(&cluster, "v1.4.2", &wanted)?;
    let site = |release: &str| {
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry: {{address: '{}', plainHttp: true, existing: {{product: registry}}}}\n\
             charts: {{push: false}}\ncluster: {{kubeconfig: kubeconfig}}\nblueking: {{domain: bkce7.example.com, slugApp: {{{release}}}}}\n",
            registry.host()
        );
        sample.workspace.write("site.yaml", text)
    };
    let run = |arguments: &[&str]| sample.workspace.installer().args(arguments);
    let map = "/api/v1/namespaces/blueking/configmaps/bkpaas3-apiserver-general-envs";
    let before = cluster.object(map).context("it is there")?["data"].clone();
    site("")?;
    run(&["apply", "bundle"]).fail_with(1)?.says("that is the registry's port")?;
    ensure!(cluster.object(map).context("it is there")?["data"] == before, "it was changed all the same");

    site("release: '1.1'")?;
    run(&["apply", "bundle"]).succeed()?;
    let after = cluster.object(map).context("it is there")?["data"].clone();
    ensure!(after == json!({"PAAS_APP_IMAGE": wanted, "PAAS_OTHER": "1"}), "{after}");
    let again = "/apis/batch/v1/namespaces/blueking/jobs/bkpaas3-apiserver-init-data-1-ferry";
    let job = cluster.object(again).context("the job was not run again")?;
    ensure!(job.pointer("/status/conditions/0/type") == Some(&json!("Complete")), "{job}");
    let web = cluster
        .object("/apis/apps/v1/namespaces/blueking/deployments/bkpaas3-apiserver-web")
        .context("there")?;
    ensure!(web.pointer("/spec/template/metadata/annotations/ferry~1restarted-for").is_some(), "{web}");
    run(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
    run(&["rollback"]).succeed()?;
    ensure!(cluster.object(map).context("it is there")?["data"] == before && cluster.object(again).is_none());

    // Where only the job has failed, PaaS itself goes on as it runs.
    cluster.apply_as("helm", &config_map("blueking", "bkpaas3-apiserver-general-envs", &after))?;
    let running = template(&cluster, "blueking", "bkpaas3-apiserver-web")?;
    run(&["apply", "bundle"]).succeed()?;
    ensure!(cluster.object(again).is_some(), "the job was not run again");
    ensure!(template(&cluster, "blueking", "bkpaas3-apiserver-web")? == running, "PaaS was started anew");
    Ok(())
}
