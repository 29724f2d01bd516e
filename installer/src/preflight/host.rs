//! Facts of a machine, as plain values that can be kept, shown and judged elsewhere. What could not be found out stays
//! beside the rest, with the reason.

mod firewall;
mod text;
mod zone;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use text::Version;
pub use zone::Zone;

use super::machine::{FileSystem, Machine, Ran};

/// A fact, or why it is not known.
pub type Known<T> = Result<T, String>;

/// What is known about a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// Its name.
    pub name: Known<String>,
    /// The distribution, as that calls itself.
    pub system: Known<String>,
    /// The kernel's release.
    pub kernel: Known<String>,
    /// Processors.
    pub processors: Known<usize>,
    /// Bytes of memory.
    pub memory: Known<u64>,
    /// Swap devices and files that are on.
    pub swap: Known<Vec<String>>,
    /// What SELinux does.
    pub selinux: Known<SeLinux>,
    /// Services that are active, of those that matter here.
    pub services: Known<Vec<String>>,
    /// Rules of the packet filter that turn something away, but for those of container software.
    pub refusing_rules: Known<Vec<String>>,
    /// The time zone.
    pub zone: Known<Zone>,
    /// Whether the clock follows a time server.
    pub synchronised: Known<bool>,
    /// The docker engine's version; none where docker is not installed.
    pub docker: Known<Option<String>>,
    /// The kubelet's version; none where it is not installed.
    pub kubelet: Known<Option<String>>,
    /// Whether systemd runs it.
    pub systemd: Known<bool>,
    /// Whether we are its administrator.
    pub root: Known<bool>,
}

impl HostFacts {
    /// Nothing at all is known, for this reason.
    pub fn unknown(reason: &str) -> Self {
        fn unknown<T>(reason: &str) -> Known<T> {
            Err(reason.to_owned())
        }
        Self {
            name: unknown(reason),
            system: unknown(reason),
            kernel: unknown(reason),
            processors: unknown(reason),
            memory: unknown(reason),
            swap: unknown(reason),
            selinux: unknown(reason),
            services: unknown(reason),
            refusing_rules: unknown(reason),
            zone: unknown(reason),
            synchronised: unknown(reason),
            docker: unknown(reason),
            kubelet: unknown(reason),
            systemd: unknown(reason),
            root: unknown(reason),
        }
    }
}

/// What SELinux does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeLinux {
    /// It is off, or not there.
    Disabled,
    /// It only notes what it would refuse.
    Permissive,
    /// It refuses.
    Enforcing,
}

/// Services that keep the time. Which one it is depends on the distribution and its age.
pub(super) const TIME_SERVICES: [&str; 6] =
    ["chronyd", "chrony", "ntpd", "ntp", "ntpsec", "systemd-timesyncd"];
/// Services that filter packets.
pub(super) const FIREWALL_SERVICES: [&str; 2] = ["firewalld", "ufw"];

/// Looks at a machine.
pub fn gather_host(machine: &impl Machine) -> HostFacts {
    let text = |path: &str| read_text(machine, path);
    HostFacts {
        name: text("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()),
        system: system(machine),
        kernel: text("/proc/sys/kernel/osrelease").map(|release| release.trim().to_owned()),
        processors: text("/proc/cpuinfo").and_then(|cpus| text::processors(&cpus)),
        memory: text("/proc/meminfo").and_then(|memory| text::memory(&memory)),
        swap: text("/proc/swaps").map(|swaps| text::swaps(&swaps)),
        selinux: selinux(machine),
        services: services(machine),
        refusing_rules: refusing_rules(machine),
        zone: time_zone(machine),
        synchronised: said(machine, "timedatectl", &[]).and_then(|said| text::synchronised(&said)),
        docker: version(machine, "docker", &["version", "--format", "{{.Server.Version}}"]),
        kubelet: version(machine, "kubelet", &["--version"]),
        systemd: machine.exists(Path::new("/run/systemd/system")).map_err(|error| error.to_string()),
        root: text("/proc/self/status").and_then(|status| text::is_root(&status)),
    }
}

/// The file systems that these folders lie on.
pub fn gather_storage<'a>(
    machine: &impl Machine,
    folders: impl IntoIterator<Item = &'a Path>,
) -> BTreeMap<PathBuf, Known<FileSystem>> {
    let look =
        |folder: &Path| (folder.to_owned(), machine.file_system(folder).map_err(|error| error.to_string()));
    folders.into_iter().map(look).collect()
}

