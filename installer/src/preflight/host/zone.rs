//! The time zone, from the compiled file that the C library reads ([RFC 9636]).
//!
//! Its last line says in words what holds from now on. So a copy of a zone is known as well as a link to it, and a zone
//! of another name as well as Asia/Shanghai.
//!
//! [RFC 9636]: https://www.rfc-editor.org/rfc/rfc9636

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Known;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Its name, where the file is a link to one.
    pub name: Option<String>,
    /// Its rule: `CST-8`.
    pub rule: String,
}

impl Zone {
    /// What holds where no zone is set.
    pub(super) fn utc() -> Self {
        Self { name: None, rule: "UTC0".to_owned() }
    }

    /// Whether its clocks always show what those of Beijing do.
    pub fn is_beijing_time(&self) -> bool {
        let after_name = match self.rule.strip_prefix('<') {
            Some(rest) => rest.split_once('>').map(|(_, offset)| offset),
            None => self.rule.find(|c: char| !c.is_ascii_alphabetic()).map(|at| &self.rule[at..]),
        };
        // POSIX counts westwards; whatever follows would be daylight saving time.
        matches!(after_name, Some("-8" | "-08" | "-8:00" | "-08:00"))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.rule),
            None => f.write_str(&self.rule),
        }
    }
}

/// Reads `/etc/localtime`; `link` is where it points to.
pub(super) fn parse(bytes: &[u8], link: Option<&Path>) -> Known<Zone> {
    let name = link.and_then(|link| link.to_str()?.split_once("zoneinfo/")).map(|(_, name)| name.to_owned());
    let is_zone = bytes.starts_with(b"TZif") && bytes.get(4).is_some_and(|version| *version >= b'2');
    let footer = bytes.strip_suffix(b"\n").and_then(|body| {
        let begin = body.iter().rposition(|&byte| byte == b'\n')? + 1;
        std::str::from_utf8(&body[begin..]).ok()
    });
    match footer.filter(|rule| is_zone && !rule.is_empty() && rule.chars().all(|c| c.is_ascii_graphic())) {
        Some(rule) => Ok(Zone { name, rule: rule.to_owned() }),
        None => Err("/etc/localtime does not say which rule holds now".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(footer: &str) -> Vec<u8> {
        [b"TZif2\0\0\0\n\0data\x01\n".as_slice(), footer.as_bytes(), b"\n"].concat()
    }

    #[test]
    fn rules() {
        for (rule, expected) in [
            ("CST-8", true),
            ("HKT-8", true),
            ("PST-8", true),
            ("<+08>-8", true),
            ("<+08>-08:00", true),
            ("UTC0", false),
            ("JST-9", false),
            ("PST8", false),
            ("PST8PDT,M3.2.0,M11.1.0", false),
            // Mongolia, had it kept its summer time.
            ("<+08>-8<+09>,M3.5.6,M9.5.6/0", false),
            ("<+08-8", false),
        ] {
            let zone = parse(&file(rule), None).unwrap();
            assert_eq!(zone.is_beijing_time(), expected, "{rule}");
        }
        assert!(!Zone::utc().is_beijing_time());
    }

    #[test]
    fn names() {
        let link = Path::new("../usr/share/zoneinfo/Asia/Shanghai");
        let zone = parse(&file("CST-8"), Some(link)).unwrap();
        assert_eq!(zone.to_string(), "Asia/Shanghai (CST-8)");
        assert_eq!(parse(&file("CST-8"), None).unwrap().to_string(), "CST-8");
        for bad in [&b""[..], b"TZif\0\n\n", b"TZif2", b"text\nCST-8\n", b"TZif2\n\xff\n", b"TZif2\n\n"] {
            assert!(parse(bad, None).is_err(), "{bad:?}");
        }
    }

    /// What the C library's own zones say, where this machine has them.
    #[test]
    fn the_real_thing() {
        for (name, expected) in [("Asia/Shanghai", true), ("Asia/Singapore", true), ("Asia/Tokyo", false)] {
            let Ok(bytes) = std::fs::read(Path::new("/usr/share/zoneinfo").join(name)) else { return };
            assert_eq!(parse(&bytes, None).unwrap().is_beijing_time(), expected, "{name}");
        }
    }
}
