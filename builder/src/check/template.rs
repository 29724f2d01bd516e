//! The parts of a template that can be told without rendering it: `{{ .Values.image.tag | default .Chart.AppVersion }}`.

use serde_json::Value;

use super::chart::Metadata;
use super::values;

/// What a template may name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) values: &'a Value,
    pub(super) metadata: &'a Metadata,
}

/// The text with what each action writes in its place, where that is plain; other actions stay as they are, and so does
/// the number of lines.
pub(super) fn fill(text: &str, known: Known<'_>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else { break };
        let (action, end) = (&rest[start..start + length + 2], start + length + 2);
        filled.push_str(&rest[..start]);
        let inner = action[2..length].trim_matches('-').trim();
        match known.pipeline(inner).filter(|_| !action.contains('\n')) {
            Some(written) if !written.contains('\n') => filled.push_str(&written),
            _ => filled.push_str(action),
        }
        rest = &rest[end..];
    }
    filled.push_str(rest);
    filled
}

impl Known<'_> {
    fn pipeline(self, text: &str) -> Option<String> {
        let mut stages = split(text, '|')?.into_iter();
        let mut written = self.first(&words(stages.next()?.trim())?);
        for stage in stages {
            let words = words(stage.trim())?;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            written = match words[..] {
                ["default", other] => written.filter(|text| !text.is_empty()).or_else(|| self.operand(other)),
                ["quote"] => written.map(|text| format!("\"{text}\"")),
                ["squote"] => written.map(|text| format!("'{text}'")),
                ["toString" | "trim"] => written,
                ["trimSuffix", suffix] => {
                    let suffix = self.operand(suffix)?;
                    written.map(|text| text.strip_suffix(&suffix).map(str::to_owned).unwrap_or(text))
                }
                ["trimPrefix", prefix] => {
                    let prefix = self.operand(prefix)?;
                    written.map(|text| text.strip_prefix(&prefix).map(str::to_owned).unwrap_or(text))
                }
                _ => return None,
            };
        }
        written
    }

    fn first(self, words: &[String]) -> Option<String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            [one] => self.operand(one),
            ["default", other, one] => {
                self.operand(one).filter(|text| !text.is_empty()).or_else(|| self.operand(other))
            }
            _ => None,
        }
    }

    fn operand(self, word: &str) -> Option<String> {
        if let Some(literal) = word.strip_prefix('"') {
            let literal = literal.strip_suffix('"')?;
            return (!literal.contains('\\')).then(|| literal.to_owned());
        }
        let path = word.strip_prefix('$').unwrap_or(word);
        match path {
            ".Chart.AppVersion" => self.metadata.app_version.clone(),
            ".Chart.Version" => Some(self.metadata.version.clone()),
            ".Chart.Name" => Some(self.metadata.name.clone()),
            _ => values::text(values::get(self.values, path.strip_prefix(".Values.")?)?),
        }
    }
}

/// Splits at a character that stands in no string; none where a string does not end, or something is in parentheses.
fn split(text: &str, at: char) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut is_string = false;
    for character in text.chars() {
        match character {
            '"' => is_string = !is_string,
            '(' | ')' | '`' if !is_string => return None,
            _ => {}
        }
        if character == at && !is_string {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    (!is_string).then_some(parts)
}

fn words(text: &str) -> Option<Vec<String>> {
    Some(split(text, ' ')?.into_iter().filter(|word| !word.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_actions_are_filled_and_others_stay() {
        let metadata = Metadata {
            name: "app".into(),
            version: "1.0.0".into(),
            app_version: Some("v2.1".into()),
            kind: None,
            dependencies: Vec::new(),
        };
        let values =
            json!({"image": {"repository": "team/app", "tag": "", "port": 80}, "registry": "hub.corp"});
        let known = Known { values: &values, metadata: &metadata };
        for (text, expect) in [
            ("a", "a"),
            (
                "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}",
                "team/app:v2.1",
            ),
            (
                "\"{{ $.Values.registry }}/x:{{ .Chart.AppVersion | trimPrefix \"v\" }}\"",
                "\"hub.corp/x:2.1\"",
            ),
            ("{{- default \"latest\" .Values.image.tag -}}", "latest"),
            ("{{ .Values.image.repository | quote }}", "\"team/app\""),
            ("{{ .Values.image.port }}", "80"),
            ("{{ .Values.none }}", "{{ .Values.none }}"),
            ("{{ include \"app.image\" . }}", "{{ include \"app.image\" . }}"),
            ("{{ printf \"%s\" .Values.registry }}", "{{ printf \"%s\" .Values.registry }}"),
            ("{{ if .Values.registry }}", "{{ if .Values.registry }}"),
            ("{{ (.Values.registry) }}", "{{ (.Values.registry) }}"),
            ("{{ unfinished", "{{ unfinished"),
        ] {
            assert_eq!(fill(text, known), expect);
        }
    }
}
