//! One text, or a piece of one: what is found in it, what becomes of that, and the text that follows.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use ferry_references::{
    Change, Format, Found, Left, Place, Registry, Scope, Scopes, documents, plan, survey,
};
use serde::Serialize;

use super::judge::{Decision, Judge, Ruling};
use super::known::{Mirror, Target};
use super::pods::{Annotated, Pods};
use super::remark::{Kind, Remark, Said, Spot};

/// A reference or a registry that got another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// Where.
    #[serde(flatten)]
    pub spot: Spot,
    /// The object of Kubernetes, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Arc<str>>,
    /// What stood there.
    pub before: Arc<str>,
    /// What stands there now.
    pub after: Arc<str>,
}

/// A name at the site's registry, and what a text is to be told if it does not resolve.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) target: Target,
    pub(super) spot: Spot,
    /// Whether the bundle knows nothing of it.
    pub(super) is_foreign: bool,
}

/// What came of a text.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The text as it shall be; absent where nothing changes.
    pub(super) text: Option<String>,
    pub(super) edits: Vec<Edit>,
    pub(super) remarks: Vec<Remark>,
    /// What it names at the site's registry then.
    pub(super) named: Vec<Named>,
    /// References that had their right names before.
    pub(super) right: usize,
    /// Names that a kustomization looks for in its resources, as they are written.
    pub(super) sought: Vec<(Spot, String)>,
}

impl Seen {
    /// Annotates pods that run on virtual nodes, in the text as it shall be.
    pub(super) fn annotate(&mut self, pods: &Pods, text: &str, file: &Arc<str>, lines_before: usize) {
        let (new, annotated) = pods.annotate(self.text.as_deref().unwrap_or(text));
        if new.is_some() {
            self.text = new;
        }
        for Annotated { line, object, result } in annotated {
            let spot = Spot { file: file.clone(), line: lines_before + line + 1, column: 1 };
            match result {
                Ok((before, after)) => {
                    let object = Some(object.into());
                    self.edits.push(Edit { spot, object, before: before.into(), after: after.into() });
                }
                Err(said) => self.remarks.push(said.at(spot, Some(object), String::new())),
            }
        }
        self.edits.sort_by_key(|edit| (edit.spot.line, edit.spot.column));
    }
}

/// Rewrites a text that is `file`'s from behind line `lines_before` on.
pub(super) fn rewrite(
    text: &str,
    format: Format,
    judge: &Judge<'_>,
    file: &Arc<str>,
    lines_before: usize,
) -> Seen {
    let mut survey = survey(text, format);
    let own = own_documents(text);
    survey.found.retain(|found| !own.iter().any(|own| own.contains(&found.spans.first())));
    survey.registries.retain(|registry| !own.iter().any(|own| own.contains(&registry.span.start)));
    let found = survey.found;
    let (registries, others): (Vec<Registry>, _) =
        survey.registries.into_iter().partition(|registry| judge.is_of_images(registry));
    let scopes = Scopes::new(text, registries);
    let above: Vec<Option<usize>> = found.iter().map(|found| scopes.above(found)).collect();
    let mut below = vec![Vec::new(); scopes.all().len()];
    for (found, above) in found.iter().zip(&above) {
        if let Some(scope) = *above {
            below[scope].push(found);
        }
    }
    let mut writing =
        Writing { text, judge, file, lines_before, changes: BTreeMap::new(), seen: Seen::default() };
    for registry in others {
        writing.other_registry(registry);
    }
    let rulings: Vec<Ruling> =
        scopes.all().iter().zip(&below).map(|(scope, below)| judge.rule(scope, below)).collect();
    for (scope, ruling) in scopes.all().iter().zip(&rulings) {
        writing.registry(scope, ruling);
    }
    let decided: Vec<(&Found, Decision)> = found
        .iter()
        .zip(above)
        .map(|(found, above)| {
            let scope = above.map(|index| (&scopes.all()[index], &rulings[index]));
            (found, judge.judge(found, scope))
        })
        .collect();
    let kept = kept(&decided);
    for (found, decision) in decided {
        writing.decide(found, decision, &kept);
    }
    writing.finish(format)
}

/// The documents of a text that are Ferry's own: a spec says where images come from, and that stays so.
fn own_documents(text: &str) -> Vec<Range<usize>> {
    if !text.contains("ferry/v") {
        return Vec::new();
    }
    let is_own = |document: &str| {
        let is_json = document.trim_start().starts_with('{');
        document.lines().any(|line| {
            let version = if is_json {
                line.trim_start().trim_start_matches('{').trim_start().strip_prefix("\"apiVersion\":")
            } else {
                line.strip_prefix("apiVersion:")
            };
            version
                .is_some_and(|version| version.trim().trim_start_matches(['"', '\'']).starts_with("ferry/v"))
        })
    };
    documents(text).filter(|range| is_own(&text[range.clone()])).collect()
}

/// Bytes of references that stay as they are.
fn kept(decided: &[(&Found, Decision)]) -> HashSet<Range<usize>> {
    let stays = decided.iter().filter(|(_, decision)| !matches!(decision, Decision::Edit { .. }));
    stays
        .flat_map(|(found, _)| {
            let spans = &found.spans;
            let others = [&spans.registry, &spans.tag].into_iter().flatten().cloned();
            others.chain([spans.repository.clone()])
        })
        .collect()
}

/// A text that is being rewritten.
struct Writing<'a> {
    text: &'a str,
    judge: &'a Judge<'a>,
    file: &'a Arc<str>,
    lines_before: usize,
    /// By where they begin.
    changes: BTreeMap<usize, Change>,
    seen: Seen,
}

