//! A whole machine of the isolated site: systemd as its first process, a system and a disk of its own, and no network
//! but a cable to this host.

mod control_groups;
mod node;

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::cable::Cable;
use super::daemon::{Daemon, Watchdog};
use super::{rootfs, wait_until};
use crate::process::Program;

/// What keeps the machine running: its disk is the shared system with an overlay of its own, and systemd-nspawn is
/// started again for as long as it says, by 133, that the machine is to reboot. All mounts are in a mount namespace
/// and all processes in a process namespace that end with this script.
const INIT: &str = r#"
set -eu
folder=$1 name=$2 system=$3 groups=$4
shift 4
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
for group in $groups; do echo 0 >"$group/cgroup.procs"; done
mount -t overlay "$name" -o "lowerdir=$system,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=1
status=133
while [ "$status" = 133 ]; do
  status=0
  systemd-nspawn --quiet --register=no --keep-unit --boot --directory="$folder/root" --machine="$name" \
    --console=pipe --capability=all --system-call-filter="keyctl add_key request_key bpf" \
    --resolv-conf=off --timezone=off --link-journal=no \
    --bind="$folder/docker:/var/lib/docker" --bind="$folder/containerd:/var/lib/containerd" "$@" || status=$?
done
echo "systemd-nspawn ended with $status"
"#;

/// systemd-nspawn mounts control groups of version 1 read-only, and dockerd makes some.
const DOCKER_DROP_IN: &str = r#"[Service]
ExecStartPre=/bin/sh -c "for m in /sys/fs/cgroup/*/; do mountpoint -q $m && mount -o remount,bind,rw $m; done; true"
"#;

/// How long a boot or a shutdown may take: systemd gives a service 90 s to stop.
const LIMIT: Duration = Duration::from_secs(120);

/// What a machine has from the start.
#[derive(Clone, Debug, Default)]
pub struct MachineSetup {
    /// Files and folders of this host that the machine sees, read-only and over reboots, and where it sees them; not
    /// below `/tmp` or `/run`.
    pub shared: Vec<(PathBuf, PathBuf)>,
}

/// A machine. It has no route to anywhere but this host, and no docker or containerd runs until it is started.
#[derive(Debug)]
pub struct Machine {
    // Dropped in this order: the processes and their mounts, what they leave behind, the network.
    daemon: Daemon,
    _remains: Watchdog,
    cable: Cable,
    folder: PathBuf,
    leader: u32,
}

impl Machine {
    /// The programs and parts that a machine needs, for [`super::ready`].
    pub const NEEDS: [&'static str; 7] =
        ["root", "rootfs", "ip", "nsenter", "unshare", "setpriv", "systemd-nspawn"];

    /// Starts one and waits until it has booted.
    pub fn start(setup: &MachineSetup) -> Result<Self> {
        let cable = Cable::lay()?;
        let name = &cable.namespace;
        let groups = control_groups::named(name)?;
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?.keep();
        let remains = Watchdog::new(&remove(&groups, &folder))?;
        control_groups::make(&groups)?;
        lay_out(&folder, name)?;

        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{name}"))
            .args(["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", INIT, "init"])
            .args([folder.as_os_str(), name.as_ref(), rootfs().as_os_str()])
            .arg(joined(&groups, ""));
        for (host, inside) in &setup.shared {
            command.arg(format!("--bind-ro={}:{}", host.display(), inside.display()));
        }
        let daemon = Daemon::start(command, &folder.join("log"))?;
        let mut machine = Self { daemon, _remains: remains, cable, folder, leader: 0 };
        machine.wait_for_boot(0)?;
        Ok(machine)
    }

    /// Its host name, and the name of all that this host holds for it.
    pub fn name(&self) -> &str {
        &self.cable.namespace
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.cable.far.into()
    }

    /// This host's address on the cable to the machine, where servers for it must listen.
    pub fn host_address(&self) -> IpAddr {
        self.cable.host.into()
    }

    /// A program of the machine, run there by root, in `/` and with nothing of this process's environment. Any signal
    /// kills it at once; where this host's init is slow to notice, the machine's next shutdown then waits for that.
    pub fn program(&self, name: impl AsRef<Path>) -> Program {
        Program::new("nsenter")
            .without_environment()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .args(["--target", &self.leader.to_string(), "--all", "--root", "--wd"])
            .args(["setpriv", "--pdeathsig", "KILL"])
            .arg(name.as_ref())
    }

    /// A shell script, run there as [`Machine::program`] is.
    pub fn shell(&self, script: &str) -> Program {
        self.program("sh").args(["-c", script])
    }

    /// Copies a file of this host, with its permissions, to this path of the machine.
    pub fn copy_in(&self, local: &Path, path: impl AsRef<Path>) -> Result<()> {
        let file = File::open(local).with_context(|| local.display().to_string())?;
        let mode = format!("{:o}", file.metadata()?.permissions().mode() & 0o7777);
        // Inside the machine, so that its symbolic links lead where they lead there.
        // And in one go, since a program that runs there can be replaced but not written to.
        let script =
            r#"mkdir -p "$(dirname "$1")" && cat >"$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1""#;
        let path = path.as_ref();
        let command = self.shell(script).arg("sh").arg(path).arg(mode);
        let output = command.command().stdin(file).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} on {}: {said}", path.display(), self.name());
        Ok(())
    }

