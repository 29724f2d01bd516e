//! dockerd as it is found on nodes. `FERRY_UPDATE_GOLDEN=1 cargo test -p ferry-installer golden` writes the answers anew.

use super::super::testing::{golden, says};
use super::*;

const DESIRED: &str = r#"{"registries":[
    {"address":"plain.corp:5000","security":{"as":"plain-http"},"mirrors":["docker.io"]},
    {"address":"tls.corp","security":{"as":"https","authority":"-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n"}},
    {"address":"10.0.0.9:443","security":{"as":"unverified"}}]}"#;
const ONE: &str = r#"{"registries":[{"address":"plain.corp:5000","security":{"as":"plain-http"}}]}"#;
const SECURE: &str = r#"{"registries":[{"address":"tls.corp","security":{"as":"https"}}]}"#;
const PREFIXED: &str = r#"{"registries":[{"address":"tls.corp","security":{"as":"https"},"prefix":"mirror",
    "mirrors":["docker.io","hub.bktencent.com"]}]}"#;

const JSON: &str = "/etc/docker/daemon.json";
const UNIT: &str = "/usr/lib/systemd/system/docker.service";
const PLAIN_UNIT: &str = "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n";
const DEBIAN: &str =
    "[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n";

/// With a plain unit and this `daemon.json`.
fn with(name: &'static str, desired: &'static str, json: &'static str) -> Case {
    (name, desired, vec![(UNIT, PLAIN_UNIT), (JSON, json)])
}

type Case = (&'static str, &'static str, Vec<(&'static str, &'static str)>);

fn cases() -> Vec<Case> {
    let mut cases = vec![
        ("no docker", DESIRED, vec![(JSON, "{}")]),
        ("no daemon.json", DESIRED, vec![(UNIT, PLAIN_UNIT)]),
        ("a program without a unit", ONE, vec![("/usr/bin/dockerd", "")]),
        ("another unit", ONE, vec![("/etc/systemd/system/dockerd.service", PLAIN_UNIT)]),
        with("nothing that daemon.json must say", SECURE, "{ broken"),
        with("an empty file", ONE, ""),
        with("spaces and a line end", ONE, "  \n"),
        with("a byte order mark alone", ONE, "\u{feff}"),
        with("{}", ONE, "{}"),
        with("{} over two lines", ONE, "{\n}\n"),
        with(
            "two spaces",
            DESIRED,
            "{\n  \"debug\": true,\n  \"log-opts\": {\n    \"max-size\": \"10m\"\n  }\n}\n",
        ),
        with("tabs", ONE, "{\n\t\"debug\": true\n}\n"),
        with("returns", ONE, "{\r\n    \"debug\": true\r\n}\r\n"),
        with("a byte order mark", ONE, "\u{feff}{\n  \"debug\": true\n}"),
        with("one line", DESIRED, "{\"debug\":true,\"hosts\":[\"fd://\"]}"),
        with("one line with spaces", ONE, "{ \"debug\": true }\n"),
        with(
            "unknown keys and their order",
            ONE,
            "{\n  \"zeta\": {\"a\": [1, 2.50, 1e3]},\n  \"alpha\": null,\n  \"text\": \"\\u00e9\\/\"\n}\n",
        ),
        with("no space before the closing brace", ONE, "{\n  \"debug\": true}"),
        with("ours there already", ONE, "{\"insecure-registries\": [\"PLAIN.corp:5000\"]}"),
        with(
            "others there",
            ONE,
            "{\n  \"insecure-registries\": [\n    \"10.0.0.0/8\"\n  ],\n  \"debug\": false\n}\n",
        ),
        with("others there in one line", ONE, "{\n  \"insecure-registries\": [\"10.0.0.0/8\",\"a:1\"]\n}\n"),
        with("an empty list", ONE, "{\n  \"insecure-registries\": [],\n  \"debug\": false\n}\n"),
        with("null for a list", ONE, "{\"insecure-registries\": null}"),
        with("mirrors there", DESIRED, "{\n  \"registry-mirrors\": [\"https://mirror.example\"]\n}\n"),
        with(
            "our mirror there with a slash",
            DESIRED,
            "{\n  \"registry-mirrors\": [\"http://plain.corp:5000/\"]\n}\n",
        ),
        with("mirrors that dockerd cannot have", PREFIXED, "{}"),
        with(
            "duplicate keys",
            ONE,
            "{\"insecure-registries\":[\"a:1\"],\"x\":1,\"insecure-registries\":[\"b:1\"]}",
        ),
        with("insecure though it need not be", SECURE, "{\"insecure-registries\": [\"tls.corp\"]}"),
        with("a comma too many", ONE, "{\n  \"debug\": true,\n}\n"),
        with("a comma too few", ONE, "{\n  \"debug\": true\n  \"a\": 1\n}\n"),
        with("a comment", ONE, "{\n  // mirrors\n  \"debug\": true\n}\n"),
        with("cut off", ONE, "{\n  \"debug\": tr"),
        with("a list", ONE, "[]"),
        with("a text for a list", ONE, "{\n  \"insecure-registries\": \"a:1\"\n}\n"),
        with("a broken line with a secret", ONE, "{\n  \"password\": \"s3cret\" \"x\"\n}\n"),
    ];
    cases.extend(flags());
    cases.extend(certificates());
    cases
}