fn read_text(machine: &impl Machine, path: &str) -> Known<String> {
    match machine.read(Path::new(path)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

/// What a command says that ends well.
fn said(machine: &impl Machine, program: &str, arguments: &[&str]) -> Known<String> {
    match machine.run(program, arguments) {
        Ok(Ran { code: Some(0), stdout, .. }) => Ok(stdout),
        Ok(ran) => Err(complaint(program, &ran)),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

fn complaint(program: &str, ran: &Ran) -> String {
    let line = ran.stderr.lines().chain(ran.stdout.lines()).find(|line| !line.trim().is_empty());
    let line: String = line.unwrap_or("it failed without a word").chars().take(200).collect();
    format!("{program}: {line}")
}

/// The version that a program says; `None` where it is not there.
fn version(machine: &impl Machine, program: &str, arguments: &[&str]) -> Known<Option<String>> {
    match machine.run(program, arguments) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{program}: {error}")),
        Ok(Ran { code: Some(0), stdout, .. }) => {
            let word = stdout.split_whitespace().next_back().unwrap_or_default();
            Ok(Some(word.trim_start_matches('v').to_owned()))
        }
        Ok(ran) => Err(complaint(program, &ran)),
    }
}

/// CentOS says its minor version only in a file of its own.
fn system(machine: &impl Machine) -> Known<String> {
    match read_text(machine, "/etc/centos-release") {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(_) => read_text(machine, "/etc/os-release").and_then(|text| text::pretty_name(&text)),
    }
}

fn selinux(machine: &impl Machine) -> Known<SeLinux> {
    match machine.read(Path::new("/sys/fs/selinux/enforce")) {
        Ok(bytes) if bytes.starts_with(b"1") => Ok(SeLinux::Enforcing),
        Ok(bytes) if bytes.starts_with(b"0") => Ok(SeLinux::Permissive),
        Ok(_) => Err("/sys/fs/selinux/enforce holds neither 0 nor 1".to_owned()),
        // The kernel shows this folder only while SELinux is on.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SeLinux::Disabled),
        Err(error) => Err(format!("/sys/fs/selinux/enforce: {error}")),
    }
}

fn services(machine: &impl Machine) -> Known<Vec<String>> {
    let names: Vec<&str> = TIME_SERVICES.into_iter().chain(FIREWALL_SERVICES).collect();
    let arguments: Vec<&str> = ["is-active"].into_iter().chain(names.iter().copied()).collect();
    let ran = machine.run("systemctl", &arguments).map_err(|error| format!("systemctl: {error}"))?;
    // Its exit code says only whether all of them are active.
    text::active(&ran.stdout, &names).ok_or_else(|| complaint("systemctl", &ran))
}

fn refusing_rules(machine: &impl Machine) -> Known<Vec<String>> {
    let iptables = said(machine, "iptables", &["-w", "-S"]).map(|rules| firewall::refusing_iptables(&rules));
    let nft = said(machine, "nft", &["list", "ruleset"]).map(|rules| firewall::refusing_nft(&rules));
    match (iptables, nft) {
        // Today's iptables shows only what was made with it, nft shows all; where both are, all that either shows counts.
        (Ok(iptables), Ok(nft)) if iptables.is_empty() => Ok(nft),
        (Ok(rules), _) | (Err(_), Ok(rules)) => Ok(rules),
        (Err(iptables), Err(nft)) => Err(format!("{iptables}; {nft}")),
    }
}

fn time_zone(machine: &impl Machine) -> Known<Zone> {
    let path = Path::new("/etc/localtime");
    match machine.read(path) {
        Ok(bytes) => zone::parse(&bytes, machine.link(path).ok().as_deref()),
        // So says localtime(5).
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Zone::utc()),
        Err(error) => Err(format!("/etc/localtime: {error}")),
    }
}

#[cfg(test)]
mod tests;
