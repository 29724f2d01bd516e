//! Inventories in YAML: groups with `hosts`, `vars` and `children`.

use serde_json::{Map, Value};

use super::{Inventory, Variables, known_variable};

/// No inventory nests deeper.
const DEEPEST: usize = 50;

pub(super) fn parse(text: &str) -> Result<Inventory, String> {
    // The parser's own message may quote a password.
    let document: Value = serde_saphyr::from_str(text).map_err(|error| match error.location() {
        Some(place) => format!("line {}: it is not YAML that can be read", place.line()),
        None => "it is not YAML that can be read".to_owned(),
    })?;
    let mut inventory = Inventory::default();
    inventory.group("all");
    for (name, group) in mapping(&document, "the document")?.into_iter().flatten() {
        take(&mut inventory, name, group, 0)?;
    }
    Ok(inventory)
}

fn take(inventory: &mut Inventory, name: &str, group: &Value, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("group {name} lies too deep"));
    }
    inventory.group(name);
    for (key, value) in mapping(group, name)?.into_iter().flatten() {
        match key.as_str() {
            "hosts" => {
                for (host, said) in mapping(value, "hosts")?.into_iter().flatten() {
                    inventory.add(name, host, &variables(said, host)?)?;
                }
            }
            "vars" => {
                let variables = variables(value, name)?;
                inventory.group(name).variables.extend(variables);
            }
            "children" => {
                for (child, group) in mapping(value, "children")?.into_iter().flatten() {
                    inventory.group(name).children.push(child.clone());
                    take(inventory, child, group, depth + 1)?;
                }
            }
            other => {
                return Err(format!("group {name} has `{other}`; expected `hosts`, `vars` or `children`"));
            }
        }
    }
    Ok(())
}

/// A mapping, or nothing.
fn mapping<'a>(value: &'a Value, of: &str) -> Result<Option<&'a Map<String, Value>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Object(mapping) => Ok(Some(mapping)),
        _ => Err(format!("{of}: expected names with a colon behind each")),
    }
}

fn variables(value: &Value, of: &str) -> Result<Variables, String> {
    let mut variables = Variables::new();
    for (name, value) in mapping(value, of)?.into_iter().flatten() {
        let Some(name) = known_variable(name) else { continue };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(format!("{name} of {of} is no text")),
        };
        variables.insert(name, text);
    }
    Ok(variables)
}
