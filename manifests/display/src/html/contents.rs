//! What was in the bundle: its sizes as a picture and as tables.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ferry_model::report::{Content, Report, Signer};
use ferry_model::size::ByteSize;

use super::markup::Markup;
use super::words::{self, sentence};
use super::{MAX_FOLDED, folded, picture, section, table};

/// Entries that are all listed openly.
const MAX_OPEN: usize = 60;
/// Of more entries, only so many.
const LARGEST: usize = 25;

/// All entries of one kind.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) kind: &'a str,
    pub(super) size: u64,
    /// The largest first.
    pub(super) contents: Vec<&'a Content>,
}

pub(super) fn write(page: &mut Markup, report: &Report) {
    section(page, "contents", &words::CONTENTS, |page| {
        if report.signer == Signer::Unknown {
            return page.say("p", &words::NOT_KNOWN);
        }
        if report.contents.is_empty() {
            return page.say("p", &words::NOTHING_INSIDE);
        }
        let groups = group(&report.contents);
        let total = groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.size));
        picture::draw(page, &groups);
        write_kinds(page, &groups, total);
        page.class("p", "note", |page| {
            page.words(&words::PICTURE_NOTE);
            page.text(" ");
            let (sum, file) = (ByteSize(total).to_string(), ByteSize(report.bundle_size).to_string());
            page.words(&sentence::shared(&sum, &file));
        });
        write_entries(page, &groups, report.contents.len());
    });
}

/// By kind; the kind that takes most first.
pub(super) fn group(contents: &[Content]) -> Vec<Group<'_>> {
    let mut kinds: BTreeMap<&str, Vec<&Content>> = BTreeMap::new();
    for content in contents {
        kinds.entry(&content.kind).or_default().push(content);
    }
    let mut groups: Vec<_> = kinds
        .into_iter()
        .map(|(kind, mut contents)| {
            contents.sort_by_key(|content| (Reverse(content.size), &content.name));
            let size = contents.iter().fold(0_u64, |sum, content| sum.saturating_add(content.size));
            Group { kind, size, contents }
        })
        .collect();
    groups.sort_by_key(|group| (Reverse(group.size), group.kind));
    groups
}

fn write_kinds(page: &mut Markup, groups: &[Group<'_>], total: u64) {
    let columns = [&words::KIND, &words::COUNT, &words::SIZE, &words::SHARE];
    table(page, "kinds", &columns, |page| {
        page.element("tbody", |page| {
            for group in groups {
                page.element("tr", |page| {
                    page.element("td", |page| {
                        picture::draw_swatch(page, group.kind);
                        page.words(&words::kind(group.kind));
                    });
                    number(page, &words::number(group.contents.len()));
                    number(page, &ByteSize(group.size).to_string());
                    number(page, &share(group.size, total));
                });
            }
        });
        page.element("tfoot", |page| {
            page.element("tr", |page| {
                page.say("td", &words::TOTAL);
                number(page, &words::number(groups.iter().map(|group| group.contents.len()).sum()));
                number(page, &ByteSize(total).to_string());
                number(page, "100 %");
            });
        });
    });
}

/// `12.3 %`.
fn share(part: u64, total: u64) -> String {
    if total == 0 {
        return "–".into();
    }
    let thousandths = u128::from(part) * 1000 / u128::from(total);
    if thousandths == 0 && part > 0 {
        return "< 0.1 %".into();
    }
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

fn write_entries(page: &mut Markup, groups: &[Group<'_>], count: usize) {
    let mut all: Vec<&Content> = groups.iter().flat_map(|group| group.contents.iter().copied()).collect();
    all.sort_by_key(|content| (Reverse(content.size), &content.name));
    if count <= MAX_OPEN {
        return write_table(page, &all);
    }
    page.say("h3", &words::LARGEST);
    write_table(page, &all[..LARGEST]);
    folded(page, &sentence::full_list(count), count - LARGEST, |page| {
        write_table(page, &all[..count.min(MAX_FOLDED)]);
        if count > MAX_FOLDED {
            page.say("p", &sentence::left_out(count - MAX_FOLDED));
        }
    });
}

fn write_table(page: &mut Markup, contents: &[&Content]) {
    let columns = [&words::KIND, &words::NAME, &words::SIZE, &words::DIGEST];
    table(page, "entries", &columns, |page| {
        page.element("tbody", |page| {
            for content in contents {
                page.element("tr", |page| {
                    page.say("td", &words::kind(&content.kind));
                    page.element("td", |page| page.code(&content.name));
                    number(page, &ByteSize(content.size).to_string());
                    page.class("td", "digest", |page| page.text(&content.digest));
                });
            }
        });
    });
}

/// A cell with a number.
pub(super) fn number(page: &mut Markup, text: &str) {
    page.class("td", "number", |page| page.text(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (part, total, text) in [
            (0, 0, "–"),
            (0, 5, "0.0 %"),
            (1, 3, "33.3 %"),
            (1, 100_000, "< 0.1 %"),
            (u64::MAX, u64::MAX, "100.0 %"),
        ] {
            assert_eq!(share(part, total), text);
        }
    }
}
