//! Ansible inventories: which hosts, in which groups, and how ssh reaches them. Of their variables only those that say the latter
//! are read; passwords among them never are.

mod ini;
mod range;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ferry_model::failure::Class;
use ferry_model::report::Failed;

use super::Member;

/// The variables that count, each with its older name.
const VARIABLES: [(&str, &str); 5] = [
    ("ansible_host", "ansible_ssh_host"),
    ("ansible_port", "ansible_ssh_port"),
    ("ansible_user", "ansible_ssh_user"),
    ("ansible_ssh_private_key_file", "ansible_private_key_file"),
    ("ansible_ssh_common_args", "ansible_ssh_common_args"),
];

type Variables = BTreeMap<&'static str, String>;

/// An inventory: its groups by name. All hosts are in `all`.
#[derive(Debug, Default)]
struct Inventory {
    groups: BTreeMap<String, Group>,
    /// Hosts in the order in which they are named first, with their own variables.
    hosts: Vec<(String, Variables)>,
}

#[derive(Debug, Default)]
struct Group {
    hosts: Vec<String>,
    children: Vec<String>,
    variables: Variables,
}

impl Inventory {
    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// Adds hosts (of a pattern such as `n[1:3]`) to a group, with what is said of them there.
    fn add(&mut self, group: &str, pattern: &str, variables: &Variables) -> Result<(), String> {
        let (pattern, port) = with_port(pattern);
        for name in range::expand(pattern)? {
            let known = match self.hosts.iter().position(|(known, _)| *known == name) {
                Some(known) => known,
                None => {
                    self.hosts.push((name.clone(), Variables::new()));
                    self.hosts.len() - 1
                }
            };
            let of_host = &mut self.hosts[known].1;
            of_host.extend(port.map(|port| ("ansible_port", port.to_owned())));
            of_host.extend(variables.iter().map(|(name, value)| (*name, value.clone())));
            self.group(group).hosts.push(name);
        }
        Ok(())
    }

    /// The groups below this one, itself among them, with how deep each lies.
    fn below(&self, name: &str) -> BTreeMap<String, usize> {
        let mut depths = BTreeMap::from([(name.to_owned(), 0)]);
        let mut open = vec![(name.to_owned(), 0)];
        while let Some((name, depth)) = open.pop() {
            for child in self.groups.get(&name).map(|group| group.children.as_slice()).unwrap_or_default() {
                // A circle goes no deeper than there are groups.
                let deeper = depths.get(child).is_none_or(|known| *known < depth + 1);
                if deeper && depth < self.groups.len() {
                    depths.insert(child.clone(), depth + 1);
                    open.push((child.clone(), depth + 1));
                }
            }
        }
        depths
    }

    /// The hosts of this group and of those below it.
    fn hosts_below(&self, name: &str) -> BTreeSet<&str> {
        let groups = self.below(name).into_keys().filter_map(|group| self.groups.get(&group));
        groups.flat_map(|group| &group.hosts).map(String::as_str).collect()
    }

    /// The groups besides `all`, of which the deepest counts most and is the last, with their hosts.
    fn ranked(&self) -> Vec<(&Group, BTreeSet<&str>)> {
        let mut names: Vec<(usize, String)> =
            self.group_names().into_iter().map(|(name, depth)| (depth, name)).collect();
        names.sort();
        let names = names.iter().map(|(_, name)| name.as_str()).filter(|name| *name != "all");
        names.filter_map(|name| Some((self.groups.get(name)?, self.hosts_below(name)))).collect()
    }

    /// What is said of a host: of all, by its groups in their order, and by itself.
    fn variables(&self, ranked: &[(&Group, BTreeSet<&str>)], host: &str, own: &Variables) -> Variables {
        let of_groups = ranked.iter().filter(|(_, hosts)| hosts.contains(host)).map(|(group, _)| *group);
        let mut variables = Variables::new();
        for group in self.groups.get("all").into_iter().chain(of_groups) {
            variables.extend(group.variables.clone());
        }
        variables.extend(own.clone());
        variables
    }

