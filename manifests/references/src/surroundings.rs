//! What a node of a document is part of: which object of Kubernetes, and which part of it.

use std::collections::HashMap;

use crate::How;
use crate::keys;
use crate::tree::Tree;

/// What is around a node.
#[derive(Debug, Default)]
pub(crate) struct Surroundings<'t> {
    /// The innermost object.
    pub(crate) object: Option<Object<'t>>,
    /// Where no image is named, whatever it looks like.
    pub(crate) is_barren: bool,
    /// A value of a ConfigMap's data, or of a Secret's that is not encoded.
    pub(crate) is_data: bool,
    pub(crate) is_annotation: bool,
    /// In a map or list of environment variables.
    pub(crate) is_environment: bool,
    pub(crate) is_argument: bool,
    /// In `containers`, in a service of a compose file, in an app's `docker`.
    pub(crate) is_container: bool,
    /// Somewhere beneath `images`.
    pub(crate) is_among_images: bool,
}

/// The objects of a document, by their nodes.
pub(crate) type Objects<'t> = HashMap<usize, Object<'t>>;

/// Every object that a document holds.
pub(crate) fn objects<'t>(tree: &Tree<'t>) -> Objects<'t> {
    let is_kind = |&node: &usize| tree.name(node) == Some("kind") && tree.scalar(node).is_some();
    let holders = (0..tree.nodes.len()).filter(is_kind).map(|node| tree.nodes[node].parent);
    holders.filter_map(|holder| Object::of(tree, holder).map(|object| (holder, object))).collect()
}

/// An object of Kubernetes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'t> {
    kind: &'t str,
    api_version: &'t str,
    namespace: Option<&'t str>,
    name: Option<&'t str>,
}

impl<'t> Surroundings<'t> {
    pub(crate) fn of(tree: &Tree<'t>, objects: &Objects<'t>, node: usize) -> Self {
        let mut around = Self::default();
        let mut step = node;
        for holder in tree.ancestors(node) {
            if let Some(name) = tree.name(step) {
                around.note(name, step == node);
            }
            if around.object.is_none()
                && let Some(object) = objects.get(&holder)
            {
                around.object = Some(*object);
                around.is_data = object.holds_data(tree.name(step));
            }
            step = holder;
        }
        around
    }

    /// What a key on the way to the node says; a variable's own name says nothing of where it stands.
    fn note(&mut self, name: &str, is_own: bool) {
        self.is_barren |= keys::is_barren(name);
        self.is_annotation |=
            !is_own && matches!(name, "annotations" | "podAnnotations" | "commonAnnotations");
        self.is_environment |= !is_own && keys::is_environment(name);
        self.is_argument |= keys::is_arguments(name);
        self.is_container |= !is_own
            && matches!(
                name,
                "containers" | "initContainers" | "ephemeralContainers" | "services" | "docker"
            );
        self.is_among_images |= !is_own && keys::is_images(name);
    }

    /// How what stands here is named; in a file of `default` where nothing says more.
    pub(crate) fn how(&self, default: How) -> How {
        if self.is_annotation {
            return How::Annotation;
        }
        if self.is_data {
            return How::ConfigMap;
        }
        if self.is_argument {
            return How::Argument;
        }
        if self.is_environment {
            return How::Environment;
        }
        match &self.object {
            Some(object) if object.is_custom() => How::CustomResource,
            Some(_) => How::Image,
            None if self.is_container => How::Image,
            None => default,
        }
    }
}

impl<'t> Object<'t> {
    fn of(tree: &Tree<'t>, map: usize) -> Option<Self> {
        let text = |node: usize| tree.scalar(node).map(|node| tree.raw(node).trim());
        let of = |key: &str| tree.child(map, key);
        let kind = text(of("kind")?)?;
        let api_version = of("apiVersion").and_then(text);
        let metadata = of("metadata");
        if api_version.is_none() && metadata.is_none() {
            return None;
        }
        let of_metadata = |key: &str| metadata.and_then(|metadata| tree.child(metadata, key)).and_then(text);
        Some(Self {
            kind,
            api_version: api_version.unwrap_or_default(),
            namespace: of_metadata("namespace"),
            name: of_metadata("name").or_else(|| of_metadata("generateName")),
        })
    }

    fn holds_data(&self, key: Option<&str>) -> bool {
        match self.kind {
            "ConfigMap" => key == Some("data"),
            "Secret" => key == Some("stringData"),
            _ => false,
        }
    }

    /// Whether its kind is none of Kubernetes' own.
    fn is_custom(&self) -> bool {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        let is_own = !group.contains('.') || (group.ends_with(".k8s.io") && !group.ends_with(".x-k8s.io"));
        !is_own
    }

    /// `Deployment blueking/web`; without what only a template knows.
    pub(crate) fn title(&self) -> String {
        let known = |part: Option<&'t str>| part.filter(|part| !part.is_empty() && !part.contains("{{"));
        match (known(self.namespace), known(self.name)) {
            (Some(namespace), Some(name)) => format!("{} {namespace}/{name}", self.kind),
            (None, Some(name)) => format!("{} {name}", self.kind),
            (_, None) => self.kind.to_owned(),
        }
    }
}
