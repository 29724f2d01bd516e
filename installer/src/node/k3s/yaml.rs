//! `registries.yaml`, changed line by line so that comments, order and quotes stay. What comes out is read again and
//! compared with what was meant: a file in a form that lines cannot change is refused, never mangled.

use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use serde_json::{Map, Value};

use crate::node::text::{Text, broken_at};

/// How a registry is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// By an authority's file.
    Authority(String),
    /// Its certificate is not checked.
    Unverified,
}

/// The file, and what shall be in it.
#[derive(Debug)]
pub(super) struct Registries {
    path: PathBuf,
    text: Text,
    lines: Vec<String>,
    meant: Map<String, Value>,
    notes: Vec<String>,
}

impl Registries {
    /// Reads the file.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, Failed> {
        let text = Text::read(path, bytes)?;
        let meant = parse(&text.plain).map_err(|error| {
            let at = error.location().map_or((1, 1), |at| (whole(at.line()), whole(at.column())));
            let message = error.without_snippet().to_string();
            broken_at(path, &text.plain, at, message.split(" at line ").next().unwrap_or(&message))
        })?;
        let Value::Object(meant) = meant.unwrap_or_default() else {
            return Err(broken_at(
                path,
                &text.plain,
                (1, 1),
                "this is no mapping of `mirrors` and `configs`",
            ));
        };
        for key in ["mirrors", "configs"] {
            if meant.get(key).is_some_and(|value| !value.is_object() && !value.is_null()) {
                let message = format!("{}: `{key}` is no mapping", path.display());
                return Err(Failed::because(Class::Input, message)
                    .hint("correct it: k3s and rke2 cannot read it either"));
            }
        }
        let lines = text.plain.lines().map(str::to_owned).collect();
        Ok(Self { path: path.to_owned(), text, lines, meant, notes: Vec::new() })
    }

    /// Endpoints that are missing stand before those that are there.
    pub(super) fn add_endpoints(&mut self, registry: &str, urls: Vec<String>) {
        let has_wildcard = self.meant.get("mirrors").is_some_and(|mirrors| mirrors.get("*").is_some());
        let mirrors = below(&mut self.meant, "mirrors");
        if has_wildcard && !mirrors.contains_key(registry) {
            self.notes.push(format!(
                "{}: the mirror for all registries (`*`) applies no longer to {registry}, which has one of its own now",
                self.path.display()
            ));
        }
        let mirror = below(mirrors, registry);
        let there: Vec<Value> = mirror.get("endpoint").and_then(Value::as_array).cloned().unwrap_or_default();
        let missing: Vec<String> =
            urls.into_iter().filter(|url| !there.iter().any(|there| is_same(there, url))).collect();
        if missing.is_empty() {
            return;
        }
        let all = missing.iter().cloned().map(Value::String).chain(there).collect();
        mirror.insert("endpoint".into(), Value::Array(all));
        self.write_endpoints(registry, &missing);
    }

    fn write_endpoints(&mut self, registry: &str, missing: &[String]) {
        let Some(at) = self.descend(&["mirrors", registry, "endpoint"]) else { return };
        self.open(at);
        let indent = indent_of(&self.lines[at]);
        let flow = self.lines[at].find('[').filter(|start| value_of(&self.lines[at]).0 == *start);
        if let Some(start) = flow {
            let quoted: Vec<String> = missing.iter().map(|url| quote(url)).collect();
            let is_last = self.lines[at][start + 1..].trim_start().starts_with(']');
            let comma = if is_last { "" } else { ", " };
            self.lines[at].insert_str(start + 1, &format!("{}{comma}", quoted.join(", ")));
            return;
        }
        // A list's items may stand as far left as its key.
        let first = self.lines.iter().skip(at + 1).find(|line| is_content(line));
        let first = first.filter(|line| indent_of(line) >= indent && line.trim_start().starts_with("- "));
        let indent = first.map_or(indent + 2, |line| indent_of(line));
        for (number, url) in missing.iter().enumerate() {
            self.lines.insert(at + 1 + number, format!("{}- {}", " ".repeat(indent), quote(url)));
        }
    }

    /// How a registry is trusted.
    pub(super) fn trust(&mut self, registry: &str, tls: Tls) {
        let (key, value, shown) = match tls {
            Tls::Authority(file) => ("ca_file", Value::String(file.clone()), quote(&file)),
            Tls::Unverified => ("insecure_skip_verify", Value::Bool(true), "true".to_owned()),
        };
        let configs = below(&mut self.meant, "configs");
        let there = below(below(configs, registry), "tls");
        if key == "ca_file" && there.get("insecure_skip_verify") == Some(&Value::Bool(true)) {
            self.notes.push(format!(
                "{}: the certificate of {registry} is not checked there (`insecure_skip_verify`), though the site says HTTPS",
                self.path.display()
            ));
        }
        if there.get(key) == Some(&value) {
            return;
        }
        if let Some(other) = there.insert(key.into(), value)
            && other.is_string()
        {
            self.notes.push(format!("{}: `ca_file` of {registry} was {other}", self.path.display()));
        }
        if let Some(at) = self.descend(&["configs", registry, "tls", key]) {
            let (start, end) = value_of(&self.lines[at]);
            let space = if start == end { " " } else { "" };
            let start = if start == end { end } else { start };
            self.lines[at].replace_range(start..end, &format!("{space}{shown}"));
        }
    }

    /// The line of a key, made with all above it where it is not there. `None` where lines cannot tell.
    fn descend(&mut self, keys: &[&str]) -> Option<usize> {
        let mut parent: Option<usize> = None;
        let mut indent = None;
        for key in keys {
            let start = parent.map_or(0, |at| at + 1);
            if let Some(parent) = parent {
                self.open(parent);
            }
            let end = indent.map_or(self.lines.len(), |indent| self.end_of(start, indent));
            let theirs =
                self.lines[start..end].iter().find(|line| is_content(line)).map(|line| indent_of(line));
            let here = theirs.or(indent.map(|indent| indent + 2)).unwrap_or(0);
            let is_it = |line: &str| {
                is_content(line) && indent_of(line) == here && key_of(line).as_deref() == Some(key)
            };
            let at = (start..end).find(|at| is_it(&self.lines[*at])).unwrap_or_else(|| {
                let last = (start..end).rfind(|at| is_content(&self.lines[*at])).map_or(start, |at| at + 1);
                let last = if theirs.is_none() && parent.is_none() { end } else { last };
                self.lines.insert(last, format!("{}{}:", " ".repeat(here), quoted_key(key)));
                last
            });
            parent = Some(at);
            indent = Some(here);
        }
        parent
    }

    /// Where what is indented deeper than `indent` ends.
    fn end_of(&self, start: usize, indent: usize) -> usize {
        let ends = |at: &usize| is_content(&self.lines[*at]) && indent_of(&self.lines[*at]) <= indent;
        (start..self.lines.len()).find(ends).unwrap_or(self.lines.len())
    }

    /// Makes room below a line that gets children: nothing (`{}`, `null`, `~`) goes, a `{…}` moves to lines of its own.
    fn open(&mut self, at: usize) {
        let (start, end) = value_of(&self.lines[at]);
        let value = &self.lines[at][start..end];
        let there = match value {
            "" => return,
            "{}" | "null" | "~" => String::new(),
            _ if value.starts_with('{') && value.ends_with('}') => {
                let Ok(value) = serde_saphyr::from_str::<Value>(value) else { return };
                let Ok(lines) = serde_saphyr::to_string(&value) else { return };
                lines
            }
            _ => return,
        };
        let indent = " ".repeat(indent_of(&self.lines[at]) + 2);
        let kept = self.lines[at][..start].trim_end().len();
        self.lines[at].replace_range(kept..end, "");
        for (number, line) in there.lines().enumerate() {
            self.lines.insert(at + 1 + number, format!("{indent}{line}"));
        }
    }

    /// The bytes, if they say what is meant.
    pub(super) fn finish(self) -> Result<(Vec<u8>, Vec<String>), Failed> {
        let mut after = self.lines.join("\n");
        if !after.is_empty() && (self.text.plain.is_empty() || self.text.plain.ends_with('\n')) {
            after.push('\n');
        }
        let says = parse(&after).ok().flatten().unwrap_or_default();
        if !says_same(&says, &Value::Object(self.meant.clone())) {
            return Err(self.by_hand());
        }
        Ok((self.text.saying(&after), self.notes))
    }

    fn by_hand(&self) -> Failed {
        let message = format!(
            "{} is written in a form in which Ferry cannot change a part alone (`{{…}}` around all of it or over several lines, anchors)",
            self.path.display()
        );
        Failed::because(Class::Input, message)
            .hint("write `mirrors` and `configs` with one entry a line, indented by spaces, and try again")
    }
}

