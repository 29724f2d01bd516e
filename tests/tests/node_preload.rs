//! The registry's own image on nodes with a real container runtime, reached by a real ssh, before any registry is there.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ferry_model::Digest;
use ferry_tests::cluster::FakeCluster;
use ferry_tests::corpus::{Corpus, Image};
use ferry_tests::parts::{self, Runtime, SshNode};
use ferry_tests::process::Program;
use ferry_tests::registry::{Registry, Setup};
use ferry_tests::workspace::{Sample, Workspace};

/// What an operator has on the node from before.
const THEIRS: &str = "theirs.corp/tools:1";

/// A node, and a site whose registry runs on a cluster with that node.
struct Ground {
    node: SshNode,
    sample: Sample,
    _cluster: FakeCluster,
    _registry: Registry,
    /// The registry's own image.
    image: Image,
    /// What it is called on the node.
    name: String,
}

impl Ground {
    fn new(seed: u64, runtime: Runtime) -> Result<Self> {
        let mut corpus = Corpus::small(seed, 200_000);
        let Some(image) = corpus.images.get_mut(2) else { bail!("a corpus without images") };
        *image = image.named("library/registry", "2");
        let image = image.clone();
        let sample = Sample::built(corpus)?;
        let (node, cluster, registry) =
            (SshNode::start(runtime)?, FakeCluster::start(), Registry::start(Setup::default()));
        let name = format!("{}/library/registry:2", sample.registry.host());
        let text = format!(
            "apiVersion: ferry/v1\nkind: Site\nname: dc1\ncluster: {{kubeconfig: {}}}\nregistry:\n  address: {}\n  plainHttp: true\n  \
             kubernetes: {{image: '{name}', service: NodePort, storage: {{size: 1GiB}}}}\n{}",
            cluster.kubeconfig(&sample.workspace.path(""))?.display(),
            registry.host(),
            node.section()?
        );
        sample.workspace.write("site.yaml", text)?;
        Ok(Self { node, sample, _cluster: cluster, _registry: registry, image, name })
    }

    fn workspace(&self) -> &Workspace {
        &self.sample.workspace
    }

    fn installer(&self, arguments: &[&str]) -> Program {
        self.workspace().installer().args(arguments)
    }

