//! Whether all fits. What comes to lie on one file system counts together, whatever the folders are. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ferry_model::catalog::Catalog;
use ferry_model::plan::Space;
use ferry_model::report::Check;
use ferry_model::size::ByteSize;

use super::catalogue as kinds;
use super::host::Known;
use super::machine::FileSystem;
use super::needs::{registry_bytes, registry_files};
use super::shown;

/// What comes to lie on one file system.
#[derive(Default)]
struct Load {
    folders: Vec<String>,
    bytes: u64,
    files: u64,
}

pub(super) fn check_storage(
    needs: &[Space],
    catalog: &Catalog,
    storage: &BTreeMap<PathBuf, Known<FileSystem>>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut loads: BTreeMap<u64, (&FileSystem, Load)> = BTreeMap::new();
    for need in needs {
        match storage.get(&need.folder) {
            Some(Ok(found)) => {
                let (_, load) = loads.entry(found.device).or_insert((found, Load::default()));
                load.folders.push(shown(&need.folder));
                load.bytes = load.bytes.saturating_add(need.bytes);
                load.files = load.files.saturating_add(files(need, catalog));
            }
            other => {
                let reason = match other {
                    Some(Err(reason)) => reason,
                    _ => "it was not looked at",
                };
                checks.push(kinds::DISK_SPACE.unknown(shown(&need.folder), reason));
                checks.push(kinds::DISK_INODES.unknown(shown(&need.folder), reason));
            }
        }
    }
    for (found, load) in loads.into_values() {
        let folders: BTreeSet<&str> = load.folders.iter().map(String::as_str).collect();
        let below = folders.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!("{} free, {} needed for {below}", ByteSize(found.free), ByteSize(load.bytes));
        checks.push(kinds::DISK_SPACE.judge(found.free >= load.bytes, shown(&found.mount), text));
        let (enough, text) = if found.inodes == 0 {
            (true, "made as needed".to_owned())
        } else {
            (
                found.free_inodes >= load.files,
                format!("{} free, about {} needed", found.free_inodes, load.files),
            )
        };
        checks.push(kinds::DISK_INODES.judge(enough, shown(&found.mount), text));
    }
    checks
}

/// Files and folders of each need, whatever it is: configuration, certificates, a database.
const AT_LEAST: u64 = 16;

/// Files and folders that a need is made of, if it is made as a registry keeps the bundle.
fn files(need: &Space, catalog: &Catalog) -> u64 {
    let (bytes, files) = (registry_bytes(catalog), registry_files(catalog));
    let share = u128::from(files) * u128::from(need.bytes.min(bytes)) / u128::from(bytes.max(1));
    u64::try_from(share).unwrap_or(u64::MAX).saturating_add(AT_LEAST)
}

#[cfg(test)]
mod tests {
    use super::super::needs::tests::catalog;
    use super::*;
    use ferry_model::report::Finding;

    fn disk(device: u64, mount: &str, free: u64, inodes: (u64, u64)) -> FileSystem {
        let (inodes, free_inodes) = inodes;
        FileSystem { device, mount: mount.into(), size: free * 2, free, inodes, free_inodes }
    }

    fn check(needs: &[(&str, u64)], storage: Vec<(&str, Known<FileSystem>)>) -> Vec<Check> {
        let needs: Vec<Space> = needs.iter().map(|(folder, bytes)| Space::new(folder, *bytes)).collect();
        let storage = storage.into_iter().map(|(folder, found)| (folder.into(), found)).collect();
        check_storage(&needs, &catalog(), &storage)
    }

    #[test]
    fn folders_on_one_file_system_add_up() {
        let root = || disk(1, "/", 1000, (0, 0));
        for (needs, finding) in [
            (&[("/a", 600), ("/b", 400)][..], Finding::Passed),
            (&[("/a", 600), ("/b", 401)][..], Finding::Failed),
            (&[("/a", u64::MAX), ("/b", u64::MAX)][..], Finding::Failed),
            (&[("/a", 1000), ("/data", 5000)][..], Finding::Passed),
        ] {
            let storage =
                vec![("/a", Ok(root())), ("/b", Ok(root())), ("/data", Ok(disk(2, "/data", 5000, (0, 0))))];
            let checks = check(needs, storage);
            let space: Vec<_> = checks.iter().filter(|check| check.name == "disk-space").collect();
            assert_eq!((space[0].subject.as_str(), space[0].finding), ("/", finding), "{checks:?}");
            let devices = if needs[1].0 == "/data" { 2 } else { 1 };
            assert_eq!(space.len(), devices);
        }
        let checks = check(&[("/a", 600), ("/b", 500)], vec![("/a", Ok(root())), ("/b", Ok(root()))]);
        assert_eq!(checks[0].found, "1000 B free, 1.1 KiB needed for /a, /b");
    }

    #[test]
    fn inodes() {
        let needed = registry_files(&catalog()) + AT_LEAST;
        let all = registry_bytes(&catalog());
        for (inodes, finding) in [
            ((0, 0), Finding::Passed),
            ((1_000_000, needed), Finding::Passed),
            ((1_000_000, needed - 1), Finding::Failed),
        ] {
            let checks = check(&[("/a", all)], vec![("/a", Ok(disk(1, "/", all, inodes)))]);
            assert_eq!((checks[1].name.as_str(), checks[1].finding), ("disk-inodes", finding));
        }
    }

    #[test]
    fn what_was_not_seen_is_unknown() {
        let checks = check(&[("/nfs", 1), ("/lost", 1)], vec![("/nfs", Err("no answer in 5 s".into()))]);
        assert_eq!(checks.len(), 4);
        assert!(checks.iter().all(|check| check.finding == Finding::Unknown));
        assert_eq!((checks[0].subject.as_str(), checks[0].found.as_str()), ("/nfs", "no answer in 5 s"));
    }
}
