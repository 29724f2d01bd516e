//! Registries that stand for several images: `global.imageRegistry` in values of helm counts for all images below it,
//! whatever each of them says itself.

use std::ops::Range;

use crate::{Found, Place, Registry};

/// A registry that stands for all images below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The registry as it is written, with a path behind it perhaps.
    pub value: String,
    /// Where.
    pub place: Place,
    /// Its bytes, without quotes.
    pub span: Range<usize>,
    /// The keys that the images below it begin with.
    begins: String,
    /// Its document's bytes.
    document: Range<usize>,
    /// Whether it counts before what an image says itself.
    is_over_all: bool,
}

impl Scope {
    fn new(registry: Registry, document: Range<usize>) -> Self {
        let path = registry.place.path.as_str();
        let (holder, key) = last_key(path);
        // What is global in a chart is so for all that the chart's values hold.
        let begins = match last_key(holder) {
            (above, "global") => above,
            _ => holder,
        };
        Self {
            is_over_all: key == "imageRegistry",
            begins: begins.to_owned(),
            document,
            value: registry.value,
            span: registry.span,
            place: registry.place,
        }
    }

    /// Whether it is said above an image that is named in pieces.
    fn holds(&self, found: &Found) -> bool {
        let is_below = self.begins.is_empty()
            || found.place.path.strip_prefix(&self.begins).is_some_and(|rest| rest.starts_with(['.', '[']));
        is_below && (self.is_over_all || found.named.registry.is_none())
    }
}

/// The registries of a text that stand for several images, in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Those of a text in which these registries stand, in the order of their bytes.
    pub fn new(text: &str, registries: Vec<Registry>) -> Self {
        let mut documents = crate::documents(text);
        let mut document = documents.next().unwrap_or_default();
        let scope = |registry: Registry| {
            while document.end <= registry.span.start {
                document = documents.next()?;
            }
            Some(Scope::new(registry, document.clone()))
        };
        Self(registries.into_iter().map_while(scope).collect())
    }

    /// All of them.
    pub fn all(&self) -> &[Scope] {
        &self.0
    }

    /// The place in [`Scopes::all`] of the one that an image is below: the nearest, in the image's own document. None
    /// for one that is named whole.
    pub fn above(&self, found: &Found) -> Option<usize> {
        if self.0.is_empty() || !is_split(found) {
            return None;
        }
        let at = found.spans.repository.start;
        let first = self.0.partition_point(|scope| scope.document.end <= at);
        let of_document =
            self.0.iter().enumerate().skip(first).take_while(|(_, scope)| scope.document.start <= at);
        let holding = of_document.filter(|(_, scope)| scope.holds(found));
        holding.max_by_key(|(_, scope)| scope.begins.len()).map(|(index, _)| index)
    }
}

/// Whether an image's parts are values beside each other, and not one name.
pub fn is_split(found: &Found) -> bool {
    let key = last_key(&found.place.path).1.to_ascii_lowercase();
    found.spans.whole.is_none() && (key.ends_with("repository") || key.ends_with("repo"))
}

/// The last key of a path, and what leads there: of `data["values.yaml"].global` `global`.
fn last_key(path: &str) -> (&str, &str) {
    if path.ends_with(']') {
        let open = path.rfind("[\"").filter(|_| path.ends_with("\"]")).or_else(|| path.rfind('['));
        let open = open.unwrap_or_default();
        return (&path[..open], path[open..].trim_matches(['[', ']', '"']));
    }
    path.rsplit_once('.').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    fn scopes(text: &str) -> (Scopes, Vec<Found>) {
        let survey = crate::survey(text, Format::Yaml);
        (Scopes::new(text, survey.registries), survey.found)
    }

    /// Of each image `path < value of what it is below`.
    fn below(text: &str) -> Vec<String> {
        let (scopes, found) = scopes(text);
        let of = |found: &Found| {
            let above = scopes.above(found).map_or("", |index| &scopes.all()[index].value);
            format!("{} < {above}", found.place.path)
        };
        found.iter().map(of).collect()
    }

    #[test]
    fn what_is_below() {
        assert_eq!(
            below(
                "a:\n  global:\n    imageRegistry: h.c\n  image: {registry: r.c, repository: x/y, tag: v1}\n  list:\n  - {repository: x/y, tag: v1}\n  whole: {image: q.c/x/y:1}\n  x:\n    global: {registry: i.c}\n    image: {repository: x/y, tag: v1}\n    other: {registry: r.c, repository: x/y, tag: v1}\nab: {repository: x/y, tag: v1}\n---\na: {repository: x/y, tag: v1}\n"
            ),
            [
                "a.image.repository < h.c",
                "a.list[0].repository < h.c",
                "a.whole.image < ",
                "a.x.image.repository < i.c",
                "a.x.other.repository < h.c",
                "ab.repository < ",
                "a.repository < ",
            ]
        );
    }

    #[test]
    fn values_within_other_objects() {
        assert_eq!(
            below(
                "apiVersion: v1\nkind: ConfigMap\ndata:\n  values.yaml: |\n    global: {imageRegistry: h.c}\n    image: {repository: x/y, tag: v1}\n  other.yaml: |\n    image: {repository: x/y, tag: v1}\n---\napiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec:\n  valuesContent: |\n    imageRegistry: j.c\n    image: {repository: x/y, tag: v1}\n---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  values:\n    global: {imageRegistry: k.c}\n    image: {registry: a.b, repository: x/y, tag: v1}\n"
            ),
            [
                "data[\"values.yaml\"].image.repository < h.c",
                "data[\"other.yaml\"].image.repository < ",
                "spec.valuesContent.image.repository < j.c",
                "spec.values.image.repository < k.c",
            ]
        );
    }

    #[test]
    fn many_documents_cost_no_more_than_each_of_them() {
        let one = "global: {imageRegistry: h.c}\nimage: {repository: x/y, tag: v1}\n---\n";
        let text = one.repeat(20_000);
        let (scopes, found) = scopes(&text);
        assert_eq!(found.len(), 20_000);
        let begun = std::time::Instant::now();
        assert!(found.iter().enumerate().all(|(index, found)| scopes.above(found) == Some(index)));
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}
