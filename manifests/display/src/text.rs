//! Durations, rates and foreign text as people read them.

use std::borrow::Cow;
use std::time::Duration;

use ferry_model::size::ByteSize;

/// `4.2 s`, `1 min 05 s`, `2 h 03 min`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `1 chart`, `3 charts`. `noun` is one that takes an s.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `12.3 MiB/s`.
pub fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", ByteSize(bytes_per_second))
}

/// Foreign text on one line that no terminal takes for a command: control characters become `\u{fffd}`, line breaks
/// spaces.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let replace = |c| match c {
        '\n' | '\t' => ' ',
        c if is_unsafe(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    Cow::Owned(text.chars().filter(|&c| c != '\r').map(replace).collect())
}

/// Control characters, and those that turn the writing direction around.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "chart")), ["0 charts", "1 chart", "2 charts"]);
    }

    #[test]
    fn durations() {
        for (milliseconds, text) in [
            (0, "0.0 s"),
            (4_200, "4.2 s"),
            (59_999, "59 s"),
            (65_000, "1 min 05 s"),
            (7_380_000, "2 h 03 min"),
            (360_000_000, "100 h 00 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        assert_eq!(printable("slug 应用 layer 3f2a…"), "slug 应用 layer 3f2a…");
        assert_eq!(printable("a\x1b]0;title\x07b\r\nc\td\u{202e}e"), "a�]0;title�b c d�e");
    }
}