fn parse(text: &str) -> Result<Option<Value>, serde_saphyr::Error> {
    if text.lines().all(|line| !is_content(line)) {
        return Ok(Some(Value::Object(Map::new())));
    }
    serde_saphyr::from_str::<Option<Value>>(text).map(|value| {
        Some(value.filter(|value| !value.is_null()).unwrap_or_else(|| Value::Object(Map::new())))
    })
}

fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(1)
}

/// The mapping at a key, made where there is none.
fn below<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made a mapping just now")
}

/// Whether two documents say the same, where an empty mapping says as little as none.
fn says_same(one: &Value, other: &Value) -> bool {
    let is_nothing = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    match (one, other) {
        (Value::Object(one_map), Value::Object(other_map)) => {
            let keys = one_map.keys().chain(other_map.keys());
            let null = Value::Null;
            keys.into_iter()
                .all(|key| says_same(one_map.get(key).unwrap_or(&null), other_map.get(key).unwrap_or(&null)))
        }
        _ => one == other || (is_nothing(one) && is_nothing(other)),
    }
}

/// `https://registry.example` and `https://registry.example/v2` are one endpoint.
fn is_same(there: &Value, url: &str) -> bool {
    let plain = |url: &str| {
        let url = url.trim_end_matches('/');
        url.strip_suffix("/v2").unwrap_or(url).to_ascii_lowercase()
    };
    there.as_str().is_some_and(|there| plain(there) == plain(url))
}

