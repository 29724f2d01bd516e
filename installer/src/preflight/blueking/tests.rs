//! Machines, and what the guide says of them.
#![expect(clippy::unnecessary_wraps, reason = "facts as they stand in tables, where others are not known")]

use ferry_model::report::Finding::{self, Failed, Passed, Unknown};
use ferry_model::report::Severity;

use super::super::host::Zone;
use super::*;

fn zone(rule: &str) -> Known<Zone> {
    Ok(Zone { name: None, rule: rule.to_owned() })
}

/// A node as the guide wants it.
fn good() -> HostFacts {
    HostFacts {
        name: Ok("node-1".into()),
        system: Ok("CentOS Linux release 7.9.2009 (Core)".into()),
        kernel: Ok("3.10.0-1160.el7.x86_64".into()),
        processors: Ok(16),
        // What a machine of 32 GiB shows.
        memory: Ok(31 * GIB),
        swap: Ok(vec![]),
        selinux: Ok(SeLinux::Disabled),
        services: Ok(vec!["chronyd".into()]),
        refusing_rules: Ok(vec![]),
        zone: zone("CST-8"),
        synchronised: Ok(true),
        docker: Ok(Some("19.03.15".into())),
        kubelet: Ok(Some("1.20.15".into())),
        systemd: Ok(true),
        root: Ok(true),
    }
}

fn disk(device: u64, size: u64, free: u64) -> Known<FileSystem> {
    Ok(FileSystem { device, mount: "/".into(), size, free, inodes: 0, free_inodes: 0 })
}

fn storage(root: Known<FileSystem>, data: Known<FileSystem>) -> BTreeMap<PathBuf, Known<FileSystem>> {
    [("/", root.clone()), ("/var/lib", root), ("/data", data)].map(|(path, disk)| (path.into(), disk)).into()
}

fn finding(facts: &HostFacts, role: Role, name: &str) -> Option<Finding> {
    let disks = storage(disk(1, 50 * GB, 20 * GB), disk(2, 200 * GB, 150 * GB));
    let checks = check_host(facts, &disks, role);
    checks.iter().find(|check| check.name == name).map(|check| check.finding)
}

#[test]
fn a_machine_as_the_guide_wants_it() {
    let disks = storage(disk(1, 50 * GB, 20 * GB), disk(2, 200 * GB, 150 * GB));
    for role in [Role::Control, Role::Master, Role::Node] {
        let checks = check_host(&good(), &disks, role);
        assert!(checks.iter().all(|check| check.finding == Passed), "{checks:#?}");
        assert_eq!(checks.len(), if role == Role::Control { 13 } else { 14 });
    }
}

#[test]
fn nothing_known_is_nothing_passed() {
    let unseen = || Err("no answer".to_owned());
    let checks = check_host(&HostFacts::unknown("no answer"), &storage(unseen(), unseen()), Role::Node);
    assert_eq!(checks.len(), 14);
    assert!(checks.iter().all(|check| check.finding == Unknown), "{checks:#?}");
    let required: Vec<&str> = checks
        .iter()
        .filter(|check| check.severity == Severity::Required)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(required, ["host-swap", "host-selinux", "host-firewall"]);
}

