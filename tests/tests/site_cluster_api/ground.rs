//! A site with a cluster, and what is wanted of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ferry_installer::apply::apply;
use ferry_installer::cluster::Target;
use ferry_installer::context::Context;
use ferry_installer::desire::Desire;
use ferry_installer::journal::{Progress, RunFolder, StepState};
use ferry_installer::observe::observe;
use ferry_installer::plan::plan;
use ferry_installer::rollback::rollback;
use ferry_installer::site::SiteFile;
use ferry_model::Digest;
use ferry_model::event::Events;
use ferry_model::plan::{Action, Desired, Identity, Object, Plan, Resource, Rollout};
use ferry_model::report::Failed;
use ferry_model::site::{Login, SecretSource};
use ferry_tests::cluster::FakeCluster;
use ferry_tests::workspace::Workspace;
use ferry_transfer::Options;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) const PASSWORD: &str = "the-password-of-the-test";
pub(crate) const KEY: &str = "-----BEGIN PRIVATE KEY-----\nof the test\n";

/// A site with a cluster.
pub(crate) struct Ground {
    pub(crate) workspace: Workspace,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) namespace: String,
    pub(crate) runtime: Runtime,
}

/// How a run came out: the plan, and the failures by summary.
pub(crate) struct Outcome {
    pub(crate) plan: Plan,
    pub(crate) failures: Vec<(String, Failed)>,
}

impl Outcome {
    pub(crate) fn actions(&self) -> Vec<(Action, String)> {
        let name =
            |id: &str| id.trim_start_matches("object ").split(' ').next().unwrap_or_default().to_owned();
        self.plan.steps.iter().map(|step| (step.action, name(step.resource.id().as_str()))).collect()
    }
}

impl Ground {
    pub(crate) fn new(kubeconfig: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<Self> {
        let workspace = Workspace::new()?;
        workspace.write("site.yaml", "apiVersion: ferry/v1\nkind: Site\nname: dc1\n")?;
        workspace.write("password", PASSWORD)?;
        workspace.write("tls.key", KEY)?;
        let kubeconfig = kubeconfig(&workspace.path(""))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { workspace, kubeconfig, namespace: format!("ferry-test-{}", std::process::id()), runtime })
    }

    pub(crate) fn fake() -> Result<(FakeCluster, Self)> {
        let cluster = FakeCluster::start();
        let ground = Self::new(|folder| cluster.kubeconfig(folder))?;
        Ok((cluster, ground))
    }

    pub(crate) fn target(&self) -> Target {
        Target { kubeconfig: Some(self.kubeconfig.clone()), context: None }
    }

    pub(crate) fn context(&self) -> Result<Context> {
        let site = SiteFile::read(&self.workspace.path("site.yaml"))?;
        Ok(Context::new(site, None, Options::default(), Events::none()))
    }

    pub(crate) fn object(&self, manifest: &Value) -> Object {
        let object = json!({"kubeconfig": self.kubeconfig, "manifest": manifest});
        serde_json::from_value(object).expect("an object needs no more than its manifest")
    }

    #[expect(clippy::needless_pass_by_value, reason = "manifests are written in place")]
    pub(crate) fn resource(&self, manifest: Value) -> Resource {
        Resource::new(Desired::Object(self.object(&manifest)), "the test wants it")
    }

