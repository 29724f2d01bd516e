//! What files and commands of a machine say. Takes text; CentOS 7 and today's distributions say it differently.

use std::fmt;

use super::Known;

/// A version, as far as it is numbers: `3.10.0-1160.el7.x86_64` is 3.10.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The numbers at the beginning of a text; at least two of them.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().ok());
        let (major, minor) = (numbers.next()??, numbers.next()??);
        Some(Self(major, minor, numbers.next().flatten().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// `/proc/cpuinfo`.
pub(super) fn processors(text: &str) -> Known<usize> {
    let is_processor = |line: &&str| line.split(':').next().is_some_and(|key| key.trim() == "processor");
    match text.lines().filter(is_processor).count() {
        0 => Err("/proc/cpuinfo names no processor".to_owned()),
        count => Ok(count),
    }
}

/// `/proc/meminfo`.
pub(super) fn memory(text: &str) -> Known<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    number.and_then(|kib| kib.checked_mul(1024)).ok_or_else(|| "/proc/meminfo has no MemTotal".to_owned())
}

/// `/proc/swaps`.
pub(super) fn swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// `os-release`.
pub(super) fn pretty_name(text: &str) -> Known<String> {
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map(|name| name.trim().trim_matches(['"', '\'']).to_owned());
    name.filter(|name| !name.is_empty()).ok_or_else(|| "/etc/os-release has no PRETTY_NAME".to_owned())
}

/// `/proc/self/status`: whether the effective user is 0.
pub(super) fn is_root(text: &str) -> Known<bool> {
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:"));
    let effective = line.and_then(|line| line.split_whitespace().nth(1));
    effective.map(|user| user == "0").ok_or_else(|| "/proc/self/status has no Uid".to_owned())
}

/// `systemctl is-active`: one word for each unit that was asked for. `None` where it says something else.
pub(super) fn active(text: &str, units: &[&str]) -> Option<Vec<String>> {
    let states: Vec<&str> = text.lines().map(str::trim).collect();
    if states.len() != units.len() || states.iter().any(|state| state.is_empty() || state.contains(' ')) {
        return None;
    }
    let active = units.iter().zip(states).filter(|(_, state)| matches!(*state, "active" | "reloading"));
    Some(active.map(|(unit, _)| (*unit).to_owned()).collect())
}

/// `timedatectl`: of systemd 219, and of those since 239.
pub(super) fn synchronised(text: &str) -> Known<bool> {
    let answer = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        matches!(key.trim(), "NTP synchronized" | "System clock synchronized").then(|| value.trim())
    });
    match answer {
        Some("yes") => Ok(true),
        Some("no") => Ok(false),
        _ => Err("timedatectl does not say whether the clock is synchronised".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, version) in [
            ("3.10.0-1160.el7.x86_64", Some(Version(3, 10, 0))),
            ("6.1.0-18-amd64", Some(Version(6, 1, 0))),
            ("19.03.15", Some(Version(19, 3, 15))),
            ("20.10.24+dfsg1", Some(Version(20, 10, 24))),
            ("17.03.2-ce", Some(Version(17, 3, 2))),
            ("5.4", Some(Version(5, 4, 0))),
            ("1.20.15", Some(Version(1, 20, 15))),
            ("5", None),
            ("", None),
            ("v1.20", None),
        ] {
            assert_eq!(Version::parse(text), version, "{text}");
        }
        assert!(Version(19, 3, 0) > Version(18, 9, 9));
    }

    #[test]
    fn proc_files() {
        let x86 = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) processor : x\n\nprocessor\t: 1\n";
        let arm = "processor\t: 0\nBogoMIPS\t: 100.00\nFeatures\t: fp\n";
        assert_eq!((processors(x86), processors(arm)), (Ok(2), Ok(1)));
        assert!(processors("").is_err());
        assert_eq!(memory("MemTotal:        7990144 kB\nMemFree:  1 kB\n"), Ok(7_990_144 * 1024));
        for bad in ["", "MemTotal: many kB", "MemTotal: 18446744073709551615 kB"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        let head = "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n";
        assert!(swaps(head).is_empty());
        let on = format!("{head}/dev/dm-1                               partition\t2097148\t0\t-2\n");
        assert_eq!(swaps(&on), ["/dev/dm-1"]);
        assert_eq!(is_root("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Ok(true));
        assert_eq!(is_root("Uid:\t0\t1000\t0\t0\n"), Ok(false));
        assert!(is_root("").is_err());
    }

    #[test]
    fn distributions() {
        let centos = "NAME=\"CentOS Linux\"\nVERSION=\"7 (Core)\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"\n";
        assert_eq!(pretty_name(centos).unwrap(), "CentOS Linux 7 (Core)");
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n";
        assert_eq!(pretty_name(debian).unwrap(), "Debian GNU/Linux 12 (bookworm)");
        assert!(pretty_name("NAME=x\n").is_err());
    }

    #[test]
    fn services() {
        let units = ["chronyd", "ntpd", "firewalld"];
        // systemd 219 says `unknown` of units that are not installed, later ones `inactive`.
        assert_eq!(active("active\nunknown\nactive\n", &units).unwrap(), ["chronyd", "firewalld"]);
        assert_eq!(active("inactive\ninactive\nfailed\n", &units).unwrap(), [""; 0]);
        assert_eq!(active("", &units), None);
        assert_eq!(active("active\nSystem has not been booted\nactive\n", &units), None);
    }

    #[test]
    fn clocks() {
        let centos = "      Local time: Fri 2024-03-01 10:00:00 CST\n  Universal time: Fri 2024-03-01 02:00:00 UTC\n        RTC time: Fri 2024-03-01 02:00:00\n       Time zone: Asia/Shanghai (CST, +0800)\n     NTP enabled: yes\nNTP synchronized: yes\n RTC in local TZ: no\n      DST active: n/a\n";
        let debian = "               Local time: Fri 2024-03-01 10:00:00 CST\n                Time zone: Asia/Shanghai (CST, +0800)\nSystem clock synchronized: no\n              NTP service: active\n          RTC in local TZ: no\n";
        assert_eq!((synchronised(centos), synchronised(debian)), (Ok(true), Ok(false)));
        assert!(synchronised("").is_err());
    }
}
