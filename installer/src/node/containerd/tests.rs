use std::collections::BTreeMap;

use ferry_model::node::NodeDesired;
use proptest::prelude::*;
use toml_edit::{DocumentMut, Item, TableLike};

use super::edits;
use crate::node::{Root, cases};

#[test]
fn configurations_of_real_nodes() {
    cases::run("containerd", edits);
}

#[test]
fn command_lines() {
    for (unit, program, main) in [
        ("ExecStart=/usr/bin/containerd", "/usr/bin/containerd", None),
        ("ExecStart=-/opt/containerd -l debug -c /etc/c.toml\n", "/opt/containerd", Some("/etc/c.toml")),
        ("ExecStart=/a\nExecStart=\nExecStart=/b --config=\"/etc/b.toml\"", "/b", Some("/etc/b.toml")),
    ] {
        let (found, config) = super::command_line(unit);
        assert_eq!((found, config), (Some(program.into()), main.map(Into::into)), "{unit}");
    }
}

const CRI: &str = "plugins.\"io.containerd.grpc.v1.cri\"";

/// Parts of a configuration, each of which may be there or not.
fn parts() -> impl Strategy<Value = Vec<String>> {
    let own = prop_oneof![
        Just(format!("[{CRI}.registry]\nconfig_path = \"\"\n")),
        Just(format!(
            "[{CRI}.registry]\n# here\nconfig_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\" # two\n"
        )),
        Just(format!(
            "[{CRI}.registry.mirrors.\"docker.io\"]\nendpoint = [\"https://a.corp\", \"b.corp\"]\n"
        )),
        Just(format!("[{CRI}.registry.mirrors]\n")),
        Just(format!("[{CRI}.registry.headers]\nUser-Agent = [\"x\"]\n")),
        Just(format!("[{CRI}.registry.configs.\"a.corp\".tls]\ninsecure_skip_verify = true\n")),
    ];
    let login = "[a-z]{1,8}";
    let configs = login.prop_map(|word| {
        format!(
            "[{CRI}.registry.configs.\"{word}.corp\".auth]\nusername = \"{word}\"\npassword = \"{word}2\"\n"
        )
    });
    let other = ("[a-z]{1,6}", "[a-z]{1,6}", any::<i64>(), "[a-z #=\\[\\]]{0,12}").prop_map(|(table, key, number, text)| {
        format!("[other.{table}]\n# {text}\n{key} = {number}   # {text}\n\n\"{text}\" = [ {number},\n  {number} ]\n")
    });
    let runtime = "[a-z]{1,6}"
        .prop_map(|name| format!("[{CRI}.containerd.runtimes.{name}]\nruntime_type = \"{name}\"\n"));
    proptest::collection::vec(prop_oneof![2 => own, 1 => configs, 2 => other, 1 => runtime], 0..7)
}

/// All values by their keys.
fn values(table: &dyn TableLike, above: &str, all: &mut BTreeMap<String, String>) {
    for (key, item) in table.iter() {
        let path = format!("{above}/{key}");
        match item.as_table_like() {
            Some(table) => values(table, &path, all),
            None => drop(
                all.insert(path, item.to_string().split('#').next().unwrap_or_default().trim().to_owned()),
            ),
        }
    }
}

fn values_of(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    values(text.replace('\r', "").parse::<DocumentMut>().unwrap().as_table(), "", &mut all);
    all
}

