//! What a document of YAML holds: maps, sequences and scalars, each with its bytes, in the order of the text.

use std::fmt::Write as _;
use std::ops::Range;

use crate::mapped::Mapped;

/// Something in a document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What holds it; a root holds itself.
    pub(crate) parent: usize,
    /// Behind the last node in it: `id + 1` where there is none.
    pub(crate) end: usize,
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    /// The bytes of a scalar, without its quotes.
    pub(crate) span: Range<usize>,
}

/// What leads to a node from the one that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Nothing holds it.
    Root,
    /// The bytes of a key, without quotes.
    Name(Range<usize>),
    /// The place in a sequence.
    Index(usize),
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Map,
    Sequence,
    Scalar(Style),
    /// `*name`, and what has that anchor.
    Alias(Option<usize>),
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    /// `|` and `>`, with the lines' indentation.
    Block,
}

/// How many nodes are looked at around one, up and beside: no real document is deeper or wider, and one that was made
/// to be costs no more than it has to.
const MAX_AROUND: usize = 512;

/// The nodes of a document.
#[derive(Debug)]
pub(crate) struct Tree<'t> {
    pub(crate) text: &'t str,
    pub(crate) nodes: Vec<Node>,
}

impl<'t> Tree<'t> {
    /// The nodes that `node` holds itself.
    pub(crate) fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes[node].end;
        let mut at = node + 1;
        std::iter::from_fn(move || {
            let child = at;
            at = self.nodes.get(child)?.end;
            (child < end).then_some(child)
        })
        .take(MAX_AROUND)
    }

    /// What `key` leads to; the last where it stands twice, as decoders do.
    pub(crate) fn child(&self, node: usize, key: &str) -> Option<usize> {
        self.children(node).filter(|&child| self.name(child) == Some(key)).last()
    }

    /// The key of a node in a map.
    pub(crate) fn name(&self, node: usize) -> Option<&'t str> {
        match &self.nodes[node].key {
            Key::Name(span) => Some(&self.text[span.clone()]),
            _ => None,
        }
    }

    /// The key of a node, or of the sequence that it is in.
    pub(crate) fn nearest_name(&self, node: usize) -> Option<&'t str> {
        let mut at = node;
        for _ in 0..MAX_AROUND {
            match &self.nodes[at].key {
                Key::Name(_) => return self.name(at),
                Key::Root => return None,
                Key::Index(_) => at = self.nodes[at].parent,
            }
        }
        None
    }

    /// The nodes that hold `node`, from the innermost.
    pub(crate) fn ancestors(&self, node: usize) -> impl Iterator<Item = usize> {
        let mut at = node;
        std::iter::from_fn(move || {
            let child = at;
            at = self.nodes[child].parent;
            (at != child).then_some(at)
        })
        .take(MAX_AROUND)
    }

    /// The scalar that a node is or stands for.
    pub(crate) fn scalar(&self, node: usize) -> Option<usize> {
        match self.nodes[node].kind {
            Kind::Scalar(_) => Some(node),
            Kind::Alias(of) => of.filter(|&of| matches!(self.nodes[of].kind, Kind::Scalar(_))),
            _ => None,
        }
    }

    /// A scalar's bytes as they are written.
    pub(crate) fn raw(&self, node: usize) -> &'t str {
        &self.text[self.nodes[node].span.clone()]
    }

    /// What a scalar says, with the origin of each byte in `source`, of which the tree was made.
    pub(crate) fn content<'s>(&self, node: usize, source: &'s Mapped<'_>) -> Mapped<'s> {
        let part = source.part(self.nodes[node].span.clone());
        match self.nodes[node].kind {
            Kind::Scalar(Style::Double) if part.text.contains(['\\', '\n']) => crate::escapes::double(&part),
            Kind::Scalar(Style::Single) if part.text.contains('\'') => crate::escapes::single(&part),
            _ => part,
        }
    }

    /// The keys that lead to a node: `spec.containers[0].image`.
    pub(crate) fn path(&self, node: usize) -> String {
        let mut steps: Vec<usize> = self.ancestors(node).collect();
        steps.reverse();
        steps.push(node);
        let mut path = String::new();
        for step in steps {
            match &self.nodes[step].key {
                Key::Root => {}
                Key::Index(index) => write!(path, "[{index}]").expect("a string takes everything"),
                Key::Name(span) => push_name(&mut path, &self.text[span.clone()]),
            }
        }
        path
    }
}

fn push_name(path: &mut String, name: &str) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_word) {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    } else {
        write!(path, "[{name:?}]").expect("a string takes everything");
    }
}
