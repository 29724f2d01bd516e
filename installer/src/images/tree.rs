//! Layers laid over each other: what a container would see, without its bytes.
//!
//! The rules are the image specification's (`layer.md`): an entry replaces what lower layers have at its path; `.wh.NAME` hides
//! `NAME` of lower layers, and `.wh..wh..opq` hides everything that they have in its folder.

use std::collections::BTreeMap;

/// Symbolic links that are followed before they are taken for a circle, as Linux does.
const MAX_LINKS: u32 = 40;
const HIDE: &str = ".wh.";
const HIDE_ALL: &str = ".wh..wh..opq";

/// What a layer says about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `usr/bin/registry`.
    pub(super) path: String,
    pub(super) kind: Kind,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// A file, with the layer and the path there at which its bytes are.
    File {
        layer: usize,
        member: String,
        size: u64,
    },
    /// A symbolic link.
    Link {
        target: String,
    },
    /// A hard link, of a path of the same layer or a lower one.
    Same {
        target: String,
    },
    /// A device or something else without bytes.
    Other,
}

/// A file's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) layer: usize,
    pub(super) member: String,
    pub(super) size: u64,
}

/// What a container would see.
#[derive(Debug, Default)]
pub(super) struct Tree {
    paths: BTreeMap<String, Kind>,
}

impl Tree {
    /// Lays a layer over what is there.
    pub(super) fn lay(&mut self, entries: Vec<Entry>) {
        let (hiding, shown): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| last(&entry.path).starts_with(HIDE));
        // What a layer hides is what lower ones have, wherever in the layer it says so.
        for entry in hiding {
            let folder = entry.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            match last(&entry.path) {
                HIDE_ALL => self.remove_below(folder),
                name => self.remove(&joined(folder, name.strip_prefix(HIDE).unwrap_or(name))),
            }
        }
        for Entry { path, kind } in shown {
            let kind = match kind {
                Kind::Same { target } => self.paths.get(&target).cloned().unwrap_or(Kind::Other),
                other => other,
            };
            if kind != Kind::Folder {
                self.remove_below(&path);
            }
            self.paths.insert(path, kind);
        }
    }

    /// The file that a path leads to, over symbolic links; none if there is none.
    pub(super) fn find(&self, path: &str) -> Result<Option<Found>, String> {
        let mut links = 0;
        let mut ahead: Vec<String> = parts(path);
        let mut at: Vec<String> = Vec::new();
        while let Some(part) = ahead.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            match self.paths.get(&at.join("/")) {
                Some(Kind::Link { target }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(format!("{path} leads through more than {MAX_LINKS} links"));
                    }
                    at.pop();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    ahead.extend(parts(target));
                }
                Some(Kind::File { layer, member, size }) if ahead.is_empty() => {
                    return Ok(Some(Found { layer: *layer, member: member.clone(), size: *size }));
                }
                // A folder may be there only by what is in it.
                Some(Kind::Folder) | None => {}
                Some(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    fn remove(&mut self, path: &str) {
        self.paths.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, folder: &str) {
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.paths.range(start.clone()..).map(|(path, _)| path);
        let below: Vec<String> = below.take_while(|path| path.starts_with(&start)).cloned().collect();
        for path in below {
            self.paths.remove(&path);
        }
    }
}

/// The parts of a path, the first one last.
fn parts(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