fn is_content(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with('#') && !is_document_start(line)
}

fn is_document_start(line: &str) -> bool {
    line.trim_end() == "---"
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// A line's key, without quotes.
fn key_of(line: &str) -> Option<String> {
    let line = line.trim_start();
    let quote = line.chars().next().filter(|c| *c == '"' || *c == '\'');
    match quote {
        Some(quote) => {
            let (key, rest) = line[1..].split_once(quote)?;
            rest.trim_start().starts_with(':').then(|| key.to_owned())
        }
        None => Some(line[..key_end(line)?].trim_end().to_owned()),
    }
}

/// Where the `:` behind a key stands: one with a space or nothing behind it.
fn key_end(line: &str) -> Option<usize> {
    line.match_indices(':')
        .map(|(at, _)| at)
        .find(|at| matches!(line.as_bytes().get(at + 1), None | Some(b' ')))
}

/// Where a line's value stands, without the comment behind it.
fn value_of(line: &str) -> (usize, usize) {
    let indent = indent_of(line);
    let quote = line[indent..].chars().next().filter(|c| *c == '"' || *c == '\'');
    let key = match quote {
        Some(quote) => line[indent + 1..].find(quote).map_or(indent, |at| indent + at + 2),
        None => indent,
    };
    let Some(colon) = key_end(&line[key..]).map(|at| key + at) else { return (line.len(), line.len()) };
    let rest = &line[colon + 1..];
    let start = colon + 1 + (rest.len() - rest.trim_start().len());
    let comment = comment_start(rest).map_or(line.len(), |at| colon + 1 + at);
    let end = line[..comment].trim_end().len().max(colon + 1);
    if start >= end { (end, end) } else { (start, end) }
}

/// Where a comment begins: at a `#` behind a space, but not between quotes.
fn comment_start(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match quote {
            Some(end) => quote = Some(end).filter(|end| c != *end || before == '\\'),
            // In the middle of a word it is an apostrophe.
            None if matches!(c, '"' | '\'') && matches!(before, ' ' | '{' | '[' | ',' | ':') => {
                quote = Some(c);
            }
            None if c == '#' && before == ' ' => return Some(at),
            None => {}
        }
        before = c;
    }
    None
}

fn quoted_key(key: &str) -> String {
    let is_plain = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if is_plain { key.to_owned() } else { quote(key) }
}

/// URLs, hosts and paths have nothing in them that needs more.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
