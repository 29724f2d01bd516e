//! Which file systems the folders of a plan lie on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ferry_model::plan::Space;

use super::{FileSystem, Known, look_at_storage};

/// Notes of each folder where its file system is mounted. One that does not answer is left out.
pub(crate) async fn note_mounts(spaces: &mut [Space]) {
    let folders: BTreeSet<_> = spaces.iter().map(|space| space.folder.clone()).collect();
    note(spaces, &look_at_storage(folders).await);
}

/// Bind mounts and links lead to one file system by many paths: all its folders get the mount of the first.
fn note(spaces: &mut [Space], found: &BTreeMap<PathBuf, Known<FileSystem>>) {
    let mut mounts = BTreeMap::new();
    for space in spaces {
        let system = found.get(&space.folder).and_then(|found| found.as_ref().ok());
        space.mount = system.map(|system| {
            let mount: &mut PathBuf = mounts.entry(system.device).or_insert_with(|| system.mount.clone());
            mount.clone()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn folders_that_are_not_there_yet_have_a_mount_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut spaces = [Space::new(folder.path().join("not/there"), 1), Space::new("/proc", 1)];
        note_mounts(&mut spaces).await;
        let mount = spaces[0].mount.as_deref().unwrap();
        assert!(folder.path().starts_with(mount), "{}", mount.display());
        assert_eq!(spaces[1].mount.as_deref(), Some(Path::new("/proc")));
    }

    #[test]
    fn folders_of_one_device_share_a_mount() {
        let on = |device, mount: &str| {
            Ok(FileSystem { device, mount: mount.into(), size: 9, free: 9, inodes: 0, free_inodes: 0 })
        };
        let found = BTreeMap::from([
            ("/data/registry".into(), on(7, "/data")),
            ("/srv/docker".into(), on(7, "/srv/docker")),
            ("/var/lib".into(), on(8, "/")),
            ("/nfs/a".into(), Err("no answer".to_owned())),
        ]);
        let mut spaces: Vec<Space> = found.keys().map(|folder: &PathBuf| Space::new(folder, 1)).collect();
        note(&mut spaces, &found);
        let mounts: Vec<_> =
            spaces.iter().map(|space| space.mount.as_deref().and_then(Path::to_str)).collect();
        assert_eq!(mounts, [Some("/data"), None, Some("/data"), Some("/")]);
    }
}
