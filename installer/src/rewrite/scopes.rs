//! Registries that a text names by themselves: `global.imageRegistry` in values of helm stands for all images below it, whatever
//! each of them says itself.

use std::ops::Range;

use ferry_references::{Format, Place, registries};

/// What keys that name registries have in them; without one of these nobody need look.
const SIGNS: [&str; 8] =
    ["egistry:", "egistry\"", "egistryHost", "egistryAddress", "EGISTRY", "hub:", "hub\"", "imageRepository"];

/// A registry that stands for all images below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The registry as it is written, with a path behind it perhaps.
    pub(super) value: String,
    /// Where.
    pub(super) place: Place,
    /// Its bytes, without quotes.
    pub(super) span: Range<usize>,
    /// The keys that the images below it begin with.
    begins: String,
    /// Its document's bytes.
    document: Range<usize>,
    /// Whether it counts before what an image says itself.
    is_over_all: bool,
}

impl Scope {
    /// Whether an image at this path and byte is below it.
    pub(super) fn holds(&self, path: &str, at: usize, says_registry: bool) -> bool {
        let is_below = self.begins.is_empty()
            || path.strip_prefix(&self.begins).is_some_and(|rest| rest.starts_with(['.', '[']));
        is_below && self.document.contains(&at) && (self.is_over_all || !says_registry)
    }

    /// How near it is to what it holds.
    pub(super) fn depth(&self) -> usize {
        self.begins.len()
    }
}

/// Those of a text.
pub(super) fn scopes(text: &str, format: Format) -> Vec<Scope> {
    if !SIGNS.iter().any(|sign| text.contains(sign)) {
        return Vec::new();
    }
    let scope = |registry: ferry_references::Registry| {
        let path = &registry.place.path;
        let (holder, key) = path.rsplit_once('.').unwrap_or(("", path));
        // What is global in a chart is so for all that the chart's values hold.
        let begins = match holder.rsplit_once('.') {
            Some((above, "global")) => above,
            None if holder == "global" => "",
            _ => holder,
        };
        Scope {
            is_over_all: key == "imageRegistry",
            begins: begins.to_owned(),
            document: document(text, registry.span.start),
            value: registry.value,
            place: registry.place,
            span: registry.span,
        }
    };
    registries(text, format).into_iter().map(scope).collect()
}

/// The bytes of the YAML document that a byte lies in.
fn document(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind("\n---").map_or(0, |newline| newline + 1);
    let end = text[at..].find("\n---").map_or(text.len(), |newline| at + newline + 1);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below() {
        let text = "a:\n  global:\n    imageRegistry: h.c\n  x:\n    global: {registry: i.c}\n---\nb: 1\n";
        let scopes = scopes(text, Format::Yaml);
        let [over, under] = &scopes[..] else { panic!("{scopes:?}") };
        assert_eq!((over.value.as_str(), under.value.as_str()), ("h.c", "i.c"));
        assert!(over.holds("a.image", 3, true) && over.holds("a[0].image", 3, false));
        assert!(!over.holds("ab.image", 3, false) && !over.holds("image", 3, false));
        assert!(!over.holds("a.image", text.len() - 2, false), "another document");
        assert!(under.holds("a.x.image", 3, false) && !under.holds("a.x.image", 3, true));
        assert!(under.depth() > over.depth());
    }
}
