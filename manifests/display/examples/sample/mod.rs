//! Reports as a site could have them, made up here: for looking at, and for tests.

use ferry_model::Digest;
use ferry_model::failure::Class;
use ferry_model::plan::{Action, Identity, PLAN_VERSION, ResourceId, State, StepId};
use ferry_model::report::{Change, Check, Content, Failed, Finding, Outcome, Report, Severity, Signer};

const MIB: u64 = 1 << 20;
const REGISTRY: &str = "registry.sz.bank.example:5000";

/// Name and MiB, of each kind.
const IMAGES: [(&str, u64); 24] = [
    ("blueking/slug-app:v1.1.0-beta.27", 1893),
    ("blueking/bk-log-search-api:4.6.8", 1211),
    ("blueking/bk-monitor:3.8.11", 1174),
    ("blueking/bk-monitor-web:3.8.11", 1038),
    ("blueking/job-execute:3.7.1.10", 642),
    ("blueking/job-manage:3.7.1.10", 588),
    ("blueking/bk-repo-generic:1.3.16", 527),
    ("blueking/bk-repo-docker:1.3.16", 521),
    ("blueking/bkpaas3-apiserver:1.1.0", 498),
    ("blueking/cmdb-apiserver:3.11.5", 344),
    ("blueking/cmdb-coreservice:3.11.5", 340),
    ("blueking/cmdb-webserver:3.11.5", 326),
    ("blueking/gse-data:2.1.3", 297),
    ("blueking/gse-task:2.1.3", 281),
    ("blueking/bk-iam:1.12.6", 214),
    ("blueking/bk-user:2.5.4", 197),
    ("bitnami/mysql:5.7.26", 456),
    ("bitnami/mongodb:4.4.11", 438),
    ("bitnami/rabbitmq:3.8.3", 211),
    ("bitnami/redis:5.0.9", 98),
    ("bitnami/kafka:2.5.0", 612),
    ("bitnami/etcd:3.4.15", 134),
    ("ingress-nginx/controller:v1.1.1", 285),
    ("library/registry:2", 25),
];
const CHARTS: [(&str, u64); 6] = [
    ("bkrepo-1.3.16", 1),
    ("bk-paas-1.1.0", 2),
    ("bk-cmdb-3.11.5", 1),
    ("bk-job-0.4.6", 1),
    ("bk-monitor-3.8.11", 3),
    ("ingress-nginx-4.0.16", 1),
];
const RUNTIMES: [(&str, u64); 5] = [
    ("runtimes/nodejs/node-v14.16.1-linux-x64.tar.gz", 32),
    ("runtimes/nodejs/node-v16.16.0-linux-x64.tar.gz", 34),
    ("runtimes/python/python-3.6.12.tar.gz", 71),
    ("runtimes/python/python-3.10.5.tar.gz", 88),
    ("runtimes/go/go1.20.1.linux-amd64.tar.gz", 97),
];
const SAAS: [(&str, u64); 4] = [
    ("bk_itsm 2.6.6", 214),
    ("bk_sops 3.28.11", 187),
    ("bk_nodeman 2.3.4", 402),
    ("bk_lesscode 0.0.18", 133),
];
const FILES: [(&str, u64); 2] = [("docs/offline-install-guide.pdf", 19), ("tools/bkdl-7.1-stable.tgz", 6)];

const DIFF: &str = "--- /etc/docker/daemon.json\n+++ /etc/docker/daemon.json\n@@ -1,6 +1,9 @@\n {\n   \"data-root\": \"/data/docker\",\n   \"exec-opts\": [\"native.cgroupdriver=systemd\"],\n-  \"insecure-registries\": [\"10.0.4.7:5000\"],\n+  \"insecure-registries\": [\n+    \"10.0.4.7:5000\",\n+    \"docker.sz.bank.example\"\n+  ],\n   \"live-restore\": true\n }\n";

fn contents() -> Vec<Content> {
    let kinds: [(&str, &[(&str, u64)]); 5] =
        [("image", &IMAGES), ("chart", &CHARTS), ("runtime", &RUNTIMES), ("saas", &SAAS), ("file", &FILES)];
    let content = |kind: &str, name: &str, size: u64| Content {
        kind: kind.into(),
        name: if kind == "image" { format!("hub.bktencent.com/{name}") } else { name.into() },
        digest: Digest::of(name.as_bytes()).to_string(),
        size: size * MIB + size * 7919,
    };
    let mut contents: Vec<Content> = kinds
        .iter()
        .flat_map(|(kind, entries)| entries.iter().map(move |(name, size)| content(kind, name, *size)))
        .collect();
    contents.sort_by_key(|content| std::cmp::Reverse(content.size));
    contents
}

