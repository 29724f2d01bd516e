//! What a document's scalars name, by their keys and by what is around them.

mod look;
mod pieces;

use self::look::Look;
pub(crate) use self::pieces::parameter_name;
use crate::keys;
use crate::mapped::Mapped;
use crate::parts::Parts;
use crate::plausible;
use crate::report::Report;
use crate::surroundings::{Objects, Surroundings};
use crate::tree::{Key, Kind, Style, Tree};
use crate::{Format, How, dockerfile, words};

/// How deep texts within texts are read.
const MAX_DEPTH: usize = 4;
/// The longest text within a text: no object of Kubernetes is longer.
const MAX_INNER: usize = 4 << 20;

/// How compose names an image that a build takes files from.
const CONTEXT: &str = "docker-image://";

/// A Dockerfile within a compose file.
const INLINE: &str = "dockerfile_inline";

/// Reads every document of a text.
pub(crate) fn documents(text: &str, format: Format, report: &mut Report<'_>) {
    let outer = Outer::default();
    for range in crate::documents(text) {
        let source = Mapped::new(&text[range.clone()], range.start);
        document(&source, format, &outer, report);
    }
}

/// Where a text within a text stands.
#[derive(Debug, Default)]
struct Outer {
    how: Option<How>,
    object: Option<String>,
    path: String,
    depth: usize,
    /// In the data of a ConfigMap or a Secret.
    is_data: bool,
}

fn document(source: &Mapped<'_>, format: Format, outer: &Outer, report: &mut Report<'_>) {
    let templated = format == Format::Template;
    let tree = crate::scan::scan(&source.text, templated);
    let objects = crate::surroundings::objects(&tree);
    let mut reader = Reader { tree: &tree, objects: &objects, source, format, outer, report };
    for node in 0..tree.nodes.len() {
        if matches!(tree.nodes[node].kind, Kind::Scalar(_) | Kind::Alias(Some(_))) {
            reader.scalar(node);
        }
    }
}

#[derive(Debug)]
struct Reader<'r, 't, 'o> {
    tree: &'r Tree<'t>,
    objects: &'r Objects<'t>,
    source: &'r Mapped<'t>,
    format: Format,
    outer: &'r Outer,
    report: &'r mut Report<'o>,
}

