//! Taking back what a push changed beside the names that it was asked for: lists of referrers, where the registry has no API for
//! them, and indexes that people pin by digest.

use std::collections::BTreeSet;

use ferry_model::Digest;
use ferry_model::report::Failed;
use ferry_transfer::Repository;
use ferry_transfer::manifest::media_type;
use serde_json::Value;

use super::Undone;
use super::keep::{Note, current};
use super::tags::Tags;

/// A reference beside images that are taken back.
#[derive(Debug)]
pub(super) struct Reference<'a> {
    pub(super) repository: &'a Repository,
    pub(super) tags: &'a Tags,
    pub(super) note: Note,
    /// What it named before; empty for nothing.
    pub(super) before: Vec<u8>,
    /// The images because of which it was changed.
    pub(super) images: BTreeSet<Digest>,
}

impl Reference<'_> {
    /// Brings back what it named before. What others have put on a list since stays on it.
    pub(super) async fn undo(&self) -> Result<Undone, Failed> {
        match &self.note {
            Note::Index(index) => {
                self.tags.delete(self.repository, index, &format!("the index {index}")).await
            }
            Note::List(tag) => self.undo_list(tag).await,
            // These are no matter of their own: they go with the image.
            Note::Absent(_) | Note::Had(_) => Ok(Undone::Restored),
        }
    }

    async fn undo_list(&self, tag: &str) -> Result<Undone, Failed> {
        let Some((digest, list)) = current(self.repository, tag).await? else {
            return Ok(Undone::Restored);
        };
        match without(&list, &self.before, &self.images)? {
            List::AsItIs => return Ok(Undone::Restored),
            List::Gone => {}
            List::These(bytes) => {
                let kind = media_type(&bytes, None).map_err(|error| Failed::new(&error))?;
                let put = self.repository.put_manifest(tag, &kind, bytes.into()).await;
                put.map_err(|error| Failed::new(&error))?;
            }
        }
        self.tags.delete(self.repository, &digest, &format!("the list {tag}@{digest}")).await
    }
}

/// What a list of referrers shall be.
#[derive(Debug, PartialEq, Eq)]
enum List {
    AsItIs,
    Gone,
    These(Vec<u8>),
}

/// The list without what the run put on it: byte for byte as before where nobody else has changed it.
fn without(now: &[u8], before: &[u8], images: &BTreeSet<Digest>) -> Result<List, Failed> {
    let mut index: Value = serde_json::from_slice(now).map_err(|error| malformed(&error.to_string()))?;
    let had: BTreeSet<String> = if before.is_empty() {
        BTreeSet::new()
    } else {
        let before: Value = serde_json::from_slice(before).map_err(|error| malformed(&error.to_string()))?;
        digests(&before).collect()
    };
    let Some(listed) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Err(malformed("its tag names something else"));
    };
    let count = listed.len();
    let is_ours = |entry: &Value| {
        let digest = entry["digest"].as_str().unwrap_or_default();
        !had.contains(digest) && digest.parse().is_ok_and(|digest| images.contains(&digest))
    };
    listed.retain(|entry| !is_ours(entry));
    Ok(if listed.len() == count {
        List::AsItIs
    } else if digests(&index).collect::<BTreeSet<_>>() != had {
        List::These(index.to_string().into_bytes())
    } else if before.is_empty() {
        List::Gone
    } else {
        List::These(before.to_vec())
    })
}

fn digests(index: &Value) -> impl Iterator<Item = String> {
    let entries = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| entry["digest"].as_str().unwrap_or_default().to_owned())
}

fn malformed(reason: &str) -> Failed {
    let message = format!("the list of referrers cannot be taken back: {reason}");
    Failed::because(ferry_model::failure::Class::Protocol, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_lose_what_the_run_put_on_them_and_nothing_else() {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let list = |names: &[&str]| {
            let entries: Vec<Value> = names.iter().map(|name| json!({"digest": digest(name)})).collect();
            format!("{:#}", json!({"schemaVersion": 2, "manifests": entries})).into_bytes()
        };
        let ours = BTreeSet::from([digest("a"), digest("b")]);
        let after = |now: &[&str], before: &[u8]| without(&list(now), before, &ours).unwrap();
        assert_eq!(after(&["a", "b"], b""), List::Gone);
        assert_eq!(after(&["x"], b""), List::AsItIs);
        // Byte for byte, with its white space.
        assert_eq!(after(&["x", "a", "b"], &list(&["x"])), List::These(list(&["x"])));
        assert_eq!(after(&["a"], &list(&[])), List::These(list(&[])));
        // What was on the list before the run was not put there by it.
        assert_eq!(after(&["a"], &list(&["a"])), List::AsItIs);
        let List::These(rest) = after(&["x", "a", "later"], &list(&["x"])) else { panic!() };
        let rest: Value = serde_json::from_slice(&rest).unwrap();
        assert_eq!(
            digests(&rest).collect::<Vec<_>>(),
            [digest("x").to_string(), digest("later").to_string()]
        );
        without(b"{}", b"", &ours).unwrap_err();
        without(b"no list", b"", &ours).unwrap_err();
    }
}
