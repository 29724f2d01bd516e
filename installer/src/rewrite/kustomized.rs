//! What kustomizations do to the manifests that they take in: an image that one of them looks for by its name must keep that name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ferry_references::overlays::{ImageEntry, Kustomization, is_kustomization, ways};

use super::walk;

/// For each manifest that kustomizations take in, the names that they look for, once for each way from a kustomization that none
/// takes in.
#[derive(Debug, Default)]
pub(super) struct Kustomized(BTreeMap<PathBuf, Vec<Vec<String>>>);

impl Kustomized {
    /// What the kustomizations at and below some paths say.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let items = paths.iter().flat_map(|path| walk::items(path)).filter_map(Result::ok);
        let found = items.filter(|item| item.what == walk::What::File && is_kustomization(&item.path));
        let read = found.filter_map(|item| {
            let path = item.path.canonicalize().ok()?;
            let text = std::fs::read_to_string(&path).ok()?;
            Some((path.parent()?.to_owned(), serde_saphyr::from_str::<Kustomization>(&text).ok()?))
        });
        let by_folder: BTreeMap<_, _> = read.collect();
        let ways = ways(&by_folder, |path| path.canonicalize().ok()).into_iter();
        let names = |way: Vec<ImageEntry>| way.into_iter().map(|entry| entry.name).collect();
        Self(ways.map(|(path, ways)| (path, ways.into_iter().map(names).collect())).collect())
    }

    /// The names that are looked for in a file, once for each way.
    pub(super) fn ways(&self, path: &Path) -> &[Vec<String>] {
        if self.0.is_empty() {
            return &[];
        }
        path.canonicalize().ok().and_then(|path| self.0.get(&path)).map_or(&[], Vec::as_slice)
    }
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
            (
                "one/kustomization.yaml",
                "bases: [../base]\nimages: [{name: redis, newTag: 7.10, digest: null}]\n",
            ),
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
