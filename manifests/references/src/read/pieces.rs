//! Images and registries of which a map's keys name the pieces.

use super::Reader;
use crate::How;
use crate::keys::{self, Beside};
use crate::kustomization;
use crate::parts::Parts;
use crate::plausible;
use crate::shape::Pieces;
use crate::surroundings::Surroundings;
use crate::tree::{Kind, Tree};

impl Reader<'_, '_, '_> {
    /// An image whose tag stands in another key: `imageTag` beside `image`.
    pub(super) fn with_tag_beside(&self, node: usize, key: &str, is_named: bool, parts: Parts) -> Parts {
        if !is_named || !keys::is_image(key) {
            return parts;
        }
        let pieces =
            Pieces::beside(self.tree, node, &Beside::image(key), matches!(key, "image" | "baseImage"));
        let pieces = if key == "baseImage" { pieces.or_version(self.tree, node) } else { pieces };
        if pieces.are_none() {
            return parts;
        }
        pieces.complete(parts.clone(), self.tree, self.source).unwrap_or(parts)
    }

    /// A repository in a map of its own pieces. True where the scalar needs no other look.
    pub(super) fn pieces(&mut self, node: usize, key: &str) -> bool {
        let tree = self.tree;
        if key == "value" {
            return self.parameter(node);
        }
        let is_registry = keys::is_registry(key) || matches!(key, "registry" | "hub" | "imageRepository");
        if is_registry && self.registry(node, key) {
            return true;
        }
        let parent = tree.nodes[node].parent;
        let holder = tree.nearest_name(parent).unwrap_or_default();
        if matches!(key, "name" | "newName") {
            if let Some(parts) = kustomization::entry(tree, self.source, node, key, holder) {
                let around = Surroundings::of(tree, self.objects, node);
                if !around.is_barren {
                    self.push(node, &around, How::Kustomization, parts);
                }
                return true;
            }
            if key == "newName" || !keys::is_image(holder) || tree.nodes[parent].kind != Kind::Map {
                return false;
            }
        } else if Beside::repository(key).is_none() {
            return false;
        }
        let beside = Beside::repository(if key == "name" { "repository" } else { key }).expect("it ends so");
        let pieces = Pieces::beside(tree, node, &beside, false);
        if !(pieces.say_image() || keys::is_image(holder) && key != "name") {
            return false;
        }
        let Some(parts) = self.in_pieces(node, &pieces) else { return false };
        let around = Surroundings::of(tree, self.objects, node);
        if !around.is_barren {
            self.tell(node, &around, parts);
        }
        true
    }

    /// A parameter of a chart that names an image's repository: `image.repository` in helmfile's `set` and in Argo's
    /// `parameters`, with what the parameters beside it say. True where it needs no other look.
    fn parameter(&mut self, node: usize) -> bool {
        let tree = self.tree;
        let entry = tree.nodes[node].parent;
        let list = tree.nodes[entry].parent;
        if !matches!(tree.name(list), Some("set" | "setString" | "parameters")) {
            return false;
        }
        let Some(name) = parameter_name(tree, entry) else { return false };
        let (stem, key) = name.rsplit_once('.').unwrap_or(("", name));
        if keys::is_registry(key) {
            // Beside repositories it is theirs.
            let names_repository = |entry: usize| {
                let name = parameter_name(tree, entry).unwrap_or_default();
                Beside::repository(name.rsplit('.').next().unwrap_or_default()).is_some()
            };
            return tree.children(list).any(names_repository) || self.registry(node, key);
        }
        let Some(beside) = Beside::repository(key) else { return false };
        let pieces = Pieces::parameters(tree, list, stem, &beside);
        let holder = stem.rsplit('.').next().unwrap_or_default();
        if !(pieces.say_image() || keys::is_image(holder)) {
            return false;
        }
        let Some(parts) = self.in_pieces(node, &pieces) else { return false };
        let around = Surroundings::of(tree, self.objects, node);
        self.tell(node, &around, parts);
        true
    }

    /// The image whose repository a scalar is, with its other pieces.
    fn in_pieces(&self, node: usize, pieces: &Pieces) -> Option<Parts> {
        let scalar = self.tree.scalar(node)?;
        let content = self.tree.content(scalar, self.source);
        let parts = plausible::named_so(&content.trimmed())?;
        pieces.complete(parts, self.tree, self.source)
    }

    /// A registry that stands beside no repository.
    fn registry(&mut self, node: usize, key: &str) -> bool {
        let tree = self.tree;
        let parent = tree.nodes[node].parent;
        let holder = tree.nearest_name(parent).unwrap_or_default();
        let has = |key: &str| tree.child(parent, key).is_some();
        let is_by_itself = match key {
            "registry" => {
                (keys::is_image(holder) || holder == "global")
                    && !(has("repository") || has("image") || has("name"))
            }
            "hub" => holder == "global" || has("tag"),
            "imageRepository" => !has("imageTag") && !has("imageName"),
            _ => true,
        };
        let Some(scalar) = tree.scalar(node).filter(|_| is_by_itself) else { return false };
        let content = tree.content(scalar, self.source);
        let content = content.trimmed();
        let Some(filled) = crate::holes::fill(&content) else { return false };
        let content = filled.unwrap_or_else(|| content.clone().into_owned());
        let content = content.part(0..content.text.trim_end_matches('/').len());
        let Some(span) = content.piece(0..content.text.len()) else { return false };
        if !crate::registries::is_registry(&content.text) {
            return false;
        }
        let object = Surroundings::of(tree, self.objects, node).object.map(|object| object.title());
        let object = self.outer.object.clone().or(object);
        let path = self.path(node);
        self.report.push_registry(&content.text, span, object, path);
        true
    }
}

/// The name of a parameter.
pub(crate) fn parameter_name<'t>(tree: &Tree<'t>, entry: usize) -> Option<&'t str> {
    tree.child(entry, "name").and_then(|name| tree.scalar(name)).map(|name| tree.raw(name))
}
