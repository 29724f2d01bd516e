//! `hosts.toml`: where containerd looks for the images of one registry, and how it trusts those places.
//! It is read at each pull.

use std::path::Path;

use ferry_model::failure::Class;
use ferry_model::report::Failed;
use toml_edit::{Array, Item, Table, Value};

use crate::node::text::{self, Toml};

/// What a place may be asked for where it stands in for a registry, and where it is the registry itself.
pub(super) const MIRROR: [&str; 2] = ["pull", "resolve"];
pub(super) const ITSELF: [&str; 3] = ["pull", "resolve", "push"];

/// A place that is asked for images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its URL, with the path of its API where that is not `/v2`.
    pub(super) url: String,
    /// What it may be asked for.
    pub(super) capabilities: Vec<&'static str>,
    /// How it is trusted.
    pub(super) trust: Trust,
}

/// How a place is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trust {
    /// Files of authorities, beside `hosts.toml` or absolute.
    pub(super) authorities: Vec<String>,
    /// Files of client certificates and of their keys.
    pub(super) clients: Vec<(String, String)>,
    /// Whether its certificate is not checked.
    pub(super) is_unverified: bool,
}

/// What a `hosts.toml` shall say.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// Where the registry itself answers.
    pub(super) server: String,
    /// How that is trusted.
    pub(super) trust: Trust,
    /// Places that are asked before, in order.
    pub(super) places: Vec<Place>,
}

/// What a file becomes.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// What an operator should know.
    pub(super) notes: Vec<String>,
}

impl Hosts {
    /// The file with what is missing added. What it says already stays, in its order.
    pub(super) fn merge(&self, path: &Path, before: Option<&[u8]>) -> Result<Merged, Failed> {
        let mut toml = Toml::read(path, before.unwrap_or_default())?;
        let mut merged = Merged::default();
        let root = toml.document.as_table_mut();
        // A file that names no server means the registry itself. One that names it by another scheme would be wrong.
        let says = root.get("server").and_then(Item::as_str);
        if before.is_none() || says.is_some_and(|says| is_other_scheme(says, &self.server)) {
            text::set(root, "server", self.server.as_str());
        }
        // The places that are asked before it have the same trust already where somebody else wrote the file.
        if before.is_none() {
            self.trust.apply(root);
        }
        let Some(hosts) = text::table_at(root, "host") else {
            let message = format!("{}: `host` is no table", path.display());
            return Err(Failed::because(Class::Input, message)
                .hint("write each host as a table of its own: `[host.\"https://registry.example\"]`"));
        };
        let mut new = Vec::new();
        let ours = |url: &str| self.places.iter().any(|place| is_same(url, &place.url));
        let first = hosts.iter().find(|(url, _)| !ours(url)).map(|(url, _)| url.to_owned());
        for place in &self.places {
            let known = hosts.iter().map(|(url, _)| url).position(|url| is_same(url, &place.url));
            match known {
                Some(at) => {
                    let key = hosts.iter().nth(at).map(|(key, _)| key.to_owned()).unwrap_or_default();
                    let theirs = hosts.iter().position(|(url, _)| Some(url) == first.as_deref());
                    if theirs.is_some_and(|theirs| theirs < at) {
                        merged.notes.push(format!(
                            "{}: {} stands behind {}, which is asked before it; that order is the node's own and stays",
                            path.display(), place.url, first.as_deref().unwrap_or_default(),
                        ));
                    }
                    if let Some(table) = text::table_at(hosts, &key) {
                        place.apply(table, &mut merged.notes, path);
                    }
                }
                None => {
                    let mut table = Table::new();
                    if let Some(prefix) = text::sibling_prefix(hosts).filter(|prefix| prefix != "\n") {
                        table.decor_mut().set_prefix(prefix);
                    }
                    place.apply(&mut table, &mut merged.notes, path);
                    hosts.insert(&place.url, Item::Table(table));
                    new.push(place.url.clone());
                }
            }
        }
        put_first(root, &new);
        merged.bytes = toml.bytes();
        Ok(merged)
    }
}

