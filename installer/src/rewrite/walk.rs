//! The files of paths that people name: themselves, or all below a folder but git's.

use std::path::{Component, Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    File,
    Folder,
    /// Inside a folder; what it leads to is looked at where it lies.
    Link,
}

/// A file or a folder.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) path: PathBuf,
    /// Where it lies in a copy of all: below the last part of the path that was named.
    pub(super) relative: PathBuf,
    pub(super) what: What,
    /// Whether it was named itself.
    pub(super) is_named: bool,
}

/// Everything at and below a path, in the order of names.
pub(super) fn items(root: &Path) -> impl Iterator<Item = Result<Item, walkdir::Error>> {
    let base = match root.components().next_back() {
        Some(Component::Normal(name)) => PathBuf::from(name),
        _ => PathBuf::new(),
    };
    let root = root.to_owned();
    let is_gits = |entry: &DirEntry| entry.depth() > 0 && entry.file_name() == ".git";
    // A link that was named is followed, as every program does.
    let walk = WalkDir::new(&root).follow_root_links(true).sort_by_file_name();
    walk.into_iter().filter_entry(move |entry| !is_gits(entry)).filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let below = entry.path().strip_prefix(&root).unwrap_or(Path::new(""));
        let is_root = entry.depth() == 0;
        let kind = if is_root {
            entry.path().metadata().map_or(entry.file_type(), |metadata| metadata.file_type())
        } else {
            entry.file_type()
        };
        let what = if kind.is_dir() {
            What::Folder
        } else if kind.is_symlink() {
            What::Link
        } else if kind.is_file() {
            What::File
        } else {
            return None;
        };
        let relative = if is_root { base.clone() } else { base.join(below) };
        Some(Ok(Item { path: entry.path().to_owned(), relative, what, is_named: is_root }))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_once_but_git() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for name in ["b/x.yaml", "a.yaml", ".git/config", "b/.git"] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        symlink("..", root.join("b/loop")).unwrap();
        let seen = |root: &Path| -> Vec<(String, What)> {
            let items = items(root).map(|item| item.unwrap());
            items.map(|item| (item.relative.display().to_string(), item.what)).collect()
        };
        let expected = [
            ("root", What::Folder),
            ("root/a.yaml", What::File),
            ("root/b", What::Folder),
            ("root/b/loop", What::Link),
            ("root/b/x.yaml", What::File),
        ];
        assert_eq!(seen(&root), expected.map(|(path, what)| (path.to_owned(), what)));
        symlink(root.join("a.yaml"), folder.path().join("link.yaml")).unwrap();
        assert_eq!(seen(&folder.path().join("link.yaml")), [("link.yaml".to_owned(), What::File)]);
        assert_eq!(items(&root.join("none")).filter(Result::is_err).count(), 1);
    }
}