impl Writing<'_> {
    fn spot(&self, place: &Place) -> Spot {
        Spot { file: self.file.clone(), line: self.lines_before + place.line, column: place.column }
    }

    /// A registry of something else.
    fn other_registry(&mut self, registry: Registry) {
        let said = Said::note(
            Kind::Registry,
            "it stays: the bundle has no image of it, and its name does not say that it is one of images",
        );
        self.seen.remarks.push(said.at(self.spot(&registry.place), None, registry.value));
    }

    fn registry(&mut self, scope: &Scope, ruling: &Ruling) {
        let spot = self.spot(&scope.place);
        match ruling {
            Ruling::Becomes(registry) => {
                let change = Change { span: scope.span.clone(), text: registry.clone() };
                self.seen.edits.push(Edit {
                    spot,
                    object: None,
                    before: scope.value.as_str().into(),
                    after: registry.as_str().into(),
                });
                self.changes.insert(change.span.start, change);
            }
            Ruling::Stays(said) => {
                self.seen.remarks.push(said.clone().at(spot, None, scope.value.clone()));
            }
            Ruling::Site => self.seen.right += 1,
        }
    }

    fn decide(&mut self, found: &Found, decision: Decision, kept: &HashSet<Range<usize>>) {
        let spot = self.spot(&found.place);
        match decision {
            Decision::Right(target) => {
                self.seen.right += 1;
                self.seen.named.push(Named { target, spot, is_foreign: false });
            }
            Decision::Foreign(target) => self.seen.named.push(Named { target, spot, is_foreign: true }),
            Decision::Leave(said) => self.remark(found, said),
            Decision::Edit { to, target, said } => match self.change(found, &to, kept) {
                Ok(after) => {
                    if found.spans.addition.is_some() {
                        let name = found.named.without_version().to_string();
                        self.seen.sought.push((spot.clone(), name));
                    }
                    if let Some(after) = after {
                        self.seen.edits.push(Edit {
                            spot: spot.clone(),
                            object: found.place.object.as_deref().map(Into::into),
                            before: found.named.to_string().into(),
                            after: after.into(),
                        });
                    }
                    if let Some(said) = said {
                        self.remark(found, said);
                    }
                    self.seen.named.push(Named { target, spot, is_foreign: false });
                }
                Err(left) => {
                    let said = self.left(found, left, &target);
                    self.remark(found, said);
                }
            },
        }
    }

    fn remark(&mut self, found: &Found, said: Said) {
        let spot = self.spot(&found.place);
        self.seen.remarks.push(said.at(spot, found.place.object.clone(), found.named.to_string()));
    }

    /// Notes the changes that a reference needs, and tells what it is called then; nothing where others have changed all that it
    /// needs.
    fn change(
        &mut self,
        found: &Found,
        to: &ferry_references::Target,
        kept: &HashSet<Range<usize>>,
    ) -> Result<Option<String>, Left> {
        let (mut changes, after) = plan(self.text, found, to)?;
        for change in &mut changes {
            // `digest: 0a1b…` goes without its algorithm.
            let is_bare = found.spans.digest.as_ref() == Some(&change.span)
                && !self.text[change.span.clone()].contains(':');
            if let Some((_, hex)) = change.text.split_once(':').filter(|_| is_bare) {
                change.text = hex.to_owned();
            }
        }
        let is_shared = |change: &Change| kept.contains(&change.span) || change.meets_any(&self.changes);
        if changes.iter().any(is_shared) {
            return Err(Left::Shared);
        }
        let new: Vec<Change> =
            changes.into_iter().filter(|change| !self.changes.contains_key(&change.span.start)).collect();
        let is_changed = !new.is_empty();
        self.changes.extend(new.into_iter().map(|change| (change.span.start, change)));
        Ok(is_changed.then(|| after.to_string()))
    }

    fn left(&self, found: &Found, left: Left, target: &Target) -> Said {
        let known = self.judge.known;
        let name = format!("{}/{}", known.address(), target.repository);
        let registry = found.named.registry.as_deref().unwrap_or("docker.io");
        if known.mirror(registry) == Some(&Mirror::Own) {
            return Said::note(
                Kind::Mirrored,
                format!("{left}; nodes pull it through a mirror all the same"),
            );
        }
        Said::problem(Kind::Shared, format!("{left}; at the site it is called {name}"))
    }

    fn finish(mut self, format: Format) -> Seen {
        self.seen.edits.sort_by_key(|edit| (edit.spot.line, edit.spot.column));
        if self.changes.is_empty() {
            return self.seen;
        }
        let mut text = String::with_capacity(self.text.len() + 16 * self.changes.len());
        let mut at = 0;
        for change in self.changes.values() {
            text.push_str(&self.text[at..change.span.start]);
            text.push_str(&quoted(self.text, change, format));
            at = change.span.end;
        }
        text.push_str(&self.text[at..]);
        self.seen.text = Some(text);
        self.seen
    }
}

/// What is written, in quotes where YAML would read it as a list or a number without.
fn quoted(text: &str, change: &Change, format: Format) -> String {
    let is_yaml = !matches!(format, Format::Dockerfile | Format::Environment | Format::List);
    let (before, behind) = (&text[..change.span.start], &text[change.span.end..]);
    let stands_alone = before.ends_with([' ', '\t']) && behind.is_empty()
        || before.ends_with([' ', '\t']) && behind.starts_with(['\n', '\r', ' ', ',', '}']);
    let is_number = change.text.parse::<f64>().is_ok();
    // What is written before a new name stands before its quotes.
    let needs_quotes = change.text.starts_with('[') || (is_number && !change.span.is_empty());
    if is_yaml && stands_alone && needs_quotes { format!("\"{}\"", change.text) } else { change.text.clone() }
}

#[cfg(test)]
mod tests;
