//! Scalars in block collections: plain, quoted, and blocks of lines.

use std::ops::Range;

use super::Scanner;
use crate::tree::{Kind, Style};

impl Scanner<'_> {
    /// The key that begins at `at` and the byte behind its colon.
    pub(super) fn key(&self, at: usize) -> Option<(Range<usize>, usize)> {
        let (key, end) = match self.byte(at) {
            quote @ (b'"' | b'\'') => {
                let close = self.closing(at, quote, self.line_end(at))?;
                (at + 1..close, self.skip_spaces(close + 1))
            }
            b'[' | b'{' if !self.bytes[at..].starts_with(b"{{") => return None,
            b'|' | b'>' | b'#' => return None,
            _ => {
                let colon = self.plain_colon(at, self.line_end(at))?;
                (at..at + self.text[at..colon].trim_end().len(), colon)
            }
        };
        (self.byte(end) == b':' && self.is_blank(end + 1)).then_some((key, end + 1))
    }

    /// The colon behind a plain key, before `end`.
    fn plain_colon(&self, mut at: usize, end: usize) -> Option<usize> {
        while at < end {
            match self.bytes[at] {
                b':' if self.is_blank(at + 1) => return Some(at),
                b'#' if at > 0 && self.is_blank(at - 1) => return None,
                b'{' => at = self.action(at).unwrap_or(at + 1),
                _ => at += 1,
            }
        }
        None
    }

    /// The end of a plain scalar on one line: before a comment and the spaces before it.
    pub(super) fn plain_end(&self, start: usize, line_end: usize) -> usize {
        let mut at = start;
        while at < line_end {
            match self.bytes[at] {
                b'#' if at > start && self.is_blank(at - 1) => break,
                b'{' => at = self.action(at).unwrap_or(at + 1),
                _ => at += 1,
            }
        }
        // An action may go on behind the line.
        let end = if at > line_end { self.plain_end(at, self.line_end(at)) } else { at };
        start + self.text[start..end].trim_end_matches([' ', '\t', '\r', '\n']).len()
    }

    /// The quote that closes the one at `at`, before `end`.
    pub(super) fn closing(&self, at: usize, quote: u8, end: usize) -> Option<usize> {
        let mut at = at + 1;
        while at < end {
            match self.bytes[at] {
                b'\\' if quote == b'"' => at += 2,
                b'\'' if quote == b'\'' && self.byte(at + 1) == b'\'' && at + 1 < end => at += 2,
                byte if byte == quote => return Some(at),
                b'{' if self.templated => at = self.action(at).unwrap_or(at + 1),
                _ => at += 1,
            }
        }
        None
    }

    /// The closing quote on this line or on the lines behind it that are indented more than `indent`.
    pub(super) fn closing_over_lines(&self, at: usize, quote: u8, indent: isize) -> Option<usize> {
        let mut before = at;
        let mut end = self.line_end(at);
        loop {
            let found = self.closing(before, quote, end);
            if found.is_some() {
                return found;
            }
            before = end;
            let from = end + 1;
            if from >= self.bytes.len() {
                return None;
            }
            end = self.line_end(from);
            let begin = self.skip_spaces(from);
            if begin < end && (begin - from).cast_signed() <= indent {
                return None;
            }
        }
    }

    /// A value that begins at `at`, in a collection at `indent`.
    pub(super) fn value(&mut self, at: usize, indent: isize) {
        match self.byte(at) {
            b'|' | b'>' if self.block(at, indent) => {}
            b'[' => self.flow(at, indent),
            b'{' if self.byte(at + 1) != b'{' => self.flow(at, indent),
            b'*' => {
                let end = self.plain_end(at + 1, self.line_end(at));
                let alias = self.alias(at + 1..end.max(at + 1));
                self.settle(alias, at + 1..end.max(at + 1));
                self.at = self.next_line(at);
            }
            quote @ (b'"' | b'\'') => self.quoted(at, quote, indent),
            _ => self.plain(at, indent),
        }
    }

    /// Adds a scalar where one is waited for; templates have some where none is.
    pub(super) fn settle(&mut self, kind: Kind, span: Range<usize>) {
        if self.top().pending || self.templated {
            self.place(kind, span);
        } else {
            self.anchor = None;
        }
    }

    fn quoted(&mut self, at: usize, quote: u8, indent: isize) {
        let Some(close) = self.closing_over_lines(at, quote, indent) else {
            self.at = self.next_line(at);
            return;
        };
        let style = if quote == b'"' { Style::Double } else { Style::Single };
        self.settle(Kind::Scalar(style), at + 1..close);
        self.at = self.next_line(close);
    }

    fn plain(&mut self, at: usize, indent: isize) {
        let mut end = self.plain_end(at, self.line_end(at));
        let has_comment = self.skip_spaces(end) < self.line_end(end);
        let mut next = self.next_line(end);
        while !has_comment && next < self.bytes.len() {
            let begin = self.skip_spaces(next);
            if self.byte(begin) == b'\n' {
                next = self.next_line(begin);
                continue;
            }
            if (begin - next).cast_signed() <= indent
                || self.byte(begin) == b'#'
                || self.begins_entry(begin, next)
            {
                break;
            }
            end = self.plain_end(begin, self.line_end(begin));
            next = self.next_line(end);
            if self.skip_spaces(end) < self.line_end(end) {
                break;
            }
        }
        self.at = self.next_line(end);
        let end = self.without_control(at, end);
        if end > at {
            self.settle(Kind::Scalar(Style::Plain), at..end);
        }
    }

    /// Whether a line is no more of the scalar before it. A template's deeper lines belong to what it puts in.
    fn begins_entry(&self, begin: usize, line: usize) -> bool {
        let is_dash = self.byte(begin) == b'-' && self.is_blank(begin + 1);
        let is_marker = begin == line && crate::documents::begins_document(&self.bytes[begin..]);
        is_marker
            || (self.templated && (is_dash || self.bytes[begin..].starts_with(b"{{")))
            || self.key(begin).is_some()
    }

    /// A block of lines. False where its header is none.
    fn block(&mut self, at: usize, indent: isize) -> bool {
        let mut header = at + 1;
        let mut explicit = None;
        while let byte @ (b'+' | b'-' | b'1'..=b'9') = self.byte(header) {
            if byte.is_ascii_digit() {
                explicit = Some(isize::from(byte - b'0'));
            }
            header += 1;
        }
        let rest = self.skip_spaces(header);
        if !self.ends_line(rest) && !self.bytes[rest..].starts_with(b"{{") {
            return false;
        }
        let start = self.next_line(header);
        let (mut next, mut end) = (start, start);
        let mut content = explicit.map(|explicit| indent.max(0) + explicit);
        while next < self.bytes.len() {
            let begin = self.skip_block_indent(next);
            let line_end = self.line_end(begin);
            let is_free = self.skip_spaces(begin) >= line_end
                || (self.templated
                    && content.is_some()
                    && self.byte(begin) == b'{'
                    && self.is_only_actions(begin));
            let column = (begin - next).cast_signed();
            if !is_free {
                let least = *content.get_or_insert(column);
                let is_marker = column == 0 && crate::documents::begins_document(&self.bytes[begin..]);
                if column < least || column <= indent || is_marker {
                    break;
                }
                end = line_end;
            }
            next = self.next_line(begin);
        }
        self.settle(Kind::Scalar(Style::Block), start..end.max(start));
        self.at = next.max(start);
        true
    }

    fn skip_block_indent(&self, start: usize) -> usize {
        let mut at = start;
        while self.bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        at
    }

    /// Without the quotes around it.
    pub(super) fn unquoted(&self, span: Range<usize>) -> Range<usize> {
        let text = &self.bytes[span.clone()];
        match text {
            [b'"', .., b'"'] | [b'\'', .., b'\''] => span.start + 1..span.end - 1,
            _ => span,
        }
    }
}