#[test]
fn each_requirement() {
    type Change = fn(&mut HostFacts);
    let rows: Vec<(&str, Role, Change, Option<Finding>)> = vec![
        (
            "host-system",
            Role::Node,
            |f| f.system = Ok("CentOS Linux release 7.6.1810 (Core)".into()),
            Some(Failed),
        ),
        (
            "host-system",
            Role::Control,
            |f| f.system = Ok("CentOS Linux release 7.6.1810 (Core)".into()),
            Some(Passed),
        ),
        (
            "host-system",
            Role::Control,
            |f| f.system = Ok("Debian GNU/Linux 12 (bookworm)".into()),
            Some(Failed),
        ),
        ("host-kernel", Role::Node, |f| f.kernel = Ok("2.6.32-754.el6.x86_64".into()), Some(Failed)),
        ("host-kernel", Role::Node, |f| f.kernel = Ok("6.1.0-18-amd64".into()), Some(Passed)),
        ("host-kernel", Role::Node, |f| f.kernel = Ok("odd".into()), Some(Unknown)),
        ("host-processors", Role::Control, |f| f.processors = Ok(2), Some(Passed)),
        ("host-processors", Role::Master, |f| f.processors = Ok(3), Some(Failed)),
        ("host-processors", Role::Node, |f| f.processors = Ok(7), Some(Failed)),
        ("host-memory", Role::Node, |f| f.memory = Ok(28 * GIB), Some(Failed)),
        ("host-memory", Role::Master, |f| f.memory = Ok(8_000_000_000), Some(Passed)),
        ("host-memory", Role::Control, |f| f.memory = Ok(GIB), Some(Failed)),
        ("host-swap", Role::Node, |f| f.swap = Ok(vec!["/dev/dm-1".into()]), Some(Failed)),
        ("host-selinux", Role::Node, |f| f.selinux = Ok(SeLinux::Permissive), Some(Failed)),
        ("host-selinux", Role::Node, |f| f.selinux = Ok(SeLinux::Enforcing), Some(Failed)),
        ("host-firewall", Role::Node, |f| f.services = Ok(vec!["firewalld".into()]), Some(Failed)),
        ("host-firewall", Role::Node, |f| f.refusing_rules = Ok(vec!["-P INPUT DROP".into()]), Some(Failed)),
        ("host-firewall", Role::Node, |f| f.refusing_rules = Err("must be root".into()), Some(Unknown)),
        ("host-firewall", Role::Node, |f| f.services = Err("no systemd".into()), Some(Unknown)),
        (
            "host-firewall",
            Role::Node,
            |f| (f.services, f.refusing_rules) = (Err("no systemd".into()), Ok(vec!["-P INPUT DROP".into()])),
            Some(Failed),
        ),
        (
            "host-firewall",
            Role::Node,
            |f| (f.services, f.refusing_rules) = (Ok(vec!["ufw".into()]), Err("must be root".into())),
            Some(Failed),
        ),
        ("host-zone", Role::Node, |f| f.zone = zone("UTC0"), Some(Failed)),
        ("host-zone", Role::Node, |f| f.zone = zone("<+08>-8"), Some(Passed)),
        ("host-time-service", Role::Node, |f| f.services = Ok(vec!["firewalld".into()]), Some(Failed)),
        ("host-time-service", Role::Node, |f| f.services = Ok(vec!["ntpd".into()]), Some(Passed)),
        ("host-clock", Role::Node, |f| f.synchronised = Ok(false), Some(Failed)),
        ("host-docker", Role::Node, |f| f.docker = Ok(Some("18.09.9".into())), Some(Failed)),
        ("host-docker", Role::Node, |f| f.docker = Ok(None), Some(Failed)),
        ("host-docker", Role::Control, |f| f.docker = Ok(None), None),
        ("host-docker", Role::Control, |f| f.docker = Ok(Some("1.13.1".into())), Some(Failed)),
        ("host-docker", Role::Control, |f| f.docker = Err("hangs".into()), Some(Unknown)),
        ("host-kubelet", Role::Node, |f| f.kubelet = Ok(Some("1.19.16".into())), Some(Failed)),
        ("host-kubelet", Role::Node, |f| f.kubelet = Ok(Some("1.23.17".into())), Some(Passed)),
        ("host-kubelet", Role::Node, |f| f.kubelet = Ok(Some("1.24.0".into())), Some(Failed)),
        ("host-kubelet", Role::Control, |f| f.kubelet = Ok(None), None),
    ];
    for (name, role, change, expected) in rows {
        let mut facts = good();
        change(&mut facts);
        assert_eq!(finding(&facts, role, name), expected, "{name} {role}: {facts:?}");
    }
}

#[test]
fn disks() {
    for (root, data, role, on_disk, in_data) in [
        (disk(1, 95 * GB, GB), disk(1, 95 * GB, GB), Role::Control, Passed, None),
        (disk(1, 80 * GB, GB), disk(1, 80 * GB, GB), Role::Control, Failed, None),
        (disk(1, 50 * GB, GB), disk(2, 95 * GB, 90 * GB), Role::Node, Passed, Some(Passed)),
        (disk(1, 50 * GB, GB), disk(2, 95 * GB, 90 * GB), Role::Master, Passed, Some(Failed)),
        (disk(1, 50 * GB, GB), Err("no answer in 5 s".into()), Role::Node, Unknown, Some(Unknown)),
    ] {
        let checks = check_host(&good(), &storage(root, data), role);
        let of = |name| checks.iter().find(|check| check.name == name).map(|check| check.finding);
        assert_eq!((of("host-disk"), of("host-data")), (Some(on_disk), in_data), "{checks:#?}");
    }
}
