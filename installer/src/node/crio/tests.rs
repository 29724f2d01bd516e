use std::fs;

use ferry_model::node::NodeDesired;
use proptest::prelude::*;
use toml_edit::{DocumentMut, Table};

use super::edits;
use crate::node::{Root, cases};

#[test]
fn configurations_of_real_nodes() {
    cases::run("crio", edits);
}

/// One entry: its prefix, and the mirrors that it has.
fn entry() -> impl Strategy<Value = (String, Vec<String>)> {
    let prefix = prop_oneof![Just("docker.io".to_owned()), "[a-z]{2,5}\\.io"];
    (prefix, proptest::collection::vec("[a-z]{2,5}\\.corp", 0..3))
}

fn mirrors(table: &Table) -> Vec<String> {
    let tables = table.get("mirror").and_then(|item| item.as_array_of_tables()).into_iter().flatten();
    tables.map(|table| table.get("location").unwrap().as_str().unwrap().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn entries_of_others_stay(entries in proptest::collection::vec(entry(), 0..5), returns in any::<bool>()) {
        let mut text = "unqualified-search-registries = [\"docker.io\"] # short\n".to_owned();
        for (number, (prefix, mirrors)) in entries.iter().enumerate() {
            text.push_str(&format!("\n# {number}\n[[registry]]\nprefix = \"{prefix}\"\nx = {number}\n"));
            for mirror in mirrors {
                text.push_str(&format!("  [[registry.mirror]]\n  location = \"{mirror}\"\n"));
            }
        }
        if returns {
            text = text.replace('\n', "\r\n");
        }
        let node = tempfile::tempdir().unwrap();
        for folder in ["etc/crio", "etc/containers/registries.conf.d"] {
            fs::create_dir_all(node.path().join(folder)).unwrap();
        }
        let path = node.path().join("etc/containers/registries.conf");
        fs::write(&path, &text).unwrap();
        let root = Root::new(node.path());
        let desired = NodeDesired { registries: vec![cases::registry("plain")], ..NodeDesired::default() };
        cases::write_all(&root, &edits(&root, &desired).unwrap());

        let after = fs::read_to_string(&path).unwrap();
        let document = after.parse::<DocumentMut>().unwrap();
        let tables: Vec<&Table> = document.get("registry").and_then(|item| item.as_array_of_tables()).into_iter().flatten().collect();
        let first = entries.iter().position(|(prefix, _)| prefix == "docker.io");
        for (number, (prefix, theirs)) in entries.iter().enumerate() {
            prop_assert_eq!(tables[number].get("prefix").unwrap().as_str(), Some(prefix.as_str()));
            let ours = (Some(number) == first).then(|| "10.0.0.5:5000".to_owned());
            let expected: Vec<String> = ours.into_iter().chain(theirs.iter().cloned()).collect();
            prop_assert_eq!(mirrors(tables[number]), expected, "{}", after);
        }
        for line in text.split_inclusive('\n') {
            prop_assert!(after.contains(line), "{:?} in\n{}", line, after);
        }
        prop_assert_eq!(edits(&root, &desired).unwrap().files, []);
    }
}
