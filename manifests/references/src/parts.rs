//! A reference taken apart: the registry, the repository, the tag and the digest, with the bytes of each.

use std::fmt;
use std::ops::Range;

use ferry_model::ImageReference;

use crate::mapped::{HOLE, Mapped};
use crate::{Named, Spans};

/// A reference and where its parts stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) named: Named,
    pub(crate) spans: Spans,
}

/// The longest text that is looked at as a reference.
const MAX_REFERENCE: usize = 1024;

impl Parts {
    /// The parts of a reference that makes up the whole of `text`; none where it is no reference.
    pub(crate) fn read(text: &Mapped<'_>) -> Option<Self> {
        if text.text.len() > MAX_REFERENCE {
            return None;
        }
        let filled = crate::holes::fill(text)?;
        let (text, whole) = match &filled {
            Some(filled) if filled.text.contains(HOLE) => (filled, None),
            Some(filled) => (filled, filled.piece(0..filled.text.len())),
            None => (text, text.piece(0..text.text.len())),
        };
        let written = &*text.text;
        if written.is_empty() || written.contains("://") {
            return None;
        }
        let cut = Cut::new(written)?;
        let literal = |part: &Range<usize>| {
            let part = &written[part.clone()];
            (!part.contains(HOLE)).then(|| part.to_owned())
        };
        let named = Named {
            registry: cut.registry.as_ref().and_then(literal),
            repository: literal(&cut.repository)?,
            tag: cut.tag.as_ref().and_then(literal),
            digest: cut.digest.as_ref().and_then(literal),
        };
        named.check()?;
        // A part that several places make up has no bytes of its own.
        let piece = |part: Range<usize>| text.piece(part);
        let start = text.span(cut.repository.start..cut.repository.start).start;
        let spans = Spans {
            whole,
            registry: cut.registry.and_then(piece),
            repository: piece(cut.repository).unwrap_or(start..start),
            tag: cut.tag.and_then(piece),
            digest: cut.digest.and_then(piece),
            addition: None,
        };
        Some(Self { named, spans })
    }

    /// Whether a registry is named, if only by a template.
    pub(crate) fn has_registry(&self) -> bool {
        self.named.registry.is_some() || self.spans.registry.is_some()
    }

    /// Whether a tag or a digest is named.
    pub(crate) fn is_pinned(&self) -> bool {
        let has_name = self.named.tag.is_some() || self.named.digest.is_some();
        has_name || self.spans.tag.is_some() || self.spans.digest.is_some()
    }
}

/// Where the parts of a reference lie in it.
struct Cut {
    registry: Option<Range<usize>>,
    repository: Range<usize>,
    tag: Option<Range<usize>>,
    digest: Option<Range<usize>>,
}

impl Cut {
    fn new(text: &str) -> Option<Self> {
        let end = text.find('@').unwrap_or(text.len());
        let digest = (end < text.len()).then(|| end + 1..text.len());
        let name = text[..end].rfind('/').map_or(0, |slash| slash + 1);
        let colon = text[name..end].find(':').map(|colon| name + colon);
        let tag = colon.map(|colon| colon + 1..end);
        let end = colon.unwrap_or(end);
        let slash = text[..end].find('/');
        let first = &text[..slash.unwrap_or(0)];
        let (registry, repository) = match slash {
            Some(slash) if is_registry(first) || (first.contains(HOLE) && !first.starts_with(HOLE)) => {
                (Some(0..slash), slash + 1..end)
            }
            _ => match text[..end].rfind(HOLE) {
                // What a template puts before a name: with its slash behind it, or in it.
                Some(hole) if text[..hole].contains('/') => return None,
                Some(hole) if text[hole + 1..].starts_with('/') => (Some(0..hole + 1), hole + 2..end),
                Some(hole) if slash.is_some() => (Some(0..hole + 1), hole + 1..end),
                Some(_) => return None,
                None => (None, 0..end),
            },
        };
        Some(Self { registry, repository, tag, digest })
    }
}

/// Whether the part before the first `/` is a registry and no part of a name.
pub(crate) fn is_registry(part: &str) -> bool {
    !part.contains(HOLE) && (part.contains(['.', ':']) || part == "localhost")
}

impl Named {
    /// The same without its tag and its digest.
    #[must_use]
    pub fn without_version(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// Whether it follows the grammar of references.
    pub(crate) fn check(&self) -> Option<()> {
        let probe = Self {
            registry: Some(self.registry.clone().unwrap_or_else(|| "localhost".to_owned())),
            ..self.clone()
        };
        probe.to_string().parse::<ImageReference>().ok().map(drop)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registry.iter().try_for_each(|registry| write!(f, "{registry}/"))?;
        f.write_str(&self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}
