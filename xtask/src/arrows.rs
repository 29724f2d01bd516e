//! The rules of the workspace that cargo does not know: who may depend on whom, and what every crate declares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use toml::Value;

use crate::run::root;

/// Crates that only these may depend on.
const RESERVED: [(&str, &[&str]); 3] = [
    ("reqwest", &["ferry-transfer"]),
    ("oci-distribution", &["ferry-transfer"]),
    ("kube", &["ferry-installer"]),
];
/// Pairs of crates of which the first may not reach the second, however indirectly.
const APART: [(&str, &str); 8] = [
    ("ferry-builder", "ferry-installer"),
    ("ferry-installer", "ferry-builder"),
    ("ferry-builder", "ferry-tests"),
    ("ferry-installer", "ferry-tests"),
    ("ferry-bundle", "ferry-transfer"),
    ("ferry-model", "ferry-bundle"),
    ("ferry-references", "ferry-bundle"),
    ("ferry-references", "ferry-transfer"),
];

/// What a member's manifest says.
struct Member {
    dependencies: BTreeSet<String>,
    problems: Vec<String>,
}

/// Fails with every rule that is broken.
pub(crate) fn check() -> Result<()> {
    let members = members()?;
    let mut problems: Vec<String> =
        members.values().flat_map(|member| member.problems.iter().cloned()).collect();
    for (name, member) in &members {
        for (dependency, users) in RESERVED {
            if member.dependencies.contains(dependency) && !users.contains(&name.as_str()) {
                problems.push(format!("{name} depends on {dependency}; only {} may", users.join(", ")));
            }
        }
    }
    for (from, to) in APART {
        if reaches(&members, from, to) {
            problems.push(format!("{from} depends on {to}, directly or through others"));
        }
    }
    if !problems.is_empty() {
        bail!("the workspace's rules are broken:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn members() -> Result<BTreeMap<String, Member>> {
    let workspace = read("Cargo.toml")?;
    let folders = workspace["workspace"]["members"].as_array().context("a workspace has members")?;
    folders
        .iter()
        .map(|folder| {
            let path = format!("{}/Cargo.toml", folder.as_str().context("a member is a path")?);
            let manifest = read(&path)?;
            let name = manifest["package"]["name"].as_str().context("a package has a name")?.to_owned();
            Ok((name, member(&path, &manifest)))
        })
        .collect()
}

fn read(path: &str) -> Result<Value> {
    let text = fs::read_to_string(root().join(path)).with_context(|| path.to_owned())?;
    toml::from_str(&text).with_context(|| path.to_owned())
}

fn member(path: &str, manifest: &Value) -> Member {
    let mut problems = Vec::new();
    let is_inherited =
        |value: Option<&Value>| value.and_then(|value| value.get("workspace")) == Some(&Value::Boolean(true));
    if !is_inherited(manifest.get("lints")) {
        problems.push(format!("{path} does not opt in to the workspace's lints"));
    }
    let mut dependencies = BTreeSet::new();
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(table) = manifest.get(kind).and_then(Value::as_table) else { continue };
        for (name, value) in table {
            if !is_inherited(Some(value)) {
                problems.push(format!("{path} declares {name} itself and not by `workspace = true`"));
            }
            if kind == "dependencies" {
                dependencies.insert(name.clone());
            }
        }
    }
    Member { dependencies, problems }
}

fn reaches(members: &BTreeMap<String, Member>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut queue = vec![from];
    while let Some(name) = queue.pop() {
        for dependency in members.get(name).iter().flat_map(|member| &member.dependencies) {
            if dependency == to {
                return true;
            }
            if seen.insert(dependency.as_str()) {
                queue.push(dependency);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_broken_rules() {
        let manifest =
            toml::from_str("[package]\nname = 'a'\n[dependencies]\nb = '1'\nc.workspace = true\n").unwrap();
        let member = member("a/Cargo.toml", &manifest);
        assert_eq!(member.problems.len(), 2, "{:?}", member.problems);
        assert!(member.dependencies.contains("c"));
        let chain = |of: &[&str]| Member {
            dependencies: of.iter().map(|&name| name.to_owned()).collect(),
            problems: vec![],
        };
        let members: BTreeMap<_, _> =
            [("a".to_owned(), chain(&["b"])), ("b".to_owned(), chain(&["c"]))].into();
        assert!(reaches(&members, "a", "c") && !reaches(&members, "b", "a"));
    }
}