fn is_ours(key: &str) -> bool {
    key.contains("/registry/config_path") || key.contains("/registry/mirrors") || key.contains("/tls/")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_not_ours_stays(parts in parts(), indent in "[ \t]{0,3}", returns in any::<bool>()) {
        let mut text = format!("version = 2\n\n{}", parts.concat());
        text = text.lines().map(|line| format!("{indent}{line}\n")).collect();
        prop_assume!(text.parse::<DocumentMut>().is_ok());
        let text = if returns { text.replace('\n', "\r\n") } else { text };
        let node = tempfile::tempdir().unwrap();
        let path = node.path().join("etc/containerd/config.toml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
        let root = Root::new(node.path());
        let registries = ["tls", "plain"].map(cases::registry).to_vec();
        let desired = NodeDesired { registries, ..NodeDesired::default() };

        cases::write_all(&root, &edits(&root, &desired).unwrap());
        let after = std::fs::read_to_string(&path).unwrap();
        let (before, values) = (values_of(&text), values_of(&after));
        for (key, value) in before.iter().filter(|(key, _)| !is_ours(key)) {
            prop_assert_eq!(values.get(key), Some(value), "{}\n{}", key, after);
        }
        let registry = "/plugins/io.containerd.grpc.v1.cri/registry";
        prop_assert!(values.contains_key(&format!("{registry}/config_path")), "{}", after);
        let old = format!("{registry}/mirrors/");
        let stays = values.keys().any(|key| key.starts_with(&old) || key.contains("/tls/"));
        prop_assert!(!stays, "{}", after);
        // Every line of others is there as it was, comments and ends of lines too.
        let ours = |line: &&str| line.contains("config_path") || line.contains(".registry.") || line.contains("endpoint") || line.contains("skip_verify");
        for line in text.split_inclusive('\n').filter(|line| !ours(line) && !line.trim().is_empty()) {
            prop_assert!(after.contains(line), "{:?} in\n{}", line, after);
        }
        prop_assert_eq!(edits(&root, &desired).unwrap().files, []);
    }

    #[test]
    fn hosts_of_others_stay(
        hosts in proptest::collection::vec(("[a-z]{1,5}", any::<bool>(), "[a-z ]{0,9}"), 0..5),
        server in any::<bool>(), returns in any::<bool>(),
    ) {
        let mut text = String::new();
        if server {
            text.push_str("server = \"https://hub.corp\" # theirs\n");
        }
        for (number, (name, has_header, comment)) in hosts.iter().enumerate() {
            text.push_str(&format!("# {comment}\n[host.\"https://{name}{number}.corp\"]\n  skip_verify = true\n"));
            if *has_header {
                text.push_str(&format!("  [host.\"https://{name}{number}.corp\".header]\n    X = [\"{comment}\"]\n"));
            }
        }
        if returns {
            text = text.replace('\n', "\r\n");
        }
        let node = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = node.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("etc/containerd/config.toml", "version = 2\n");
        write("etc/containerd/certs.d/docker.io/hosts.toml", &text);
        let root = Root::new(node.path());
        let registries = ["tls", "public"].map(cases::registry).to_vec();
        let desired = NodeDesired { registries, ..NodeDesired::default() };
        cases::write_all(&root, &edits(&root, &desired).unwrap());
        let after = std::fs::read_to_string(node.path().join("etc/containerd/certs.d/docker.io/hosts.toml")).unwrap();
        // Ours first, in the site's order, then theirs in theirs.
        let headers: Vec<&str> = after.lines().filter(|line| line.trim().starts_with("[host.") && !line.contains("header")).collect();
        prop_assert!(headers[0].contains("registry.corp:5000") && headers[1].contains("harbor.corp"), "{}", after);
        let theirs: Vec<&str> = text.lines().filter(|line| line.starts_with("[host.")).collect();
        prop_assert_eq!(&headers[2..], &theirs[..], "{}", after);
        let values = values_of(&after);
        for (key, value) in values_of(&text) {
            prop_assert_eq!(values.get(&key), Some(&value), "{}\n{}", key, after);
        }
        for line in text.split_inclusive('\n') {
            prop_assert!(after.contains(line), "{:?} in\n{}", line, after);
        }
        prop_assert_eq!(edits(&root, &desired).unwrap().files, []);
        let document = after.parse::<DocumentMut>().unwrap();
        prop_assert!(document.get("host").is_some_and(Item::is_table));
    }
}
