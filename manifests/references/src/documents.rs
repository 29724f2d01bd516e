//! The documents of a YAML stream, one at a time: they know nothing of each other.

use std::iter;
use std::ops::Range;

/// The documents of a text, each with the `---` before it: together they are all of the text.
pub fn documents(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    iter::from_fn(move || {
        let start = at;
        if start == text.len() {
            return None;
        }
        at = next_marker(text, start).unwrap_or(text.len());
        Some(start..at)
    })
}

/// The offset of the first line after `from`'s that begins a document.
fn next_marker(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += text[at..].find("\n---")? + 1;
        if begins_document(&text.as_bytes()[at..]) {
            return Some(at);
        }
    }
}

/// Whether a line begins with `---` and neither letters nor more dashes.
pub(crate) fn begins_document(line: &[u8]) -> bool {
    line.starts_with(b"---") && matches!(line.get(3), None | Some(b' ' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_at_markers_only() {
        let text = "# a\n---\na: 1\n----\n --- \n---x\n--- # b\n---\n";
        let parts: Vec<&str> = documents(text).map(|range| &text[range]).collect();
        assert_eq!(parts, ["# a\n", "---\na: 1\n----\n --- \n---x\n", "--- # b\n", "---\n"]);
        assert_eq!(documents("").count(), 0);
    }

    proptest! {
        #[test]
        fn the_whole_text_comes_out(text in "(a|-|--|---|\r|\n| |é){0,40}") {
            let parts: Vec<&str> = documents(&text).map(|range| &text[range]).collect();
            prop_assert_eq!(parts.concat(), text.as_str());
            let lines = text.split_inclusive('\n').enumerate();
            let begins = lines.filter(|(index, line)| *index == 0 || begins_document(line.as_bytes()));
            prop_assert_eq!(parts.len(), begins.count());
        }
    }
}
