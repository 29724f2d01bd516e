//! What containers have logged.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// When each line was logged, for who asks for timestamps.
const TIME: &str = "2024-05-13T02:00:00.123456789Z";

/// Lines by the pods' `app` label and container.
#[derive(Debug, Default)]
pub(super) struct Logs(Mutex<BTreeMap<(String, String), Vec<String>>>);

impl Logs {
    pub(super) fn set(&self, app: &str, container: &str, lines: &[&str]) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.insert((app.to_owned(), container.to_owned()), lines);
    }

    /// The log of a pod's container, as the API gives it.
    pub(super) fn of(&self, pod: &Value, container: &str, timestamps: bool) -> Option<String> {
        let app = pod.pointer("/metadata/labels/app").and_then(Value::as_str)?;
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = logs.get(&(app.to_owned(), container.to_owned()))?;
        let front = if timestamps { format!("{TIME} ") } else { String::new() };
        Some(lines.iter().map(|line| format!("{front}{line}\n")).collect())
    }
}

/// Namespace and pod of a path that asks for a log.
pub(super) fn asked(path: &str) -> Option<(&str, &str)> {
    let (namespace, pod) =
        path.strip_prefix("/api/v1/namespaces/")?.strip_suffix("/log")?.split_once("/pods/")?;
    (!namespace.contains('/') && !pod.contains('/')).then_some((namespace, pod))
}
