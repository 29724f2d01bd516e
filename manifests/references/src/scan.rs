//! Reads a document of YAML line by line and tells what it holds. It takes everything: what is no YAML is passed over
//! as far as its line, and templates are text that is put in later.

mod block;
mod flow;
mod scalar;
mod template;

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;

use crate::tree::{Key, Kind, Node, Tree};

/// The nodes of one document. Where `templated`, quotes inside of actions end no scalar.
pub(crate) fn scan(text: &str, templated: bool) -> Tree<'_> {
    let mut scanner = Scanner::new(text, templated);
    scanner.run();
    scanner.tree
}

/// A collection that is not closed yet.
#[derive(Debug)]
struct Open {
    /// The column of its keys or dashes; of a flow collection that of what holds it.
    indent: isize,
    kind: Kind,
    node: usize,
    /// What the next node, or the last one, is held by.
    key: Key,
    /// Whether the key has no node yet.
    pending: bool,
    count: usize,
}

#[derive(Debug)]
struct Scanner<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    templated: bool,
    tree: Tree<'t>,
    stack: Vec<Open>,
    /// The name of an anchor whose node comes next.
    anchor: Option<Range<usize>>,
    anchors: HashMap<&'t str, usize>,
    /// The line that was looked at last, up to its line feed.
    last_line: Cell<(usize, usize)>,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str, templated: bool) -> Self {
        let root =
            Open { indent: -1, kind: Kind::Alias(None), node: 0, key: Key::Root, pending: true, count: 0 };
        let tree = Tree { text, nodes: Vec::new() };
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            templated,
            tree,
            stack: vec![root],
            anchor: None,
            anchors: HashMap::new(),
            last_line: Cell::new((1, 0)),
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b'\n')
    }

    /// Whether a word ends before `at`.
    fn is_blank(&self, at: usize) -> bool {
        matches!(self.byte(at), b' ' | b'\t' | b'\r' | b'\n')
    }

    /// The end of the line that `at` is in, before its line feed.
    fn line_end(&self, at: usize) -> usize {
        let (start, end) = self.last_line.get();
        if (start..=end).contains(&at) {
            return end;
        }
        let length = self.bytes[at..].iter().position(|&byte| byte == b'\n');
        let end = length.map_or(self.bytes.len(), |length| at + length);
        self.last_line.set((at, end));
        end
    }

    /// Behind the line that `at` is in.
    fn next_line(&self, at: usize) -> usize {
        (self.line_end(at) + 1).min(self.bytes.len())
    }

    fn skip_spaces(&self, mut at: usize) -> usize {
        while at < self.bytes.len() && matches!(self.bytes[at], b' ' | b'\t' | b'\r') {
            at += 1;
        }
        at
    }

    /// Whether nothing but a comment follows on the line.
    fn ends_line(&self, at: usize) -> bool {
        matches!(self.byte(at), b'\n' | b'#')
    }

    fn top(&mut self) -> &mut Open {
        self.stack.last_mut().expect("the root is never closed")
    }

    /// Adds the node that the innermost open collection's key leads to.
    fn place(&mut self, kind: Kind, span: Range<usize>) -> usize {
        let id = self.tree.nodes.len();
        let top = self.top();
        top.pending = false;
        let (parent, key) = (if top.key == Key::Root { id } else { top.node }, top.key.clone());
        self.tree.nodes.push(Node { parent, end: id + 1, key, kind, span });
        if let Some(name) = self.anchor.take() {
            self.anchors.insert(&self.text[name], id);
        }
        id
    }

    /// The node of an alias.
    fn alias(&self, name: Range<usize>) -> Kind {
        Kind::Alias(self.anchors.get(&self.text[name]).copied())
    }

    fn open(&mut self, kind: Kind, indent: isize, at: usize) {
        let node = self.place(kind, at..at);
        self.stack.push(Open { indent, kind, node, key: Key::Index(0), pending: false, count: 0 });
    }

    fn close(&mut self) {
        let open = self.stack.pop().expect("only what is open is closed");
        self.tree.nodes[open.node].end = self.tree.nodes.len();
    }

    /// Goes on with the next entry of the innermost sequence.
    fn next_index(&mut self) {
        let top = self.top();
        top.key = Key::Index(top.count);
        top.count += 1;
        top.pending = true;
    }

    /// Goes on with `key` of the innermost map.
    fn next_key(&mut self, key: Range<usize>) {
        // An anchor before a key is of the key, which is no reference.
        self.anchor = None;
        let top = self.top();
        top.key = Key::Name(key);
        top.pending = true;
    }
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
