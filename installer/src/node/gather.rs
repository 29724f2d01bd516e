//! What all editors say of a node, put together.

use std::collections::BTreeMap;

use ferry_model::node::{Change, FileChange, NodeDesired, NodeReport, ServiceChange, Takeup};
use ferry_model::report::Failed;

use super::{Edit, Edits, Root, containerd, crio, dcos, diff, docker, hosts, k3s, trust};

type Editor = fn(&Root, &NodeDesired) -> Result<Edits, Failed>;

/// Names and trust come first, since runtimes are told to rely on them.
const EDITORS: [Editor; 7] =
    [trust::edits, hosts::edits, dcos::edits, containerd::edits, crio::edits, k3s::edits, docker::edits];

/// What shall be done to a node.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// What each editor said, and could say.
    pub(crate) groups: Vec<Edits>,
    /// Editors that could not say anything.
    pub(crate) failures: Vec<Failed>,
}

impl Gathered {
    /// Asks all editors.
    pub(crate) fn ask(root: &Root, desired: &NodeDesired) -> Self {
        let mut gathered = Self::default();
        for editor in EDITORS {
            match editor(root, desired) {
                Ok(mut edits) => {
                    // Two runtimes may read one file, and want the same of it.
                    edits.files.retain(|edit| gathered.edits().all(|other| !is_same(other, edit)));
                    gathered.groups.push(edits);
                }
                Err(failed) => gathered.failures.push(failed),
            }
        }
        gathered
    }

    /// All edits, in the order in which they are made.
    pub(crate) fn edits(&self) -> impl Iterator<Item = &Edit> {
        self.groups.iter().flat_map(|group| &group.files)
    }

    /// What would come of it.
    pub(crate) fn report(&self, root: &Root) -> NodeReport {
        let said = |of: fn(&Edits) -> &[Failed]| self.groups.iter().flat_map(of).cloned();
        let mut notes: Vec<String> = Vec::new();
        for note in self.groups.iter().flat_map(|group| &group.notes) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        NodeReport {
            node: node_name(root),
            runtimes: self.groups.iter().filter_map(|group| group.found.clone()).collect(),
            changes: self.edits().map(change).collect(),
            services: merged(self.edits().filter_map(|edit| service(root, edit))),
            failures: self.failures.iter().cloned().chain(said(|group| &group.failures)).collect(),
            notes,
            ..NodeReport::default()
        }
    }
}

/// What this machine calls itself.
pub(crate) fn node_name(root: &Root) -> String {
    let name = root.read("/proc/sys/kernel/hostname").ok().flatten();
    let name = name.map_or_else(String::new, |name| String::from_utf8_lossy(&name).trim().to_owned());
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn is_same(one: &Edit, other: &Edit) -> bool {
    one.path == other.path && one.after == other.after
}

fn change(edit: &Edit) -> FileChange {
    let change = match (&edit.before, &edit.after) {
        (None, _) => Change::Made,
        (_, None) => Change::Removed,
        _ => Change::Changed,
    };
    FileChange {
        path: edit.path.clone(),
        change,
        diff: diff::unified(&edit.path, edit.before.as_deref(), edit.after.as_deref()),
    }
}

/// What takes an edit up, by the unit that the node has.
pub(crate) fn service(root: &Root, edit: &Edit) -> Option<ServiceChange> {
    let unit = edit.units.iter().find(|unit| root.has_unit(unit)).or_else(|| edit.units.first())?;
    (edit.takeup != Takeup::Nothing).then(|| ServiceChange {
        unit: unit.clone(),
        how: edit.takeup,
        reason: edit.reason.clone(),
    })
}

/// Each service once, in the way that does for all of its changes. containerd first: others run on it.
pub(crate) fn merged(services: impl IntoIterator<Item = ServiceChange>) -> Vec<ServiceChange> {
    let mut by_unit: BTreeMap<(bool, String), ServiceChange> = BTreeMap::new();
    for service in services {
        let place = (!service.unit.starts_with("containerd"), service.unit.clone());
        let Some(known) = by_unit.get_mut(&place) else {
            by_unit.insert(place, service);
            continue;
        };
        known.how = known.how.max(service.how);
        if !known.reason.contains(&service.reason) {
            known.reason = format!("{}; {}", known.reason, service.reason);
        }
    }
    by_unit.into_values().collect()
}
