//! Many nodes on loopback: real sshds, and behind each address a folder that plays a node's file system. They share this host's
//! network and have no runtime but what their files say.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::daemon::Daemon;
use super::{free_port, ssh_key, wait_for_port};

/// Asks for the password that `/etc/sudo-password` has, as sudo does.
const SUDO: &str = r#"#!/usr/bin/sh
if [ "$1" = -n ]; then echo "sudo: a password is required" >&2; exit 1; fi
shift 3
IFS= read -r given
if [ "$given" != "$(cat /etc/sudo-password)" ]; then
  printf 'Sorry, try again.
sudo: no password was provided
sudo: 1 incorrect password attempt
' >&2
  exit 1
fi
exec "$@"
"#;
/// Addresses that one sshd listens at; it takes no more.
const EACH: usize = 16;
/// What a node has of this host's programs, so that no runtime is found there.
const PROGRAMS: [&str; 15] = [
    "sh",
    "cat",
    "mkdir",
    "mv",
    "rm",
    "chmod",
    "wc",
    "uname",
    "sha256sum",
    "sleep",
    "ls",
    "find",
    "true",
    "head",
    "rmdir",
];
/// What the image of a node's pod has of them.
const IMAGE: [&str; 3] = ["sh", "sleep", "chroot"];

/// What every command on a node begins with, in a mount namespace of its own: the root of its file system as a node has it.
const MOUNTS: &str = r#"mount --make-rprivate / && mount --rbind "$fleet/usr" "$node/root/usr" && mount --bind /proc "$node/root/proc" &&
mount --bind /dev "$node/root/dev" && mount --bind /lib "$node/root/usr/lib" && mount --bind /lib64 "$node/root/usr/lib64" || exit 70
mount -t tmpfs tmpfs "$node/root/usr/lib/systemd" && mount -t tmpfs tmpfs "$node/root/usr/lib/docker" 2>/dev/null
"#;

/// What sshd runs for whatever was asked, as `$1`'s node: the address that was reached. `trouble` may end it.
const SESSION: &str = r#"#!/bin/sh
fleet=$1
set -- $SSH_CONNECTION
export node=$fleet/nodes/$3 fleet
printf '%s\n' "$SSH_ORIGINAL_COMMAND" >>"$node/log"
[ ! -f "$node/trouble" ] || . "$node/trouble"
exec unshare --mount sh -c '
. "$fleet/mounts"
if [ -f "$node/full" ]; then mount -t tmpfs -o size=64k tmpfs "$node/root/var/lib/ferry"
else mount --bind "$fleet/bin" "$node/root/var/lib/ferry/bin"; fi || exit 70
PATH=/usr/bin exec /usr/sbin/chroot "$node/root" /usr/bin/sh -c "$SSH_ORIGINAL_COMMAND"'
"#;

/// What runs a command in the pod of a node: `$1`'s node `$2`. The pod has the node's root in a folder, and little else.
const POD: &str = r#"#!/bin/sh
export fleet=$1 node=$1/nodes/$2
shift 2
for last; do :; done
printf '%s\n' "$last" >>"$node/log"
[ ! -f "$node/trouble" ] || . "$node/trouble"
exec unshare --mount sh -c '
. "$fleet/mounts"
mount --bind "$fleet/bin" "$node/root/var/lib/ferry/bin" && mount --rbind "$node/root" "$fleet/image/host" &&
mount --bind /lib "$fleet/image/lib" && mount --bind /lib64 "$fleet/image/lib64" || exit 70
PATH=/bin exec /usr/sbin/chroot "$fleet/image" "$@"' sh "$@"
"#;

/// Nodes on loopback. All keep the programs that are copied there in one folder: this host's disk is not that of many.
#[derive(Debug)]
pub struct LoopbackFleet {
    daemons: Vec<Daemon>,
    folder: TempDir,
    addresses: Vec<Ipv4Addr>,
    port: u16,
}

impl LoopbackFleet {
    /// What it needs, for [`super::ready`].
    pub const NEEDS: [&'static str; 6] = ["root", "unshare", "chroot", "ssh", "sshd", "ssh-keygen"];

    /// Starts this many nodes. Nothing listens for those that `refuses`.
    pub fn start(count: usize, refuses: impl Fn(usize) -> bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ferry-fleet").tempdir()?;
        let path = folder.path();
        // sshd looks at who may write where a command lies.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        for name in ["host", "key"] {
            ssh_key(&path.join(name))?;
        }
        fs::create_dir(path.join("bin"))?;
        fs::write(path.join("mounts"), MOUNTS)?;
        write_program(&path.join("session"), SESSION)?;
        write_program(&path.join("pod"), POD)?;
        lay_out_programs(&path.join("usr"))?;
        lay_out_image(&path.join("image"))?;
        let network = 64 + u8::try_from(std::process::id() % 128)?;
        let address = |index: usize| -> Result<Ipv4Addr> {
            Ok(Ipv4Addr::new(127, network, u8::try_from(index / 250)?, u8::try_from(index % 250 + 1)?))
        };
        let addresses = (0..count).map(address).collect::<Result<Vec<_>>>()?;
        let mut fleet = Self { daemons: Vec::new(), folder, addresses, port: 0 };
        fleet.port = free_port(IpAddr::V4(fleet.addresses[0]))?;
        for index in 0..count {
            lay_out_node(&fleet.node(index))?;
        }
        let listening: Vec<Ipv4Addr> =
            (0..count).filter(|index| !refuses(*index)).map(|index| fleet.addresses[index]).collect();
        fs::create_dir_all("/run/sshd")?;
        for (number, addresses) in listening.chunks(EACH).enumerate() {
            let daemon = fleet.sshd(number, addresses)?;
            fleet.daemons.push(daemon);
        }
        for address in listening.chunks(EACH).filter_map(|chunk| chunk.last()) {
            wait_for_port(&format!("{address}:{}", fleet.port), Duration::from_secs(30))?;
        }
        Ok(fleet)
    }

