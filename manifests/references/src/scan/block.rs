//! Block collections: lines that belong together by their indentation.

use super::Scanner;
use crate::documents::begins_document;
use crate::tree::Kind;

impl Scanner<'_> {
    pub(super) fn run(&mut self) {
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while self.at < self.bytes.len() {
            let start = self.at;
            let begin = self.skip_indent(start);
            self.line(start, begin);
            debug_assert!(self.at > start, "every line is left behind");
        }
        while self.stack.len() > 1 {
            self.close();
        }
    }

    fn skip_indent(&self, start: usize) -> usize {
        let mut at = start;
        while at < self.bytes.len() && matches!(self.bytes[at], b' ' | b'\t') {
            at += 1;
        }
        at
    }

    /// One line, from its first character that is no space.
    fn line(&mut self, start: usize, begin: usize) {
        let first = self.byte(begin);
        let column = (begin - start).cast_signed();
        let rest = &self.bytes[begin..];
        if first == b'\n' || first == b'#' || (first == b'\r' && self.byte(begin + 1) == b'\n') {
            self.at = self.next_line(begin);
        } else if column == 0
            && (begins_document(rest) || rest.starts_with(b"...") && self.is_blank(begin + 3))
        {
            self.marker(begin, first == b'-');
        } else if column == 0 && first == b'%' && self.tree.nodes.is_empty() {
            self.at = self.next_line(begin);
        } else if rest.starts_with(b"{{") {
            self.template_line(begin, column);
        } else {
            self.entry(begin, column);
        }
    }

    /// `---` begins anew, with a node behind it perhaps; `...` ends.
    fn marker(&mut self, begin: usize, is_start: bool) {
        while self.stack.len() > 1 {
            self.close();
        }
        self.anchor = None;
        self.top().pending = true;
        let at = self.skip_spaces(begin + 3);
        if !is_start || self.ends_line(at) {
            self.at = self.next_line(begin);
        } else {
            self.entry(at, (at - begin).cast_signed());
        }
    }

    /// What begins at `begin`, in `column`: dashes, a key, or a value.
    pub(super) fn entry(&mut self, mut begin: usize, mut column: isize) {
        // Marks that others may follow on the same line; many do in texts that are none of YAML.
        while let mark @ (b'-' | b'?' | b':') = self.byte(begin)
            && self.is_blank(begin + 1)
        {
            let at = self.skip_spaces(begin + 1);
            match mark {
                b'-' => {
                    self.fit(Kind::Sequence, column, begin);
                    self.next_index();
                }
                b':' => self.fit(Kind::Map, column, begin),
                _ => return self.explicit_key(at, column),
            }
            if self.ends_line(at) {
                self.at = self.next_line(begin);
                return;
            }
            column += (at - begin).cast_signed();
            begin = at;
        }
        let Some(at) = self.properties(begin) else { return };
        if let Some((key, after)) = self.key(at) {
            self.fit(Kind::Map, column, begin);
            self.next_key(key);
            self.value_of_key(after, column);
            return;
        }
        let indent = self.top().indent;
        if indent >= column {
            // No key, and nothing that it could be a value of.
            self.anchor = None;
            self.at = self.next_line(at);
        } else {
            self.value(at, indent);
        }
    }

    /// `? key`, whose value comes behind a colon on a line of its own.
    fn explicit_key(&mut self, at: usize, column: isize) {
        self.fit(Kind::Map, column, at);
        let end = self.plain_end(at, self.line_end(at));
        self.next_key(self.unquoted(at..end));
        self.at = self.next_line(at);
    }

    fn value_of_key(&mut self, after: usize, column: isize) {
        let at = self.skip_spaces(after);
        if self.ends_line(at) {
            self.at = self.next_line(at);
        } else if let Some(at) = self.properties(at) {
            self.value(at, column);
        }
    }

    /// Closes what ends before `column`, and opens a collection there where none is.
    fn fit(&mut self, kind: Kind, column: isize, begin: usize) {
        while self.stack.len() > 1 {
            let top = self.top();
            let is_ended = top.indent > column
                || (top.indent == column && kind == Kind::Map && top.kind == Kind::Sequence);
            if !is_ended {
                break;
            }
            self.close();
        }
        let top = self.top();
        if top.indent != column || top.kind != kind {
            self.open(kind, column, begin);
        }
    }

    /// Passes over `&anchor` and `!tag`. None where the line ends behind them: the node comes later.
    fn properties(&mut self, mut at: usize) -> Option<usize> {
        while matches!(self.byte(at), b'&' | b'!') {
            let end = self.property(at);
            at = self.skip_spaces(end);
            if end == at && !self.is_blank(at) {
                break;
            }
        }
        if self.ends_line(at) {
            self.at = self.next_line(at);
            return None;
        }
        Some(at)
    }
}
