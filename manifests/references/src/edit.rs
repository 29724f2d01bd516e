//! Writes other names into a text, and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::{Found, Named, Place};

/// What a site calls an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The registry; where it is empty none is written, and one that stands there stays.
    pub registry: String,
    /// The repository in it.
    pub repository: String,
    /// The tag, where it is another one.
    pub tag: Option<String>,
    /// The digest, where one stands there and it is another one.
    pub digest: Option<String>,
}

/// A text with other names in it.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The text.
    pub text: String,
    /// What was changed, in the order of the text.
    pub edits: Vec<Edit>,
    /// What stays as it was, and why. What already has its name is in neither list.
    pub left: Vec<(Found, Left)>,
}

/// A name that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// Where, in the text as it was.
    pub place: Place,
    /// What stood there.
    pub before: String,
    /// What stands there now.
    pub after: String,
}

/// Why a reference stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Left {
    /// The site has no name for it.
    Unknown,
    /// Its registry is what a template says; the value that the template takes is to be changed.
    Template,
    /// Its bytes are another reference's too.
    Shared,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the site has no name for it",
            Self::Template => "a template says its registry: change the value that the template takes",
            Self::Shared => "its bytes belong to another reference too",
        })
    }
}

/// The text in which each of the references `found` in it is called what `site` calls it. Only bytes of their parts
/// change.
pub fn edit(text: &str, found: &[Found], site: &dyn Fn(&Found) -> Option<Target>) -> Edited {
    let mut order: Vec<&Found> = found.iter().collect();
    order.sort_by_key(|found| found.spans.first());
    let mut edited = Edited { text: String::with_capacity(text.len()), edits: Vec::new(), left: Vec::new() };
    let mut changes: BTreeMap<usize, Change> = BTreeMap::new();
    for found in order {
        let planned = match site(found) {
            None => Err(Left::Unknown),
            Some(target) => plan(text, found, &target),
        };
        match planned {
            Err(why) => edited.left.push((found.clone(), why)),
            Ok((own, _)) if own.is_empty() => {}
            Ok((own, _)) if own.iter().any(|change| change.meets_any(&changes)) => {
                edited.left.push((found.clone(), Left::Shared));
            }
            Ok((own, after)) => {
                for change in own {
                    changes.entry(change.span.start).or_insert(change);
                }
                edited.edits.push(Edit {
                    place: found.place.clone(),
                    before: found.named.to_string(),
                    after: after.to_string(),
                });
            }
        }
    }
    let mut at = 0;
    for change in changes.into_values() {
        edited.text.push_str(&text[at..change.span.start]);
        edited.text.push_str(&change.text);
        at = change.span.end;
    }
    edited.text.push_str(&text[at..]);
    edited
}

/// Bytes that become others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub span: Range<usize>,
    /// What they become.
    pub text: String,
}

impl Change {
    /// Whether one of `changes`, which are given by where they begin, makes something else of the same bytes.
    pub fn meets_any(&self, changes: &BTreeMap<usize, Change>) -> bool {
        let before = changes.range(..=self.span.start).next_back().map(|(_, change)| change);
        let after = changes.range(self.span.start..).next().map(|(_, change)| change);
        let meets = |other: &Change| {
            let is_over = self.span.start < other.span.end && other.span.start < self.span.end;
            other != self && (is_over || self.span.start == other.span.start)
        };
        before.is_some_and(meets) || after.is_some_and(meets)
    }
}

/// The changes that make `target` of `found`, and the name that stands there then. For who writes a text piece by piece
/// and cannot have [`edit`] do it.
pub fn plan(text: &str, found: &Found, target: &Target) -> Result<(Vec<Change>, Named), Left> {
    let (spans, before) = (&found.spans, &found.named);
    let mut named = before.clone();
    let mut changes = Vec::new();
    let mut repository = target.repository.clone();
    if !target.registry.is_empty() {
        named.registry = Some(target.registry.clone());
        match &spans.registry {
            // What stands there is looked for in the resources, and stays.
            _ if spans.addition.is_some() => repository = format!("{}/{repository}", target.registry),
            Some(span) if before.registry.is_none() && !span.is_empty() => return Err(Left::Template),
            Some(span) => changes.push(Change { span: span.clone(), text: target.registry.clone() }),
            None if before.registry.is_some() && before.registry != named.registry => {
                return Err(Left::Template);
            }
            None if before.registry.is_some() => {}
            None => repository = format!("{}/{repository}", target.registry),
        }
    }
    named.repository.clone_from(&target.repository);
    if let Some(tag) = target.tag.as_ref().filter(|&tag| before.tag.as_ref() != Some(tag)) {
        named.tag = Some(tag.clone());
        match &spans.tag {
            Some(span) if before.tag.is_some() => {
                changes.push(Change { span: span.clone(), text: tag.clone() });
            }
            None if before.tag.is_none() => repository = format!("{repository}:{tag}"),
            _ => return Err(Left::Template),
        }
    }
    if let (Some(digest), Some(span)) = (&target.digest, &spans.digest) {
        if before.digest.is_none() {
            return Err(Left::Template);
        }
        changes.push(Change { span: span.clone(), text: digest.clone() });
        named.digest = Some(digest.clone());
    }
    match &spans.addition {
        Some(addition) if named != *before => {
            let text = format!("{}{repository}", addition.lead);
            changes.push(Change { span: addition.at..addition.at, text });
        }
        Some(_) => {}
        // Several places make up its repository.
        None if spans.repository.is_empty() && repository != before.repository => return Err(Left::Template),
        None if spans.repository.is_empty() => {}
        None => changes.push(Change { span: spans.repository.clone(), text: repository }),
    }
    changes.retain(|change| text[change.span.clone()] != change.text);
    Ok((changes, named))
}
