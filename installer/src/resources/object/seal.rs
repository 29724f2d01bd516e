//! Whether an object with secrets in it is still what it was, told without those secrets: by a digest of the fields that are ours,
//! salted with the object's own id, which is random and is written down nowhere but in the cluster. So it can stand in journals,
//! and neither a password that was rotated nor one that is gone is in its way.

use ferry_model::Digest;
use ferry_model::plan::Object;
use ring::hmac;
use serde_json::{Value, json};

use super::compare::project;

/// The digest of what the cluster has of it.
pub(super) fn seal(object: &Object, live: &Value) -> String {
    let salt = live["metadata"]["uid"].as_str().unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
    let fields = project(&shape(object), live).to_string();
    Digest::of(hmac::sign(&key, fields.as_bytes()).as_ref()).short()
}

/// The object's fields, those that are filled in when it is sent too.
fn shape(object: &Object) -> Value {
    let mut shape = object.manifest.clone();
    let texts = shape.as_object_mut().and_then(|fields| fields.remove("stringData"));
    let texts = texts.iter().filter_map(Value::as_object).flat_map(|texts| texts.keys());
    let keys = texts.chain(object.data_files.keys()).chain(object.data_logins.keys());
    let keys: Vec<String> = keys.chain(&object.data_random).cloned().collect();
    for key in keys {
        if !shape["data"].is_object() {
            shape["data"] = json!({});
        }
        shape["data"][key] = json!("");
    }
    shape
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn what_is_ours_counts_and_shows_nothing_of_itself() {
        let object = Object {
            kubeconfig: None,
            context: None,
            manifest: json!({"kind": "Secret", "metadata": {"name": "auth"}, "stringData": {"text": "x"}}),
            data_files: BTreeMap::from([("tls.crt".to_owned(), "/etc/x".into())]),
            data_logins: BTreeMap::new(),
            data_random: BTreeSet::from(["made".to_owned()]),
        };
        let live = json!({"kind": "Secret", "metadata": {"name": "auth", "uid": "1", "resourceVersion": "5"},
            "data": {"text": "eA==", "tls.crt": "Yw==", "made": "bQ==", "theirs": "dA=="}});
        let sealed = seal(&object, &live);
        for (pointer, value, is_same) in [
            ("/metadata/resourceVersion", "6", true),
            ("/data/theirs", "dB==", true),
            ("/data/text", "eB==", false),
            ("/data/tls.crt", "Yx==", false),
            ("/data/made", "bR==", false),
            // The same password elsewhere has another digest.
            ("/metadata/uid", "2", false),
        ] {
            let mut other = live.clone();
            *other.pointer_mut(pointer).unwrap() = json!(value);
            assert_eq!(seal(&object, &other) == sealed, is_same, "{pointer}");
        }
    }
}
