//! A site, a bundle for it, and what its cluster has from others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_tests::cluster::{FakeCluster, Peer};
use ferry_tests::parts::{DnsServer, table_of};
use ferry_tests::process::Program;
use ferry_tests::workspace::Workspace;
use serde_json::{Value, json};

pub(crate) const COREFILE: &str = ".:53 {
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

pub(crate) const NAMES: &str =
    "  dns: {names: {registry.corp: [10.0.0.5, 'fd00::5'], bkrepo.corp: [10.0.0.6]}}\n";
pub(crate) const COREDNS: &str = "/api/v1/namespaces/kube-system/configmaps/coredns";
pub(crate) const ENVS: &str = "/api/v1/namespaces/blueking/configmaps/envs";
pub(crate) const PASSWORD: &str = "the-password-of-the-test";

/// What the configuration of a cluster's DNS says.
pub(crate) trait Corefiles: Peer {
    fn corefile(&self, path: &str) -> Result<String> {
        let object = Peer::object(self, path)?.with_context(|| format!("{path} is gone"))?;
        Ok(object["data"]["Corefile"].as_str().unwrap_or_default().to_owned())
    }
}

impl<P: Peer> Corefiles for P {}

/// A site, and a bundle for it.
pub(crate) struct Ground {
    pub(crate) workspace: Workspace,
    pub(crate) kubeconfig: PathBuf,
}

impl Ground {
    pub(crate) fn new(kubeconfig: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<Self> {
        let workspace = Workspace::new()?;
        workspace.write("docs/readme.md", "text")?;
        workspace.write("password", PASSWORD)?;
        workspace.spec("files: [{path: docs, to: docs/}]\n")?;
        workspace.lock_and_build()?;
        let kubeconfig = kubeconfig(&workspace.path(""))?;
        Ok(Self { workspace, kubeconfig })
    }

    pub(crate) fn fake() -> Result<(Arc<FakeCluster>, Self)> {
        let cluster = Arc::new(FakeCluster::start());
        let ground = Self::new(|folder| cluster.kubeconfig(folder))?;
        Ok((cluster, ground))
    }

    /// A site with this `cluster`.
    pub(crate) fn site(&self, cluster: &str) -> Result<()> {
        self.site_with("", cluster)
    }

    pub(crate) fn site_with(&self, sections: &str, cluster: &str) -> Result<()> {
        let kubeconfig = self.kubeconfig.display();
        let head = "apiVersion: ferry/v1\nkind: Site\nname: dc1\n";
        let text = format!("{head}{sections}cluster:\n  kubeconfig: {kubeconfig}\n{cluster}");
        self.workspace.write("site.yaml", text).map(drop)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Program {
        self.workspace.installer().args(arguments)
    }

    pub(crate) fn apply(&self) -> Program {
        self.run(&["apply", "bundle"])
    }
}

pub(crate) fn config_map(namespace: &str, name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

/// A Deployment of one pod.
pub(crate) fn deployment(namespace: &str, name: &str, pod: &Value) -> Value {
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
pub(crate) fn install_coredns(peer: &impl Peer, name: &str, corefile: &str) -> Result<()> {
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
pub(crate) fn serve(cluster: &Arc<FakeCluster>, path: &'static str) -> Result<DnsServer> {
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

/// Namespace, ConfigMap, Secret, one workload that reads the ConfigMap and one that does not.
pub(crate) fn install_envs(peer: &impl Peer) -> Result<()> {
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

pub(crate) const PATCHES: &str = "  patches:\n  - configMap: blueking/envs\n    set: {PAAS_APP_IMAGE: 'registry.corp/blueking/slug-app:v1', NEW: '1'}\n  - secret: blueking/login\n    set: {password: {from: {file: password}}}\n";

pub(crate) fn web(peer: &impl Peer) -> Result<Value> {
    template(peer, "blueking", "web")
}

/// The pod template of a Deployment; annotations that are none are left out, as a real server does.
pub(crate) fn template(peer: &impl Peer, namespace: &str, name: &str) -> Result<Value> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let mut template = peer.object(&path)?.context("it is there")?["spec"]["template"].clone();
    let metadata = template["metadata"].as_object_mut().context("it has labels")?;
    if metadata.get("annotations") == Some(&json!({})) {
        metadata.remove("annotations");
    }
    Ok(template)
}

pub(crate) fn data(peer: &impl Peer) -> Result<(Value, Value)> {
    let data =
        |path: &str| Ok::<_, anyhow::Error>(peer.object(path)?.context("it is there")?["data"].clone());
    Ok((data(ENVS)?, data("/api/v1/namespaces/blueking/secrets/login")?))
}

/// Whether an object says that nobody has taken up its data yet.
pub(crate) fn is_marked(peer: &impl Peer, path: &str) -> Result<bool> {
    let object = peer.object(path)?.context("it is there")?;
    Ok(object.pointer("/metadata/annotations/ferry~1not-taken-up").is_some())
}