    /// Writes a file of the machine, which everyone may read.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        let file = tempfile::NamedTempFile::new_in(&self.folder)?;
        fs::write(&file, content)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
        self.copy_in(file.path(), path)
    }

    /// Where this host sees a path of the machine until that reboots; symbolic links lead where they lead on this host.
    pub fn inside(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        Path::new(&format!("/proc/{}/root", self.leader)).join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file of the machine, which must be text.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        Ok(self.program("cat").arg(path.as_ref()).succeed()?.stdout)
    }

    /// Reboots it as an operator would and waits until it has booted again. What is on its disk stays; so do, unlike
    /// on a machine of iron, interfaces and packet filters that something made.
    pub fn reboot(&mut self) -> Result<()> {
        let outcome = self.program("systemctl").arg("reboot").run()?;
        // A signal: it was still there when the machine went down.
        ensure!(matches!(outcome.code, Some(0) | None), "{outcome}");
        self.wait_for_boot(self.leader)
    }

    /// Waits until a first process other than `before` has brought the machine up.
    fn wait_for_boot(&mut self, before: u32) -> Result<()> {
        let is_up = || {
            let leader = self.find_leader().filter(|leader| *leader != before);
            self.leader = leader.unwrap_or(self.leader);
            let state = || self.program("systemctl").arg("is-system-running").run();
            leader.is_some()
                && state().is_ok_and(|state| ["running", "degraded"].contains(&state.stdout.trim()))
        };
        wait_until(LIMIT, "the machine has not booted", is_up).with_context(|| self.condition())
    }

    /// The machine's first process, by its number on this host.
    fn find_leader(&self) -> Option<u32> {
        let script = *children(self.daemon.id()).first()?;
        let nspawn = *children(script).first()?;
        children(nspawn).into_iter().find(|process| is_first_of_namespace(*process))
    }

    /// What there is to say about a machine that does not boot.
    fn condition(&self) -> String {
        let journal = self
            .shell("systemctl list-jobs; systemctl --failed; journalctl --boot --no-pager --lines=60")
            .limit(Duration::from_secs(10))
            .run()
            .map_or_else(|error| error.to_string(), |outcome| outcome.to_string());
        format!("{}\n{journal}", self.daemon.said())
    }
}

/// Makes the folders of a machine and the few files that differ from the shared system.
fn lay_out(folder: &Path, name: &str) -> Result<()> {
    for name in ["upper", "work", "root", "docker", "containerd"] {
        fs::create_dir(folder.join(name))?;
    }
    // The overlay takes it for the machine's `/`.
    fs::set_permissions(folder.join("upper"), fs::Permissions::from_mode(0o755))?;
    let files = [
        ("hostname", format!("{name}\n")),
        ("hosts", format!("127.0.0.1 localhost\n127.0.1.1 {name}\n")),
        ("resolv.conf", String::new()),
        ("systemd/system/docker.service.d/control-groups.conf", DOCKER_DROP_IN.to_owned()),
    ];
    for (path, text) in files {
        let path = folder.join("upper/etc").join(path);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// The script that removes what a machine leaves behind, once its last process has gone.
fn remove(groups: &[PathBuf], folder: &Path) -> String {
    let (groups, folder) = (joined(groups, "'"), folder.display());
    format!(
        "for attempt in $(seq 600); do
           find {groups} -depth -type d -exec rmdir {{}} +
           find {groups} -maxdepth 0 2>/dev/null | grep -q . || break
           sleep 0.05
         done
         rm -rf --one-file-system '{folder}'"
    )
}

fn joined(paths: &[PathBuf], quote: &str) -> String {
    paths.iter().map(|path| format!("{quote}{}{quote}", path.display())).collect::<Vec<_>>().join(" ")
}

fn children(process: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn is_first_of_namespace(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.and_then(|numbers| numbers.split_whitespace().last()) == Some("1")
}