fn flags() -> Vec<Case> {
    let flagged = |flags: &'static str, json: &'static str| vec![(UNIT, flags), (JSON, json)];
    vec![
        (
            "a flag in the unit",
            ONE,
            flagged("[Service]\nExecStart=/usr/bin/dockerd --insecure-registry=a:1\n", "{}"),
        ),
        (
            "a flag that has ours",
            ONE,
            flagged("[Service]\nExecStart=/usr/bin/dockerd --insecure-registry plain.corp:5000\n", "{}"),
        ),
        (
            "a flag and a list",
            ONE,
            flagged(
                "[Service]\nExecStart=/usr/bin/dockerd \\\n  --insecure-registry=a:1\n",
                "{\"insecure-registries\":[]}",
            ),
        ),
        (
            "a flag for mirrors alone",
            DESIRED,
            flagged("[Service]\nExecStart=/usr/bin/dockerd --registry-mirror=https://m\n", "{}"),
        ),
        (
            "another config file",
            ONE,
            vec![
                (UNIT, "[Service]\nExecStart=/usr/bin/dockerd --config-file /opt/docker.json\n"),
                (JSON, "{ broken"),
            ],
        ),
        (
            "variables of Debian",
            ONE,
            vec![
                (UNIT, DEBIAN),
                ("/etc/default/docker", "# none\nDOCKER_OPTS=\"--dns 8.8.8.8 --insecure-registry=a:1\"\n"),
            ],
        ),
        (
            "variables of Debian that are not set",
            ONE,
            vec![(UNIT, DEBIAN), ("/etc/default/docker", "#DOCKER_OPTS=\"--insecure-registry=a:1\"\n")],
        ),
        (
            "a drop-in",
            ONE,
            vec![
                (UNIT, PLAIN_UNIT),
                (
                    "/etc/systemd/system/docker.service.d/10-old.conf",
                    "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --insecure-registry=a:1\n",
                ),
            ],
        ),
        (
            "a drop-in that takes the flag away",
            ONE,
            vec![
                (UNIT, "[Service]\nExecStart=/usr/bin/dockerd --insecure-registry=a:1\n"),
                (
                    "/etc/systemd/system/docker.service.d/x.conf",
                    "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd\n",
                ),
            ],
        ),
        (
            "variables of a drop-in",
            ONE,
            vec![
                (UNIT, "[Service]\nExecStart=/usr/bin/dockerd $DOCKER_NETWORK_OPTIONS ${HOST}\n"),
                (
                    "/run/systemd/system/docker.service.d/x.conf",
                    "[Service]\nEnvironment=\"DOCKER_NETWORK_OPTIONS=--mtu 1450 --insecure-registry=a:1\" HOST=x\n",
                ),
            ],
        ),
        (
            "a running dockerd without a unit",
            ONE,
            vec![
                ("/usr/bin/dockerd", ""),
                ("/run/docker.pid", "712\n"),
                ("/proc/712/cmdline", "dockerd\0--insecure-registry\0a:1\0"),
            ],
        ),
        (
            "an init script",
            ONE,
            vec![("/usr/bin/dockerd", ""), ("/etc/sysconfig/docker", "OPTIONS='--insecure-registry=a:1'\n")],
        ),
    ]
}

fn certificates() -> Vec<Case> {
    let folder = "/etc/docker/certs.d/tls.corp";
    let with = |name: &'static str, path: &'static str, text: &'static str| {
        assert!(path.starts_with(folder));
        (
            name,
            DESIRED,
            vec![
                (UNIT, PLAIN_UNIT),
                (path, text),
                (
                    JSON,
                    r#"{"registry-mirrors":["http://plain.corp:5000"],"insecure-registries":["plain.corp:5000","10.0.0.9:443"]}"#,
                ),
            ],
        )
    };
    vec![
        with(
            "a certificate of somebody",
            "/etc/docker/certs.d/tls.corp/ca.crt",
            "-----BEGIN CERTIFICATE-----\nCCCC\n-----END CERTIFICATE-----\n",
        ),
        with(
            "the certificate under another name",
            "/etc/docker/certs.d/tls.corp/site.crt",
            "old\n-----BEGIN CERTIFICATE-----\r\nAAAABBBB\r\n-----END CERTIFICATE-----\r\n",
        ),
        with("a client's certificate beside", "/etc/docker/certs.d/tls.corp/client.cert", "x"),
    ]
}

#[test]
fn dockerd_is_made_to_forget_lists_that_go() {
    let forgets = |now: &str, then: Option<&str>| {
        let bytes = forgetting(Some(now.as_bytes()), then.map(str::as_bytes));
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let now = r#"{"insecure-registries":["a:1"],"registry-mirrors":["http://a:1"]}"#;
    assert_eq!(forgets(now, None).unwrap(), r#"{"insecure-registries":[],"registry-mirrors":[]}"#);
    let then = r#"{"registry-mirrors":[]}"#;
    assert_eq!(forgets(now, Some(then)).unwrap(), r#"{"insecure-registries":[],"registry-mirrors":[]}"#);
    assert_eq!(forgets(now, Some(now)), None);
    assert_eq!(forgets("{}", None), None);
    assert_eq!(forgets(now, Some("{ broken")), None);
}

#[test]
fn golden_configurations() {
    let mut text = String::new();
    let cases = cases();
    assert!(cases.len() >= 45, "{}", cases.len());
    for (name, desired, files) in cases {
        let desired = serde_json::from_str(desired).unwrap();
        text.push_str(&format!("== {name}\n{}\n", says(edits, &files, &desired)));
    }
    assert!(!text.contains("s3cret"));
    golden("docker/tests/golden.txt", &text);
}
