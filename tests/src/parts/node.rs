//! A machine of the isolated site: dockerd and containerd in namespaces of their own, whose only network is a
//! cable to this host.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::cable::Cable;
use super::daemon::Daemon;
use super::wait_until;
use crate::process::Program;

/// What the node runs as its first process; `$1` is its folder, `$2` the network that dockerd may speak plain
/// HTTP with. The daemons see an `/etc/docker` and a `/run` of their own.
const INIT: &str = r#"
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p /etc/docker
mount --bind "$1/etc-docker" /etc/docker
mount --bind "$1/run" /run
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
containerd --config "$1/containerd.toml" &
dockerd --host "unix://$1/docker.sock" --data-root "$1/docker" --exec-root "$1/run/docker" \
  --pidfile "$1/docker.pid" --iptables=false --ip6tables=false --bridge=none --insecure-registry "$2" &
wait
"#;

/// A node. It has no route to anywhere but this host.
#[derive(Debug)]
pub struct Node {
    // Dropped in this order: the daemons, the network, the folder.
    daemon: Daemon,
    cable: Cable,
    folder: TempDir,
}

impl Node {
    /// The programs that a node needs, for [`super::ready`].
    pub const NEEDS: [&'static str; 8] =
        ["root", "ip", "nsenter", "unshare", "docker", "dockerd", "containerd", "ctr"];

    /// Starts one and waits until both daemons answer.
    pub fn start() -> Result<Self> {
        let cable = Cable::lay()?;
        let folder = tempfile::Builder::new().prefix("ferry-node").tempdir()?;
        let path = folder.path();
        for name in ["etc-docker", "run", "docker", "containerd", "certs.d"] {
            fs::create_dir(path.join(name))?;
        }
        let shown = path.display();
        fs::write(
            path.join("containerd.toml"),
            format!(
                "version = 2\nroot = \"{shown}/containerd\"\nstate = \"{shown}/run/containerd\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{shown}/containerd.sock\"\n"
            ),
        )?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", cable.namespace))
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", INIT, "init"])
            .arg(path)
            .arg(format!("{}/32", cable.host))
            .env_remove("HTTP_PROXY")
            .env_remove("HTTPS_PROXY")
            .env_remove("http_proxy")
            .env_remove("https_proxy");
        let daemon = Daemon::start(command, &path.join("log"))?;
        let node = Self { daemon, cable, folder };
        node.wait()?;
        Ok(node)
    }

    fn wait(&self) -> Result<()> {
        let limit = Duration::from_secs(60);
        let answers = |program: Program| program.run().is_ok_and(|outcome| outcome.code == Some(0));
        wait_until(limit, "dockerd does not answer", || answers(self.docker().arg("version")))
            .and_then(|()| {
                wait_until(limit, "containerd does not answer", || answers(self.ctr().arg("version")))
            })
            .with_context(|| self.daemon.said())
    }

    /// This host's address on the cable to the node, where servers for it must listen; dockerd may speak plain
    /// HTTP with it.
    pub fn host_address(&self) -> IpAddr {
        self.cable.host.into()
    }

    /// Another address of this host, with which dockerd insists on TLS.
    pub fn secure_address(&self) -> IpAddr {
        self.cable.second_host.into()
    }

    /// The docker CLI, speaking to the node's dockerd.
    pub fn docker(&self) -> Program {
        Program::new("docker")
            .arg("--host")
            .arg(format!("unix://{}", self.folder.path().join("docker.sock").display()))
            .env("DOCKER_CONFIG", self.folder.path())
    }

    /// The address of the node's dockerd, for `DOCKER_HOST`.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    /// `ctr`, run on the node, since it is `ctr` itself that pulls.
    pub fn ctr(&self) -> Program {
        Program::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.cable.namespace))
            .args(["ctr", "--address"])
            .arg(self.folder.path().join("containerd.sock"))
    }

    /// Makes dockerd trust the authority of the registry at `host`, which needs no restart.
    pub fn trust_for_docker(&self, host: &str, authority: &Path) -> Result<()> {
        let folder = self.folder.path().join("etc-docker/certs.d").join(host);
        fs::create_dir_all(&folder)?;
        fs::copy(authority, folder.join("ca.crt"))?;
        Ok(())
    }

    /// Writes `hosts.toml` for the registry at `host`, and returns the folder to give as `--hosts-dir`.
    pub fn trust_for_containerd(&self, host: &str, authority: Option<&Path>) -> Result<PathBuf> {
        let folder = self.folder.path().join("certs.d");
        fs::create_dir_all(folder.join(host))?;
        let (scheme, authority) = match authority {
            None => ("http", String::new()),
            Some(path) => ("https", format!("  ca = \"{}\"\n", path.display())),
        };
        let text = format!(
            "server = \"{scheme}://{host}\"\n[host.\"{scheme}://{host}\"]\n  capabilities = [\"pull\", \"resolve\"]\n{authority}"
        );
        fs::write(folder.join(host).join("hosts.toml"), text)?;
        Ok(folder)
    }

    /// Pulls with containerd and unpacks.
    pub fn ctr_pull(&self, reference: &str, hosts: &Path) -> Program {
        self.ctr().args(["images", "pull", "--hosts-dir"]).arg(hosts).arg(reference)
    }
}
