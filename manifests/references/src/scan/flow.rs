//! Flow collections, and so JSON: `[a, b]`, `{a: b}`, over as many lines as they like.

use std::ops::Range;

use super::Scanner;
use crate::tree::{Key, Kind, Style};

impl Scanner<'_> {
    /// A collection that begins at `at`, in a block at `indent`. Where a line behind it is not indented more, the
    /// collection was never closed, and the block goes on.
    pub(super) fn flow(&mut self, at: usize, indent: isize) {
        if !self.top().pending && !self.templated && self.stack.len() > 1 {
            self.at = self.next_line(at);
            return;
        }
        let outer = self.stack.len();
        let mut at = at;
        let mut line = None;
        loop {
            let Some(next) = self.skip_blank(at, indent) else {
                line = self.broken_line(at);
                break;
            };
            if next >= self.bytes.len() {
                at = next;
                break;
            }
            at = self.token(next, outer, indent);
            if self.stack.len() == outer {
                break;
            }
        }
        while self.stack.len() > outer {
            self.close();
        }
        self.at = line.unwrap_or_else(|| self.next_line(at.min(self.bytes.len())));
    }

    /// The next token's beginning; none where the block goes on instead.
    fn skip_blank(&self, mut at: usize, indent: isize) -> Option<usize> {
        loop {
            at = self.skip_spaces(at);
            match self.bytes.get(at) {
                Some(b'#') if at == 0 || self.is_blank(at - 1) => at = self.line_end(at),
                Some(b'\n') => {
                    let begin = self.skip_spaces(at + 1);
                    let is_less = (begin - at - 1).cast_signed() <= indent;
                    let goes_on = matches!(self.byte(begin), b'\n' | b']' | b'}' | b',' | b'#');
                    if is_less && begin < self.bytes.len() && !goes_on {
                        return None;
                    }
                    at += 1;
                }
                _ => return Some(at),
            }
        }
    }

    /// The line at which a collection turned out not to be closed.
    fn broken_line(&self, at: usize) -> Option<usize> {
        let mut line = self.next_line(at);
        loop {
            let begin = self.skip_spaces(line);
            if begin >= self.bytes.len() || self.byte(begin) != b'\n' && self.byte(begin) != b'#' {
                return Some(line);
            }
            line = self.next_line(begin);
        }
    }

    /// One token, and what is behind it.
    fn token(&mut self, at: usize, outer: usize, indent: isize) -> usize {
        let is_inside = self.stack.len() > outer;
        match self.byte(at) {
            b'[' => self.open_flow(Kind::Sequence, at),
            b'{' if self.action(at).is_none() => self.open_flow(Kind::Map, at),
            b']' | b'}' if is_inside => {
                self.close_pair();
                self.close();
            }
            b',' if is_inside => {
                self.close_pair();
                match self.top().kind {
                    Kind::Sequence => self.next_index(),
                    _ => self.top().pending = false,
                }
            }
            b':' if self.top().pending && self.is_separator(at + 1) => {}
            b'&' | b'!' => return self.property(at),
            _ => return self.flow_scalar(at, indent),
        }
        at + 1
    }

    fn open_flow(&mut self, kind: Kind, at: usize) {
        self.open(kind, isize::MAX, at);
        if kind == Kind::Sequence {
            self.next_index();
        }
    }

    /// A pair without braces, `[a: b]`, ends with its entry.
    fn close_pair(&mut self) {
        if self.top().indent == isize::MAX - 1 {
            self.close();
        }
    }

    fn is_separator(&self, at: usize) -> bool {
        self.is_blank(at) || matches!(self.byte(at), b',' | b'[' | b']' | b'{' | b'}' | b'"' | b'\'')
    }

    /// Behind an `&anchor` or a `!tag`, of which an anchor is kept for the node that comes.
    pub(super) fn property(&mut self, at: usize) -> usize {
        let mut end = at + 1;
        while !self.is_blank(end) && !matches!(self.byte(end), b',' | b'[' | b']' | b'{' | b'}') {
            end += 1;
        }
        if self.byte(at) == b'&' {
            self.anchor = Some(at + 1..end);
        }
        end
    }

    /// A scalar, which is a key where a colon follows.
    fn flow_scalar(&mut self, at: usize, indent: isize) -> usize {
        let (kind, span, end) = match self.byte(at) {
            quote @ (b'"' | b'\'') => match self.closing_over_lines(at, quote, indent) {
                Some(close) if quote == b'"' => (Kind::Scalar(Style::Double), at + 1..close, close + 1),
                Some(close) => (Kind::Scalar(Style::Single), at + 1..close, close + 1),
                None => return self.line_end(at),
            },
            b'*' => {
                let end = self.flow_plain_end(at);
                (self.alias(at + 1..end.max(at + 1)), at + 1..end.max(at + 1), end)
            }
            _ => {
                let end = self.flow_plain_end(at);
                (Kind::Scalar(Style::Plain), at..end, end)
            }
        };
        let colon = self.skip_lines(end);
        let is_quoted = matches!(kind, Kind::Scalar(Style::Double | Style::Single));
        let is_key = self.byte(colon) == b':' && (is_quoted || self.is_separator(colon + 1));
        if is_key && !(self.top().kind == Kind::Map && self.top().pending) {
            self.flow_key(span, at);
            return colon + 1;
        }
        if self.top().pending {
            self.place(kind, span);
        } else {
            self.anchor = None;
        }
        end.max(at + 1)
    }

    fn flow_key(&mut self, key: Range<usize>, at: usize) {
        if self.top().kind == Kind::Sequence {
            let anchor = self.anchor.take();
            self.open(Kind::Map, isize::MAX - 1, at);
            self.anchor = anchor;
        }
        let top = self.top();
        (top.key, top.pending) = (Key::Name(key), true);
        self.anchor = None;
    }

    /// Only JSON's keys have their colon on another line.
    fn skip_lines(&self, mut at: usize) -> usize {
        while at < self.bytes.len() && self.is_blank(at) {
            at += 1;
        }
        at
    }

    /// The end of a plain scalar on its line.
    fn flow_plain_end(&self, start: usize) -> usize {
        let mut at = start;
        while at < self.bytes.len() {
            match self.bytes[at] {
                b'\n' | b',' | b'[' | b']' | b'}' => break,
                b'{' => match self.action(at) {
                    Some(end) => at = end,
                    None => break,
                },
                b':' if self.is_separator(at + 1) => break,
                b'#' if at > start && self.is_blank(at - 1) => break,
                _ => at += 1,
            }
        }
        start + self.text[start..at].trim_end_matches([' ', '\t', '\r']).len()
    }
}
