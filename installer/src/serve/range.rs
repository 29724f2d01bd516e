//! The `Range` header ([RFC 9110, section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)).

/// What part of a body a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// All of it: no range, or one that a server may and does ignore (malformed, several, another unit).
    Whole,
    /// These bytes.
    Part { start: u64, length: u64 },
    /// None of the bytes that there are.
    Unsatisfiable,
}

/// Reads the header's value, for a body of `size` bytes.
pub(super) fn select(header: Option<&str>, size: u64) -> Selection {
    let Some((first, last)) = header.and_then(single_range) else { return Selection::Whole };
    let (start, end) = match (first, last) {
        (Some(first), last) if last.is_none_or(|last| first <= last) => {
            (first, last.map_or(size, |last| last.saturating_add(1).min(size)))
        }
        (None, Some(suffix)) => (size.saturating_sub(suffix), if suffix == 0 { 0 } else { size }),
        _ => return Selection::Whole,
    };
    if start < end { Selection::Part { start, length: end - start } } else { Selection::Unsatisfiable }
}

/// `bytes=first-last`, either of which may be absent.
fn single_range(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond `u64` is beyond every body too.
    let position = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX));
    (is_number(first) && is_number(last)).then(|| (position(first), position(last)))
}

#[cfg(test)]
mod tests {
    use super::Selection::{Part, Unsatisfiable, Whole};
    use super::*;

    #[test]
    fn ranges() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, Part { start: 0, length: 1 }),
            ("bytes=2-5", 10, Part { start: 2, length: 4 }),
            ("bytes=2-", 10, Part { start: 2, length: 8 }),
            ("bytes=-3", 10, Part { start: 7, length: 3 }),
            ("bytes=-30", 10, Part { start: 0, length: 10 }),
            ("bytes=9-99999999999999999999999", 10, Part { start: 9, length: 1 }),
            ("Bytes = 1-1", 10, Part { start: 1, length: 1 }),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Unsatisfiable),
            ("bytes=5-2", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=0-1,4-5", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(select(Some(header), size), expected, "{header} of {size}");
        }
        assert_eq!(select(None, 10), Whole);
    }
}
