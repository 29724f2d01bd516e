//! A node of the isolated site as an operator reaches it: by ssh, with a real container runtime where nodes have it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::cable::Cable;
use super::daemon::Daemon;
use super::{ssh_key, wait_for_port, wait_until};
use crate::process::Program;

/// What the node runs as its first process; `$1` is its folder, `$2` its address, `$3` its name, `$4` the runtime. The runtimes
/// are where their packages put them, and what they write is in the node's folder.
const INIT: &str = r#"
set -eu
mount --make-rprivate /
mount -t proc proc /proc
hostname "$3"
for name in etc/docker etc/containerd run var/lib/docker var/lib/containerd; do
  mkdir -p "/$name" "$1/$name"
  mount --bind "$1/$name" "/$name"
done
mkdir -p /run/sshd
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cp "$1/containerd.toml" /etc/containerd/config.toml
containerd &
if [ "$4" = docker ]; then
  while ! ctr version >/dev/null 2>&1; do sleep 0.05; done
  dockerd --containerd=/run/containerd/containerd.sock --iptables=false --ip6tables=false --bridge=none &
fi
/usr/sbin/sshd -D -e -f /dev/null -o "ListenAddress=$2" -o "HostKey=$1/host" -o "AuthorizedKeysFile=$1/key.pub" \
  -o StrictModes=no -o UsePAM=no -o PermitRootLogin=yes -o PasswordAuthentication=no -o PidFile=none &
wait
"#;

/// What runs containers on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// containerd alone, with the plugin that kubelet talks to.
    Containerd,
    /// docker, over a containerd without that plugin, as docker's own packages have it.
    Docker,
}

/// A node with sshd and a runtime. It has no route to anywhere but this host.
#[derive(Debug)]
pub struct SshNode {
    // Dropped in this order: the processes, the network, the folder.
    daemon: Daemon,
    cable: Cable,
    folder: TempDir,
}

impl SshNode {
    /// The programs that a node needs, for [`super::ready`].
    pub const NEEDS: [&'static str; 10] =
        ["root", "ip", "nsenter", "unshare", "ssh", "sshd", "ssh-keygen", "containerd", "ctr", "dockerd"];

    /// Starts one and waits until everything on it answers.
    pub fn start(runtime: Runtime) -> Result<Self> {
        let cable = Cable::lay()?;
        let folder = tempfile::Builder::new().prefix("ferry-node").tempdir()?;
        let path = folder.path();
        for name in ["host", "key"] {
            ssh_key(&path.join(name))?;
        }
        fs::write(path.join("containerd.toml"), configuration(runtime, path))?;
        let name = match runtime {
            Runtime::Containerd => "containerd",
            Runtime::Docker => "docker",
        };
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", cable.namespace))
            .args(["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", INIT, "init"])
            .arg(path)
            .args([cable.far.to_string().as_str(), &cable.namespace, name]);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env_remove(name);
        }
        let daemon = Daemon::start(command, &path.join("log"))?;
        let node = Self { daemon, cable, folder };
        node.wait(name).with_context(|| node.daemon.said())?;
        Ok(node)
    }

    fn wait(&self, runtime: &str) -> Result<()> {
        let limit = Duration::from_secs(60);
        wait_for_port(&format!("{}:22", self.cable.far), limit)?;
        let client = if runtime == "docker" { "docker" } else { "ctr" };
        let answers =
            || self.shell(&format!("{client} version")).run().is_ok_and(|outcome| outcome.code == Some(0));
        wait_until(limit, &format!("{client} gets no answer"), answers)
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.cable.far.into()
    }

    /// A shell script, run there through ssh.
    pub fn shell(&self, script: &str) -> Program {
        Program::new("ssh")
            .args(["-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i"])
            .arg(self.folder.path().join("key"))
            .arg(format!("root@{}", self.cable.far))
            .arg(script)
    }

    /// The `nodes` of a site file, with this one as `n1`, its host's key known and the user's own settings left out.
    pub fn section(&self) -> Result<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let key = fs::read_to_string(path("host.pub"))?;
        fs::write(path("known"), format!("{} {key}", self.cable.far))?;
        Ok(format!(
            "nodes:\n  hosts: [{{name: n1, address: {}}}]\n  ssh: {{user: root, identityFile: {}, options: ['UserKnownHostsFile={}', \
             'GlobalKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes']}}\n",
            self.cable.far,
            path("key"),
            path("known")
        ))
    }
}

/// containerd's, where it differs from what it comes with.
fn configuration(runtime: Runtime, folder: &Path) -> String {
    let disabled = match runtime {
        Runtime::Containerd => "",
        Runtime::Docker => "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n",
    };
    // Some sandboxes do not let root lower what the kernel spares.
    format!(
        "version = 2\n{disabled}[plugins.\"io.containerd.internal.v1.opt\"]\n  path = \"{}/opt\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n  restrict_oom_score_adj = true\n",
        folder.display()
    )
}
