//! What the kustomizations of a folder make of its manifests: `images` puts other names in the place of those that are
//! written.

use std::collections::BTreeMap;
use std::path::Path;

use ferry_references::Named;
use ferry_references::overlays::{ImageEntry, Kustomization, Ways, is_kustomization, ways};

use super::chart::lenient;

/// The manifests that kustomizations take in, each with what every one of them does to it.
#[derive(Debug, Default)]
pub(super) struct Kustomized(Ways);

impl Kustomized {
    /// What the kustomizations in a folder say.
    pub(super) fn of(folder: &Path) -> Self {
        let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
        let found = files.filter(|file| file.file_type().is_file() && is_kustomization(file.path()));
        let read = found.filter_map(|file| {
            let folder = file.path().parent()?.canonicalize().ok()?;
            let text = std::fs::read_to_string(file.path()).ok()?;
            Some((folder, lenient::<Kustomization>(&text).ok()?))
        });
        let by_folder: BTreeMap<_, _> = read.collect();
        Self(ways(&by_folder, |path| path.canonicalize().ok()))
    }

    /// What becomes of an image that a manifest names: none where it stays as it is in one of the ways at least, and
    /// all that it becomes in the others.
    pub(super) fn becomes(&self, path: &Path, named: &Named) -> (bool, Vec<Named>) {
        if self.0.is_empty() {
            return (true, Vec::new());
        }
        let ways = path.canonicalize().ok().and_then(|path| self.0.get(&path));
        let Some(ways) = ways else { return (true, Vec::new()) };
        let results: Vec<Option<Named>> = ways.iter().map(|entries| changed(entries, named)).collect();
        (results.iter().any(Option::is_none), results.into_iter().flatten().collect())
    }
}

/// An image behind the entries that name it; none where no entry does.
fn changed(entries: &[ImageEntry], named: &Named) -> Option<Named> {
    let mut current = named.clone();
    let mut is_changed = false;
    for entry in entries {
        if entry.name != current.without_version().to_string() {
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