    fn sshd(&self, number: usize, addresses: &[Ipv4Addr]) -> Result<Daemon> {
        let path = self.folder.path();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", "/dev/null"]);
        for address in addresses {
            command.args(["-o", &format!("ListenAddress={address}:{}", self.port)]);
        }
        for option in [
            format!("HostKey={}", path.join("host").display()),
            format!("AuthorizedKeysFile={}", path.join("key.pub").display()),
            // root's shell reads what this host's root has set up for logins.
            format!("SetEnv=HOME={}", path.join("usr").display()),
            format!("ForceCommand={} {}", path.join("session").display(), path.display()),
        ] {
            command.args(["-o", &option]);
        }
        for option in [
            "StrictModes=no",
            "UsePAM=no",
            "PermitRootLogin=yes",
            "PasswordAuthentication=no",
            "PidFile=none",
            "MaxStartups=1000",
            // As old nodes speak it, and a fifth of the work of what both sides would choose today.
            "KexAlgorithms=curve25519-sha256",
        ] {
            command.args(["-o", option]);
        }
        Daemon::start(command, &path.join(format!("sshd-{number}.log")))
    }

    /// The `hosts` and `ssh` of a site's `nodes`: `n0`, `n1`, …, their host key known and the user's own settings left out.
    /// `more` goes into `ssh`, as in a mapping on one line.
    pub fn section(&self, more: &str) -> Result<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let key = fs::read_to_string(path("host.pub"))?;
        let known = |address: &Ipv4Addr| format!("[{address}]:{} {key}", self.port);
        fs::write(path("known"), self.addresses.iter().map(known).collect::<String>())?;
        let host = |(index, address)| format!("    - {{name: n{index}, address: {address}}}\n");
        Ok(format!(
            "  hosts:\n{}  ssh: {{user: root, port: {}, identityFile: {}, options: ['UserKnownHostsFile={}', \
             'GlobalKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes']{more}}}\n",
            self.addresses.iter().enumerate().map(host).collect::<String>(),
            self.port,
            path("key"),
            path("known"),
        ))
    }

    fn node(&self, index: usize) -> PathBuf {
        self.folder.path().join("nodes").join(self.addresses[index].to_string())
    }

    /// The folder that plays the root of a node's file system.
    pub fn root(&self, index: usize) -> PathBuf {
        self.node(index).join("root")
    }

    /// Has every command on a node do this first, in a shell.
    pub fn trouble(&self, index: usize, script: &str) -> Result<()> {
        Ok(fs::write(self.node(index).join("trouble"), script)?)
    }

    /// Leaves a node no room for the program, or gives it some.
    pub fn fill(&self, index: usize, full: bool) -> Result<()> {
        let mark = self.node(index).join("full");
        if full { Ok(fs::write(mark, "")?) } else { Ok(fs::remove_file(mark)?) }
    }

    /// What runs a command in the pod of a node: a program, and its first arguments.
    pub fn pod(&self, index: usize) -> (PathBuf, [String; 2]) {
        let folder = self.folder.path();
        (folder.join("pod"), [folder.display().to_string(), self.addresses[index].to_string()])
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is no fleet without nodes")]
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Where all nodes keep programs.
    pub fn programs(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// All that was asked of a node.
    pub fn asked(&self, index: usize) -> String {
        fs::read_to_string(self.node(index).join("log")).unwrap_or_default()
    }

    /// Connections that sshd has taken so far.
    pub fn connections(&self) -> usize {
        let logs = (0..).map(|number| self.folder.path().join(format!("sshd-{number}.log")));
        let texts = logs.map_while(|log| fs::read_to_string(log).ok());
        texts.map(|text| text.matches("Accepted publickey").count()).sum()
    }
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn lay_out_programs(usr: &Path) -> Result<()> {
    for name in ["bin", "lib", "lib64"] {
        fs::create_dir_all(usr.join(name))?;
    }
    for name in PROGRAMS {
        copy_program(name, &usr.join("bin"))?;
    }
    write_program(&usr.join("bin/sudo"), SUDO)
}

fn copy_program(name: &str, to: &Path) -> Result<()> {
    let from = ["/usr/bin", "/bin", "/usr/sbin"].map(|folder| Path::new(folder).join(name));
    let from = from.iter().find(|path| path.exists()).with_context(|| format!("there is no {name}"))?;
    fs::copy(from, to.join(name))?;
    Ok(())
}

/// The file system of the pods' image.
fn lay_out_image(image: &Path) -> Result<()> {
    for name in ["bin", "lib", "lib64", "host"] {
        fs::create_dir_all(image.join(name))?;
    }
    IMAGE.iter().try_for_each(|name| copy_program(name, &image.join("bin")))
}

/// A containerd that looks for its registries in a folder, and takes up what is there by itself.
fn lay_out_node(node: &Path) -> Result<()> {
    let root = node.join("root");
    for name in ["usr", "proc", "dev", "tmp", "run", "root", "etc/containerd/certs.d", "var/lib/ferry/bin"] {
        fs::create_dir_all(root.join(name))?;
    }
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    fs::write(root.join("etc/nsswitch.conf"), "hosts: files\n")?;
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n")?;
    let config = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n";
    Ok(fs::write(root.join("etc/containerd/config.toml"), config)?)
}
