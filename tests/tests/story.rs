//! The whole way, as the README's tour tells it: a spec with a hole is found out and mended, locked and built; the bundle is all
//! that is left of the world outside; registry, node and cluster of the site are made as its file says; what names images is
//! rewritten; and a real dockerd that has no route anywhere pulls what the rewritten manifest names. Then all is taken back.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::corpus::{Chart, Corpus, gzip, tar};
use ferry_tests::files::{Files, FilesSetup};
use ferry_tests::parts::{self, DockerRegistry, Machine, MachineSetup, RegistrySetup};
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Workspace, plain_http};
use serde_json::{Value, json};

const COREFILE: &str = ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa ip6.arpa\n    prometheus :9153\n    forward . /etc/resolv.conf\n    cache 30\n    reload\n}\n";

#[test]
fn from_a_spec_to_a_pull_without_a_route() -> Result<()> {
    if !parts::ready(&Machine::NEEDS) || !parts::ready(&["docker-registry", "ssh", "ssh-keygen"]) {
        return Ok(());
    }
    let workspace = Workspace::new()?;
    let outside = carry(&workspace)?;

    let site = Site::start(&workspace)?;
    let before = site.look()?;
    let installer =
        |arguments: &[&str]| workspace.installer().args(arguments).limit(Duration::from_secs(300));
    installer(&["plan", "bundle"]).succeed()?.prints("set up node worker1")?;
    installer(&["apply", "bundle"]).succeed()?;
    installer(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;

    let registry = site.registry.host();
    let corefile = site.cluster_text("coredns", "Corefile")?;
    ensure!(corefile.contains("registry.corp") && corefile.contains("fallthrough"), "{corefile}");
    let image = site.cluster_text("settings", "PAAS_APP_IMAGE")?;
    ensure!(image == format!("{registry}/team/app:1.0"), "{image}");

    let rewrite = ["rewrite", "manifests", "--bundle", "bundle", "--site", "site.yaml"];
    let rewritten = installer(&rewrite).args(["--in-place"]).succeed()?;
    let manifest = fs::read_to_string(workspace.path("manifests/web.yaml"))?;
    let named = manifest.lines().find_map(|line| line.trim().strip_prefix("image: ")).context("an image")?;
    ensure!(named == format!("{registry}/team/web:2.0"), "{manifest}\n{rewritten}");
    ensure!(manifest.contains("# as the vendor wrote it\n"), "{manifest}");
    installer(&rewrite).args(["--check"]).succeed()?;

    let docker = |arguments: &[&str]| site.machine.program("docker").args(arguments);
    docker(&["pull", "--quiet", &format!("{outside}/team/web:2.0")]).fail_with(1)?;
    docker(&["pull", "--quiet", named]).succeed()?;

    installer(&["rollback"]).succeed()?;
    let after = site.look()?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    Ok(())
}

/// Makes `bundle` as somebody with internet does, and says where its images came from: that is gone when this returns.
fn carry(workspace: &Workspace) -> Result<String> {
    let (registry, files) = (Registry::start(Setup::default()), Files::start(FilesSetup::default()));
    let corpus = Corpus::small(901, 20_000);
    corpus.images.iter().for_each(|image| registry.load(image));
    let host = registry.host();
    files.add_charts("charts", &[shop(&host)]);
    workspace.spec(&format!(
        "{}images:\n  - {host}/team/app:1.0 # the shop itself\ncharts:\n  - {{repo: \"http://{}/charts\", name: shop, version: 1.0.0}}\n",
        plain_http(&[&host, &files.host()]),
        files.host(),
    ))?;
    workspace.write(
        "manifests/web.yaml",
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n        # as the vendor wrote it\n        \
             - name: web\n          image: {host}/team/web:2.0\n"
        ),
    )?;
    let check = ["check", "spec.yaml", "manifests"];
    let found = workspace.builder().args(check).fail_with(1)?;
    for hole in ["team/tools:7.1", "team/web:2.0", "manifests/web.yaml"] {
        ensure!(found.to_string().contains(hole), "no `{hole}` in {found}");
    }
    workspace.builder().args(["build", "spec.yaml", "-o", "bundle"]).fail_with(1)?;
    workspace.builder().args(check).args(["--fix"]).succeed()?;
    let spec = fs::read_to_string(workspace.path("spec.yaml"))?;
    ensure!(spec.contains("team/app:1.0 # the shop itself\n"), "{spec}");
    workspace.builder().args(check).succeed()?;
    let catalog = workspace.lock_and_build()?;
    ensure!(catalog.images.len() == 3, "{:?}", catalog.images);
    Ok(host)
}