impl Reader<'_, '_, '_> {
    fn scalar(&mut self, node: usize) {
        let tree = self.tree;
        let Some(scalar) = tree.scalar(node) else { return };
        let raw = tree.raw(scalar);
        let key = tree.nearest_name(node).unwrap_or_default();
        let is_named = matches!(tree.nodes[node].key, Key::Name(_));
        if is_named && self.pieces(node, key) {
            return;
        }
        let says_image = keys::is_image(key) || keys::is_images(key) || keys::is_image_name(key);
        let look = Look::at(raw);
        let is_special = match key {
            "reference" | "patch" | "id" | INLINE => is_named,
            "value" | "default" if is_named => self.variable(node).is_some_and(keys::is_image),
            _ => keys::is_arguments(key) && (look.has_image || self.follows_option(node, key)),
        };
        let is_context = raw.starts_with(CONTEXT);
        if says_image || is_special || is_context || look.is_telling() || self.is_among_images(node) {
            self.candidate(node, scalar, key, is_named);
        }
    }

    fn is_among_images(&self, node: usize) -> bool {
        self.tree.ancestors(node).take(2).any(|holder| self.tree.name(holder).is_some_and(keys::is_images))
    }

    /// A scalar that may name something; a look at what is around it decides.
    fn candidate(&mut self, node: usize, scalar: usize, key: &str, is_named: bool) {
        let tree = self.tree;
        let mut around = Surroundings::of(tree, self.objects, node);
        around.is_data |= self.outer.is_data;
        if around.is_barren {
            return;
        }
        let content = tree.content(scalar, self.source);
        let trimmed = content.trimmed();
        if trimmed.text.is_empty() {
            return;
        }
        let is_text = trimmed.text.contains(|c: char| c.is_whitespace() || c == '{' || c == '=')
            || tree.nodes[scalar].kind == Kind::Scalar(Style::Block);
        if key == INLINE && self.format == Format::Compose {
            dockerfile::find(&content, Some(&self.path(node)), self.report);
            return;
        }
        let parts = self.whole(node, key, is_named, &around, &trimmed);
        if let Some(parts) = parts {
            let parts = self.with_tag_beside(node, key, is_named, parts);
            self.tell(node, &around, parts);
        } else {
            if is_named && keys::is_image(key) && crate::holes::stand_in(&trimmed.text) {
                let (object, path) = (self.object(&around), self.path(node));
                self.report.push_unclear(trimmed.span(0..0).start, object, path);
            } else if is_named
                && keys::is_image(key)
                && self.is_for_a_container(&around)
                && let Some(reason) = plausible::why_malformed(&trimmed.text)
            {
                let (object, path) = (self.object(&around), self.path(node));
                self.report.push_malformed(trimmed.span(0..0).start, reason, object, path);
            }
            if is_text && !keys::is_prose(key) {
                self.inner(node, key, &around, &content);
            }
        }
    }

    /// Whether a kubelet or compose itself reads this `image`, so that nothing but a reference will do.
    fn is_for_a_container(&self, around: &Surroundings<'_>) -> bool {
        around.is_container && (around.object.is_some() || self.format == Format::Compose)
    }

    /// The reference that a scalar is as a whole.
    fn whole(
        &self,
        node: usize,
        key: &str,
        is_named: bool,
        around: &Surroundings<'_>,
        text: &Mapped<'_>,
    ) -> Option<Parts> {
        let tree = self.tree;
        if is_named
            && matches!(key, "value" | "default")
            && let Some(name) = self.variable(node)
        {
            if keys::is_image(name) {
                return plausible::named_so(text);
            }
            if key == "value" {
                return plausible::among_values(text);
            }
        }
        if text.text.starts_with(CONTEXT) {
            return plausible::named_so(&text.part(CONTEXT.len()..text.text.len()));
        }
        let parent = tree.nearest_name(tree.nodes[node].parent).unwrap_or_default();
        let is_reference =
            is_named && keys::is_image(parent) && (key == "reference" || self.is_image_id(node, key));
        if (is_named && keys::is_image(key)) || is_reference || self.follows_option(node, key) {
            return plausible::named_so(text);
        }
        if is_named && keys::is_image_name(key) {
            // Disks of machines are named so too.
            return plausible::named_so(text).filter(Parts::is_pinned).or_else(|| plausible::by_itself(text));
        }
        let is_item = !is_named && (keys::is_images(key) || keys::is_image(key));
        if let Some(equals) = text.text.find('=').filter(|_| is_item) {
            // What stands there, and what is to stand there instead.
            return plausible::named_so(&text.part(equals + 1..text.text.len()));
        }
        if is_item || (around.is_among_images && is_named && !is_setting(key)) {
            let parts = plausible::named_so(text)?;
            let is_sure = parts.is_pinned()
                || (parts.has_registry() && is_item)
                || (is_item && text.text.contains('/'));
            return is_sure.then_some(parts);
        }
        let is_argument = around.is_argument && self.option(node, key).is_some();
        if around.is_data || around.is_environment || is_argument {
            return plausible::among_values(text);
        }
        plausible::by_itself(text)
    }

    /// The name of the variable whose `value` this is, or the path that a patch puts it at.
    fn variable(&self, node: usize) -> Option<&str> {
        let parent = self.tree.nodes[node].parent;
        let name = self.tree.child(parent, "name").or_else(|| self.tree.child(parent, "path"))?;
        self.tree.scalar(name).map(|name| self.tree.raw(name))
    }

    /// Whether this is the name of an image in a pod of Marathon: `{"kind": "DOCKER", "id": "redis"}`.
    fn is_image_id(&self, node: usize, key: &str) -> bool {
        key == "id" && self.tree.child(self.tree.nodes[node].parent, "kind").is_some()
    }

    /// Whether the argument before this one is an option that wants an image: `--image`, `busybox`.
    fn follows_option(&self, node: usize, key: &str) -> bool {
        self.option(node, key).is_some_and(keys::is_image)
    }

    /// The argument before this one, where it is an option without a value.
    fn option(&self, node: usize, key: &str) -> Option<&str> {
        let tree = self.tree;
        if !keys::is_arguments(key) || !matches!(tree.nodes[node].key, Key::Index(index) if index > 0) {
            return None;
        }
        let before = tree.children(tree.nodes[node].parent).take_while(|&child| child < node).last();
        let option = before.and_then(|before| tree.scalar(before)).map(|before| tree.raw(before));
        option.filter(|option| option.starts_with('-') && !option.contains('='))
    }

    /// A text within the text: YAML, or words.
    fn inner(&mut self, node: usize, key: &str, around: &Surroundings<'_>, content: &Mapped<'_>) {
        if content.text.len() > MAX_INNER || self.outer.depth >= MAX_DEPTH {
            return;
        }
        let is_config =
            around.is_data || around.is_argument || around.is_environment || self.outer.how.is_some();
        let is_one_word = !content.text.trim().contains(char::is_whitespace);
        if looks_structured(&content.text) {
            let outer = Outer {
                how: self.outer.how.or_else(|| inherited(around)),
                object: self.object(around),
                path: self.path(node),
                depth: self.outer.depth + 1,
                is_data: around.is_data,
            };
            let format = if self.format == Format::Template { Format::Template } else { Format::Yaml };
            document(content, format, &outer, self.report);
        } else if is_config || is_one_word || key == "patch" || self.format == Format::Compose {
            let mut told = Vec::new();
            words::find(content, &mut |parts, _| told.push(parts));
            for parts in told {
                self.tell(node, around, parts);
            }
        }
    }

    fn tell(&mut self, node: usize, around: &Surroundings<'_>, parts: Parts) {
        let default = match self.format {
            Format::Compose | Format::Template => How::Image,
            _ => How::Value,
        };
        self.push(node, around, self.outer.how.unwrap_or_else(|| around.how(default)), parts);
    }

    fn push(&mut self, node: usize, around: &Surroundings<'_>, how: How, parts: Parts) {
        let (object, path) = (self.object(around), self.path(node));
        self.report.push(parts, how, object, path);
    }

    fn object(&self, around: &Surroundings<'_>) -> Option<String> {
        self.outer.object.clone().or_else(|| around.object.as_ref().map(crate::surroundings::Object::title))
    }

    fn path(&self, node: usize) -> String {
        let path = self.tree.path(node);
        let dot =
            if self.outer.path.is_empty() || path.is_empty() || path.starts_with('[') { "" } else { "." };
        format!("{}{dot}{path}", self.outer.path)
    }
}

