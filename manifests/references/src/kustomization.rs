//! A kustomization's `images`: `name` is what the resources say, `newName` what stands there instead.

use crate::mapped::Mapped;
use crate::parts::Parts;
use crate::tree::{Key, Kind, Tree};
use crate::{Addition, plausible};

/// The image of an entry, told at its `newName`, or else at its `name`, behind which a `newName` can be written. None
/// where `node` stands in no such entry.
pub(crate) fn entry(
    tree: &Tree<'_>,
    source: &Mapped<'_>,
    node: usize,
    key: &str,
    holder: &str,
) -> Option<Parts> {
    let map = tree.nodes[node].parent;
    if holder != "images" || !matches!(tree.nodes[map].key, Key::Index(_)) {
        return None;
    }
    let child = |key: &str| tree.child(map, key);
    let is_entry =
        ["newName", "newTag", "digest"].iter().any(|key| child(key).is_some()) && child("name").is_some();
    if !is_entry || (key == "name" && child("newName").is_some()) {
        return None;
    }
    let scalar = tree.scalar(node)?;
    let content = tree.content(scalar, source);
    let mut parts = plausible::named_so(&content.trimmed())?;
    parts.spans.whole = None;
    let piece = |key: &str| {
        let scalar = child(key).and_then(|node| tree.scalar(node))?;
        let text = tree.content(scalar, source).trimmed().into_owned();
        (!text.text.is_empty()).then(|| (text.text.to_string(), text.span(0..text.text.len())))
    };
    if let Some((tag, span)) = piece("newTag") {
        (parts.named.tag, parts.spans.tag) = (Some(tag), Some(span));
    }
    if let Some((digest, span)) = piece("digest") {
        (parts.named.digest, parts.spans.digest) = (Some(digest), Some(span));
    }
    if key == "name" {
        parts.spans.addition = Some(addition(tree, source, node, scalar)?);
    }
    parts.named.check().map(|()| parts)
}

/// Behind the name, in the map's own style.
fn addition(tree: &Tree<'_>, source: &Mapped<'_>, node: usize, scalar: usize) -> Option<Addition> {
    let (Key::Name(key), true) = (&tree.nodes[node].key, node == scalar) else { return None };
    let span = tree.nodes[scalar].span.clone();
    let is_quoted = !matches!(tree.nodes[scalar].kind, Kind::Scalar(crate::tree::Style::Plain));
    let end = span.end + usize::from(is_quoted);
    let at = source.span(end..end).start;
    let line = tree.text[..key.start].rfind('\n').map_or(0, |feed| feed + 1);
    let before = &tree.text[line..key.start];
    if before.contains('{') || tree.text[..key.start].trim_end().ends_with(['{', ',']) {
        let quote = if tree.text[..key.start].ends_with('"') { "\"" } else { "" };
        return quote.is_empty().then(|| Addition { at, lead: ", newName: ".to_owned() });
    }
    let feed = if tree.text[..line].ends_with("\r\n") { "\r\n" } else { "\n" };
    let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    Some(Addition { at, lead: format!("{feed}{indent}newName: ") })
}
