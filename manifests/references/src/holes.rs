//! What is not written but put in later: `{{ … }}` by Go's templates, `${…}` and `$(…)` by compose, shells and kubelets.

use std::ops::Range;

use crate::mapped::{HOLE, Mapped, Writer};

/// The text with a default in place of each variable that has one, and a [`HOLE`] in place of each other. Inner none
/// where there is nothing to fill; none at all where a hole does not end.
#[expect(clippy::option_option, reason = "nothing to do is not the same as nothing to be done")]
pub(crate) fn fill(text: &Mapped<'_>) -> Option<Option<Mapped<'static>>> {
    let written = &*text.text;
    if !written.contains('$') && !written.contains("{{") {
        return Some(None);
    }
    let mut writer = Writer::default();
    write(text, 0..written.len(), &mut writer, 0)?;
    Some(Some(writer.finish(text.span(0..0).start)))
}

const MAX_DEPTH: usize = 8;

fn write(text: &Mapped<'_>, range: Range<usize>, writer: &mut Writer, depth: usize) -> Option<()> {
    let written = &text.text[range.clone()];
    let (mut at, end) = (0, written.len());
    if depth > MAX_DEPTH {
        return None;
    }
    while at < end {
        let rest = &written[at..];
        if let Some((length, format)) = rest.starts_with("{{").then(|| action_format(rest)).flatten() {
            write_format(text, range.start + at + format.start..range.start + at + format.end, writer);
            at += length;
            continue;
        }
        let (hole, default) = match rest.as_bytes() {
            [b'{', b'{', ..] => (action_end(rest)?, action_literal(rest)),
            [b'$', b'{', ..] => {
                let length = brace_end(rest)?;
                (length, shell_default(&rest[..length]))
            }
            [b'$', b'(', ..] => (rest.find(')')? + 1, None),
            [b'$', first, ..] if first.is_ascii_alphabetic() || *first == b'_' => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                (rest[1..].find(|c| !is_name(c)).map_or(rest.len(), |length| length + 1), None)
            }
            _ => {
                let is_mark = |byte: u8| matches!(byte, b'{' | b'$');
                let next = rest.bytes().skip(1).position(is_mark).map_or(rest.len(), |length| length + 1);
                writer.copy(text, range.start + at..range.start + at + next);
                at += next;
                continue;
            }
        };
        match default {
            Some(default) => {
                let start = range.start + at;
                write(text, start + default.start..start + default.end, writer, depth + 1)?;
            }
            None => writer.push(HOLE, &text.span(range.start + at..range.start + at + hole)),
        }
        at += hole;
    }
    Some(())
}

/// The length of an action that is `printf "…"` and values, and where its format is.
fn action_format(action: &str) -> Option<(usize, Range<usize>)> {
    let end = action_end(action)?;
    let inner = action[2..end].trim_start_matches('-').trim_start();
    let quote = inner.strip_prefix("printf ")?.trim_start();
    let start = end - quote.len();
    let close = quote.starts_with('"').then(|| string_end(action.as_bytes(), start, b'"')).flatten()?;
    Some((end, start + 1..close - 1))
}

/// A format, with holes for the values.
fn write_format(text: &Mapped<'_>, range: Range<usize>, writer: &mut Writer) {
    let mut at = range.start;
    while at < range.end {
        let rest = &text.text[at..range.end];
        if rest.starts_with('%') && rest.len() > 1 && rest.is_char_boundary(2) {
            writer.push(HOLE, &text.span(at..at + 2));
            at += 2;
        } else {
            let next =
                rest.bytes().skip(1).position(|byte| byte == b'%').map_or(rest.len(), |length| length + 1);
            writer.copy(text, at..at + next);
            at += next;
        }
    }
}

/// Whether something in a text is put in later.
pub(crate) fn stand_in(text: &str) -> bool {
    ["{{", "${", "$("].iter().any(|mark| text.contains(mark))
}