/// How everything within a text is named, where the text's place says so.
fn inherited(around: &Surroundings<'_>) -> Option<How> {
    match around.how(How::Value) {
        how @ (How::ConfigMap | How::Annotation) => Some(how),
        _ => None,
    }
}

/// What stands among images and is none.
fn is_setting(key: &str) -> bool {
    matches!(key, "tag" | "pullPolicy" | "pull_policy" | "version" | "digest" | "url")
}

/// Whether a text is maps and sequences rather than words: by its first line that says something.
fn looks_structured(text: &str) -> bool {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("{{"));
    let Some(line) = line else { return false };
    if line == "---" || line.starts_with(['{', '[']) || line.starts_with("- ") {
        return !is_section(line);
    }
    let key = line.split_once(':').filter(|(_, rest)| rest.is_empty() || rest.starts_with([' ', '\t']));
    key.is_some_and(|(key, _)| !key.contains([' ', '=', '(', '$']))
}

/// Whether a line is TOML's `[section]`, `[plugins."a.b".c]` or `[[section]]`, and no list.
fn is_section(line: &str) -> bool {
    let line = line.split_once(" #").map_or(line, |(line, _)| line.trim_end());
    let is_bare = line[1..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    line.starts_with("[[") || (line.starts_with('[') && is_bare && line.ends_with(']') && !line.contains(','))
}
