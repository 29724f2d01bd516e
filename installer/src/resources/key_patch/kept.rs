//! What undoing a patch needs. Values of Secrets are in it, so it lies where nobody else may read.

use std::collections::BTreeMap;

use ferry_model::report::Failed;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kept, mark, put_key};
use crate::workloads::Annotations;

/// What undoing a patch needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    /// What the keys held; nothing for those that were not there.
    pub(super) before: BTreeMap<String, Option<Value>>,
    /// What they were given.
    pub(super) after: BTreeMap<String, Value>,
    /// What the workloads had that were restarted.
    pub(super) annotations: Annotations,
    /// Whether an earlier run had left it with nobody having taken it up.
    #[serde(default)]
    pub(super) was_marked: bool,
}

impl Document {
    pub(super) fn save(&self, kept: &Kept) -> Result<String, Failed> {
        kept.save(&serde_json::to_vec(self).expect("texts can be written as JSON"))
    }

    /// Puts back the keys that hold what they were given. Gives those that somebody else has changed since.
    pub(super) fn put_back(&self, live: &mut Value) -> Vec<String> {
        let mut theirs = Vec::new();
        for (key, before) in &self.before {
            let now = live["data"].get(key).cloned();
            if now.as_ref() == self.after.get(key) {
                put_key(live, key, before.as_ref());
            } else if now != *before {
                theirs.push(key.clone());
            }
        }
        mark::put_back(live, self.was_marked);
        theirs
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_still_ours_goes_back() {
        let document = Document {
            before: BTreeMap::from([
                ("a".into(), Some(json!("1"))),
                ("b".into(), None),
                ("c".into(), Some(json!("3"))),
                ("d".into(), Some(json!("4"))),
            ]),
            after: ["a", "b", "c", "d"].map(|key| (key.to_owned(), json!("new"))).into(),
            annotations: BTreeMap::new(),
            was_marked: false,
        };
        let mut live = json!({"data": {"a": "new", "b": "new", "c": "theirs", "d": "4", "e": "5"}});
        assert_eq!(document.put_back(&mut live), ["c"]);
        assert_eq!(live, json!({"data": {"a": "1", "c": "theirs", "d": "4", "e": "5"}}));
    }
}
