//! The trust store of the whole host, by the family that the node is of.

use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::node::NodeDesired;
use ferry_model::report::Failed;

use super::{Edits, Root, endpoint};

/// A family of distributions: where authorities lie, and what takes them up.
struct Family {
    folder: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

/// RHEL, SUSE, Debian. SUSE has Debian's program, and a folder of its own.
const FAMILIES: [Family; 3] = [
    Family {
        folder: "/etc/pki/ca-trust/source/anchors",
        program: "update-ca-trust",
        arguments: &["extract"],
    },
    Family { folder: "/etc/pki/trust/anchors", program: "update-ca-certificates", arguments: &["--fresh"] },
    Family {
        folder: "/usr/local/share/ca-certificates",
        program: "update-ca-certificates",
        arguments: &["--fresh"],
    },
];

/// What the host needs to trust the registries' authorities.
pub fn edits(root: &Root, desired: &NodeDesired) -> Result<Edits, Failed> {
    let mut edits = Edits::default();
    let registries = desired.registries.iter().filter(|_| desired.host_trust);
    let authorities: Vec<(PathBuf, String)> = registries
        .filter_map(|registry| {
            Some((file_name(&registry.address.to_string()), endpoint::authority(registry)?))
        })
        .collect();
    if authorities.is_empty() {
        return Ok(edits);
    }
    // Debian's package makes its folder only with the first certificate.
    let is_there = |family: &&Family| {
        let needs_folder = family.folder.starts_with("/etc");
        root.program(family.program).is_some() && (!needs_folder || root.exists(family.folder))
    };
    let Some(family) = FAMILIES.iter().find(is_there) else {
        let message = "the host has no trust store that Ferry knows: neither update-ca-trust nor update-ca-certificates";
        return Err(Failed::because(Class::Local, message)
            .hint("install the package ca-certificates, or leave `hostTrust` out: container runtimes do not need it"));
    };
    for (name, authority) in authorities {
        let path = Path::new(family.folder).join(name);
        edits.files.extend(root.edit(path, authority, "the host's trust store is made of it")?);
    }
    if !edits.files.is_empty() {
        let command = [family.program].into_iter().chain(family.arguments.iter().copied());
        edits.commands.push(command.map(str::to_owned).collect());
        edits.notes.push("programs that run already trust a new authority once they are restarted".into());
    }
    Ok(edits)
}

fn file_name(address: &str) -> PathBuf {
    let name: String = address.chars().map(|c| if matches!(c, ':' | '[' | ']') { '_' } else { c }).collect();
    PathBuf::from(format!("ferry-{name}.crt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIRED: &str = r#"{"hostTrust":true,"registries":[
        {"address":"r.corp:5000","security":{"as":"https","authority":"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"}},
        {"address":"plain.corp:5000","security":{"as":"plain-http"}}]}"#;

    fn node(files: &[&str]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let root = Root::new(folder.path());
        (folder, root)
    }

    #[test]
    fn each_family_has_its_folder() {
        let desired: NodeDesired = serde_json::from_str(DESIRED).unwrap();
        for (files, path, command) in [
            (
                &["usr/bin/update-ca-trust", "etc/pki/ca-trust/source/anchors/x"][..],
                "/etc/pki/ca-trust/source/anchors/ferry-r.corp_5000.crt",
                "update-ca-trust extract",
            ),
            (
                &["usr/sbin/update-ca-certificates", "etc/pki/trust/anchors/x"],
                "/etc/pki/trust/anchors/ferry-r.corp_5000.crt",
                "update-ca-certificates --fresh",
            ),
            (
                &["usr/sbin/update-ca-certificates"],
                "/usr/local/share/ca-certificates/ferry-r.corp_5000.crt",
                "update-ca-certificates --fresh",
            ),
        ] {
            let (folder, root) = node(files);
            let found = edits(&root, &desired).unwrap();
            assert_eq!((found.files.len(), found.commands.len()), (1, 1));
            assert_eq!(
                (found.files[0].path.to_str().unwrap(), found.commands[0].join(" ").as_str()),
                (path, command)
            );
            let made = folder.path().join(&path[1..]);
            std::fs::create_dir_all(made.parent().unwrap()).unwrap();
            std::fs::write(made, found.files[0].after.as_ref().unwrap()).unwrap();
            assert_eq!(edits(&root, &desired).unwrap(), Edits::default());
        }
    }

    #[test]
    fn only_where_it_was_asked_for_and_there_is_a_store() {
        let mut desired: NodeDesired = serde_json::from_str(DESIRED).unwrap();
        let (_folder, root) = node(&[]);
        assert!(edits(&root, &desired).unwrap_err().message.contains("no trust store"));
        desired.host_trust = false;
        assert_eq!(edits(&root, &desired).unwrap(), Edits::default());
    }
}
