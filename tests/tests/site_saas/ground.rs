//! BlueKing, and a bundle for it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_tests::cluster::{FakeCluster, REDIS_PASSWORD};
use ferry_tests::corpus::{Mark, gzip, smart_package_of};
use ferry_tests::files::{Files, FilesSetup};
use ferry_tests::parts::wait_until;
use ferry_tests::process::{Outcome, Program};
use ferry_tests::workspace::{Workspace, plain_http};
use rustix::process::Signal;
use serde_json::Value;

pub(crate) const IMAGE: Mark = Some("slug-layers");
pub(crate) const SOPS: [&str; 3] = ["api", "callback", "pipeline"];
const RECORD: &str = "/api/v1/namespaces/blueking/configmaps/ferry-installer";

/// BlueKing, and a bundle with bk_itsm (one module), bk_sops (four) and agent plug-ins.
pub(crate) struct Ground {
    pub(crate) workspace: Workspace,
    pub(crate) cluster: FakeCluster,
    pub(crate) files: Files,
}

impl Ground {
    pub(crate) fn new() -> Result<Self> {
        let (workspace, cluster) = (Workspace::new()?, FakeCluster::start());
        cluster.kubeconfig(&workspace.path(""))?;
        cluster.install_blueking();
        let ground = Self { workspace, cluster, files: Files::start(FilesSetup::default()) };
        ground.build("3.28.13", IMAGE)?;
        ground.site("  redisPool: {}\n  plugins: true\n  saas: [{app: bk_itsm}, {app: bk_sops}]\n")?;
        Ok(ground)
    }

    /// Builds the bundle with this version of bk_sops.
    pub(crate) fn build(&self, sops: &str, mark: Mark) -> Result<()> {
        self.build_of(sops, mark, 2_000_000)
    }

    /// Builds it of a package of bk_sops with this much content.
    pub(crate) fn build_of(&self, sops: &str, mark: Mark, size: usize) -> Result<()> {
        // Larger than what is kept of outputs and sent in one message.
        let form = mark.unwrap_or("source");
        let (itsm, name) = (format!("itsm-{form}.tgz"), format!("sops-{sops}-{size}-{form}.tgz"));
        self.files.add(&itsm, smart_package_of("bk_itsm", "2.6.6", mark, &[], 300_000));
        self.files.add(&name, smart_package_of("bk_sops", sops, mark, &SOPS, size));
        for plugin in ["bkmonitorbeat.tgz", "gse_plugins_freq.tgz"] {
            self.workspace.write(&format!("plugins/{plugin}"), gzip(plugin.as_bytes()))?;
        }
        let url = format!("http://{}", self.files.host());
        self.workspace.spec(&format!(
            "{}saas:\n  - {{name: bk_itsm, version: 2.6.6, url: \"{url}/{itsm}\"}}\n  - {{name: bk_sops, version: {sops}, url: \"{url}/{name}\"}}\n\
             files: [{{path: plugins, to: gse2/plugins/}}]\n",
            plain_http(&[&self.files.host()])
        ))?;
        let _ = fs::remove_file(self.workspace.path("bundle"));
        self.workspace.lock_and_build().map(drop)
    }

    pub(crate) fn site(&self, blueking: &str) -> Result<()> {
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: kubeconfig}}\nblueking:\n  domain: bkce7.example.com\n{blueking}"
        );
        self.workspace.write("site.yaml", text).map(drop)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Program {
        self.workspace.installer().args(arguments)
    }

    pub(crate) fn apply(&self) -> Program {
        self.run(&["apply", "bundle"])
    }

    /// What runs as a module.
    pub(crate) fn image(&self, app: &str, module: &str) -> Option<String> {
        let middle = if module == "default" { String::new() } else { format!("-m-{module}") };
        let namespace = format!("bkapp-{app}{middle}-prod").replace('_', "0us0");
        let deployment =
            self.cluster.object(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web"))?;
        deployment.pointer("/spec/template/spec/containers/0/image")?.as_str().map(str::to_owned)
    }

    pub(crate) fn record(&self) -> Value {
        self.cluster.object(RECORD).map(|record| record["data"].clone()).unwrap_or_default()
    }

    /// Everything is there, once.
    pub(crate) fn is_whole(&self, sops: &str) -> Result<()> {
        let paas = self.cluster.paas();
        for module in ["default", "api", "callback", "pipeline"] {
            let image = self.image("bk_sops", module).unwrap_or_default();
            ensure!(image.ends_with(&format!("/bk_sops/{module}:{sops}")), "{module}: {image}");
        }
        let itsm = self.image("bk_itsm", "default").unwrap_or_default();
        ensure!(itsm.ends_with("/bk_itsm/default:2.6.6"), "{itsm}");
        ensure!(paas.redis().len() == 10, "{} Redis entries", paas.redis().len());
        // Node management may be given the same twice.
        let plugins: BTreeSet<String> = paas.plugins().into_iter().collect();
        ensure!(plugins.iter().eq(["bkmonitorbeat.tgz", "gse_plugins_freq.tgz"]), "plug-ins {plugins:?}");
        ensure!(paas.files().is_empty(), "left in pods: {:?}", paas.files());
        Ok(())
    }

    /// Starts `apply`, and kills it once PaaS was told to do this.
    pub(crate) fn kill_at(&self, command: &str) -> Result<()> {
        let running = self.apply().start()?;
        let paas = self.cluster.paas();
        wait_until(Duration::from_secs(60), "it was never run", || paas.count(command) > 0)
            .with_context(|| format!("{command}: {:?}", paas.commands()))?;
        running.signal(Signal::KILL)?;
        let outcome = running.finish(Duration::from_secs(10))?;
        ensure!(outcome.code.is_none(), "{outcome}");
        Ok(())
    }
}

/// The password is in no file of the state folder, and was not said.
pub(crate) fn is_secret(ground: &Ground, outcomes: &[&Outcome]) -> Result<()> {
    let secret = REDIS_PASSWORD.trim_end_matches("pa55");
    let escaped = secret.replace('"', "\\\"");
    let mut texts: Vec<String> =
        outcomes.iter().map(|outcome| format!("{}{}", outcome.stdout, outcome.stderr)).collect();
    for path in ground.workspace.files_below("site.ferry")? {
        texts.push(fs::read_to_string(path)?);
    }
    texts.push(ground.record().to_string());
    ensure!(texts.len() > 3, "hardly anything was looked at");
    for text in texts {
        ensure!(!text.contains(secret) && !text.contains(&escaped) && !text.contains("pa55"), "{text}");
    }
    Ok(())
}