    /// Brings an image of the bundle onto the node as an operator would by hand.
    fn load_by_hand(&self, image: &str, name: &str, command: &str) -> Result<()> {
        self.installer(&["export", "bundle", image, "-o", "by-hand.tar", "--name", name]).succeed()?;
        let archive = std::fs::File::open(self.workspace().path("by-hand.tar"))?;
        let output = self.node.shell(command).command().stdin(archive).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn on_node(&self, script: &str) -> Result<String> {
        Ok(self.node.shell(script).succeed()?.stdout)
    }

    /// Applied twice and with nothing to do the second time.
    fn apply(&self) -> Result<()> {
        self.installer(&["plan", "bundle"]).succeed()?.prints("to node n1")?;
        self.installer(&["apply", "bundle"]).succeed()?;
        self.installer(&["apply", "bundle"]).succeed()?.prints("nothing to do")?;
        self.installer(&["status"]).succeed()?;
        Ok(())
    }

    fn config(&self) -> Digest {
        Digest::of(&self.image.config)
    }
}

/// All names of images that kubelet's containerd has, once it has seen to what was imported.
fn names(ground: &Ground, is_settled: impl Fn(&str) -> bool) -> Result<String> {
    let mut last = String::new();
    let list = "ctr -n k8s.io images ls -q | sort";
    let settled = parts::wait_until(Duration::from_secs(10), "containerd has other images", || {
        last = ground.on_node(list).unwrap_or_default();
        is_settled(&last)
    });
    settled.with_context(|| last.clone())?;
    Ok(last)
}

#[test]
fn containerd_gets_it_where_kubelet_looks_and_gives_it_back() -> Result<()> {
    if !parts::ready(&SshNode::NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(501, Runtime::Containerd)?;
    let theirs = ground.sample.corpus.images[3].name();
    ground.load_by_hand(&theirs, THEIRS, "ctr -n k8s.io images import -")?;
    // The plugin gives each image a second name: its id.
    let before = names(&ground, |all| all.contains(THEIRS) && all.contains("sha256:"))?;

    ground.apply()?;
    let after = names(&ground, |all| all.contains(&ground.name) && all.contains(&ground.config().hex()))?;
    ensure!(after.lines().count() == before.lines().count() + 2, "{before}---\n{after}");
    ensure!(ground.on_node("ctr -n default images ls -q")?.is_empty(), "it is in another namespace as well");
    // All of it is there, and can be unpacked and run from.
    let check = ground.on_node(&format!("ctr -n k8s.io images check 'name=={}'", ground.name))?;
    ensure!(check.contains("complete") && !check.contains("incomplete"), "{check}");
    let config = ground.on_node(&format!("ctr -n k8s.io content get {}", ground.config()))?;
    ensure!(config.as_bytes() == ground.image.config, "{config}");

    ground.installer(&["rollback"]).succeed()?;
    let undone = names(&ground, |all| all == before)?;
    ensure!(undone == before, "{undone}");
    ground.installer(&["status"]).succeed()?.prints("undone")?;
    Ok(())
}

#[test]
fn an_image_that_a_node_has_already_stays() -> Result<()> {
    if !parts::ready(&SshNode::NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(502, Runtime::Containerd)?;
    let theirs = ground.sample.corpus.images[3].name();
    ground.load_by_hand(&theirs, &ground.name, "ctr -n k8s.io images import -")?;
    let before = names(&ground, |all| all.contains("sha256:"))?;
    ground.installer(&["apply", "bundle"]).succeed()?;
    ground.installer(&["rollback"]).succeed()?;
    ensure!(names(&ground, |_| true)? == before, "the operator's image is not as it was");

    // The same image under another name stays too, with the name that it has by its id.
    let own = ground.image.name();
    ground.on_node(&format!("ctr -n k8s.io images rm {}", before.replace('\n', " ")))?;
    ground.load_by_hand(&own, THEIRS, "ctr -n k8s.io images import -")?;
    let before = names(&ground, |all| all.contains(THEIRS) && all.contains(&ground.config().hex()))?;
    ground.installer(&["apply", "bundle"]).succeed()?;
    names(&ground, |all| all.contains(&ground.name))?;
    ground.installer(&["rollback"]).succeed()?;
    ensure!(names(&ground, |all| !all.contains(&ground.name))? == before, "not as it was");
    Ok(())
}

#[test]
fn docker_gets_it_and_gives_it_back() -> Result<()> {
    if !parts::ready(&SshNode::NEEDS) {
        return Ok(());
    }
    let ground = Ground::new(503, Runtime::Docker)?;
    let theirs = ground.sample.corpus.images[3].name();
    ground.load_by_hand(&theirs, THEIRS, "docker load -q")?;
    let list = "docker image ls --all --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}' | sort";
    let before = ground.on_node(list)?;
    ensure!(before.lines().count() == 1, "{before}");

    ground.apply()?;
    let after = ground.on_node(list)?;
    let expected = format!("{} {}", ground.name, ground.config());
    ensure!(after.lines().any(|line| line == expected) && after.lines().count() == 2, "{expected}: {after}");
    let inspect = format!("docker image inspect --format '{{{{.Id}}}}' {}", ground.name);
    ensure!(ground.on_node(&inspect)?.trim() == ground.config().to_string());
    ensure!(ground.on_node("ctr -n k8s.io images ls -q")?.is_empty(), "containerd has it as well");

    ground.installer(&["rollback"]).succeed()?;
    ensure!(ground.on_node(list)? == before, "not as it was");
    Ok(())
}
