//! Images that are named in pieces: `registry`, `repository`, `tag` and `digest` beside each other.

use crate::Named;
use crate::keys::{self, Beside};
use crate::mapped::{HOLE, Mapped};
use crate::parts::Parts;
use crate::tree::{Kind, Tree};

/// The pieces beside a repository.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    registry: Option<usize>,
    tag: Option<usize>,
    digest: Option<usize>,
    /// Whether something there is said of images only.
    has_policy: bool,
}

impl Pieces {
    /// What stands beside `node`, whose key is one of `beside`'s. Where `is_plain`, also by their simple names.
    pub(crate) fn beside(tree: &Tree<'_>, node: usize, beside: &Beside<'_>, is_plain: bool) -> Self {
        let mut pieces = Self::default();
        for child in tree.children(tree.nodes[node].parent) {
            let Some(name) = tree.name(child).filter(|_| child != node) else { continue };
            let is = |part: &str| beside.is(name, part) || (is_plain && name == part);
            if is("registry") {
                pieces.registry = Some(child);
            } else if is("tag") {
                pieces.tag = Some(child);
            } else if is("digest") || is("sha") {
                pieces.digest = Some(child);
            } else if matches!(name, "pullPolicy" | "imagePullPolicy" | "pullSecrets" | "imagePullSecrets") {
                pieces.has_policy = true;
            }
        }
        pieces
    }

    /// What parameters of a chart say of the image whose keys begin with `stem`: each is a `name` and a `value`.
    pub(crate) fn parameters(tree: &Tree<'_>, list: usize, stem: &str, beside: &Beside<'_>) -> Self {
        let mut pieces = Self::default();
        let mut over_all = None;
        for entry in tree.children(list) {
            let Some(name) = crate::read::parameter_name(tree, entry) else { continue };
            let (of, key) = name.rsplit_once('.').unwrap_or(("", name));
            let Some(value) = tree.child(entry, "value") else { continue };
            if keys::is_registry(key) && matches!(of, "" | "global") {
                over_all = Some(value);
            }
            let is = |part| of == stem && beside.is(key, part);
            if is("registry") {
                pieces.registry = Some(value);
            } else if is("tag") {
                pieces.tag = Some(value);
            } else if is("digest") {
                pieces.digest = Some(value);
            }
        }
        pieces.registry = over_all.or(pieces.registry);
        pieces
    }

    /// The version of what runs there is its tag, where no tag is said: `baseImage` and `version` of operators.
    pub(crate) fn or_version(mut self, tree: &Tree<'_>, node: usize) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = tree.child(tree.nodes[node].parent, "version");
        }
        self
    }

    /// Whether something beside a `repository` says that it is an image's.
    pub(crate) fn say_image(&self) -> bool {
        self.registry.is_some() || self.tag.is_some() || self.digest.is_some() || self.has_policy
    }

    pub(crate) fn are_none(&self) -> bool {
        self.registry.is_none() && self.tag.is_none() && self.digest.is_none()
    }

    /// Puts the pieces to what the repository says itself.
    pub(crate) fn complete(&self, mut parts: Parts, tree: &Tree<'_>, source: &Mapped<'_>) -> Option<Parts> {
        parts.spans.whole = None;
        if !parts.has_registry() {
            let piece = Self::piece(self.registry, tree, source, is_registry);
            (parts.named.registry, parts.spans.registry) = piece;
        }
        if !parts.is_pinned() {
            let piece = Self::piece(self.tag, tree, source, is_tag);
            (parts.named.tag, parts.spans.tag) = (piece.0, piece.1.filter(|span| !span.is_empty()));
        }
        if parts.spans.digest.is_none() {
            let piece = Self::piece(self.digest, tree, source, is_digest);
            (parts.named.digest, parts.spans.digest) = (piece.0, piece.1.filter(|span| !span.is_empty()));
            if let Some(digest) = &mut parts.named.digest
                && !digest.contains(':')
            {
                *digest = format!("sha256:{digest}");
            }
        }
        parts.named.check().map(|()| parts)
    }

    /// A piece and its bytes: without a text where it is empty or a template's, without bytes where it stands
    /// elsewhere and has others to serve.
    fn piece(
        node: Option<usize>,
        tree: &Tree<'_>,
        source: &Mapped<'_>,
        is_good: fn(&str) -> bool,
    ) -> (Option<String>, Option<std::ops::Range<usize>>) {
        let Some(scalar) = node.and_then(|node| tree.scalar(node)) else { return (None, None) };
        let content = tree.content(scalar, source);
        let content = content.trimmed();
        let Some(filled) = crate::holes::fill(&content) else { return (None, None) };
        let content = filled.unwrap_or(content.clone().into_owned());
        let span = content.span(0..content.text.len());
        if content.text.contains(HOLE) {
            return (None, Some(span));
        }
        if content.text.is_empty() {
            let is_quoted = !matches!(tree.nodes[scalar].kind, Kind::Scalar(crate::tree::Style::Plain));
            return (None, Some(span).filter(|_| is_quoted));
        }
        if is_good(&content.text) { (Some(content.text.into_owned()), Some(span)) } else { (None, None) }
    }
}

fn is_registry(text: &str) -> bool {
    Named { registry: Some(text.to_owned()), repository: "a".to_owned(), ..Named::default() }
        .check()
        .is_some()
}

fn is_tag(text: &str) -> bool {
    let named = Named { repository: "a".to_owned(), tag: Some(text.to_owned()), ..Named::default() };
    !matches!(text, "null" | "~") && named.check().is_some()
}

fn is_digest(text: &str) -> bool {
    let digest = if text.contains(':') { text.to_owned() } else { format!("sha256:{text}") };
    Named { repository: "a".to_owned(), digest: Some(digest), ..Named::default() }.check().is_some()
}
