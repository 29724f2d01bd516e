//! Places in an object: `spec.template.spec.containers[web].env[IMAGE].value`, `…args[2]`.

use serde_json::Value;

/// Lists whose items have names.
const NAMED: [&str; 4] = ["containers", "initContainers", "ephemeralContainers", "env"];

/// The JSON pointer of a place in `object`, and the text that is there.
pub(super) fn find<'a>(object: &'a Value, path: &str) -> Option<(String, &'a str)> {
    let (mut value, mut pointer, mut rest) = (object, String::new(), path);
    while !rest.is_empty() {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let key = &rest[..end];
        value = value.get(key)?;
        pointer.push('/');
        pointer.push_str(key);
        rest = &rest[end..];
        if let Some(inside) = rest.strip_prefix('[') {
            let (item, behind) = inside.split_once(']')?;
            let index = index(value, key, item)?;
            value = value.get(index)?;
            pointer.push_str(&format!("/{index}"));
            rest = behind;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    Some((pointer, value.as_str()?))
}

fn index(list: &Value, key: &str, item: &str) -> Option<usize> {
    if NAMED.contains(&key) {
        // Of several with one name, the last one counts.
        list.as_array()?.iter().rposition(|value| value["name"] == item)
    } else {
        item.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_found_by_name_wherever_they_are_in_their_lists() {
        let object = json!({"spec": {"containers": [{"name": "0", "image": "a:1"},
            {"name": "web", "image": "b:1", "args": ["-v", "--image=c:1"],
             "env": [{"name": "IMAGE", "value": "old"}, {"name": "A.B[0]", "value": "d:1"}, {"name": "IMAGE", "value": "e:1"}]}]}});
        for (path, pointer, value) in [
            ("spec.containers[0].image", "/spec/containers/0/image", "a:1"),
            ("spec.containers[web].image", "/spec/containers/1/image", "b:1"),
            ("spec.containers[web].args[1]", "/spec/containers/1/args/1", "--image=c:1"),
            ("spec.containers[web].env[IMAGE].value", "/spec/containers/1/env/2/value", "e:1"),
        ] {
            assert_eq!(find(&object, path), Some((pointer.to_owned(), value)), "{path}");
        }
        for path in [
            "spec.containers[none].image",
            "spec.containers[web].args[2]",
            "spec.containers[web]",
            "",
            "spec.other.image",
        ] {
            assert_eq!(find(&object, path), None, "{path}");
        }
    }
}
