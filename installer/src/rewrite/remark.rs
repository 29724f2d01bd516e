//! What is told of references besides those that were changed.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// Where something stands: in a file, or in a file of an archive (`demo-1.0.tgz!demo/values.yaml`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Spot {
    /// The file.
    pub file: Arc<str>,
    /// From 1; 0 where the whole file is meant.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Spot {
    /// A whole file.
    pub(super) fn file(file: &Arc<str>) -> Self {
        Self { file: file.clone(), line: 0, column: 0 }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// Whether somebody must do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// It does not work as it stands.
    Problem,
    /// It is good to know.
    Note,
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The bundle has no such image.
    Lacking,
    /// The bundle has another image of that name.
    OtherDigest,
    /// The digest is that of a platform which the registry does not get.
    PlatformNotPushed,
    /// It is at the site's registry, and not of this bundle.
    NotOfBundle,
    /// Its registry is said somewhere else.
    RegistryElsewhere,
    /// Its tag is said somewhere else.
    TagElsewhere,
    /// A registry that stands for several images cannot become the site's.
    Registry,
    /// Its bytes are those of something else too.
    Shared,
    /// Nodes pull it through a mirror.
    Mirrored,
    /// The registry does not have it.
    NotResolved,
    /// The registry has something else under that name.
    ResolvesToOther,
    /// A kustomization looks for a name that its resources had.
    Kustomization,
    /// Pods that run on virtual nodes lack annotations.
    VirtualNodes,
    /// A file was not looked at.
    Unread,
    /// A file could not be read or written.
    Failed,
    /// The registry could not be asked.
    NotAsked,
    /// A signature no longer fits.
    Provenance,
}

/// What is told of a reference, a registry or a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Remark {
    /// Whether somebody must do something.
    pub weight: Weight,
    /// What it is about.
    pub kind: Kind,
    /// Where.
    #[serde(flatten)]
    pub spot: Spot,
    /// The object of Kubernetes, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The image or registry as it is written; empty where a file is meant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What there is to say.
    pub message: String,
}

/// A [`Remark`] without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) weight: Weight,
    pub(super) kind: Kind,
    pub(super) message: String,
}

impl Said {
    pub(super) fn problem(kind: Kind, message: impl Into<String>) -> Self {
        Self { weight: Weight::Problem, kind, message: message.into() }
    }

    pub(super) fn note(kind: Kind, message: impl Into<String>) -> Self {
        Self { weight: Weight::Note, kind, message: message.into() }
    }

    pub(super) fn at(self, spot: Spot, object: Option<String>, name: String) -> Remark {
        Remark { weight: self.weight, kind: self.kind, spot, object, name, message: self.message }
    }
}
