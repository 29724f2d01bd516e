//! An image as something names it, and how much that means.

use std::ops::Range;

use ferry_model::ImageReference;
use ferry_references::{Found, How, Named};
use serde::Serialize;

/// How much it means that an image is named somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// In a part of a chart that the values switch off.
    Optional,
    /// Written in a chart, and not in what it renders to; or said in part only.
    Possible,
    /// It will be pulled.
    Needed,
}

/// Where an image is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The chart or the file: `charts/bk-monitor-3.7.0`, `deploy/web.yaml`.
    pub source: String,
    /// The file in it: `templates/web.yaml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The object of Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The keys that lead there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// How it is named.
    pub how: How,
    /// Whether it was found in what the chart renders to.
    pub rendered: bool,
    /// What more there is to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Place {
    /// The source and the file in it: what `in:` of a silenced alarm is compared with.
    pub fn name(&self) -> String {
        match &self.file {
            Some(file) => format!("{}/{file}", self.source),
            None => self.source.clone(),
        }
    }

    /// The same with the line: `charts/bk-monitor-3.7.0/templates/web.yaml:12`.
    pub fn spot(&self) -> String {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{}{line}", self.name())
    }
}

/// An image as something names it.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub(super) image: ImageReference,
    /// Whether tag or digest are known. What has neither may be a name that gets its tag elsewhere.
    pub(super) is_pinned: bool,
    pub(super) weight: Weight,
    pub(super) place: Place,
}

impl Mention {
    /// What `found` names; none where a part of it is only known to a renderer.
    pub(super) fn new(found: &Found, named: &Named, weight: Weight, place: Place) -> Option<Self> {
        // Values may say a registry with the `/` behind it.
        let registry = named.registry.as_ref().map(|registry| registry.trim_end_matches('/').to_owned());
        let image: ImageReference = Named { registry, ..named.clone() }.to_string().parse().ok()?;
        let is_pinned = named.tag.is_some() || named.digest.is_some();
        let is_field = matches!(found.how, How::Image | How::Dockerfile | How::Line);
        // Where an image is pulled from such a field, no tag means `latest`.
        let weight = if is_pinned || is_field { weight } else { weight.min(Weight::Possible) };
        Some(Self { image, is_pinned: is_pinned || is_field, weight, place })
    }

    /// What `Place` says of a reference that was found in a text.
    pub(super) fn place(source: &str, file: Option<&str>, found: &Found) -> Place {
        Place {
            source: source.to_owned(),
            file: file.map(str::to_owned),
            line: Some(found.place.line),
            object: found.place.object.clone(),
            path: found.place.path.clone(),
            how: found.how,
            rendered: false,
            note: None,
        }
    }
}

/// Whether a part stands there only as what a template says. A part of no bytes is one that is left empty.
pub(super) fn has_unknown(found: &Found) -> bool {
    let (named, spans) = (&found.named, &found.spans);
    let is_unknown = |part: &Option<String>, span: &Option<Range<usize>>| {
        part.is_none() && span.as_ref().is_some_and(|span| !span.is_empty())
    };
    is_unknown(&named.registry, &spans.registry)
        || is_unknown(&named.tag, &spans.tag)
        || is_unknown(&named.digest, &spans.digest)
}
