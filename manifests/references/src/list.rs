//! Plain lists: one reference a line.

use crate::How;
use crate::mapped::Mapped;
use crate::parts::Parts;
use crate::report::Report;

/// Whether a line is a reference and no mere word, with a comment behind it at most.
pub(crate) fn is_line(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let rest = words.next();
    first.contains(['/', ':'])
        && rest.is_none_or(|word| word.starts_with('#'))
        && Parts::read(&Mapped::new(first, 0)).is_some()
}

/// Each line's first word, where it is a reference.
pub(crate) fn find(text: &str, report: &mut Report<'_>) {
    for (at, line) in crate::lines::of(text) {
        let start = line.len() - line.trim_start().len();
        let word = line.trim_start().split([' ', '\t', '#']).next().unwrap_or_default();
        if let Some(parts) = Parts::read(&Mapped::new(word, at + start)) {
            report.push(parts, How::Line, None, String::new());
        }
    }
}
