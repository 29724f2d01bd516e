use super::super::apply::apply_node;
use super::super::check::check_node;
use super::super::testing::{golden, node, put, says};
use super::super::undo::undo_node;
use super::*;

const AUTHORITY: &str = include_str!("certificates/seed.pem");
const OTHER: &str = include_str!("certificates/bmp.pem");

fn desired() -> NodeDesired {
    let registries = serde_json::json!([
        {"address": "192.168.0.1", "security": {"as": "https", "authority": format!("{AUTHORITY}{OTHER}")}},
        {"address": "registry.marathon.mesos:5000", "security": {"as": "https", "authority": AUTHORITY}},
        {"address": "plain.corp:5000", "security": {"as": "plain-http"}},
    ]);
    serde_json::from_value(serde_json::json!({"dcos": true, "registries": registries})).unwrap()
}

#[test]
fn agents_as_they_are_found() {
    let agent = ("/opt/mesosphere/environment", "");
    let changed = "net.netfilter.nf_conntrack_tcp_be_liberal = 0\n";
    let mut text = String::new();
    for (title, files) in [
        ("as DC/OS leaves it", vec![agent, (LIVE, "0\n")]),
        ("set by hand until the next start", vec![agent, (LIVE, "1\n")]),
        ("nothing tracks connections yet", vec![agent]),
        ("plain Mesos", vec![(LIVE, "0\n")]),
        (
            "another authority of the same name, and one that is there already",
            vec![
                agent,
                (LIVE, "1\n"),
                ("/var/lib/dcos/pki/tls/certs/9a4ad6fd.0", OTHER),
                ("/var/lib/dcos/pki/tls/certs/411860fa.0", OTHER),
            ],
        ),
        (
            "what Ferry wrote was changed",
            vec![agent, (LIVE, "1\n"), (MODULES, "ip_conntrack\n"), (LASTING, changed)],
        ),
    ] {
        text.push_str(&format!("== {title}\n{}\n", says(edits, &files, &desired())));
    }
    golden("dcos/golden.txt", &text);
    let mut other = desired();
    other.dcos = false;
    assert_eq!(edits(&node(&[agent, (LIVE, "0\n")]).1, &other).unwrap(), Edits::default());
    other = desired();
    other.registries[0].security =
        ferry_model::node::Security::Https { authority: Some("no certificate".into()) };
    let failed = edits(&node(&[agent]).1, &other).unwrap_err();
    assert!(failed.message.contains("authority of 192.168.0.1"), "{failed}");
}

#[tokio::test]
async fn applied_checked_and_taken_back() {
    let (folder, root) = node(&[("/opt/mesosphere/environment", ""), (LIVE, "0\n")]);
    let registries = vec![desired().registries.remove(1)];
    let desired = NodeDesired { dcos: true, registries, ..NodeDesired::default() };
    let wrong = async || {
        let checks = check_node(&root, &desired).await.checks;
        let of_files = checks.into_iter().filter(|check| check.name == "node-runtime");
        of_files.map(|check| check.found).collect::<String>()
    };
    assert!(wrong().await.contains(LIVE));
    let report = apply_node(&root, &desired);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!(report.changes.len(), 4);
    assert_eq!(wrong().await, "");
    assert!(apply_node(&root, &desired).changes.is_empty());
    // Somebody sets it back: the next run finds that.
    put(&root, Path::new(LIVE), b"0\n");
    assert_eq!(apply_node(&root, &desired).changes.len(), 1);
    assert_eq!(root.read(LIVE).unwrap().unwrap(), b"1\n");
    let report = undo_node(&root);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!(root.read(LIVE).unwrap().unwrap(), b"0\n");
    for path in [LASTING, MODULES, "/var/lib/dcos"] {
        assert!(!root.exists(path), "{path}");
    }
    drop(folder);
}