    pub(crate) fn namespace(&self) -> Resource {
        self.resource(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}))
    }

    pub(crate) fn metadata(&self, name: &str) -> Value {
        json!({"name": name, "namespace": self.namespace, "labels": {"app.kubernetes.io/managed-by": "ferry"}})
    }

    pub(crate) fn config_map(&self, text: &str) -> Resource {
        self.resource(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata("config"),
            "data": {"config.yml": text}}))
    }

    pub(crate) fn secret(&self) -> Resource {
        let mut object =
            self.object(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": self.metadata("secret")}));
        object.data_files.insert("tls.key".into(), self.workspace.path("tls.key"));
        let login = Login { user: "pusher".into(), password: SecretSource::File("password".into()) };
        object.data_logins.insert("htpasswd".into(), login);
        Resource::new(Desired::Object(object), "the registry asks for a password")
    }

    pub(crate) fn deployment(&self, seconds: u32) -> Resource {
        self.resource(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.metadata("registry"),
            "spec": {"replicas": 1, "progressDeadlineSeconds": seconds,
                "selector": {"matchLabels": {"app": "registry"}},
                "template": {"metadata": {"labels": {"app": "registry"}}, "spec": {
                    "containers": [{"name": "registry", "image": "registry:2", "ports": [{"containerPort": 5000}],
                        "resources": {"requests": {"memory": "1024Mi"}},
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/docker/registry"}]}],
                    "volumes": [{"name": "config", "configMap": {"name": "config"}}]}}}}))
    }

    fn service(&self) -> Resource {
        self.resource(json!({"apiVersion": "v1", "kind": "Service", "metadata": self.metadata("registry"),
            "spec": {"selector": {"app": "registry"}, "ports": [{"name": "registry", "port": 5000, "protocol": "TCP"}]}}))
    }

    /// All kinds, in each other's way as a registry's are.
    pub(crate) fn registry(&self, config: &str) -> Vec<Resource> {
        let namespace = self.namespace();
        let inside = [namespace.id()];
        let (config, secret) =
            (self.config_map(config).after(inside.clone()), self.secret().after(inside.clone()));
        let deployment = self.deployment(600).following([config.id(), secret.id()]);
        let service = self.service().after(inside);
        vec![namespace, config, secret, deployment, service]
    }

    pub(crate) fn rollout(&self) -> Resource {
        let rollout = Rollout {
            kubeconfig: Some(self.kubeconfig.clone()),
            context: None,
            namespace: self.namespace.clone(),
            name: "registry".into(),
        };
        Resource::new(Desired::Rollout(rollout), "images are pushed to it next")
    }

    pub(crate) fn plan(&self, resources: &[Resource]) -> Result<Plan> {
        let context = self.context()?;
        let identity = Identity {
            bundle: "demo".parse()?,
            version: "1".parse()?,
            catalog: Digest::of(b"catalog"),
            site: "dc1".parse()?,
            site_file: context.site.digest,
        };
        let desire = Desire { resources: resources.to_vec(), ..Desire::default() };
        let observed = self.runtime.block_on(observe(&context, &desire.resources));
        Ok(plan(identity, &desire, &observed)?)
    }

    pub(crate) fn apply(&self, resources: &[Resource]) -> Result<Outcome> {
        let (plan, context) = (self.plan(resources)?, self.context()?);
        let (run, journal) = RunFolder::begin(&context.site.state_folder(), &plan, &[])?;
        self.runtime.block_on(apply(&context, &plan, &run, &journal, &Progress::default()))?;
        let progress = run.progress()?;
        let failures = plan.steps.iter().filter_map(|step| match &progress.steps.get(&step.id)?.state {
            StepState::Failed(failed) => Some((step.summary.clone(), failed.clone())),
            _ => None,
        });
        let failures = failures.collect();
        Ok(Outcome { plan, failures })
    }

    /// Takes back the run with this number. Gives what stays, and why.
    pub(crate) fn take_back(&self, number: &str) -> Result<Vec<String>> {
        let context = self.context()?;
        let run = RunFolder::find(&context.site.state_folder(), Some(number))?.context("it was run")?;
        let (plan, journal, progress) = (run.plan()?, run.journal()?, run.progress()?);
        self.runtime.block_on(rollback(&context, &plan, &run, &journal, &progress))?;
        let left = run.progress()?.steps.into_values().filter_map(|step| match step.state {
            StepState::Left(reason) => Some(reason),
            _ => None,
        });
        Ok(left.collect())
    }

    pub(crate) fn value(&self, secret: &str, key: &str) -> Result<Vec<u8>, Failed> {
        self.runtime.block_on(self.target().secret(&self.namespace, secret, key))
    }
}
