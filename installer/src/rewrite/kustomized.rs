//! What kustomizations do to the manifests that they take in: an image that one of them looks for by its name must keep that name.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::walk;

/// Kustomizations upon kustomizations, at most.
const MAX_DEPTH: usize = 16;

/// For each manifest that kustomizations take in, the names that they look for, once for each way from a kustomization that none
/// takes in.
#[derive(Debug, Default)]
pub(super) struct Kustomized(HashMap<PathBuf, Vec<Vec<String>>>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kustomization {
    resources: Vec<String>,
    bases: Vec<String>,
    components: Vec<String>,
    images: Vec<Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    name: String,
}

impl Kustomized {
    /// What the kustomizations at and below some paths say.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let items = paths.iter().flat_map(|path| walk::items(path)).filter_map(Result::ok);
        let mut by_folder = HashMap::new();
        for item in items.filter(|item| item.what == walk::What::File && is_kustomization(&item.path)) {
            let folder = item.path.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned()));
            let text = std::fs::read_to_string(&item.path).ok();
            let read = text.and_then(|text| serde_saphyr::from_str::<Kustomization>(&text).ok());
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
        above: &[String],
        depth: usize,
    ) {
        let Some(kustomization) = by_folder.get(folder).filter(|_| depth < MAX_DEPTH) else { return };
        let own = kustomization.images.iter().map(|entry| entry.name.clone());
        let names: Vec<String> = own.chain(above.iter().cloned()).collect();
        for path in kustomization.paths(folder) {
            if by_folder.contains_key(&path) {
                self.follow(by_folder, &path, &names, depth + 1);
            } else {
                self.0.entry(path).or_default().push(names.clone());
            }
        }
    }

    /// The names that are looked for in a file, once for each way.
    pub(super) fn ways(&self, path: &Path) -> &[Vec<String>] {
        if self.0.is_empty() {
            return &[];
        }
        path.canonicalize().ok().and_then(|path| self.0.get(&path)).map_or(&[], Vec::as_slice)
    }
}

impl Kustomization {
    /// What it takes in, where that is on this machine.
    fn paths(&self, folder: &Path) -> Vec<PathBuf> {
        let named = self.resources.iter().chain(&self.bases).chain(&self.components);
        named.filter_map(|path| folder.join(path).canonicalize().ok()).collect()
    }
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
            ("one/kustomization.yaml", "bases: [../base]\nimages: [{name: redis, newTag: '7'}]\n"),
            ("two/Kustomization", "resources: [../base, other.yaml, https://a.b/c]\n"),
            ("two/other.yaml", ""),
            ("alone.yaml", ""),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let kustomized = Kustomized::of(&[folder.path().to_owned()]);
        let ways = |path: &str| {
            let mut ways = kustomized.ways(&folder.path().join(path)).to_vec();
            ways.sort();
            ways
        };
        assert_eq!(ways("base/web.yaml"), [vec!["web"], vec!["web", "redis"]]);
        assert_eq!(ways("two/other.yaml"), [Vec::<String>::new()]);
        assert!(ways("alone.yaml").is_empty());
    }
}
