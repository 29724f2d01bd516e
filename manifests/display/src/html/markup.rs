//! Markup that is well formed whatever it is given: tags open and close in one call, and every text and attribute value is
//! escaped here. Only names of tags and attributes, which stand in this program, are taken as they are.

use std::fmt::Write;

use super::words::Words;

/// Characters of one text. No name or message of honest origin is longer; a hostile one must not fill the page.
const MAX_TEXT: usize = 4_000;

/// The name of an attribute and its value.
pub(super) type Attribute<'a> = (&'static str, &'a str);

/// A document that is being written.
#[derive(Debug, Default)]
pub(super) struct Markup {
    text: String,
}

impl Markup {
    /// The document so far.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Text of this program: the document's declaration, its style sheet.
    pub(super) fn own(&mut self, text: &'static str) {
        self.text.push_str(text);
    }

    /// An element without attributes.
    pub(super) fn element(&mut self, tag: &'static str, inside: impl FnOnce(&mut Self)) {
        self.with(tag, &[], inside);
    }

    /// An element of this class.
    pub(super) fn class(&mut self, tag: &'static str, class: &'static str, inside: impl FnOnce(&mut Self)) {
        self.with(tag, &[("class", class)], inside);
    }

    /// An element with attributes.
    pub(super) fn with(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        inside: impl FnOnce(&mut Self),
    ) {
        self.begin(tag, attributes);
        self.text.push('>');
        inside(self);
        self.text.push_str("</");
        self.text.push_str(tag);
        self.text.push('>');
        if matches!(tag, "tr" | "table" | "section" | "p" | "li" | "g" | "svg" | "div") {
            self.text.push('\n');
        }
    }

    /// An element that never holds anything.
    pub(super) fn empty(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.begin(tag, attributes);
        self.text.push_str("/>");
    }

    fn begin(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.text.push('<');
        self.text.push_str(tag);
        for (name, value) in attributes {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push_str("=\"");
            self.text(value);
            self.text.push('"');
        }
    }

    /// Text, escaped and, where it is far too long, cut.
    pub(super) fn text(&mut self, text: &str) {
        let end = match text.len() {
            short @ ..=MAX_TEXT => short,
            long => text.char_indices().nth(MAX_TEXT).map_or(long, |(at, _)| at),
        };
        for c in text[..end].chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&#39;"),
                '\r' => {}
                '\n' | '\t' => self.text.push(c),
                c if is_misleading(c) => self.text.push(char::REPLACEMENT_CHARACTER),
                c => self.text.push(c),
            }
        }
        if end < text.len() {
            let _ = write!(self.text, "… (+{})", text[end..].chars().count());
        }
    }

    /// The same in both languages, of which the style sheet shows one.
    pub(super) fn words(&mut self, words: &Words) {
        self.words_in("span", words);
    }

    /// The same in elements of this name: `tspan` inside a picture.
    pub(super) fn words_in(&mut self, tag: &'static str, words: &Words) {
        self.with(tag, &[("lang", "en")], |page| page.text(&words.english));
        self.with(tag, &[("lang", "zh-CN")], |page| page.text(&words.chinese));
    }

    /// An element that holds nothing but words.
    pub(super) fn say(&mut self, tag: &'static str, words: &Words) {
        self.element(tag, |page| page.words(words));
    }

    /// A name, digest or path of others.
    pub(super) fn code(&mut self, text: &str) {
        self.element("code", |page| page.text(text));
    }
}

/// Characters that XML forbids, that nobody sees, or that turn the writing direction around so that a line reads as
/// something else than it is.
fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_becomes_markup() {
        let mut page = Markup::default();
        page.with("a", &[("title", "\"><script>'")], |page| page.text("<b>&amp;\u{0}\u{202e}\r\n</b>"));
        assert_eq!(
            page.into_text(),
            "<a title=\"&quot;&gt;&lt;script&gt;&#39;\">&lt;b&gt;&amp;amp;\u{fffd}\u{fffd}\n&lt;/b&gt;</a>"
        );
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let mut page = Markup::default();
        page.text(&"字".repeat(MAX_TEXT + 7));
        let text = page.into_text();
        assert!(text.ends_with("字… (+7)"));
        assert_eq!(text.chars().filter(|&c| c == '字').count(), MAX_TEXT);
    }
}
