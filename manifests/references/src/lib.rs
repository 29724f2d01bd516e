//! Where texts name images: Kubernetes manifests, helm values and templates, kustomizations, compose files, Dockerfiles,
//! Marathon apps, environment files and plain lists. [`find`] tells each reference with its place and its bytes; what
//! is around them is never looked at as anything but text, so an edit can leave it as it is.
//!
//! No I/O, and nothing is rendered: a template is read as it was written. [`overlays`] tells what kustomizations do to
//! the manifests that they take in.

#![deny(missing_docs)]

mod dockerfile;
mod documents;
mod edit;
mod escapes;
mod format;
mod holes;
mod keys;
mod kustomization;
mod lines;
mod list;
mod mapped;
pub mod overlays;
mod parts;
mod plausible;
mod read;
mod registries;
mod report;
mod scan;
mod scopes;
mod shape;
mod surroundings;
#[cfg(test)]
mod tests;
mod tree;
mod words;

use std::ops::Range;

use serde::Serialize;

pub use crate::documents::documents;
pub use crate::edit::{Change, Edit, Edited, Left, Target, edit, plan};
pub use crate::format::format_of;
pub use crate::registries::Registry;
use crate::report::Report;
pub use crate::scopes::{Scope, Scopes, is_split};

/// The references in a text, in the order of their bytes. Any text will do: what cannot be read is passed over.
pub fn find(text: &str, format: Format) -> Vec<Found> {
    survey(text, format).found
}

/// All that a text says of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The references, in the order of their bytes.
    pub found: Vec<Found>,
    /// The registries that are named by themselves, in the order of their bytes.
    pub registries: Vec<Registry>,
    /// Where an image is named by nothing but a template's action or a variable: somebody should look.
    pub unclear: Vec<Place>,
    /// What a container is to run and what is no reference.
    pub malformed: Vec<Malformed>,
}

/// Something that stands where only a reference may, and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where.
    pub place: Place,
    /// Why it is none: it names the text.
    pub reason: String,
}

/// The references in a text, the registries that stand by themselves, and what is not known without rendering it.
pub fn survey(text: &str, format: Format) -> Survey {
    let mut report = Report::new(text);
    match format {
        Format::List => list::find(text, &mut report),
        Format::Environment => {
            words::environment(text, &mut report);
            registries::in_environment(text, &mut report);
        }
        Format::Dockerfile => dockerfile::find(&mapped::Mapped::new(text, 0), None, &mut report),
        _ => read::documents(text, format, &mut report),
    }
    report.finish()
}

/// What a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// YAML: manifests of Kubernetes, values of helm. JSON is YAML too, so Marathon's apps are.
    Yaml,
    /// YAML in which Go templates stand: a chart's templates, `*.gotmpl`.
    Template,
    /// A kustomization, for its `images`.
    Kustomization,
    /// A compose file.
    Compose,
    /// A Dockerfile, for `FROM` and `COPY --from`.
    Dockerfile,
    /// `NAME=value` lines.
    Environment,
    /// One reference a line, `#` begins a comment.
    List,
}

/// A reference in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// What is named, by its parts as they are written there.
    pub named: Named,
    /// How it is named.
    pub how: How,
    /// Where.
    pub place: Place,
    /// The bytes of its parts.
    #[serde(skip)]
    pub spans: Spans,
}

/// An image by the parts that stand there. A part that is absent stands elsewhere (`global.imageRegistry`,
/// `Chart.appVersion`), or has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// The registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// The repository, without the registry: as it is written, so `nginx` and not `library/nginx`.
    pub repository: String,
    /// The tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The digest: `sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// How an image is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// An `image` of a container, a service or an app.
    Image,
    /// A value of helm: a whole reference, or `registry`, `repository` and `tag` beside each other.
    Value,
    /// The value of an environment variable.
    Environment,
    /// An argument of a command.
    Argument,
    /// A field of a custom resource.
    CustomResource,
    /// A value in a ConfigMap.
    ConfigMap,
    /// An annotation, `artifacthub.io/images` among them.
    Annotation,
    /// An entry of a kustomization's `images`.
    Kustomization,
    /// A Dockerfile's `FROM` or `COPY --from`.
    Dockerfile,
    /// A line of a list.
    Line,
}

/// Where something stands in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The object, where it is one of Kubernetes: `Deployment blueking/web`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The keys that lead there: `spec.template.spec.containers[0].image`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// The bytes of a reference's parts in the text, without quotes and without what separates them.
///
/// A part with bytes but without a name is what a template says: `{{ .Values.global.imageRegistry }}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// The whole reference, where it stands in one piece.
    pub whole: Option<Range<usize>>,
    /// The registry.
    pub registry: Option<Range<usize>>,
    /// The repository.
    pub repository: Range<usize>,
    /// The tag.
    pub tag: Option<Range<usize>>,
    /// The digest.
    pub digest: Option<Range<usize>>,
    /// Where a new name is written that stands nowhere yet: a kustomization's `newName`.
    pub addition: Option<Addition>,
}

impl Spans {
    /// The first byte.
    pub fn first(&self) -> usize {
        let parts = [self.registry.as_ref(), self.tag.as_ref(), self.digest.as_ref()];
        parts.into_iter().flatten().map(|part| part.start).fold(self.repository.start, usize::min)
    }
}

/// Where a name is written that stands nowhere yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The byte before which it is written.
    pub at: usize,
    /// What is written before it.
    pub lead: String,
}
