//! A unified diff, coloured by line; the signs at the lines' beginnings tell the same in black and white.

use super::markup::Markup;
use super::words::sentence;

/// Lines of one diff.
const MAX_LINES: usize = 400;
/// Up to so many lines it is shown unfolded, so that it is printed too.
const MAX_OPEN: usize = 60;

pub(super) fn write(page: &mut Markup, diff: &str) {
    let count = |sign: &str, header: &str| {
        diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(header)).count()
    };
    let lines = diff.lines().count();
    let summary = sentence::diff(count("+", "+++ "), count("-", "--- "));
    let mut attributes = vec![("class", "diff")];
    if lines <= MAX_OPEN {
        attributes.push(("open", "open"));
    }
    page.with("details", &attributes, |page| {
        page.say("summary", &summary);
        page.element("pre", |page| {
            for line in diff.lines().take(MAX_LINES) {
                write_line(page, line);
            }
        });
        if lines > MAX_LINES {
            page.say("p", &sentence::lines_left_out(lines - MAX_LINES));
        }
    });
}

fn write_line(page: &mut Markup, line: &str) {
    let tag = match line.as_bytes() {
        [b'+', b'+', b'+', b' ', ..] | [b'-', b'-', b'-', b' ', ..] | [b'@', b'@', ..] => "b",
        [b'+', ..] => "ins",
        [b'-', ..] => "del",
        _ => "span",
    };
    page.element(tag, |page| {
        page.text(line);
        page.text("\n");
    });
}
