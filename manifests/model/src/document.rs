//! Errors of a document that a person wrote, with their place and the nearest known key.

use std::fmt::Write as _;

use crate::failure::{Class, Failure};

/// A text is not the document that it should be.
#[derive(Debug, thiserror::Error)]
#[error("{line}:{column}: {message}\n{excerpt}")]
pub struct DocumentError {
    /// From 1; 0 where unknown.
    pub line: u64,
    /// From 1; 0 where unknown.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// The line, with a caret below the place.
    excerpt: String,
    /// The nearest known key, or how to write it.
    hint: Option<String>,
}

impl DocumentError {
    pub(crate) fn from_yaml(error: &serde_saphyr::Error, text: &str) -> Self {
        let error = error.without_snippet();
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        // The parser appends the place, which stands in front already.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message).trim().to_owned();
        let is_private = text
            .lines()
            .nth((line as usize).saturating_sub(1))
            .is_some_and(|line| private_from(line).is_some());
        let message = if is_private { without_quoted(&message) } else { message };
        let hint = nearest_key(&message);
        Self { line, column, excerpt: excerpt(text, line, column), message, hint }
    }
}

/// The line and the one before it, numbered, with a caret below the place.
fn excerpt(text: &str, line: u64, column: u64) -> String {
    let mut shown = String::new();
    for (number, content) in (1u64..).zip(text.lines()) {
        if number == line || number + 1 == line {
            let content: String = match private_from(content) {
                Some(from) => format!("{} …", &content[..from]),
                None => content.chars().take(160).collect(),
            };
            let _ = writeln!(shown, "{number:5} | {content}");
        }
    }
    if line > 0 && column <= 160 {
        let _ =
            write!(shown, "      | {}^", " ".repeat(usize::try_from(column.saturating_sub(1)).unwrap_or(0)));
    }
    shown.trim_end().to_owned()
}

/// Where on a line a value begins that may be a password which somebody wrote down after all. It is shown nowhere.
fn private_from(line: &str) -> Option<usize> {
    ["password", "secret"]
        .iter()
        .filter_map(|word| {
            let at = line.to_ascii_lowercase().find(word)?;
            Some(at + line[at..].find(':')? + 1)
        })
        .min()
}

/// A message without the values that it quotes.
fn without_quoted(message: &str) -> String {
    let mut parts = message.split('"');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for (number, part) in parts.enumerate() {
        shown.push_str(if number % 2 == 0 { "\"…\"" } else { part });
    }
    shown
}

/// For "unknown field `imges`, expected one of images, charts": the expected one that is meant.
fn nearest_key(message: &str) -> Option<String> {
    let (problem, expected) = message.split_once("expected")?;
    let found = problem.split('`').nth(1)?;
    let known = expected.trim_start_matches(" one of").split([',', ' ', '`']).filter(|word| !word.is_empty());
    let likeness = |key: &str| strsim::jaro_winkler(found, key);
    let nearest = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (problem.contains("unknown") && likeness(nearest) > 0.7).then(|| format!("did you mean `{nearest}`?"))
}

impl Failure for DocumentError {
    fn class(&self) -> Class {
        Class::Input
    }

    fn hints(&self) -> Vec<String> {
        self.hint.iter().cloned().collect()
    }
}
