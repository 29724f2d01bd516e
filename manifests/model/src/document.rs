//! Errors of a document that a person wrote, with their place and the nearest known key. They end up in terminals and
//! tickets, so a password that was written where its reference belongs is not shown.

mod hidden;

use std::fmt::Write as _;

use hidden::{Hidden, without_userinfo};

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
        let hint = other_kind(&message).or_else(|| nearest_key(&message));
        let hidden = Hidden::of(text);
        let message = if hidden.concerns(line) { hidden::without_values(&message) } else { message };
        let message = without_userinfo(&message);
        Self { line, column, excerpt: excerpt(text, &hidden, line, column), message, hint }
    }
}

/// The line and the one before it, numbered, with a caret below the place.
fn excerpt(text: &str, hidden: &Hidden, line: u64, column: u64) -> String {
    let before_place = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut shown = String::new();
    let mut has_place = false;
    for (number, original) in (1u64..).zip(text.lines()) {
        if number == line || number + 1 == line {
            let content: String = hidden.line(number, original).chars().take(160).collect();
            let _ = writeln!(shown, "{number:5} | {content}");
            let is_whole = content.chars().take(before_place).eq(original.chars().take(before_place));
            has_place |= number == line && is_whole;
        }
    }
    if has_place && column <= 160 {
        let _ = write!(shown, "      | {}^", " ".repeat(before_place));
    }
    shown.trim_end().to_owned()
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

/// For a spec where a site file is wanted, and the other way around.
fn other_kind(message: &str) -> Option<String> {
    let kinds = ["Bundle", "Site"].map(|kind| (message.contains(&format!("unknown variant `{kind}`")), kind));
    let hint = match kinds.into_iter().find(|(is_found, _)| *is_found)?.1 {
        "Bundle" if message.ends_with("Site") => {
            "this is a spec, from which `ferry-builder` makes a bundle; `ferry-installer init` writes a site file"
        }
        "Site" if message.ends_with("Bundle") => {
            "this is a site file, for `ferry-installer`; `ferry-builder init` writes a spec"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

impl Failure for DocumentError {
    fn class(&self) -> Class {
        Class::Input
    }

    fn hints(&self) -> Vec<String> {
        self.hint.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{site::Site, spec::Spec};

    #[test]
    fn a_spec_and_a_site_file_are_told_apart() {
        let document = |kind: &str| format!("apiVersion: ferry/v1\nkind: {kind}\nname: a\nversion: \"1\"\n");
        let hints = Site::parse(&document("Bundle")).unwrap_err().hints();
        assert!(hints[0].contains("this is a spec") && hints.len() == 1, "{hints:?}");
        let hints = Spec::parse(&document("Site")).unwrap_err().hints();
        assert!(hints[0].contains("this is a site file") && hints.len() == 1, "{hints:?}");
        assert!(Spec::parse(&document("Other")).unwrap_err().hints().is_empty());
    }
}
