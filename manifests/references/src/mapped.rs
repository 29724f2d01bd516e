//! Text as it is meant, with every byte's origin in the text as it is written.

use std::borrow::Cow;
use std::ops::Range;

/// Stands in a [`Mapped`] text for what only a renderer or a shell could tell.
pub(crate) const HOLE: char = '\u{1}';

/// A text whose bytes know where they come from.
#[derive(Clone, Debug)]
pub(crate) struct Mapped<'t> {
    pub(crate) text: Cow<'t, str>,
    base: usize,
    /// Of each byte of the text; absent where the text is the original from `base` on.
    origins: Option<Vec<Range<usize>>>,
}

impl<'t> Mapped<'t> {
    /// A text that begins at `base` of the original.
    pub(crate) fn new(text: &'t str, base: usize) -> Self {
        Self { text: Cow::Borrowed(text), base, origins: None }
    }

    /// The bytes of the original that `part` comes from. A part without bytes stands where it would begin.
    pub(crate) fn span(&self, part: Range<usize>) -> Range<usize> {
        let Some(origins) = &self.origins else { return self.base + part.start..self.base + part.end };
        if part.is_empty() {
            let at = origins.get(part.start).map(|origin| origin.start);
            let at = at.or_else(|| origins.last().map(|origin| origin.end)).unwrap_or(self.base);
            return at..at;
        }
        origins[part.start].start..origins[part.end - 1].end
    }

    /// Those bytes, where nothing else stands between them.
    pub(crate) fn piece(&self, part: Range<usize>) -> Option<Range<usize>> {
        let is_piece = self.origins.as_ref().is_none_or(|origins| {
            origins[part.clone()].windows(2).all(|pair| pair[0] == pair[1] || pair[0].end == pair[1].start)
        });
        is_piece.then(|| self.span(part))
    }

    /// A part of the text, with its origins.
    pub(crate) fn part(&self, part: Range<usize>) -> Mapped<'_> {
        Mapped {
            text: Cow::Borrowed(&self.text[part.clone()]),
            base: self.base + if self.origins.is_none() { part.start } else { 0 },
            origins: self.origins.as_ref().map(|origins| origins[part].to_vec()),
        }
    }

    /// The same text, borrowed from nothing.
    pub(crate) fn into_owned(self) -> Mapped<'static> {
        Mapped { text: Cow::Owned(self.text.into_owned()), base: self.base, origins: self.origins }
    }

    /// The text without spaces around it.
    pub(crate) fn trimmed(&self) -> Mapped<'_> {
        let start = self.text.len() - self.text.trim_start().len();
        self.part(start..start + self.text.trim().len())
    }
}

/// Writes a [`Mapped`] text piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    text: String,
    origins: Vec<Range<usize>>,
}

impl Writer {
    /// One character, which `origin` stands for.
    pub(crate) fn push(&mut self, character: char, origin: &Range<usize>) {
        self.text.push(character);
        self.origins.extend(std::iter::repeat_n(origin.clone(), character.len_utf8()));
    }

    /// A part of another text.
    pub(crate) fn copy(&mut self, from: &Mapped<'_>, part: Range<usize>) {
        self.text.push_str(&from.text[part.clone()]);
        self.origins.extend(part.map(|at| from.span(at..at + 1)));
    }

    pub(crate) fn finish(self, base: usize) -> Mapped<'static> {
        Mapped { text: Cow::Owned(self.text), base, origins: Some(self.origins) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_origins() {
        let plain = Mapped::new("  abc ", 10);
        assert_eq!(plain.trimmed().span(1..3), 13..15);
        let mut writer = Writer::default();
        writer.copy(&plain, 2..3);
        writer.push('/', &(20..22));
        let mapped = writer.finish(0);
        assert_eq!(mapped.text, "a/");
        assert_eq!(mapped.span(0..2), 12..22);
        assert_eq!(mapped.part(1..2).span(0..1), 20..22);
        assert_eq!(mapped.span(2..2), 22..22);
    }
}
