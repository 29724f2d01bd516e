//! What the installer makes of a node's files, as the real containerd reads it: the plug-in of Kubernetes starts with it, and
//! pulls take the way that it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ferry_installer::node::{Edits, Root, containerd};
use ferry_model::node::{NodeDesired, NodeRegistry, Security};
use ferry_tests::corpus::Corpus;
use ferry_tests::parts::{self, DockerRegistry, Node, RegistrySetup, wait_until};
use ferry_tests::process::Program;
use rustix::process::{Pid, Signal, kill_process};

/// As Debian ships it.
const DEBIAN: &str = r#"version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
"#;
/// As the documents of 2020 had it, with a login and two authorities.
const OLD: &str = r#"version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
    endpoint = ["https://cache.corp", "https://registry-1.docker.io"] # theirs
  [plugins."io.containerd.grpc.v1.cri".registry.configs."cache.corp".auth]
    username = "robot"
    password = "kept"
  [plugins."io.containerd.grpc.v1.cri".registry.configs."cache.corp".tls]
    insecure_skip_verify = true
"#;
/// The same, where somebody has tried to add what the documents of today say.
const BOTH: &str = r#"version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
    endpoint = ["https://cache.corp"]
"#;
/// Of before version 2.
const FIRST: &str = "[plugins.cri.registry.mirrors.\"docker.io\"]\nendpoint = [\"https://cache.corp\"]\n";

