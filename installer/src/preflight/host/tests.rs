//! Machines made of files and of what commands say there.
#![expect(clippy::unnecessary_wraps, reason = "facts as they stand in tables, where others are not known")]

use std::fs;

use super::super::machine::tests::Fake;
use super::*;

fn says(stdout: &str) -> io::Result<Ran> {
    Ok(Ran { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() })
}

fn fails(code: i32, stdout: &str, stderr: &str) -> io::Result<Ran> {
    Ok(Ran { code: Some(code), stdout: stdout.to_owned(), stderr: stderr.to_owned() })
}

const ACTIVE: &str = "systemctl is-active chronyd chrony ntpd ntp ntpsec systemd-timesyncd firewalld ufw";
const DOCKER: &str = "docker version --format {{.Server.Version}}";

fn fake(folder: &tempfile::TempDir, files: &[(&str, &[u8])], commands: Vec<(&str, io::Result<Ran>)>) -> Fake {
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let commands = commands.into_iter().map(|(line, ran)| (line.to_owned(), ran)).collect();
    Fake { root: folder.path().to_owned(), commands, file_systems: BTreeMap::new() }
}

/// A node out of the box: everything that the guide wants otherwise.
#[test]
fn centos_7_9_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let new_york = b"TZif2\0\0data\nEST5EDT,M3.2.0,M11.1.0\n";
    let machine = fake(
        &folder,
        &[
            ("proc/sys/kernel/hostname", b"node-1\n"),
            ("proc/sys/kernel/osrelease", b"3.10.0-1160.el7.x86_64\n"),
            ("proc/cpuinfo", b"processor\t: 0\n\nprocessor\t: 1\n"),
            ("proc/meminfo", b"MemTotal:        3880516 kB\n"),
            ("proc/swaps", b"Filename\tType\tSize\tUsed\tPriority\n/dev/dm-1 partition 2097148 0 -2\n"),
            ("proc/self/status", b"Name:\tferry\nUid:\t0\t0\t0\t0\n"),
            ("sys/fs/selinux/enforce", b"1"),
            ("etc/centos-release", b"CentOS Linux release 7.9.2009 (Core)\n"),
            ("etc/os-release", b"PRETTY_NAME=\"CentOS Linux 7 (Core)\"\n"),
            ("usr/share/zoneinfo/America/New_York", new_york),
            ("run/systemd/system/x", b""),
        ],
        vec![
            (ACTIVE, fails(3, "active\nunknown\nunknown\nunknown\nunknown\nunknown\nactive\nunknown\n", "")),
            ("timedatectl ", says("     NTP enabled: yes\nNTP synchronized: no\n")),
            (
                "iptables -w -S",
                says("-P INPUT ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n"),
            ),
            (DOCKER, fails(1, "\n", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n")),
            ("kubelet --version", says("Kubernetes v1.20.15\n")),
        ],
    );
    let link = folder.path().join("etc/localtime");
    std::os::unix::fs::symlink("../usr/share/zoneinfo/America/New_York", link).unwrap();
    let facts = gather_host(&machine);
    let expected = HostFacts {
        name: Ok("node-1".into()),
        system: Ok("CentOS Linux release 7.9.2009 (Core)".into()),
        kernel: Ok("3.10.0-1160.el7.x86_64".into()),
        processors: Ok(2),
        memory: Ok(3_880_516 * 1024),
        swap: Ok(vec!["/dev/dm-1".into()]),
        selinux: Ok(SeLinux::Enforcing),
        services: Ok(vec!["chronyd".into(), "firewalld".into()]),
        refusing_rules: Ok(vec!["-A INPUT -j REJECT --reject-with icmp-host-prohibited".into()]),
        zone: Ok(Zone { name: Some("America/New_York".into()), rule: "EST5EDT,M3.2.0,M11.1.0".into() }),
        synchronised: Ok(false),
        docker: Err("docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.".into()),
        kubelet: Ok(Some("1.20.15".into())),
        systemd: Ok(true),
        root: Ok(true),
    };
    assert_eq!(facts, expected);
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<HostFacts>(&text).unwrap(), facts);
}

#[test]
fn debian_12_that_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let machine = fake(
        &folder,
        &[
            ("proc/swaps", b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
            ("etc/os-release", b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            ("etc/localtime", b"TZif2\0\0data\nCST-8\n"),
        ],
        vec![
            (
                ACTIVE,
                fails(
                    3,
                    "inactive\ninactive\ninactive\ninactive\ninactive\nactive\ninactive\ninactive\n",
                    "",
                ),
            ),
            ("timedatectl ", says("System clock synchronized: yes\n              NTP service: active\n")),
            ("nft list ruleset", says("table ip nat {\n\tchain DOCKER {\n\t}\n}\n")),
            (DOCKER, says("20.10.24+dfsg1\n")),
        ],
    );
    let facts = gather_host(&machine);
    assert_eq!(facts.system.unwrap(), "Debian GNU/Linux 12 (bookworm)");
    assert_eq!((facts.swap, facts.selinux), (Ok(vec![]), Ok(SeLinux::Disabled)));
    assert_eq!(facts.services, Ok(vec!["systemd-timesyncd".into()]));
    assert_eq!((facts.refusing_rules, facts.synchronised), (Ok(vec![]), Ok(true)));
    assert!(facts.zone.unwrap().is_beijing_time());
    assert_eq!((facts.docker, facts.kubelet), (Ok(Some("20.10.24+dfsg1".into())), Ok(None)));
    assert_eq!(facts.systemd, Ok(false));
}

/// Not known is not the same as not there.
#[test]
fn a_machine_that_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hung = || Err(io::ErrorKind::TimedOut.into());
    let no_systemd = "System has not been booted with systemd as init system (PID 1). Can't operate.\n";
    let machine = fake(
        &folder,
        &[("sys/fs/selinux/enforce", b"x"), ("etc/localtime", b"")],
        vec![
            (ACTIVE, fails(1, "", no_systemd)),
            (
                "iptables -w -S",
                fails(
                    4,
                    "",
                    "iptables v1.8.9: Could not fetch rule set generation id: Permission denied (you must be root)\n",
                ),
            ),
            ("timedatectl ", hung()),
            (DOCKER, hung()),
            ("kubelet --version", fails(127, "", "")),
        ],
    );
    let facts = gather_host(&machine);
    assert!(facts.services.unwrap_err().contains("not been booted"));
    let rules = facts.refusing_rules.unwrap_err();
    assert!(rules.contains("must be root") && rules.contains("nft"), "{rules}");
    assert!(facts.name.is_err() && facts.kernel.is_err() && facts.memory.is_err() && facts.swap.is_err());
    assert!(facts.selinux.is_err() && facts.zone.is_err() && facts.synchronised.is_err());
    assert!(facts.docker.is_err() && facts.root.is_err());
    assert_eq!(facts.kubelet.unwrap_err(), "kubelet: it failed without a word");
}

#[test]
fn this_machine_can_be_looked_at() {
    let facts = gather_host(&super::super::machine::ThisMachine);
    assert!(Version::parse(&facts.kernel.unwrap()) >= Some(Version(3, 10, 0)));
    assert!(facts.processors.unwrap() > 0 && facts.memory.unwrap() > 1 << 20);
}
