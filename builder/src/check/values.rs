//! Values of a chart and its subcharts, put together as helm does it.

use serde_json::{Map, Value};

use super::chart::{Chart, Dependency, lenient};

/// Lays `over` on `base`: maps are merged, everything else is replaced, `null` takes a key away.
pub(super) fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Parses values; an empty file is an empty map.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let value: Value = if text.trim().is_empty() { Value::Null } else { lenient(text)? };
    match value {
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(_) => Ok(value),
        _ => Err("it is no map".to_owned()),
    }
}

/// What a path of keys with dots between them leads to.
pub(super) fn get<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |value, key| value.get(key))
}

/// A scalar as a template would write it.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The values of a subchart: its own, below those that its parent has for it, and the parent's `global`.
pub(super) fn of_subchart(own: Value, parent: &Value, key: &str) -> Value {
    let mut values = own;
    if let Some(given) = parent.get(key).filter(|given| given.is_object()) {
        merge(&mut values, given);
    }
    if let (Some(global), Value::Object(map)) = (parent.get("global"), &mut values) {
        merge(map.entry("global").or_insert(Value::Null), global);
    }
    values
}

/// A subchart as it takes part: under its name or an alias, switched on or off.
pub(super) struct Part {
    /// The key of its values, and its name among rendered templates.
    pub(super) key: String,
    pub(super) is_on: bool,
}

/// The parts that a subchart plays: one, or one for each alias that it is listed under.
pub(super) fn parts(parent: &Chart, values: &Value, subchart: &Chart) -> Vec<Part> {
    let name = &subchart.metadata.name;
    let listed = parent.metadata.dependencies.iter().filter(|dependency| dependency.name == *name);
    let part = |dependency: &Dependency| Part {
        key: dependency.alias.clone().unwrap_or_else(|| name.clone()),
        is_on: is_on(dependency, values),
    };
    let parts: Vec<Part> = listed.map(part).collect();
    if parts.is_empty() { vec![Part { key: name.clone(), is_on: true }] } else { parts }
}

/// The first path of `condition` that leads to a yes or no decides; else any of the tags; else it is on.
pub(super) fn is_on(dependency: &Dependency, values: &Value) -> bool {
    let conditions = dependency.condition.as_deref().unwrap_or_default().split(',').map(str::trim);
    let mut decided = conditions.filter_map(|path| get(values, path)?.as_bool());
    if let Some(decision) = decided.next() {
        return decision;
    }
    let tags: Vec<bool> =
        dependency.tags.iter().filter_map(|tag| values.get("tags")?.get(tag)?.as_bool()).collect();
    tags.is_empty() || tags.contains(&true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn later_values_lie_on_top() {
        let mut values = parse("image: {registry: docker.io, tag: 1}\nlist: [1, 2]\ngone: 1\n").unwrap();
        merge(
            &mut values,
            &json!({"image": {"registry": "hub"}, "list": [3], "gone": null, "new": {"a": 1}}),
        );
        assert_eq!(values, json!({"image": {"registry": "hub", "tag": 1}, "list": [3], "new": {"a": 1}}));
        assert_eq!(parse("# nothing\n").unwrap(), json!({}));
        assert!(parse("- a\n").is_err());
    }

    #[test]
    fn a_subchart_gets_its_part_and_what_is_global() {
        let parent =
            json!({"redis": {"image": {"tag": "7"}}, "global": {"imageRegistry": "hub"}, "other": 1});
        let own =
            json!({"image": {"repository": "redis", "tag": "6"}, "global": {"imageRegistry": "", "a": 1}});
        assert_eq!(
            of_subchart(own, &parent, "redis"),
            json!({"image": {"repository": "redis", "tag": "7"}, "global": {"imageRegistry": "hub", "a": 1}})
        );
    }

    #[test]
    fn conditions_go_before_tags() {
        let values = json!({"redis": {"enabled": false}, "tags": {"cache": true, "off": false}});
        let dependency = |condition: &str, tags: &[&str]| Dependency {
            condition: Some(condition.to_owned()).filter(|text| !text.is_empty()),
            tags: tags.iter().map(ToString::to_string).collect(),
            ..Dependency::default()
        };
        for (condition, tags, expect) in [
            ("", &[][..], true),
            ("redis.enabled", &["cache"][..], false),
            ("x.y, redis.enabled", &[], false),
            ("x.y", &["off"], false),
            ("", &["off", "cache"], true),
            ("", &["unknown"], true),
        ] {
            assert_eq!(is_on(&dependency(condition, tags), &values), expect, "{condition} {tags:?}");
        }
    }
}
