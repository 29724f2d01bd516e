//! A site with a registry and a cluster, and workloads in it.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use ferry_bundle::{Bundle, Trust};
use ferry_installer::context::Context;
use ferry_installer::journal::RunFolder;
use ferry_installer::live::{
    Choice, ClusterStatus, Doing, LiveReference, LiveReferences, cluster_status, rewrite,
};
use ferry_installer::site::SiteFile;
use ferry_model::event::Events;
use ferry_tests::cluster::FakeCluster;
use ferry_tests::corpus::Corpus;
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::Sample;
use ferry_transfer::Options;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A bundle, a site with a registry that has some of its images, and a cluster.
pub(crate) struct Ground {
    pub(crate) sample: Sample,
    pub(crate) registry: Registry,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) runtime: Runtime,
}

impl Ground {
    /// The site's registry has all images of the bundle but `team/tools`.
    pub(crate) fn new(seed: u64, kubeconfig: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<Self> {
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

    pub(crate) fn fake(seed: u64) -> Result<(FakeCluster, Self)> {
        let cluster = FakeCluster::start();
        let ground = Self::new(seed, |folder| cluster.kubeconfig(folder))?;
        Ok((cluster, ground))
    }

    pub(crate) fn write_site(&self, more: &str) -> Result<()> {
        let site = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: {}}}\nregistry:\n  address: {}\n  plainHttp: true\n  existing: {{product: registry}}\n{more}",
            self.kubeconfig.display(),
            self.registry.host()
        );
        self.sample.workspace.write("site.yaml", site).map(drop)
    }

    pub(crate) fn context(&self) -> Result<Context> {
        let bundle = Bundle::open(&self.sample.workspace.path("bundle"), &Trust::default())?;
        let site = SiteFile::read(&self.sample.workspace.path("site.yaml"))?;
        Ok(Context::new(site, Some(bundle), Options::default(), Events::none()))
    }

    /// An image as the world calls it.
    pub(crate) fn world(&self, name: &str) -> String {
        format!("{}/{name}", self.sample.registry.host())
    }

    /// And as the site does.
    pub(crate) fn site(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    pub(crate) fn status(&self) -> Result<ClusterStatus> {
        Ok(self.runtime.block_on(cluster_status(&self.context()?))?)
    }

    pub(crate) fn rewrite(&self, namespace: &str, doing: Doing) -> Result<LiveReferences> {
        let choice = Choice { namespaces: vec![namespace.to_owned()], ..Choice::default() };
        Ok(self.runtime.block_on(rewrite(&self.context()?, &choice, doing))?)
    }

    pub(crate) fn runs(&self) -> Result<Vec<RunFolder>> {
        Ok(RunFolder::all(&self.context()?.site.state_folder())?)
    }
}

fn pod_spec(containers: &Value) -> Value {
    json!({"metadata": {"labels": {"app": "it"}}, "spec": {"containers": containers}})
}

/// A workload of a kind with these containers.
pub(crate) fn workload(kind: &str, namespace: &str, name: &str, containers: &Value) -> Value {
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

pub(crate) fn one(image: &str) -> Value {
    json!([{"name": "main", "image": image}])
}

pub(crate) fn path_of(manifest: &Value) -> String {
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

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

pub(crate) fn told<'a>(found: &'a LiveReferences, kind: &str, name: &str) -> Vec<&'a LiveReference> {
    found.references.iter().filter(|told| told.kind == kind && told.name == name).collect()
}

pub(crate) fn only<'a>(found: &'a LiveReferences, kind: &str, name: &str) -> Result<&'a LiveReference> {
    let told = told(found, kind, name);
    ensure!(told.len() == 1, "{kind} {name}: {told:?}");
    Ok(told[0])
}