fn check(name: &str, subject: &str, severity: Severity, finding: Finding, texts: [&str; 3]) -> Check {
    let [found, reason, remedy] = texts.map(str::to_owned);
    Check { name: name.into(), subject: subject.into(), severity, finding, found, reason, remedy }
}

fn checks() -> Vec<Check> {
    use Finding::{Failed, Passed, Unknown};
    use Severity::{Advised, Required};
    vec![
        check(
            "disk-space",
            "/data/ferry",
            Required,
            Passed,
            ["412.0 GiB free, 16.2 GiB needed", "what the bundle brings must fit where it is kept", ""],
        ),
        check(
            "disk-inodes",
            "/data/ferry",
            Required,
            Passed,
            [
                "26,214,400 free, 1,884 needed",
                "a registry keeps each blob as files of its own; a file system without free inodes is full",
                "",
            ],
        ),
        check(
            "registry-name",
            "registry.sz.bank.example",
            Required,
            Passed,
            [
                "resolves to 10.0.4.21",
                "everything that pushes and pulls looks the registry up by this name",
                "",
            ],
        ),
        check(
            "registry-port",
            "10.0.4.21:5000",
            Required,
            Passed,
            [
                "nothing listens there",
                "nothing can be pushed or pulled through a port that something else holds",
                "",
            ],
        ),
        check(
            "host-swap",
            "paas-ctl-01",
            Required,
            Passed,
            ["off", "BlueKing's guide wants it off; kubelet does not start with it", ""],
        ),
        check(
            "host-firewall",
            "paas-ctl-01",
            Required,
            Passed,
            [
                "firewalld is not active",
                "BlueKing's guide wants it off; it cuts nodes and pods off from each other",
                "",
            ],
        ),
        check(
            "host-zone",
            "paas-ctl-01",
            Advised,
            Failed,
            [
                "UTC, expected Asia/Shanghai",
                "BlueKing's guide wants Beijing time on all machines; logs and schedules go wrong otherwise",
                "timedatectl set-timezone Asia/Shanghai",
            ],
        ),
        check(
            "host-memory",
            "paas-ctl-01",
            Advised,
            Failed,
            [
                "15.5 GiB, expected 16.0 GiB",
                "BlueKing's guide asks for that much at least",
                "add memory to the machine, or give it another role",
            ],
        ),
        check(
            "bkrepo-clock",
            "bkrepo.sz.bank.example",
            Required,
            Unknown,
            [
                "no answer within 5 s",
                "bkrepo refuses tokens (\"Expired token\") where clocks differ by more than 60 s",
                "set both clocks by the same time server (chronyd or ntpd)",
            ],
        ),
    ]
}

/// A change that went well.
fn done(action: Action, resource: ResourceId, summary: &str, reason: &str, after: State) -> Change {
    Change {
        step: StepId(0),
        action,
        resource,
        summary: summary.into(),
        reason: reason.into(),
        outcome: Outcome::Done,
        before: State::Absent,
        after: Some(after),
        diff: None,
        bytes: 0,
        duration_ms: Some(12),
        failure: None,
    }
}

fn sha256(text: &str) -> String {
    Digest::of(text.as_bytes()).hex()
}

/// What brings the registry up.
fn preparations() -> Vec<Change> {
    use Action::{Check, Create, Restart, Update};
    let ready = || State::present([("ready", "yes")]);
    let config = "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /data/ferry/registry\nhttp:\n  addr: :5000\n";
    let added: String = config.lines().map(|line| format!("+{line}\n")).collect();
    vec![
        done(
            Create,
            ResourceId::new("folder", "/etc/ferry/registry"),
            "make /etc/ferry/registry, mode 0700",
            "the registry's configuration and keys lie there",
            State::present([("mode", "0700")]),
        ),
        done(
            Create,
            ResourceId::new("certificates", "/etc/ferry/registry/tls"),
            "make an authority, and a certificate for registry.sz.bank.example, 10.0.4.21",
            "the site file asks for a self-signed authority",
            State::present([("names", "registry.sz.bank.example 10.0.4.21"), ("valid", "until 2029-03-01")]),
        ),
        Change {
            diff: Some(format!(
                "--- /dev/null\n+++ /etc/ferry/registry/config.yml\n@@ -0,0 +1,6 @@\n{added}"
            )),
            ..done(
                Create,
                ResourceId::new("file", "/etc/ferry/registry/config.yml"),
                "write /etc/ferry/registry/config.yml (0.2 KiB)",
                "the registry is told here where its files lie",
                State::present([("mode", "0600".to_owned()), ("sha256", sha256(config))]),
            )
        },
        Change {
            before: State::present([
                ("mode", "0644".to_owned()),
                ("sha256", sha256("daemon.json of before")),
            ]),
            diff: Some(DIFF.into()),
            ..done(
                Update,
                ResourceId::new("file", "/etc/docker/daemon.json"),
                "add docker.sz.bank.example to insecure-registries",
                "nodes pull from bkrepo over plain HTTP",
                State::present([("mode", "0644".to_owned()), ("sha256", sha256(DIFF))]),
            )
        },
        Change {
            before: State::present([("active", "no"), ("enabled", "no")]),
            duration_ms: Some(1_412),
            ..done(
                Restart,
                ResourceId::new("unit", "ferry-registry.service"),
                "start ferry-registry.service, now and at each boot",
                "its configuration changed",
                State::present([("active", "yes"), ("enabled", "yes")]),
            )
        },
        Change {
            before: ready(),
            duration_ms: Some(38),
            ..done(
                Check,
                ResourceId::new("endpoint", REGISTRY),
                "see that the registry answers",
                "nothing is pushed before it does",
                ready(),
            )
        },
    ]
}

