//! What came of the texts so far, and what is to be said of them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use ferry_model::ImageReference;

use super::known::Target;
use super::remark::{Kind, Remark, Said, Spot};
use super::report::Archive;
use super::resolve::Use;
use super::text::{Edit, Seen};
use crate::Error;

/// What came of all texts so far.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) files: usize,
    pub(super) texts: usize,
    pub(super) changed: usize,
    pub(super) edits: Vec<Edit>,
    pub(super) remarks: Vec<Remark>,
    pub(super) named: BTreeMap<Target, Use>,
    pub(super) right: usize,
    pub(super) archives: Vec<Archive>,
    /// Names that kustomizations look for in their resources.
    sought: Vec<(Spot, String)>,
    /// Names that edits share.
    names: HashSet<Arc<str>>,
}

impl Outcome {
    pub(super) fn take(&mut self, seen: Seen) {
        for mut edit in seen.edits {
            edit.before = self.shared(edit.before);
            edit.after = self.shared(edit.after);
            edit.object = edit.object.map(|object| self.shared(object));
            self.edits.push(edit);
        }
        self.remarks.extend(seen.remarks);
        self.right += seen.right;
        self.sought.extend(seen.sought);
        for named in seen.named {
            let first = Use { spot: named.spot, count: 0, is_foreign: named.is_foreign };
            self.named.entry(named.target).or_insert(first).count += 1;
        }
    }

    /// A kustomization finds images by the names that its resources have, and these may have others now. They mostly lie beside
    /// it or beside its folder.
    pub(super) fn tell_of_sought(&mut self) {
        let canonical = |name: &str| name.parse::<ImageReference>().map(|name| name.name()).ok();
        for (spot, name) in std::mem::take(&mut self.sought) {
            let folder = Path::new(&*spot.file).ancestors().nth(2).unwrap_or(Path::new(""));
            let is_it = |edit: &&Edit| {
                edit.spot.file != spot.file
                    && Path::new(&*edit.spot.file).starts_with(folder)
                    && canonical(&edit.before) == canonical(&name)
            };
            let Some(edit) = self.edits.iter().find(is_it) else { continue };
            let now = canonical(&edit.after).unwrap_or_default();
            let message =
                format!("{} says {now} now: if that is its resource, write that as `name`", edit.spot);
            self.remarks.push(Said::note(Kind::Kustomization, message).at(spot, None, name));
        }
    }

    fn shared(&mut self, name: Arc<str>) -> Arc<str> {
        if let Some(known) = self.names.get(&name) {
            return known.clone();
        }
        self.names.insert(name.clone());
        name
    }

    pub(super) fn say(&mut self, file: &Arc<str>, said: Said) {
        self.remarks.push(said.at(Spot::file(file), None, String::new()));
    }

    pub(super) fn failed(&mut self, path: &Path, error: &Error) {
        let failed = ferry_model::report::Failed::new(error);
        self.say(&shown(path), Said::problem(Kind::Failed, failed.message));
    }
}

/// A path as people see it.
pub(super) fn shown(path: &Path) -> Arc<str> {
    path.strip_prefix("./").unwrap_or(path).display().to_string().into()
}
