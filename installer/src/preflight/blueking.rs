//! What BlueKing's deployment guide (7.1, "资源准备指南", sections 3 and 4) asks of a machine, held against its facts. Pure.
//!
//! What the guide says "must" (必须) about is required; all else is advised.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ferry_model::report::Check;
use ferry_model::size::ByteSize;

use super::Role;
use super::catalogue::{self as kinds, Kind};
use super::host::{FIREWALL_SERVICES, HostFacts, Known, SeLinux, TIME_SERVICES, Version};
use super::machine::FileSystem;

const GIB: u64 = 1 << 30;
/// The guide writes GB as vendors do.
const GB: u64 = 1_000_000_000;

/// What the guide asks of a role at least.
struct Minimum {
    processors: usize,
    memory: u64,
    disk: u64,
    /// Free below `/data`, where volumes are local.
    data: Option<u64>,
}

impl Role {
    fn minimum(self) -> Minimum {
        match self {
            Self::Control => Minimum { processors: 2, memory: 2 * GIB, disk: 100 * GB, data: None },
            Self::Master => Minimum { processors: 4, memory: 8 * GIB, disk: 100 * GB, data: Some(100 * GB) },
            Self::Node => Minimum { processors: 8, memory: 32 * GIB, disk: 100 * GB, data: Some(90 * GB) },
        }
    }

    /// Whether containers run on it.
    fn runs_containers(self) -> bool {
        self != Self::Control
    }
}

/// The folders whose file systems the guide's numbers are about.
pub(super) const FOLDERS: [&str; 3] = ["/", "/data", "/var/lib"];

/// Holds a machine against the guide.
pub fn check_host(
    facts: &HostFacts,
    storage: &BTreeMap<PathBuf, Known<FileSystem>>,
    role: Role,
) -> Vec<Check> {
    let host = facts.name.clone().unwrap_or_else(|_| "this machine".to_owned());
    let minimum = role.minimum();
    let on = |kind: &'static Kind| On { kind, host: &host };
    let mut checks = vec![
        on(&kinds::HOST_SYSTEM).judge(&facts.system, |system| {
            let wanted = if role == Role::Control { "7." } else { "7.9" };
            let number = system.strip_prefix("CentOS Linux release ");
            (number.is_some_and(|number| number.starts_with(wanted)), system.clone())
        }),
        on(&kinds::HOST_KERNEL).version(&facts.kernel, |version| version >= Version(3, 10, 0)),
        on(&kinds::HOST_PROCESSORS).judge(&facts.processors, |count| {
            (*count >= minimum.processors, format!("{count}, {} wanted for a {role}", minimum.processors))
        }),
        on(&kinds::HOST_MEMORY).judge(&facts.memory, |bytes| {
            // What the kernel and the firmware keep does not show.
            let enough = *bytes >= minimum.memory / 10 * 9;
            (enough, format!("{}, {} wanted for a {role}", ByteSize(*bytes), ByteSize(minimum.memory)))
        }),
        check_disk(&host, storage, &minimum),
        on(&kinds::HOST_SWAP).judge(&facts.swap, |devices| {
            (devices.is_empty(), if devices.is_empty() { "off".into() } else { devices.join(", ") })
        }),
        on(&kinds::HOST_SELINUX).judge(&facts.selinux, |state| match state {
            SeLinux::Disabled => (true, "disabled".to_owned()),
            SeLinux::Permissive => (false, "permissive; it must be disabled".to_owned()),
            SeLinux::Enforcing => (false, "enforcing".to_owned()),
        }),
        check_firewall(&host, facts),
        on(&kinds::HOST_ZONE).judge(&facts.zone, |zone| (zone.is_beijing_time(), zone.to_string())),
        on(&kinds::HOST_TIME_SERVICE).judge(&facts.services, |services| {
            let running = of(services, &TIME_SERVICES);
            (
                !running.is_empty(),
                if running.is_empty() { "none is active".into() } else { running.join(", ") },
            )
        }),
        on(&kinds::HOST_CLOCK).judge(&facts.synchronised, |synchronised| {
            (*synchronised, if *synchronised { "synchronised" } else { "not synchronised" }.to_owned())
        }),
    ];
    checks.extend(minimum.data.map(|wanted| check_data(&host, storage, wanted)));
    if role.runs_containers() || facts.docker != Ok(None) {
        checks.push(on(&kinds::HOST_DOCKER).installed(&facts.docker, |version| version >= Version(19, 3, 0)));
    }
    if role.runs_containers() || facts.kubelet != Ok(None) {
        checks.push(
            on(&kinds::HOST_KUBELET).installed(&facts.kubelet, |version| {
                (Version(1, 20, 0)..Version(1, 24, 0)).contains(&version)
            }),
        );
    }
    checks
}