/// As much of a text as one hole may take, so that one that does not end costs no more than this.
pub(crate) fn beginning(text: &str) -> &str {
    const MAX_HOLE: usize = 1024;
    let mut end = MAX_HOLE.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The length of the action that `text` begins with: `{{ … }}`, whatever its strings hold.
pub(crate) fn action_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 2;
    if text[2..].trim_start_matches('-').trim_start().starts_with("/*") {
        let closed = text.find("*/")? + 2;
        return text[closed..].find("}}").map(|end| closed + end + 2);
    }
    while at + 1 < bytes.len() {
        match bytes[at] {
            b'}' if bytes[at + 1] == b'}' => return Some(at + 2),
            quote @ (b'"' | b'`') => at = string_end(bytes, at, quote)?,
            _ => at += 1,
        }
    }
    None
}

/// The offset behind the string that begins at `at`; strings do not go over lines.
fn string_end(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    at += 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\n' if quote == b'"' => return None,
            b'\\' if quote == b'"' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The text that an action writes unless a value says otherwise: `{{ .Values.image | default "nginx:1" }}`.
fn action_literal(action: &str) -> Option<Range<usize>> {
    let end = action_end(action)?;
    let action = &action[..end];
    let word = action.find("default ")?;
    let after = word + "default ".len();
    let quote = *action.as_bytes().get(after)?;
    if !matches!(quote, b'"' | b'`') || action[after..].contains(" default ") {
        return None;
    }
    let close = string_end(action.as_bytes(), after, quote)?;
    let literal = after + 1..close - 1;
    // What follows in the pipe would change it, were it more than quotes.
    let tail = action[close..].trim_end_matches(['}', '-', ' ']).trim();
    let is_quoting = tail.is_empty() || tail == "| quote" || tail == "| squote" || !tail.contains('|');
    (is_quoting && !action[literal.clone()].is_empty()).then_some(literal)
}

/// The length of `${…}`, which may hold others.
fn brace_end(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            b'\n' => return None,
            _ => {}
        }
    }
    None
}

/// What `${NAME:-default}` and `${NAME-default}` say where the variable has no value.
fn shell_default(variable: &str) -> Option<Range<usize>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = variable[2..].find(|c| !is_name(c))? + 2;
    let rest = &variable[name..];
    let start = name
        + if rest.starts_with(":-") {
            2
        } else if rest.starts_with('-') {
            1
        } else {
            return None;
        };
    let default = start..variable.len() - 1;
    (!default.is_empty()).then_some(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_holes() {
        for (text, filled) in [
            ("a", None),
            ("${A}/b", Some("\u{1}/b")),
            ("${A:-x.y}/b:${T-1}", Some("x.y/b:1")),
            ("${A:-${B:-c}}", Some("c")),
            ("$A/b:$(C)", Some("\u{1}/b:\u{1}")),
            ("{{ .Values.r }}/b:{{ .t | default \"1.2\" }}", Some("\u{1}/b:1.2")),
            ("{{ default \"}}\" .t }}", Some("}}")),
            ("{{- .x | default \"a\" | upper -}}", Some("\u{1}")),
            ("{{/* }} */}}b", Some("\u{1}b")),
            ("{{ printf \"%s/a:%s\" .r .t }}", Some("\u{1}/a:\u{1}")),
            ("{{- printf \"é%\" -}}", Some("é%")),
        ] {
            let mapped = fill(&Mapped::new(text, 0)).unwrap();
            assert_eq!(mapped.as_ref().map(|mapped| &*mapped.text), filled, "{text}");
        }
        for unfinished in ["{{ a", "${a", "$(a", "{{ \"a }}"] {
            assert!(fill(&Mapped::new(unfinished, 0)).is_none(), "{unfinished}");
        }
        let mapped = fill(&Mapped::new("${A:-x.y}/b", 100)).unwrap().unwrap();
        assert_eq!((mapped.span(0..3), mapped.span(4..5)), (105..108, 110..111));
    }
}