/// Tables that are new stand before those that were there: containerd asks hosts in the order of their lines.
fn put_first(root: &mut Table, new: &[String]) {
    let Some(hosts) = root.get("host").and_then(Item::as_table) else { return };
    let old = hosts.iter().filter(|(url, _)| !new.iter().any(|new| new == url));
    let Some(first) = old.filter_map(|(_, item)| item.as_table()?.position()).min() else { return };
    move_on(root, first, isize::try_from(new.len()).unwrap_or(0));
    let hosts = root.get_mut("host").and_then(Item::as_table_mut).into_iter();
    let tables = hosts.flat_map(Table::iter_mut).filter(|(url, _)| new.iter().any(|new| new == url.get()));
    for (position, (_, item)) in (first..).zip(tables) {
        if let Some(table) = item.as_table_mut() {
            table.set_position(Some(position));
        }
    }
}

/// Moves tables that stand at `from` or behind.
fn move_on(table: &mut Table, from: isize, by: isize) {
    let move_table = |table: &mut Table| {
        if let Some(position) = table.position().filter(|position| *position >= from) {
            table.set_position(Some(position + by));
        }
        move_on(table, from, by);
    };
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(table) => move_table(table),
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(move_table),
            Item::None | Item::Value(_) => {}
        }
    }
}

impl Place {
    fn apply(&self, table: &mut Table, notes: &mut Vec<String>, path: &Path) {
        // Without capabilities a host has all.
        let is_new = table.position().is_none() && table.is_empty();
        if is_new || table.contains_key("capabilities") {
            let mut has = text::texts(table.get("capabilities"));
            let missing = self.capabilities.iter().filter(|one| is_new || **one != "push");
            let missing: Vec<&str> =
                missing.filter(|one| !has.iter().any(|has| has.eq_ignore_ascii_case(one))).copied().collect();
            if !missing.is_empty() {
                has.extend(missing.into_iter().map(str::to_owned));
                text::set(table, "capabilities", text::array(has.iter().map(String::as_str)));
            }
        }
        if has_path(&self.url) {
            text::set(table, "override_path", true);
        }
        if !self.trust.is_unverified
            && self.url.starts_with("https:")
            && table.get("skip_verify").and_then(Item::as_bool) == Some(true)
        {
            notes.push(format!(
                "{}: the certificate of {} is not checked there (`skip_verify = true`), though the site says HTTPS",
                path.display(),
                self.url
            ));
        }
        self.trust.apply(table);
    }
}

impl Trust {
    /// Adds what is not there already.
    pub(super) fn add(&mut self, other: Self) {
        for file in other.authorities {
            if !self.authorities.contains(&file) {
                self.authorities.push(file);
            }
        }
        for pair in other.clients {
            if !self.clients.contains(&pair) {
                self.clients.push(pair);
            }
        }
        self.is_unverified |= other.is_unverified;
    }

    fn apply(&self, table: &mut Table) {
        if !self.authorities.is_empty() {
            let mut files = text::texts(table.get("ca"));
            let missing: Vec<String> =
                self.authorities.iter().filter(|file| !files.contains(file)).cloned().collect();
            if !missing.is_empty() {
                files.extend(missing);
                let value = match files.as_slice() {
                    [one] => Value::from(one.as_str()),
                    several => Value::from(text::array(several.iter().map(String::as_str))),
                };
                text::set(table, "ca", value);
            }
        }
        if !self.clients.is_empty() && !table.contains_key("client") {
            let pairs: Array = self
                .clients
                .iter()
                .map(|(certificate, key)| Value::from(text::array([certificate.as_str(), key.as_str()])))
                .collect();
            text::set(table, "client", pairs);
        }
        if self.is_unverified {
            text::set(table, "skip_verify", true);
        }
    }
}

/// Whether the URL has a path beside that of the API.
pub(super) fn has_path(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').is_some_and(|(_, path)| !matches!(path.trim_end_matches('/'), "" | "v2"))
}

/// Whether two URLs mean the same place.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |url: &str| {
        let url = url.trim_end_matches('/');
        let url = if has_path(url) { url } else { url.strip_suffix("/v2").unwrap_or(url) };
        let scheme = if url.starts_with("http") { "" } else { "https://" };
        format!("{scheme}{url}").to_ascii_lowercase()
    };
    plain(one) == plain(other)
}

fn is_other_scheme(one: &str, other: &str) -> bool {
    let other_scheme = match one.split_once("://") {
        Some(("http", rest)) => format!("https://{rest}"),
        Some((_, rest)) => format!("http://{rest}"),
        None => format!("http://{one}"),
    };
    !is_same(one, other) && is_same(&other_scheme, other)
}