/// A check of a host that may not be known about.
struct On<'a> {
    kind: &'static Kind,
    host: &'a str,
}

impl On<'_> {
    fn judge<T>(&self, fact: &Known<T>, judge: impl FnOnce(&T) -> (bool, String)) -> Check {
        match fact {
            Ok(fact) => {
                let (is_good, found) = judge(fact);
                self.kind.judge(is_good, self.host, found)
            }
            Err(reason) => self.kind.unknown(self.host, reason),
        }
    }

    fn version(&self, text: &Known<String>, is_good: impl FnOnce(Version) -> bool) -> Check {
        match text.as_ref().map(|text| (text, Version::parse(text))) {
            Ok((text, Some(version))) => self.kind.judge(is_good(version), self.host, text),
            Ok((text, None)) => self.kind.unknown(self.host, format!("`{text}` is no version")),
            Err(reason) => self.kind.unknown(self.host, reason),
        }
    }

    fn installed(&self, text: &Known<Option<String>>, is_good: impl FnOnce(Version) -> bool) -> Check {
        match text {
            Ok(None) => self.kind.failed(self.host, "not installed"),
            Ok(Some(text)) => self.version(&Ok(text.clone()), is_good),
            Err(reason) => self.kind.unknown(self.host, reason),
        }
    }
}

fn of<'a>(services: &'a [String], wanted: &[&str]) -> Vec<&'a str> {
    services.iter().map(String::as_str).filter(|service| wanted.contains(service)).collect()
}

/// A firewall is off where no service of one runs and no rule refuses. One that is seen is enough; that there is none
/// shows only where both are known.
fn check_firewall(host: &str, facts: &HostFacts) -> Check {
    let kind = &kinds::HOST_FIREWALL;
    let running = facts.services.as_ref().map(|services| of(services, &FIREWALL_SERVICES));
    match (running, &facts.refusing_rules) {
        (Ok(running), _) if !running.is_empty() => {
            kind.failed(host, format!("{} is active", running.join(", ")))
        }
        (_, Ok(rules)) if !rules.is_empty() => {
            let more = if rules.len() > 1 { format!(" and {} more", rules.len() - 1) } else { String::new() };
            kind.failed(host, format!("`{}`{more}", rules[0]))
        }
        (Ok(_), Ok(_)) => kind.passed(host, "no service, and no rule that refuses"),
        (Err(reason), _) | (_, Err(reason)) => kind.unknown(host, reason),
    }
}

fn check_disk(host: &str, storage: &BTreeMap<PathBuf, Known<FileSystem>>, minimum: &Minimum) -> Check {
    let known: Result<BTreeMap<u64, u64>, &String> = FOLDERS
        .iter()
        .filter_map(|folder| storage.get(Path::new(folder)))
        .map(|found| found.as_ref().map(|found| (found.device, found.size)))
        .collect();
    match known {
        Ok(sizes) if sizes.is_empty() => kinds::HOST_DISK.unknown(host, "no file system was looked at"),
        Ok(sizes) => {
            let size: u64 = sizes.values().sum();
            // Formatting and the boot partition take their part.
            let enough = size >= minimum.disk / 10 * 9;
            kinds::HOST_DISK.judge(
                enough,
                host,
                format!("{}, {} wanted", ByteSize(size), ByteSize(minimum.disk)),
            )
        }
        Err(reason) => kinds::HOST_DISK.unknown(host, reason),
    }
}

fn check_data(host: &str, storage: &BTreeMap<PathBuf, Known<FileSystem>>, wanted: u64) -> Check {
    match storage.get(Path::new("/data")) {
        Some(Ok(found)) => {
            let text = format!(
                "{} free, {} wanted, on {}",
                ByteSize(found.free),
                ByteSize(wanted),
                found.mount.display()
            );
            kinds::HOST_DATA.judge(found.free >= wanted, host, text)
        }
        Some(Err(reason)) => kinds::HOST_DATA.unknown(host, reason),
        None => kinds::HOST_DATA.unknown(host, "/data was not looked at"),
    }
}

#[cfg(test)]
mod tests;
