//! The documents of a YAML stream, one at a time: they know nothing of each other, so a stream of any length is read in
//! the memory of its longest document.

use std::io::{self, BufRead};
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

/// The documents of a stream, read one by one. Bytes that are not UTF-8 are an error.
pub fn read_documents(mut source: impl BufRead) -> impl Iterator<Item = io::Result<String>> {
    let mut ahead = Vec::new();
    iter::from_fn(move || read_document(&mut source, &mut ahead).transpose())
}

/// The next document; `ahead` keeps the line that begins the one after.
fn read_document(source: &mut impl BufRead, ahead: &mut Vec<u8>) -> io::Result<Option<String>> {
    let mut document = std::mem::take(ahead);
    loop {
        let line = document.len();
        if source.read_until(b'\n', &mut document)? == 0 {
            break;
        }
        if line > 0 && begins_document(&document[line..]) {
            *ahead = document.split_off(line);
            break;
        }
    }
    if document.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(document);
    text.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
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

    #[test]
    fn refuses_other_bytes() {
        let mut documents = read_documents(&b"a: 1\n---\n\xff\n"[..]);
        assert_eq!(documents.next().unwrap().unwrap(), "a: 1\n");
        assert_eq!(documents.next().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    proptest! {
        #[test]
        fn the_whole_text_comes_out(text in "(a|-|--|---|\r|\n| |é){0,40}") {
            let parts: Vec<&str> = documents(&text).map(|range| &text[range]).collect();
            prop_assert_eq!(parts.concat(), text.as_str());
            let read: Vec<String> = read_documents(text.as_bytes()).map(Result::unwrap).collect();
            prop_assert_eq!(parts, read);
        }
    }
}
