//! Kustomizations upon kustomizations: the manifests that they take in, and what their `images` do to each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Kustomizations upon kustomizations, at most.
const MAX_DEPTH: usize = 16;

/// A kustomization, as far as it matters for images.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kustomization {
    /// Files, folders and addresses that it takes in.
    pub resources: Vec<String>,
    /// Folders that it takes in, by an older name.
    pub bases: Vec<String>,
    /// Kustomizations that it takes in for what they do.
    pub components: Vec<String>,
    /// What it puts in the place of names.
    pub images: Vec<ImageEntry>,
}

/// An entry of a kustomization's `images`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ImageEntry {
    /// What is looked for: a name as it is written, without its tag and its digest.
    pub name: String,
    /// What stands there instead.
    pub new_name: Option<String>,
    /// The tag instead.
    pub new_tag: Option<String>,
    /// The digest instead.
    pub digest: Option<String>,
}

/// Whether a file is a kustomization, by its name.
pub fn is_kustomization(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    matches!(name, Some("kustomization.yaml" | "kustomization.yml" | "Kustomization"))
}

/// What a kustomization takes in, and its entries.
type Overlay<'k> = (Vec<PathBuf>, &'k [ImageEntry]);

/// By manifest: the entries that it goes through in their order, once for each way to it from a kustomization that none
/// takes in.
pub type Ways = BTreeMap<PathBuf, Vec<Vec<ImageEntry>>>;

/// The ways through kustomizations, which are given by their folders. `locate` says where a path really lies; none
/// where nothing is there.
pub fn ways<L>(by_folder: &BTreeMap<PathBuf, Kustomization>, locate: L) -> Ways
where
    L: Fn(&Path) -> Option<PathBuf>,
{
    let overlays: BTreeMap<&Path, Overlay<'_>> = by_folder
        .iter()
        .map(|(folder, kustomization)| {
            let Kustomization { resources, bases, components, images } = kustomization;
            let named = resources.iter().chain(bases).chain(components);
            let paths = named.filter_map(|path| locate(&folder.join(path))).collect();
            (folder.as_path(), (paths, images.as_slice()))
        })
        .collect();
    let taken_in: BTreeSet<&Path> =
        overlays.values().flat_map(|(paths, _)| paths).map(PathBuf::as_path).collect();
    let mut ways = Ways::new();
    for folder in overlays.keys().filter(|folder| !taken_in.contains(*folder)) {
        follow(&overlays, folder, &[], 0, &mut ways);
    }
    ways
}

fn follow(
    overlays: &BTreeMap<&Path, Overlay<'_>>,
    folder: &Path,
    above: &[ImageEntry],
    depth: usize,
    ways: &mut Ways,
) {
    let Some((paths, own)) = overlays.get(folder).filter(|_| depth < MAX_DEPTH) else { return };
    let entries: Vec<ImageEntry> = own.iter().chain(above).cloned().collect();
    for path in paths {
        if overlays.contains_key(path.as_path()) {
            follow(overlays, path, &entries, depth + 1, ways);
        } else {
            ways.entry(path.clone()).or_default().push(entries.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(resources: &[&str], name: &str) -> Kustomization {
        let images = vec![ImageEntry { name: name.to_owned(), ..ImageEntry::default() }];
        let resources = resources.iter().map(ToString::to_string).collect();
        Kustomization { resources, images, ..Kustomization::default() }
    }

    fn names(by_folder: &BTreeMap<PathBuf, Kustomization>, path: &str) -> Vec<String> {
        let ways = ways(by_folder, |path| (!path.ends_with("gone.yaml")).then(|| path.to_owned()));
        let ways = ways.get(Path::new(path)).cloned().unwrap_or_default();
        let names = |way: Vec<ImageEntry>| way.into_iter().map(|entry| entry.name).collect::<String>();
        let mut names: Vec<String> = ways.into_iter().map(names).collect();
        names.sort();
        names
    }

    #[test]
    fn each_way_has_the_entries_from_below_to_above() {
        let by_folder = BTreeMap::from([
            ("/base".into(), over(&["web.yaml", "gone.yaml"], "a")),
            ("/middle".into(), Kustomization { bases: vec!["/base".into()], ..over(&[], "b") }),
            ("/one".into(), Kustomization { components: vec!["/middle".into()], ..over(&[], "c") }),
            ("/two".into(), over(&["/base", "own.yaml"], "d")),
        ]);
        assert_eq!(names(&by_folder, "/base/web.yaml"), ["abc", "ad"]);
        assert_eq!(names(&by_folder, "/two/own.yaml"), ["d"]);
        assert!(names(&by_folder, "/base/gone.yaml").is_empty());
        assert!(names(&by_folder, "/base").is_empty(), "it is no manifest");
    }

    #[test]
    fn rings_end() {
        let ring =
            |one: &str| BTreeMap::from([("/a".into(), over(&["/b"], "a")), ("/b".into(), over(&[one], "b"))]);
        assert!(names(&ring("/a"), "/b/web.yaml").is_empty(), "nothing leads into the ring");
        let mut lead = ring("/a");
        lead.insert("/c".into(), over(&["/a", "web.yaml"], "c"));
        lead.get_mut(Path::new("/b")).unwrap().resources.push("web.yaml".into());
        assert_eq!(names(&lead, "/c/web.yaml"), ["c"]);
        assert_eq!(names(&lead, "/b/web.yaml").len(), (MAX_DEPTH - 1) / 2);
    }
}
