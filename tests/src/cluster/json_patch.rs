//! JSON patches (RFC 6902), as far as clients use them: `add`, `replace`, `remove` and `test`.

use serde_json::Value;

use super::store::Refusal;

/// `live` with the operations done to it, all or none.
pub(super) fn apply(live: &Value, operations: &Value) -> Result<Value, Refusal> {
    let operations = operations.as_array().ok_or_else(|| refuse("a JSON patch is a list"))?;
    let mut object = live.clone();
    for operation in operations {
        let path = operation["path"].as_str().ok_or_else(|| refuse("an operation has no path"))?;
        one(&mut object, operation, path)?;
    }
    Ok(object)
}

fn one(object: &mut Value, operation: &Value, path: &str) -> Result<(), Refusal> {
    let missing = || refuse(format!("there is no {path}"));
    let value = || operation.get("value").cloned().ok_or_else(|| refuse("an operation has no value"));
    match operation["op"].as_str().unwrap_or_default() {
        "test" if object.pointer(path) == operation.get("value") => Ok(()),
        "test" => Err(refuse(format!("testing value {path} failed"))),
        "replace" => {
            *object.pointer_mut(path).ok_or_else(missing)? = value()?;
            Ok(())
        }
        "add" | "remove" => {
            let (parent, key) = path.rsplit_once('/').ok_or_else(missing)?;
            let key = key.replace("~1", "/").replace("~0", "~");
            let parent = object.pointer_mut(parent).ok_or_else(missing)?;
            if operation["op"] == "add" { add(parent, &key, value()?) } else { remove(parent, &key) }
                .ok_or_else(missing)
        }
        other => Err(refuse(format!("{other} is not there"))),
    }
}

fn add(parent: &mut Value, key: &str, value: Value) -> Option<()> {
    match parent {
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index = key.parse().ok().filter(|index| *index <= items.len())?;
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(parent: &mut Value, key: &str) -> Option<()> {
    match parent {
        Value::Object(fields) => fields.remove(key).map(drop),
        Value::Array(items) => {
            let index = key.parse().ok().filter(|index| *index < items.len())?;
            items.remove(index);
            Some(())
        }
        _ => None,
    }
}

fn refuse(problem: impl Into<String>) -> Refusal {
    Refusal::new(
        422,
        "Invalid",
        format!("the server rejected our request due to an error in our request: {}", problem.into()),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_are_done_all_or_none() {
        let live = json!({"a": [1, 2], "b": {"c/d": "x"}});
        let done = apply(
            &live,
            &json!([{"op": "test", "path": "/b/c~1d", "value": "x"}, {"op": "replace", "path": "/a/1", "value": 3},
            {"op": "add", "path": "/a/-", "value": 4}, {"op": "add", "path": "/b/e", "value": 5}, {"op": "remove", "path": "/b/c~1d"}]),
        );
        assert_eq!(done.unwrap(), json!({"a": [1, 3, 4], "b": {"e": 5}}));
        for bad in [
            json!([{"op": "test", "path": "/b/c~1d", "value": "y"}]),
            json!([{"op": "replace", "path": "/a/2", "value": 3}]),
            json!([{"op": "remove", "path": "/none"}]),
            json!([{"op": "move", "path": "/a"}]),
        ] {
            assert_eq!(apply(&live, &bad).unwrap_err().code, 422, "{bad}");
        }
    }
}
