//! Plain lists: references on lines of their own, or behind the words of a command.

use std::ops::Range;

use crate::How;
use crate::mapped::Mapped;
use crate::parts::Parts;
use crate::report::Report;

/// Whether a line is a reference and no mere word, or several with commas between them; with a comment behind it at most.
pub(crate) fn is_line(line: &str) -> bool {
    let words = words(line);
    let is_sure = |range: &Range<usize>| {
        let word = &line[range.clone()];
        word.contains(['/', ':']) && Parts::read(&Mapped::new(word, 0)).is_some()
    };
    !words.is_empty() && has_commas(line, &words) && words.iter().all(is_sure)
}

/// Each line's references: one by itself, several with commas between them, the first of several words where it says
/// a tag or a registry, and what a command pulls.
pub(crate) fn find(text: &str, report: &mut Report<'_>) {
    for (at, line) in crate::lines::of(text) {
        let words = words(line);
        let read = |word: &Range<usize>| Parts::read(&Mapped::new(&line[word.clone()], at + word.start));
        let pulls = words.iter().position(|word| &line[word.clone()] == "pull");
        let found: Vec<Parts> = match (&words[..], pulls) {
            ([only], _) => read(only).into_iter().collect(),
            (_, Some(pull)) => {
                let options = |word: &&Range<usize>| !line[(*word).clone()].starts_with('-');
                words[pull + 1..].iter().filter(options).filter_map(read).collect()
            }
            _ if has_commas(line, &words) => words.iter().filter_map(read).collect(),
            ([first, ..], None) => {
                let is_sure = |parts: &Parts| parts.is_pinned() || parts.has_registry();
                read(first).filter(is_sure).into_iter().collect()
            }
            ([], None) => Vec::new(),
        };
        for parts in found {
            report.push(parts, How::Line, None, String::new());
        }
    }
}

/// The words before a comment, without quotes, commas and what begins an entry of a list.
fn words(line: &str) -> Vec<Range<usize>> {
    let is_between = |c: char| c.is_whitespace() || matches!(c, ',' | '"' | '\'' | '[' | ']');
    let end = line
        .char_indices()
        .find(|(at, c)| *c == '#' && line[..*at].chars().next_back().is_none_or(is_between))
        .map_or(line.len(), |(at, _)| at);
    let mut words = Vec::new();
    let mut at = 0;
    for word in line[..end].split(is_between) {
        if !word.is_empty() && word != "-" {
            words.push(at..at + word.len());
        }
        at += word.len() + line[at + word.len()..].chars().next().map_or(0, char::len_utf8);
    }
    words
}

/// Whether a comma stands between any two words.
fn has_commas(line: &str, words: &[Range<usize>]) -> bool {
    words.windows(2).all(|pair| line[pair[0].end..pair[1].start].contains(','))
}