/// A node of which only files are there, and the real program.
fn node(configuration: Option<&str>) -> Result<tempfile::TempDir> {
    let node = tempfile::tempdir()?;
    for folder in ["etc/containerd", "usr/bin", "lib/systemd/system"] {
        fs::create_dir_all(node.path().join(folder))?;
    }
    let program = ["/usr/bin/containerd", "/usr/local/bin/containerd"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    std::os::unix::fs::symlink(program.context("no containerd")?, node.path().join("usr/bin/containerd"))?;
    fs::write(
        node.path().join("lib/systemd/system/containerd.service"),
        "[Service]\nExecStart=/usr/bin/containerd\n",
    )?;
    if let Some(text) = configuration {
        fs::write(node.path().join("etc/containerd/config.toml"), text)?;
    }
    Ok(node)
}

/// Does what the editor says, and says what it was.
fn edit(node: &Path, registries: Vec<NodeRegistry>) -> Result<Edits> {
    let desired = NodeDesired { registries, ..NodeDesired::default() };
    let edits = containerd::edits(&Root::new(node), &desired)?;
    for edit in &edits.files {
        let path = node.join(edit.path.strip_prefix("/")?);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(path, edit.after.as_deref().context("nothing is removed")?)?;
    }
    ensure!(containerd::edits(&Root::new(node), &desired)?.files.is_empty(), "a second look changes nothing");
    Ok(edits)
}

fn registry(address: &str, security: Security, prefix: &str) -> Result<NodeRegistry> {
    let mirrors = vec!["docker.io".parse()?];
    Ok(NodeRegistry { address: address.parse()?, security, prefix: prefix.into(), mirrors })
}

/// A containerd with the folders of a test, which ends with its handle.
struct Containerd {
    child: Child,
    folder: PathBuf,
}

impl Containerd {
    fn start(configuration: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let child = Command::new("timeout")
            .args(["60", "containerd", "--config"])
            .arg(configuration)
            .args(["--root", "root", "--state", "state", "--address"].map(|word| match word {
                "root" | "state" => folder.join(word).into_os_string(),
                word => word.into(),
            }))
            .arg(folder.join("socket"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn()
            .context("cannot start containerd")?;
        Ok(Self { child, folder: folder.to_owned() })
    }

    /// What became of the plug-in that Kubernetes speaks to: `ok` or `error`.
    fn plug_in(&self) -> Result<String> {
        let ctr =
            || Program::new("ctr").arg("--address").arg(self.folder.join("socket")).args(["plugins", "list"]);
        let answers = || ctr().run().is_ok_and(|outcome| outcome.code == Some(0));
        wait_until(Duration::from_secs(30), "containerd does not answer", answers)?;
        let listed = ctr().succeed()?.stdout;
        let line = listed.lines().find(|line| line.split_whitespace().nth(1) == Some("cri"));
        Ok(line.and_then(|line| line.split_whitespace().nth(3)).unwrap_or("absent").to_owned())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let _ = self.child.wait();
    }
}

#[test]
fn containerd_reads_what_the_editor_makes() -> Result<()> {
    if !parts::ready(&["containerd"]) {
        return Ok(());
    }
    for configuration in [None, Some(DEBIAN), Some(OLD), Some(BOTH), Some("version = 2\r\n# nothing\r\n")] {
        let node = node(configuration)?;
        edit(node.path(), vec![registry("registry.corp:5000", Security::Unverified, "")?])?;
        let path = node.path().join("etc/containerd/config.toml");
        let dump =
            Program::new("containerd").arg("--config").arg(&path).args(["config", "dump"]).succeed()?.stdout;
        let registry = dump.split("cri\".registry]").nth(1).with_context(|| dump.clone())?;
        ensure!(registry.trim_start().starts_with("config_path = \"/etc/containerd/certs.d\""), "{dump}");
        ensure!(!dump.contains("registry.mirrors.\""), "{dump}");
        if configuration == Some(OLD) {
            ensure!(dump.contains("password = \"kept\"") && !dump.contains("insecure_skip_verify"), "{dump}");
        }
        if configuration == Some(DEBIAN) {
            ensure!(dump.contains("bin_dir = \"/usr/lib/cni\""), "{dump}");
        }
    }
    Ok(())
}

#[test]
fn the_plug_in_of_kubernetes_starts_with_it() -> Result<()> {
    if !parts::ready(&["root", "containerd", "ctr", "timeout"]) {
        return Ok(());
    }
    for (configuration, before) in [(OLD, "ok"), (BOTH, "error"), (FIRST, "ok")] {
        let node = node(Some(configuration))?;
        let path = node.path().join("etc/containerd/config.toml");
        // Its default is a folder of this machine.
        let opt = |text: &str| {
            let plugin = if text.contains("version") { "\"io.containerd.internal.v1.opt\"" } else { "opt" };
            format!("{text}\n[plugins.{plugin}]\npath = \"{}\"\n", node.path().join("opt").display())
        };
        fs::write(&path, opt(configuration))?;
        let folder = node.path().join("run");
        let found = Containerd::start(&path, &folder.join("before"))?.plug_in()?;
        ensure!(found == before, "{configuration}\n{found}");
        edit(node.path(), vec![registry("registry.corp:5000", Security::PlainHttp, "mirror")?])?;
        let found = Containerd::start(&path, &folder.join("after"))?.plug_in()?;
        ensure!(found == "ok", "{}\n{found}", fs::read_to_string(&path)?);
    }
    Ok(())
}

#[test]
fn pulls_take_the_way_of_the_hosts_files() -> Result<()> {
    if !parts::ready(&Node::NEEDS) || !parts::ready(&["docker-registry"]) {
        return Ok(());
    }
    let machine = Node::start()?;
    let plain = DockerRegistry::start(&RegistrySetup {
        address: machine.host_address(),
        ..RegistrySetup::default()
    })?;
    let encrypted = DockerRegistry::start(&RegistrySetup {
        address: machine.secure_address(),
        storage: Some(plain.storage().to_owned()),
        tls: true,
        ..RegistrySetup::default()
    })?;
    let corpus = Corpus::small(131, 20_000);
    let image = corpus.image("team/app");
    plain.push(image)?;
    plain.push(&image.named("mirror/team/app", &image.tag))?;
    let authority = Some(fs::read_to_string(encrypted.authority())?);
    for (registry, host) in [
        (registry(plain.host(), Security::PlainHttp, "mirror")?, plain.host()),
        (registry(encrypted.host(), Security::Https { authority }, "/mirror/")?, encrypted.host()),
        (registry(encrypted.host(), Security::Unverified, "")?, encrypted.host()),
    ] {
        let node = node(Some("version = 2\n"))?;
        let hosts = node.path().join("etc/containerd/certs.d");
        // A mirror of the node's own, which answers nobody; asked first, the pull would hang on it.
        fs::create_dir_all(hosts.join("docker.io"))?;
        fs::write(
            hosts.join("docker.io/hosts.toml"),
            "# theirs\n[host.\"https://192.0.2.1\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
        )?;
        edit(node.path(), vec![registry])?;
        let path = hosts.join("docker.io/hosts.toml");
        // The authority's path is one of the node, whose root is a folder here.
        let text = fs::read_to_string(&path)?;
        fs::write(
            &path,
            text.replace("\"/etc/containerd", &format!("\"{}/etc/containerd", node.path().display())),
        )?;
        for name in [format!("{host}/team/app:1.0"), "docker.io/team/app:1.0".to_owned()] {
            let pull = || machine.ctr().args(["content", "fetch", "--hosts-dir"]).arg(&hosts).arg(&name);
            pull().limit(Duration::from_secs(20)).succeed().with_context(|| text.clone())?;
            machine.ctr().args(["images", "remove", &name]).succeed()?;
        }
    }
    Ok(())
}
