use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn desired() -> NodeDesired {
    serde_json::from_value(json!({
        "names": [
            {"name": "registry.corp", "addresses": ["10.0.0.5", "fd00::5"]},
            {"name": "docker.bkce7.example.com", "addresses": ["10.96.0.9"]},
            {"name": "bkrepo.bkce7.example.com", "addresses": ["10.96.0.9"]},
        ],
        "registries": [
            {"address": "registry.corp:5000", "security": {"as": "https", "authority": "PEM"}, "mirrors": ["docker.io", "k8s.gcr.io"]},
            {"address": "192.168.0.7:5000", "security": {"as": "plain-http"}},
            {"address": "docker.bkce7.example.com", "security": {"as": "plain-http"}},
            {"address": "harbor.corp", "security": {"as": "unverified"}},
            {"address": "public.corp", "security": {"as": "https"}},
        ],
    }))
    .unwrap()
}

fn said(value: Value) -> VirtualNodes {
    serde_json::from_value(value).unwrap()
}

/// The examples of the cloud's documentation.
#[test]
fn values_have_the_documented_form() {
    let desired: NodeDesired = serde_json::from_value(json!({
        "names": [
            {"name": "www.privaterepo1.com", "addresses": ["1.2.3.4"]},
            {"name": "www.privaterepo2.com", "addresses": ["2.3.4.5"]},
        ],
        "registries": [
            {"address": "192.168.1.9:5000", "security": {"as": "plain-http"}},
            {"address": "harbor.example.com", "security": {"as": "unverified"}},
            {"address": "kevin.harbor.com", "security": {"as": "unverified"}},
        ],
    }))
    .unwrap();
    let said = said(json!({"dns": {"nameservers": ["1.1.1.1"], "searches": ["test1.com"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "timeout", "value": "3"}]}}));
    let aliases = r#"[{"ip":"1.2.3.4","hostnames":["www.privaterepo1.com"]},{"ip":"2.3.4.5","hostnames":["www.privaterepo2.com"]}]"#;
    let dns = r#"{"nameservers":["1.1.1.1"],"options":[{"name":"ndots","value":"2"},{"name":"timeout","value":"3"}],"searches":["test1.com"]}"#;
    let settings = Settings::new(&desired, &said);
    let expected = [
        ("k8s.ksyun.com/kci-dns-config", dns),
        ("k8s.ksyun.com/kci-host-aliases", aliases),
        ("k8s.ksyun.com/kci-http-registry", "192.168.1.9:5000"),
        ("k8s.ksyun.com/kci-insecure-registry", "harbor.example.com,kevin.harbor.com"),
    ];
    assert_eq!(settings.annotations, expected.map(|(name, value)| (name.into(), value.into())).into());
    let expected = [("KCI_DNS_CONFIG", dns), ("KCI_HOST_ALIASES", aliases)];
    assert_eq!(settings.environment, expected.map(|(name, value)| (name.into(), value.into())).into());
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
}

#[test]
fn nobody_goes_unchecked_who_was_not_said_to() {
    let unverified = |unverified| {
        let settings = Settings::new(&desired(), &said(json!({"unverified": unverified})));
        (settings.annotations[INSECURE].clone(), settings.notes)
    };
    let (registries, notes) = unverified(false);
    assert_eq!(registries, "harbor.corp");
    assert!(notes[0].contains("cannot be told of the authority of registry.corp:5000"), "{notes:?}");
    let (registries, notes) = unverified(true);
    assert_eq!(registries, "registry.corp:5000,harbor.corp");
    assert!(notes[0].contains("any image"), "{notes:?}");
    assert!(notes[1].ends_with("docker.io, k8s.gcr.io"), "{notes:?}");
}

#[test]
fn what_dns_does_is_not_said_again() {
    let desired = NodeDesired { resolver: Resolver::Dns, ..desired() };
    let settings = Settings::new(&desired, &VirtualNodes::default());
    assert!(!settings.annotations.contains_key(HOST_ALIASES));
    assert!(settings.environment.is_empty());
    let nothing = Settings::new(&NodeDesired::default(), &said(json!({"dns": {}})));
    assert_eq!(nothing, Settings::default());
    assert_eq!(nothing.text(), "virtual nodes need not be told anything\n");
}