    /// Every group with the depth below those that lie in no other.
    fn group_names(&self) -> BTreeMap<String, usize> {
        let children: BTreeSet<&String> = self.groups.values().flat_map(|group| &group.children).collect();
        let mut depths: BTreeMap<String, usize> = BTreeMap::new();
        for top in self.groups.keys().filter(|name| !children.contains(name)) {
            for (name, depth) in self.below(top) {
                let known = depths.entry(name).or_insert(depth);
                *known = depth.max(*known);
            }
        }
        depths
    }

    fn members(&self, groups: &[String], folder: &Path) -> Result<Vec<Member>, String> {
        let mut meant = BTreeSet::new();
        for name in groups {
            if !self.groups.contains_key(name) {
                let known: Vec<&str> = self.groups.keys().map(String::as_str).collect();
                return Err(format!("it has no group `{name}`; it has: {}", known.join(", ")));
            }
            meant.extend(self.hosts_below(name));
        }
        let is_meant = |name: &str| {
            groups.is_empty() || groups.iter().any(|group| group == "all") || meant.contains(name)
        };
        let ranked = self.ranked();
        let hosts = self.hosts.iter().filter(|(name, _)| is_meant(name));
        hosts.map(|(name, own)| member(name, &self.variables(&ranked, name, own), folder)).collect()
    }
}

/// The hosts of `groups` (all where there are none), in the order of the file at `path`, whose text this is.
pub(super) fn read(path: &Path, text: &str, groups: &[String]) -> Result<Vec<Member>, Failed> {
    let wrong = |problem: String| {
        Failed::because(Class::Input, format!("the inventory {}: {problem}", path.display()))
            .hint("see `ansible-inventory --graph`; what it needs Ansible for can be listed under `nodes: {hosts: …}`")
    };
    let is_yaml =
        path.extension().is_some_and(|ending| ["yml", "yaml", "json"].iter().any(|known| ending == *known));
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let inventory = if is_yaml { yaml::parse(text) } else { ini::parse(text) }.map_err(wrong)?;
    let members = inventory.members(groups, path.parent().unwrap_or(Path::new("/"))).map_err(wrong)?;
    if members.is_empty() {
        return Err(wrong("it has no hosts that are meant".to_owned()));
    }
    Ok(members)
}

/// The variable's own name, if it counts.
fn known_variable(name: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|(new, old)| name == *new || name == *old).map(|(new, _)| *new)
}

/// `host:2222`, unless that is an IPv6 address or a range.
fn with_port(pattern: &str) -> (&str, Option<&str>) {
    match pattern.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            (host, Some(port))
        }
        _ => (pattern, None),
    }
}

fn member(name: &str, variables: &Variables, folder: &Path) -> Result<Member, String> {
    if let Some((variable, _)) = variables.iter().find(|(_, value)| value.contains("{{")) {
        return Err(format!("{variable} of {name} is a template, which only Ansible understands"));
    }
    let get = |variable: &str| variables.get(variable).filter(|value| !value.is_empty());
    let host = |text: &str| text.trim_matches(['[', ']']).parse().map_err(|error| format!("{error}"));
    let name_of = host(name)?;
    let address = host(get("ansible_host").map_or(name, String::as_str))?;
    let port = get("ansible_port")
        .map(|port| port.parse().map_err(|_| format!("ansible_port of {name} is no port")))
        .transpose()?;
    let arguments = match get("ansible_ssh_common_args") {
        Some(text) => {
            words(text).ok_or_else(|| format!("ansible_ssh_common_args of {name} ends inside a quote"))?
        }
        None => Vec::new(),
    };
    // As Ansible has it, `~` is whoever runs this.
    let home = |path: &String| match path.strip_prefix("~/") {
        Some(rest) => Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(rest),
        None => folder.join(path),
    };
    Ok(Member {
        user: get("ansible_user").cloned(),
        port,
        identity: get("ansible_ssh_private_key_file").map(home),
        arguments,
        ..Member::new(name_of, address)
    })
}

/// The words of a line, as a shell takes it apart; `None` where a quote has no end.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' | '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        end if end == letter => break,
                        '\\' if letter == '"' => word.push(letters.next()?),
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests;
