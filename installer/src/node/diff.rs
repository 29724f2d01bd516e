//! How files differ, as people read it, and how a change is taken out of a file that others have changed since.

use std::ops::Range;
use std::path::Path;

use similar::{Algorithm, DiffTag, TextDiff, capture_diff_slices};

/// What the keys of secrets have in their names.
const SECRETS: [&str; 4] = ["passw", "auth", "token", "secret"];

/// A unified diff, without the values of secrets.
pub(crate) fn unified(path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let text = |bytes: Option<&[u8]>| {
        let text = String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let masked = text.split_inclusive('\n').map(without_secrets);
        masked.collect::<String>()
    };
    let name = |bytes: Option<&[u8]>| bytes.map_or("/dev/null".into(), |_| path.display().to_string());
    let (old, new) = (text(before), text(after));
    let diff = TextDiff::from_lines(&old, &new);
    diff.unified_diff().context_radius(3).header(&name(before), &name(after)).to_string()
}

/// A line up to the value, where its key may be that of a secret.
fn without_secrets(line: &str) -> String {
    let lower = line.to_lowercase();
    match line.find(['=', ':']) {
        Some(at) if SECRETS.iter().any(|secret| lower.contains(secret)) => format!("{} …\n", &line[..=at]),
        _ => line.to_owned(),
    }
}

/// A change of lines: which of the old ones become which of the new ones.
struct Hunk {
    old: Range<usize>,
    new: Range<usize>,
}

/// What `now` is without the change from `before` to `ours`, where what others have changed since lies apart from it.
pub(crate) fn without(ours: &[u8], before: &[u8], now: &[u8]) -> Option<Vec<u8>> {
    let [ours, before, now] = [ours, before, now].map(lines);
    let (back, theirs) = (hunks(&ours, &before), hunks(&ours, &now));
    let clash = |one: &Hunk, other: &Hunk| {
        // What is put in before or behind lines that change is apart from them; what is put in at one place is not.
        let overlaps = one.old.start < other.old.end && other.old.start < one.old.end;
        overlaps || (one.old == other.old)
    };
    if back.iter().any(|one| theirs.iter().any(|other| clash(one, other))) {
        return None;
    }
    let mut all: Vec<(&Hunk, &[&[u8]])> = back.iter().map(|hunk| (hunk, before.as_slice())).collect();
    all.extend(theirs.iter().map(|hunk| (hunk, now.as_slice())));
    all.sort_by_key(|(hunk, _)| (hunk.old.start, hunk.old.end));
    let (mut merged, mut at) = (Vec::new(), 0);
    for (hunk, lines) in all {
        merged.extend_from_slice(&ours[at..hunk.old.start]);
        merged.extend_from_slice(&lines[hunk.new.clone()]);
        at = hunk.old.end;
    }
    merged.extend_from_slice(&ours[at..]);
    let last = merged.len().saturating_sub(1);
    let mut bytes = Vec::new();
    for (number, line) in merged.into_iter().enumerate() {
        bytes.extend_from_slice(line);
        // The last line of one text may have no end, and be no more the last one.
        if number < last && !line.ends_with(b"\n") {
            bytes.push(b'\n');
        }
    }
    Some(bytes)
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

fn hunks(old: &[&[u8]], new: &[&[u8]]) -> Vec<Hunk> {
    let changes = capture_diff_slices(Algorithm::Myers, old, new);
    let changes = changes.iter().filter(|change| change.tag() != DiffTag::Equal);
    changes.map(|change| Hunk { old: change.old_range(), new: change.new_range() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_out_where_others_are_apart() {
        for (before, ours, now, expected) in [
            ("a\n", "a\nX\n", "a\nX\nb\n", Some("a\nb\n")),
            ("a\n", "a\nX\n", "0\na\nX\n", Some("0\na\n")),
            ("a\nb\n", "a\nX\nb\n", "a\nX\nB\n", Some("a\nB\n")),
            ("a\nb\nc\n", "a\nX\nc\n", "A\nX\nc\n", Some("A\nb\nc\n")),
            ("a", "a\nX\n", "0\na\nX\n", Some("0\na")),
            ("a\n", "a\nX\n", "a\nY\n", None),
            ("a\nb\n", "a\n", "a\nY\n", None),
            ("a\n", "a\nX\n", "a\n", None),
            ("a", "a\nX\n", "a\nX\nb\n", Some("a\nb\n")),
        ] {
            let merged = without(ours.as_bytes(), before.as_bytes(), now.as_bytes());
            let merged = merged.map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(merged.as_deref(), expected, "{before:?} {ours:?} {now:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let diff = unified(Path::new("/f"), Some(b"password: s3cret\nx\n"), Some(b"password: s3cret\ny\n"));
        assert!(diff.contains("-x") && diff.contains("+y") && !diff.contains("s3cret"), "{diff}");
    }
}
