//! Inventories in INI: `[group]`, `[group:children]`, `[group:vars]`.

use super::{Inventory, Variables, known_variable, words};

enum Section {
    Hosts(String),
    Children(String),
    Variables(String),
}

pub(super) fn parse(text: &str) -> Result<Inventory, String> {
    let mut inventory = Inventory::default();
    inventory.group("all");
    let mut section = Section::Hosts("ungrouped".to_owned());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let taken = match heading(line) {
            Some(found) => found.map(|found| {
                let (Section::Hosts(group) | Section::Children(group) | Section::Variables(group)) = &found;
                inventory.group(group);
                section = found;
            }),
            None => take(&mut inventory, &section, line),
        };
        taken.map_err(|problem| format!("line {number}: {problem}"))?;
    }
    Ok(inventory)
}

/// `[group]`, with or without a comment behind it.
fn heading(line: &str) -> Option<Result<Section, String>> {
    let (name, behind) = line.strip_prefix('[')?.split_once(']')?;
    // `[fd00::5]` is a host.
    let behind = behind.trim();
    if !behind.is_empty() && !behind.starts_with(['#', ';']) || name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    Some(match name.rsplit_once(':') {
        None => Ok(Section::Hosts(name.to_owned())),
        Some((group, "children")) => Ok(Section::Children(group.to_owned())),
        Some((group, "vars")) => Ok(Section::Variables(group.to_owned())),
        Some((_, kind)) => Err(format!("`:{kind}` is no kind of section; there are `:children` and `:vars`")),
    })
}

fn take(inventory: &mut Inventory, section: &Section, line: &str) -> Result<(), String> {
    match section {
        Section::Children(group) => {
            let child = line.split(['#', ' ', '\t']).next().unwrap_or_default().to_owned();
            inventory.group(&child);
            inventory.group(group).children.push(child);
            Ok(())
        }
        Section::Variables(group) => {
            let (name, value) = line.split_once('=').ok_or("expected `name=value`")?;
            if let Some(name) = known_variable(name.trim()) {
                let value = value.trim();
                // One pair of quotes around all of it is no part of it.
                let bare =
                    ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
                inventory.group(group).variables.insert(name, bare.unwrap_or(value).to_owned());
            }
            Ok(())
        }
        Section::Hosts(group) => {
            let mut words = words(without_comment(line)).ok_or("a quote has no end")?.into_iter();
            let Some(pattern) = words.next() else { return Ok(()) };
            let mut variables = Variables::new();
            for word in words {
                // What stands there is not repeated: it may be a password.
                let (name, value) =
                    word.split_once('=').ok_or_else(|| format!("behind {pattern}: expected `name=value`"))?;
                variables.extend(known_variable(name).map(|name| (name, value.to_owned())));
            }
            inventory.add(group, &pattern, &variables)
        }
    }
}

/// Up to a `#` that begins a word outside of quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (place, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '#') if before.is_whitespace() => return &line[..place],
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
        before = letter;
    }
    line
}
