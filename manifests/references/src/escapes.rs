//! What quoted scalars say, with the origin of each character.

use std::ops::Range;

use crate::mapped::{Mapped, Writer};

/// `''` is one quote.
pub(crate) fn single(part: &Mapped<'_>) -> Mapped<'static> {
    let mut writer = Writer::default();
    let mut characters = part.text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let end = at + character.len_utf8();
        let skipped = character == '\'' && characters.next_if(|&(_, next)| next == '\'').is_some();
        writer.push(character, &part.span(at..end + usize::from(skipped)));
    }
    writer.finish(part.span(0..0).start)
}

/// `\n` is a line's end, `\/` a slash, and so on; what is no escape stays.
pub(crate) fn double(part: &Mapped<'_>) -> Mapped<'static> {
    let mut writer = Writer::default();
    let text = &*part.text;
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let (said, length) = match character {
            '\\' => escape(&text[at..]),
            _ => (Some(character), character.len_utf8()),
        };
        if let Some(said) = said {
            writer.push(said, &part.span(at..at + length));
        }
        at += length;
    }
    writer.finish(part.span(0..0).start)
}

/// What the escape that `text` begins with says, and its length.
fn escape(text: &str) -> (Option<char>, usize) {
    let Some(letter) = text[1..].chars().next() else { return (Some('\\'), 1) };
    let length = 1 + letter.len_utf8();
    let said = match letter {
        'n' => '\n',
        't' | '\t' => '\t',
        'r' => '\r',
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'e' => '\u{1b}',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        'x' => return coded(text, 2..4),
        'u' => return coded(text, 2..6),
        'U' => return coded(text, 2..10),
        // A line's end that was escaped says nothing, nor do the spaces that the next line begins with.
        '\n' | '\r' => {
            let rest = text[1..].trim_start_matches([' ', '\t', '\r', '\n']);
            return (None, text.len() - rest.len());
        }
        other => other,
    };
    (Some(said), length)
}

fn coded(text: &str, digits: Range<usize>) -> (Option<char>, usize) {
    let code = text.get(digits.clone()).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32) {
        Some(character) => (Some(character), digits.end),
        None => (Some('\\'), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_quotes_say() {
        for (written, said) in [
            (r"a\/b\n", "a/b\n"),
            (r"\x41\u00e9\U0001F600", "Aé😀"),
            (r"\u00g", r"\u00g"),
            (r"\", r"\"),
            ("a\\\n   b", "ab"),
            (r#"\"é"#, "\"é"),
        ] {
            assert_eq!(double(&Mapped::new(written, 0)).text, said);
        }
        assert_eq!(single(&Mapped::new("it''s", 0)).text, "it's");
        let slash = double(&Mapped::new(r"a\/b", 7));
        assert_eq!((slash.span(0..3), slash.span(1..2)), (7..11, 8..10));
    }
}
