//! What the kustomizations of a folder make of its manifests: `images` puts other names in the place of those that are
//! written.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use ferry_references::Named;
use serde::Deserialize;

use super::chart::lenient;

/// Kustomizations upon kustomizations, at most.
const MAX_DEPTH: usize = 16;

/// The manifests that kustomizations take in, each with what every one of them does to it.
#[derive(Debug, Default)]
pub(super) struct Kustomized {
    /// By the manifest's path: the entries that it goes through, once for each way, in their order.
    ways: HashMap<PathBuf, Vec<Vec<Entry>>>,
}

/// A kustomization, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kustomization {
    resources: Vec<String>,
    bases: Vec<String>,
    components: Vec<String>,
    images: Vec<Entry>,
}

/// An entry of `images`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    name: String,
    new_name: Option<String>,
    new_tag: Option<String>,
    digest: Option<String>,
}

impl Kustomized {
    /// What the kustomizations in a folder say.
    pub(super) fn of(folder: &Path) -> Self {
        let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
        let found = files.filter(|file| file.file_type().is_file() && is_kustomization(file.path()));
        let mut by_folder = HashMap::new();
        for file in found {
            let folder = file.path().parent().and_then(|folder| folder.canonicalize().ok());
            let text = std::fs::read_to_string(file.path()).ok();
            let read = text.and_then(|text| lenient::<Kustomization>(&text).ok());
            if let (Some(folder), Some(read)) = (folder, read) {
                by_folder.insert(folder, read);
            }
        }
        let taken_in: HashSet<PathBuf> =
            by_folder.iter().flat_map(|(folder, kustomization)| kustomization.paths(folder)).collect();
        let mut kustomized = Self::default();
        for folder in by_folder.keys().filter(|folder| !taken_in.contains(*folder)) {
            kustomized.follow(&by_folder, folder, &[], 0);
        }
        kustomized
    }

    fn follow(
        &mut self,
        by_folder: &HashMap<PathBuf, Kustomization>,
        folder: &Path,
        above: &[Entry],
        depth: usize,
    ) {
        let Some(kustomization) = by_folder.get(folder).filter(|_| depth < MAX_DEPTH) else { return };
        let entries: Vec<Entry> = kustomization.images.iter().chain(above).cloned().collect();
        for path in kustomization.paths(folder) {
            if by_folder.contains_key(&path) {
                self.follow(by_folder, &path, &entries, depth + 1);
            } else {
                self.ways.entry(path).or_default().push(entries.clone());
            }
        }
    }

    /// What becomes of an image that a manifest names: none where it stays as it is in one of the ways at least, and
    /// all that it becomes in the others.
    pub(super) fn becomes(&self, path: &Path, named: &Named) -> (bool, Vec<Named>) {
        if self.ways.is_empty() {
            return (true, Vec::new());
        }
        let ways = path.canonicalize().ok().and_then(|path| self.ways.get(&path));
        let Some(ways) = ways else { return (true, Vec::new()) };
        let results: Vec<Option<Named>> = ways.iter().map(|entries| changed(entries, named)).collect();
        (results.iter().any(Option::is_none), results.into_iter().flatten().collect())
    }
}

impl Kustomization {
    /// What it takes in, where that is on this machine.
    fn paths(&self, folder: &Path) -> Vec<PathBuf> {
        let named = self.resources.iter().chain(&self.bases).chain(&self.components);
        named.filter_map(|path| folder.join(path).canonicalize().ok()).collect()
    }
}

/// An image behind the entries that name it; none where no entry does.
fn changed(entries: &[Entry], named: &Named) -> Option<Named> {
    let mut current = named.clone();
    let mut is_changed = false;
    for entry in entries {
        let name = Named { tag: None, digest: None, ..current.clone() }.to_string();
        if entry.name != name {
            continue;
        }
        is_changed = true;
        if let Some(new_name) = &entry.new_name {
            // Read as a whole when the parts are put together.
            (current.registry, current.repository) = (None, new_name.clone());
        }
        if entry.new_tag.is_some() || entry.digest.is_some() {
            (current.tag, current.digest) = (entry.new_tag.clone(), entry.digest.clone());
        }
    }
    is_changed.then_some(current)
}

fn is_kustomization(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    matches!(name, Some("kustomization.yaml" | "kustomization.yml" | "Kustomization"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_are_followed_to_what_they_take_in() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("base/kustomization.yaml", "resources: [web.yaml]\nimages: [{name: web, newName: a.b/web}]\n"),
            ("base/web.yaml", ""),
            ("one/kustomization.yaml", "bases: [../base]\nimages: [{name: a.b/web, newTag: v2}]\n"),
            (
                "two/kustomization.yaml",
                "resources: [../base, other.yaml]\nimages: [{name: redis, newTag: '7'}]\n",
            ),
            ("two/other.yaml", ""),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let kustomized = Kustomized::of(folder.path());
        let becomes = |path: &str, repository: &str| {
            let tag = Some("1".to_owned());
            let named = Named { repository: repository.to_owned(), tag, ..Named::default() };
            let (stays, others) = kustomized.becomes(&folder.path().join(path), &named);
            let mut others: Vec<String> = others.iter().map(ToString::to_string).collect();
            others.sort();
            (stays, others.join(" "))
        };
        assert_eq!(becomes("base/web.yaml", "web"), (false, "a.b/web:1 a.b/web:v2".to_owned()));
        assert_eq!(becomes("base/web.yaml", "redis"), (true, "redis:7".to_owned()));
        assert_eq!(becomes("two/other.yaml", "redis"), (false, "redis:7".to_owned()));
        assert_eq!(becomes("two/other.yaml", "web"), (true, String::new()));
    }
}