fn push(name: &str, size: u64) -> Change {
    let name = format!("{REGISTRY}/{name}");
    let digest = Digest::of(name.as_bytes()).to_string();
    Change {
        // What several images share is moved once.
        bytes: size * MIB * 7 / 10,
        duration_ms: Some(size * 11 + 140),
        ..done(
            Action::Create,
            ResourceId::new("image", &name),
            &format!("push {name}"),
            "the registry does not have it",
            State::present([("digest", digest)]),
        )
    }
}

/// A run that went well but for two images, which is what most reports look like when they are read with care.
pub(crate) fn report() -> Report {
    let mut changes = preparations();
    changes.extend(IMAGES.iter().map(|(name, size)| push(name, *size)));
    for (number, change) in (1..).zip(&mut changes) {
        change.step = StepId(number);
    }
    let failure = Failed::because(
        Class::Denied,
        format!(
            "cannot push {REGISTRY}/bitnami/kafka:2.5.0: 413 Request Entity Too Large: the proxy in front of the registry refuses requests of this size"
        ),
    );
    let failed =
        changes.iter_mut().find(|change| change.resource.as_str().contains("kafka")).expect("it is listed");
    failed.outcome = Outcome::Failed;
    failed.after = None;
    failed.failure = Some(
        failure
            .hint(
                "nginx: client_max_body_size 0; Ingress: nginx.ingress.kubernetes.io/proxy-body-size: \"0\"",
            )
            .hint("run `ferry-installer apply` again: it goes on with what is left"),
    );
    let skipped = changes.last_mut().expect("it is listed");
    (skipped.outcome, skipped.after, skipped.duration_ms) = (Outcome::NotTried, None, None);
    Report {
        format_version: PLAN_VERSION,
        run: "2026-03-01T093000Z-7f3a".into(),
        program: "0.1.0".into(),
        identity: Identity {
            bundle: "bkce".parse().expect("a name"),
            version: "7.1.3".parse().expect("a name"),
            catalog: Digest::of(b"catalog"),
            site: "sz-dc1".parse().expect("a name"),
            site_file: Digest::of(b"site"),
        },
        began: 1_772_357_400_000,
        ended: Some(1_772_357_400_000 + 64_700),
        signer: Signer::Verified {
            key: "RWQ6kzPHu4Yr2Yb1".into(),
            comment: "bkce 7.1.3, built 2026-02-27, release desk".into(),
        },
        bundle_size: 9_881 * MIB,
        contents: contents(),
        missing: Vec::new(),
        checks: checks(),
        changes,
        unchanged: 3,
        waiting: Vec::new(),
        by_hand: vec![
            "Add registry.sz.bank.example (10.0.4.21) to DNS, or to /etc/hosts on each node".into(),
            "6 charts go nowhere: the site file says `charts: {push: false}`".into(),
            "Give /etc/ferry/registry/tls/ca.crt to whoever pulls from outside the cluster".into(),
        ],
    }
}

/// The same site with so many images, all pushed.
pub(crate) fn large(images: u32) -> Report {
    let mut report = report();
    let names: Vec<_> = (0..images)
        .map(|n| (format!("team-{:02}/service-{n:05}:1.{}.0", n % 40, n % 17), u64::from(n % 97 + 3)))
        .collect();
    report.contents.extend(names.iter().map(|(name, size)| Content {
        kind: "image".into(),
        name: name.clone(),
        digest: Digest::of(name.as_bytes()).to_string(),
        size: size * MIB,
    }));
    report.contents.sort_by_key(|content| std::cmp::Reverse(content.size));
    report.changes = preparations();
    report.changes.extend(names.iter().map(|(name, size)| push(name, *size)));
    for (number, change) in (1..).zip(&mut report.changes) {
        change.step = StepId(number);
    }
    report
}