/// A chart that names one image in its values and another in a variable, past them.
fn shop(host: &str) -> Chart {
    let members = [
        (
            "shop/Chart.yaml",
            "apiVersion: v2\nname: shop\nversion: 1.0.0\nappVersion: \"1.0\"\ntype: application\n".to_owned(),
        ),
        ("shop/values.yaml", format!("image:\n  registry: {host}\n  repository: team/app\n  tag: \"1.0\"\n")),
        (
            "shop/templates/deployment.yaml",
            format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{{{ .Release.Name }}}}\nspec:\n  selector: {{matchLabels: {{app: shop}}}}\n  template:\n    \
                 metadata: {{labels: {{app: shop}}}}\n    spec:\n      containers:\n        - name: shop\n          \
                 image: \"{{{{ .Values.image.registry }}}}/{{{{ .Values.image.repository }}}}:{{{{ .Values.image.tag }}}}\"\n          env:\n            \
                 - name: TOOLS_IMAGE\n              value: {host}/team/tools:7.1\n"
            ),
        ),
    ];
    Chart { name: "shop".into(), version: "1.0.0".into(), archive: gzip(&tar(&members)) }
}

/// A machine without a route out, a registry beside it, a cluster, and `site.yaml`.
struct Site {
    machine: Machine,
    registry: DockerRegistry,
    cluster: FakeCluster,
}

impl Site {
    fn start(workspace: &Workspace) -> Result<Self> {
        let machine = Machine::start(&MachineSetup::default())?;
        let address = machine.host_address();
        let registry =
            DockerRegistry::start(&RegistrySetup { address, tls: true, ..RegistrySetup::default() })?;
        let key = parts::ssh_key(&workspace.path("key"))?;
        let known = workspace.write("known", machine.open_ssh(&key)?)?;
        machine.program("systemctl").args(["enable", "--now", "docker.service"]).succeed()?;
        let no_route = machine.program("ip").args(["route", "get", "192.0.2.1"]).run()?;
        ensure!(no_route.code != Some(0), "{no_route}");

        let cluster = FakeCluster::start();
        cluster.kubeconfig(&workspace.path(""))?;
        let map = |namespace: &str, name: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}, "data": data});
        for namespace in ["kube-system", "blueking"] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            cluster.apply_as("vendor", &object)?;
        }
        cluster.apply_as("vendor", &map("kube-system", "coredns", json!({"Corefile": COREFILE})))?;
        let old = json!({"PAAS_APP_IMAGE": "hub.bktencent.com/blueking/slug-app:v1.1.0-beta.27", "A": "b"});
        cluster.apply_as("vendor", &map("blueking", "settings", old))?;

        let catalog = workspace.catalog("bundle")?;
        let app = catalog.images.iter().find(|image| image.repository == "team/app").context("the app")?;
        workspace.write(
            "site.yaml",
            format!(
                "apiVersion: ferry/v1\nkind: Site\nname: dc1\nregistry:\n  address: '{}'\n  existing: {{}}\n  authority: {}\nnodes:\n  \
                 hosts: [{{name: worker1, address: {}}}]\n  ssh: {{user: root, identityFile: key, options: ['UserKnownHostsFile={}', \
                 'GlobalKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes']}}\n  configure: true\n  \
                 names: {{registry.corp: [{address}]}}\ncluster:\n  kubeconfig: kubeconfig\n  dns: {{names: {{registry.corp: [{address}]}}}}\n  patches:\n    \
                 - {{configMap: blueking/settings, set: {{PAAS_APP_IMAGE: {{image: '{}'}}}}}}\n",
                registry.host(),
                registry.authority().display(),
                machine.address(),
                known.display(),
                app.reference,
            ),
        )?;
        Ok(Self { machine, registry, cluster })
    }

    fn cluster_text(&self, name: &str, key: &str) -> Result<String> {
        let namespace = if name == "coredns" { "kube-system" } else { "blueking" };
        let object = self.cluster.object(&format!("/api/v1/namespaces/{namespace}/configmaps/{name}"));
        let object = object.with_context(|| format!("there is no {name}"))?;
        let text = object.pointer("/data").and_then(|data| data.get(key)).and_then(Value::as_str);
        Ok(text.with_context(|| format!("{name} has no {key}"))?.to_owned())
    }

    /// All that a run may change on the node and in the cluster.
    fn look(&self) -> Result<String> {
        let files = self.machine.listing()?;
        Ok([
            files,
            self.cluster_text("coredns", "Corefile")?,
            self.cluster_text("settings", "PAAS_APP_IMAGE")?,
        ]
        .join("\n"))
    }
}
