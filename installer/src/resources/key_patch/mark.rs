//! The mark of an object whose new data nobody has taken up yet. It is written together with the data and taken away at the end, so it
//! stands wherever a run fails or is cut off in between, and the next one sees that there is something left to do.

use serde_json::{Value, json};

/// The annotation.
const NOT_TAKEN_UP: &str = "ferry/not-taken-up";

pub(in crate::resources) fn stands(object: &Value) -> bool {
    object["metadata"]["annotations"].get(NOT_TAKEN_UP).is_some()
}

pub(in crate::resources) fn set(object: &mut Value) {
    let annotations = &mut object["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = json!({});
    }
    annotations[NOT_TAKEN_UP] = json!("yes");
}

/// Sets it or takes it away, as it was.
pub(in crate::resources) fn put_back(object: &mut Value, stood: bool) {
    if stood { set(object) } else { remove(object) }
}

/// Takes it away, and what was made for it alone.
pub(in crate::resources) fn remove(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    if annotations.remove(NOT_TAKEN_UP).is_some() && annotations.is_empty() {
        metadata.remove("annotations");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leaves_no_trace() {
        for object in [json!({"metadata": {"name": "a"}}), json!({"metadata": {"annotations": {"b": "c"}}})] {
            let mut marked = object.clone();
            set(&mut marked);
            assert!(stands(&marked) && !stands(&object), "{marked}");
            remove(&mut marked);
            assert_eq!(marked, object);
        }
        let mut bare = json!({"data": {}});
        remove(&mut bare);
        assert_eq!(bare, json!({"data": {}}));
    }
}
