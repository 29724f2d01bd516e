//! What objects say, as far as they say it: fields that are absent are empty.

use serde_json::Value;

/// The text there.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list there.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether a condition of its status holds: `Ready`, `Complete`.
pub(crate) fn holds(object: &Value, condition: &str) -> bool {
    let is_it = |listed: &Value| listed["type"] == condition && listed["status"] == "True";
    list(object, "/status/conditions").iter().any(is_it)
}

/// Whether a Job starts no more pods.
pub(crate) fn has_ended(job: &Value) -> bool {
    holds(job, "Complete") || holds(job, "Failed")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_absent_is_empty() {
        let job = json!({"status": {"conditions": [{"type": "Failed", "status": "False"}, {"type": "Complete", "status": "True"}]}});
        assert!(holds(&job, "Complete") && has_ended(&job));
        assert!(!holds(&job, "Failed") && !holds(&json!({}), "Complete"));
        assert_eq!((text(&job, "/metadata/name"), list(&job, "/spec").len()), ("", 0));
    }
}
