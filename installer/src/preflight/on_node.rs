//! A node, looked at by the program on the node itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ferry_model::event::Events;
use ferry_model::node::{NodeDesired, NodePreflight, NodeReport};
use ferry_model::report::Check;
use ferry_model::size::ByteSize;

use super::catalogue as kinds;
use super::host::{HostFacts, Known};
use super::machine::FileSystem;
use super::{Role, blueking, look_at_host, look_at_storage};
use crate::node::Root;
use crate::node::apply::plan_node;

/// Where runtimes keep images by default.
const STORES: [&str; 4] =
    ["/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/rancher"];
/// Where they lie.
const ABOVE: &str = "/var/lib";
/// What only masters have.
const OF_MASTERS: [&str; 3] = [
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/var/lib/rancher/k3s/server/db",
    "/var/lib/rancher/rke2/server/db",
];

/// How this node is, before anything is changed.
pub async fn look_at_this_node(root: &Root, wanted: &NodePreflight) -> NodeReport {
    let found = plan_node(root, &NodeDesired::default());
    let stores: Vec<PathBuf> = stores(root);
    let guide = blueking::FOLDERS.iter().map(PathBuf::from).filter(|_| wanted.blueking);
    let folders = stores.iter().cloned().chain(guide).collect();
    let nobody = Events::none();
    let (facts, storage) = tokio::join!(look_at_host(&nobody), look_at_storage(folders));
    let mut checks = vec![
        privileges(&found.node, &facts),
        containers(&found.node, &found.runtimes),
        room(&found.node, &stores, &storage, wanted.room),
    ];
    if wanted.blueking {
        checks.extend(super::check_host(&facts, &storage, role(root)));
    }
    checks.retain(|check| !wanted.skip.contains(&check.name));
    NodeReport { node: found.node, runtimes: found.runtimes, checks, ..NodeReport::default() }
}

fn stores(root: &Root) -> Vec<PathBuf> {
    let there: Vec<PathBuf> = STORES.iter().filter(|store| root.exists(store)).map(PathBuf::from).collect();
    if there.is_empty() { vec![PathBuf::from(ABOVE)] } else { there }
}

/// What the node is to BlueKing.
fn role(root: &Root) -> Role {
    if OF_MASTERS.iter().any(|path| root.exists(path)) { Role::Master } else { Role::Node }
}

fn privileges(node: &str, facts: &HostFacts) -> Check {
    let kind = &kinds::NODE_PRIVILEGES;
    match &facts.root {
        Ok(true) => kind.passed(node, "root"),
        Ok(false) => kind.failed(node, "not root"),
        Err(reason) => kind.unknown(node, reason),
    }
}

fn containers(node: &str, runtimes: &[String]) -> Check {
    let kind = &kinds::NODE_CONTAINERS;
    if runtimes.is_empty() {
        kind.failed(node, "none was found")
    } else {
        kind.passed(node, runtimes.join(", "))
    }
}

/// The store with the least room counts.
fn room(
    node: &str,
    stores: &[PathBuf],
    storage: &BTreeMap<PathBuf, Known<FileSystem>>,
    wanted: u64,
) -> Check {
    let kind = &kinds::NODE_ROOM;
    let found = |store: &PathBuf| -> Result<(u64, PathBuf), String> {
        let missing = || Err("it was not looked at".to_owned());
        let found = storage.get(store).cloned().unwrap_or_else(missing)?;
        Ok((found.free, store.clone()))
    };
    match stores.iter().map(found).collect::<Result<Vec<_>, _>>() {
        Ok(found) => {
            let least = found.into_iter().min();
            let (free, store) = least.unwrap_or((0, Path::new(ABOVE).to_owned()));
            let text = format!("{} free at {}, {} wanted", ByteSize(free), store.display(), ByteSize(wanted));
            kind.judge(free >= wanted, node, text)
        }
        Err(reason) => kind.unknown(node, reason),
    }
}

#[cfg(test)]
mod tests {
    use ferry_model::report::Finding::{Failed, Passed, Unknown};

    use super::*;

    #[test]
    fn the_fullest_store_counts() {
        let system = |free| {
            let mount = PathBuf::from("/");
            Ok(FileSystem { device: 1, mount, size: 100, free, inodes: 0, free_inodes: 0 })
        };
        let [one, other] = ["/var/lib/docker", "/var/lib/containerd"].map(PathBuf::from);
        let stores = [one.clone(), other.clone()];
        for (free, wanted, expected) in [
            ([system(50), system(9)], 10, Failed),
            ([system(50), system(10)], 10, Passed),
            ([system(50), Err("no answer in 5 s".to_owned())], 10, Unknown),
        ] {
            let storage = [one.clone(), other.clone()].into_iter().zip(free).collect();
            let check = room("n1", &stores, &storage, wanted);
            assert_eq!(check.finding, expected, "{check:?}");
        }
        assert_eq!(room("n1", &stores, &BTreeMap::new(), 1).finding, Unknown);
        assert_eq!(containers("n1", &[]).finding, Failed);
    }

    #[tokio::test]
    async fn a_node_is_looked_at_as_this_machine_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        std::fs::create_dir_all(folder.path().join("etc/kubernetes/manifests")).unwrap();
        let names = async |wanted: &NodePreflight| {
            let report = look_at_this_node(&root, wanted).await;
            report.checks.into_iter().map(|check| check.name).collect::<Vec<_>>()
        };
        let plain = names(&NodePreflight::default()).await;
        assert_eq!(plain, ["node-privileges", "node-containers", "node-room"]);
        let skip = vec!["node-room".to_owned(), "host-swap".to_owned()];
        let blueking = names(&NodePreflight { blueking: true, room: 1, skip }).await;
        assert!(blueking.contains(&"host-memory".to_owned()), "{blueking:?}");
        assert!(!blueking.iter().any(|name| name == "host-swap" || name == "node-room"));
        assert_eq!(role(&root), Role::Node);
        std::fs::write(folder.path().join(OF_MASTERS[0].trim_start_matches('/')), "").unwrap();
        assert_eq!(role(&root), Role::Master);
    }
}
