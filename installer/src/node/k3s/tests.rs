use std::fs;

use ferry_model::node::NodeDesired;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::edits;
use crate::node::{Root, cases};

#[test]
fn configurations_of_real_nodes() {
    cases::run("k3s", edits);
}

/// What an operator may have: registries with endpoints, hosts with logins, in one style or the other.
fn file() -> impl Strategy<Value = String> {
    let host =
        prop_oneof![Just("docker.io".to_owned()), Just("registry.corp:5000".to_owned()), "[a-z]{1,4}\\.corp"];
    let mirrors = proptest::collection::btree_map(
        host.clone(),
        proptest::collection::vec("https://[a-z]{1,4}", 0..3),
        0..4,
    );
    let configs = proptest::collection::btree_map(host, ("[a-z#: ]{0,8}", any::<bool>()), 0..4);
    (mirrors, configs, 1_usize..5, any::<[bool; 3]>()).prop_map(
        |(mirrors, configs, step, [flow, swapped, commented])| {
            let (one, two, three) = (" ".repeat(step), " ".repeat(2 * step), " ".repeat(3 * step));
            let comment = if commented { " # why" } else { "" };
            let mut first = format!("mirrors:{comment}\n");
            for (host, endpoints) in &mirrors {
                first.push_str(&format!("{one}\"{host}\":{comment}\n"));
                if flow || endpoints.is_empty() {
                    first.push_str(&format!("{two}endpoint: {}{comment}\n", json!(endpoints)));
                } else {
                    first.push_str(&format!("{two}endpoint:{comment}\n"));
                    first.extend(endpoints.iter().map(|url| format!("{three}- {url}{comment}\n")));
                }
            }
            let mut second = "\nconfigs:\n".to_owned();
            for (host, (password, has_tls)) in &configs {
                if flow {
                    second.push_str(&format!(
                        "{one}{host}: {{auth: {{password: {}}}}}{comment}\n",
                        json!(password)
                    ));
                    continue;
                }
                second.push_str(&format!(
                    "{one}{host}:\n{two}auth:\n{three}password: {}{comment}\n",
                    json!(password)
                ));
                if *has_tls {
                    second.push_str(&format!("{two}tls:\n{three}ca_file: /theirs.crt{comment}\n"));
                }
            }
            if swapped { second + &first } else { first + &second }
        },
    )
}

fn read(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn object<'a>(value: &'a Value, key: &str) -> Option<&'a Map<String, Value>> {
    value.get(key)?.as_object()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_not_ours_stays(text in file()) {
        let node = tempfile::tempdir().unwrap();
        let folder = node.path().join("etc/rancher/k3s");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("registries.yaml");
        fs::write(&path, &text).unwrap();
        let root = Root::new(node.path());
        let registries = ["tls", "plain"].map(cases::registry).to_vec();
        let desired = NodeDesired { registries, ..NodeDesired::default() };
        cases::write_all(&root, &edits(&root, &desired).unwrap());

        let written = fs::read_to_string(&path).unwrap();
        let (before, after) = (read(&text), read(&written));
        for (host, mirror) in object(&before, "mirrors").into_iter().flatten() {
            let theirs = mirror["endpoint"].as_array().unwrap();
            let endpoints = after["mirrors"][host]["endpoint"].as_array().unwrap();
            prop_assert!(endpoints.ends_with(theirs), "{}", written);
            prop_assert!(endpoints.len() == theirs.len() || host == "docker.io", "{}", written);
        }
        for (host, config) in object(&before, "configs").into_iter().flatten() {
            prop_assert_eq!(&after["configs"][host]["auth"], &config["auth"], "{}", written);
            if host != "registry.corp:5000" {
                prop_assert_eq!(&after["configs"][host], config, "{}", written);
            }
        }
        prop_assert_eq!(&after["mirrors"]["docker.io"]["endpoint"][0], "https://registry.corp:5000");
        prop_assert!(after["configs"]["registry.corp:5000"]["tls"]["ca_file"].as_str().unwrap().contains("ferry"));
        prop_assert_eq!(edits(&root, &desired).unwrap().files, []);
    }

    #[test]
    fn nothing_makes_it_panic(text in "[a-z:{}\\[\\]\"'# \n\t-]{0,60}", mirrors in any::<bool>()) {
        let node = tempfile::tempdir().unwrap();
        fs::create_dir_all(node.path().join("etc/rancher/k3s")).unwrap();
        let text = if mirrors { format!("mirrors:\n{text}") } else { text };
        fs::write(node.path().join("etc/rancher/k3s/registries.yaml"), text).unwrap();
        let desired = NodeDesired { registries: vec![cases::registry("tls")], ..NodeDesired::default() };
        let _ = edits(&Root::new(node.path()), &desired);
    }
}
