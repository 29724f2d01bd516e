//! The values in a file of configuration variables: each may be a secret, and PaaS's errors quote what they were given.

use serde::Deserialize;
use serde_json::Value;

/// Shorter ones would hide half of what is said.
const SHORTEST: usize = 4;

/// As PaaS reads it; numbers as they are written.
#[derive(Deserialize)]
struct Document {
    env_variables: Vec<Variable>,
}

#[derive(Deserialize)]
struct Variable {
    #[serde(default)]
    value: Option<String>,
}

/// The values and each of their lines, the longest first so that none hides but a part of another. Of a file that is no list of
/// variables, everything is secret.
pub(super) fn values(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    match serde_saphyr::from_str::<Document>(text) {
        Ok(document) => {
            found.extend(document.env_variables.into_iter().filter_map(|variable| variable.value));
        }
        Err(_) => {
            if let Ok(value) = serde_saphyr::from_str::<Value>(text) {
                scalars(&value, &mut found);
            }
            let behind = |line: &str| line.split_once(':').map(|(_, rest)| rest.to_owned());
            found.extend(text.lines().filter_map(behind));
            found.push(text.to_owned());
        }
    }
    let lines: Vec<String> = found.iter().flat_map(|value| value.lines()).map(str::to_owned).collect();
    let bare = |value: String| value.trim().trim_matches(['"', '\'']).to_owned();
    let mut found: Vec<String> = found.into_iter().chain(lines).map(bare).collect();
    found.retain(|value| value.len() >= SHORTEST);
    found.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    found.dedup();
    found
}

fn scalars(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| scalars(value, found)),
        Value::Object(values) => values.values().for_each(|value| scalars(value, found)),
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_value() {
        let text = "env_variables:\n- key: A\n  value: \"hunter2\"\n  environment_name: _global_\n- key: B\n  value: on\n\
            - {key: C, value: 'flow''s secret', environment_name: prod}\n\
            - key: D\n  value: |\n    -----BEGIN KEY-----\n    bGluZSBvbmU\n\
            - key: E\n  value: >-\n    folded\n    text\n- key: F\n  value: 0123456\n- key: G\n  value: \"a\\tb\\nccccc\"\n- key: H\n";
        assert_eq!(
            values(text),
            [
                "-----BEGIN KEY-----\nbGluZSBvbmU",
                "-----BEGIN KEY-----",
                "flow's secret",
                "bGluZSBvbmU",
                "folded text",
                "a\tb\nccccc",
                "0123456",
                "hunter2",
                "ccccc",
            ]
        );
    }

    #[test]
    fn of_another_file_all_is_secret() {
        for text in [
            "variables: [{key: A, value: [hunter2, 12345]}]\n",
            "env_variables:\n- {key: A, value: {deep: hunter2, x: 12345}}\n",
        ] {
            let found = values(text);
            assert!(
                ["hunter2", "12345"].iter().all(|secret| found.iter().any(|value| value == secret)),
                "{found:?}"
            );
        }
        let found = values("env_variables:\n- key: A\n  value: \"hunter2\n- key: B\n  value: other1\n");
        assert!(
            ["hunter2", "other1"].iter().all(|secret| found.iter().any(|value| value == secret)),
            "{found:?}"
        );
    }
}
