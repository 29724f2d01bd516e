//! Control groups of a machine's own. Its systemd takes the group that it is started in for the root of all groups,
//! so that two machines in one group would end each other's services.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where the groups of this name would be: in every hierarchy, below the one that this process is in.
pub(super) fn named(name: &str) -> Result<Vec<PathBuf>> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    Ok(below(&groups, &mounts, name))
}

/// Makes them.
pub(super) fn make(groups: &[PathBuf]) -> Result<()> {
    for group in groups {
        fs::create_dir(group).with_context(|| group.display().to_string())?;
        // In version 1 no process may enter a group that has not been given processors and memory.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let given =
                group.parent().map(|parent| fs::read_to_string(parent.join(file)).unwrap_or_default());
            if let Some(given) = given.filter(|given| !given.trim().is_empty()) {
                fs::write(group.join(file), given).with_context(|| group.join(file).display().to_string())?;
            }
        }
    }
    Ok(())
}

fn below(groups: &str, mounts: &str, name: &str) -> Vec<PathBuf> {
    let place = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let hierarchy = mounts.lines().find_map(|mount| {
            let fields: Vec<_> = mount.split(' ').collect();
            let [_, folder, kind, options, ..] = fields[..] else { return None };
            let has = |controller| options.split(',').any(|option| option == controller);
            let is_it = match kind {
                "cgroup2" => number == "0",
                "cgroup" => number != "0" && controllers.split(',').all(has),
                _ => false,
            };
            is_it.then_some(folder)
        })?;
        Some(Path::new(hierarchy).join(path.trim_start_matches('/')).join(name))
    };
    groups.lines().filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_place_in_every_hierarchy() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";
        let groups = "9:cpu,cpuacct:/a/b\n2:name=systemd:/\n1:net_cls:/\n0::/c\n";
        assert_eq!(
            below(groups, mounts, "m"),
            [
                Path::new("/sys/fs/cgroup/cpu,cpuacct/a/b/m"),
                Path::new("/sys/fs/cgroup/systemd/m"),
                Path::new("/sys/fs/cgroup/unified/c/m"),
            ]
        );
        assert_eq!(
            below("0::/user.slice\n", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "m"),
            [Path::new("/sys/fs/cgroup/user.slice/m")]
        );
    }
}
