//! Which file systems the folders of a plan lie on.

use std::collections::BTreeSet;

use ferry_model::plan::Space;

use super::look_at_storage;

/// Notes of each folder where its file system is mounted. One that does not answer is left out.
pub(crate) async fn note_mounts(spaces: &mut [Space]) {
    let folders: BTreeSet<_> = spaces.iter().map(|space| space.folder.clone()).collect();
    let found = look_at_storage(folders).await;
    for space in spaces {
        let system = found.get(&space.folder).and_then(|found| found.as_ref().ok());
        space.mount = system.map(|system| system.mount.clone());
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
}