#[test]
fn as_people_and_programs_read_it() {
    let settings = Settings::new(&desired(), &said(json!({"dns": {"searches": ["it's.corp"]}})));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/virtual_nodes/golden.txt");
    if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, settings.text()).unwrap();
    }
    assert_eq!(settings.text(), std::fs::read_to_string(file).unwrap_or_default());
    let patch: Value = serde_saphyr::from_str(&settings.patch()).unwrap();
    let annotations = patch["spec"]["template"]["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), settings.annotations.len());
    for (name, value) in &settings.annotations {
        assert_eq!(annotations[name], value.as_str());
    }
    for line in settings.variables().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once('=').unwrap();
        assert_eq!(settings.environment[name], value);
        serde_json::from_str::<Value>(value).unwrap();
    }
}

#[test]
fn pods_that_run_there_are_known() {
    let virtual_nodes = said(json!({"names": ["kci-1"]}));
    let terms = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    let expression = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    let tolerates =
        |key: &str| json!({"tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"}]});
    let both = |one: Value, other: Value| {
        let mut one = one;
        one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        one
    };
    let physical = terms(json!([expression("type", "NotIn", json!(["virtual-kubelet"]))]));
    for (spec, expected) in [
        (json!({}), false),
        (json!({"nodeSelector": {"type": "virtual-kubelet"}}), true),
        (json!({"nodeSelector": {"type": "virtual-kubelet", "kubernetes.io/os": "linux"}}), true),
        (json!({"nodeSelector": {"type": "gpu"}}), false),
        (json!({"nodeSelector": {"kubernetes.io/hostname": "kci-1"}}), true),
        (json!({"nodeSelector": {"kubernetes.io/hostname": "n1"}}), false),
        (json!({"nodeName": "kci-1"}), true),
        (both(json!({"nodeName": "n1"}), tolerates("virtual-kubelet.io/provider")), false),
        (tolerates("virtual-kubelet.io/provider"), true),
        (tolerates("rbkci-virtual-kubelet.io/provider"), true),
        (tolerates("node.kubernetes.io/not-ready"), false),
        (json!({"tolerations": [{"operator": "Exists"}]}), false),
        (both(tolerates("virtual-kubelet.io/provider"), json!({"nodeSelector": {"type": "gpu"}})), false),
        (both(tolerates("virtual-kubelet.io/provider"), json!({"nodeSelector": {"zone": "a"}})), true),
        (terms(json!([expression("type", "In", json!(["virtual-kubelet"]))])), true),
        (
            terms(json!([
                expression("type", "In", json!(["gpu"])),
                expression("type", "In", json!(["virtual-kubelet"]))
            ])),
            true,
        ),
        (terms(json!([expression("type", "Exists", json!([]))])), false),
        (terms(json!([expression("type", "DoesNotExist", json!([]))])), false),
        (terms(json!([expression("zone", "In", json!(["virtual-kubelet"]))])), false),
        (physical.clone(), false),
        (both(tolerates("virtual-kubelet.io/provider"), physical), false),
        (
            terms(
                json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["kci-1"]}]}]),
            ),
            true,
        ),
        (
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": expression("type", "In", json!(["virtual-kubelet"]))}]}}}),
            true,
        ),
    ] {
        assert_eq!(is_scheduled_there(&virtual_nodes, &spec, &json!({})), expected, "{spec}");
    }
    let annotated = json!({"annotations": {"k8s.ksyun.com/kci-subnet-id": "x"}});
    assert!(is_scheduled_there(&virtual_nodes, &json!({}), &annotated));
    assert!(!is_scheduled_there(&said(json!({"selector": {}})), &json!({}), &json!({})));
    let other = said(json!({"selector": {"kind": "eci", "pool": "a"}, "taints": ["corp/eci"]}));
    for (spec, expected) in [
        (json!({"nodeSelector": {"kind": "eci", "pool": "a"}}), true),
        (json!({"nodeSelector": {"kind": "eci"}}), false),
        (terms(json!([expression("kind", "In", json!(["eci"]))])), false),
        (
            both(
                json!({"nodeSelector": {"kind": "eci"}}),
                terms(json!([expression("pool", "In", json!(["a", "b"]))])),
            ),
            true,
        ),
        (json!({"nodeSelector": {"type": "virtual-kubelet"}}), false),
        (tolerates("corp/eci"), true),
    ] {
        assert_eq!(is_scheduled_there(&other, &spec, &json!({})), expected, "{spec}");
    }
}
