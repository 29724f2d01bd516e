//! Definitions of apps: in the old form and the one of Marathon 1.5, as written and as Marathon shows them.

use serde_json::{Map, Value, json};

/// What Marathon shows of an app and takes from nobody.
const SHOWN: [&str; 11] = [
    "version",
    "versionInfo",
    "tasks",
    "tasksStaged",
    "tasksRunning",
    "tasksHealthy",
    "tasksUnhealthy",
    "deployments",
    "lastTaskFailure",
    "taskStats",
    "readinessCheckResults",
];

/// As people read it.
pub(super) fn text(definition: &Value) -> String {
    serde_json::to_string_pretty(definition).expect("JSON can be written as JSON") + "\n"
}

/// Of `live`, what `wanted` says anything about.
pub(super) fn project(wanted: &Value, live: &Value) -> Value {
    part(&normal(wanted), &normal(live))
}

fn part(wanted: &Value, live: &Value) -> Value {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            let known =
                wanted.iter().filter_map(|(key, value)| Some((key.clone(), part(value, live.get(key)?))));
            Value::Object(known.collect())
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            Value::Array(wanted.iter().zip(live).map(|(wanted, live)| part(wanted, live)).collect())
        }
        // 256 and 256.0 are the same number.
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => wanted.clone(),
        _ => live.clone(),
    }
}

/// In the form of Marathon 1.5, which moves ports and network out of `docker`.
pub(super) fn normal(definition: &Value) -> Value {
    let mut definition = definition.clone();
    let docker = definition.pointer_mut("/container/docker").and_then(Value::as_object_mut);
    let (network, ports) =
        docker.map_or((None, None), |docker| (docker.remove("network"), docker.remove("portMappings")));
    if let (Some(ports), Some(container)) = (ports, definition["container"].as_object_mut()) {
        container.entry("portMappings").or_insert(ports);
    }
    let mode = match network.as_ref().and_then(Value::as_str) {
        Some("BRIDGE") => Some("container/bridge"),
        Some("HOST") => Some("host"),
        _ => None,
    };
    if let (Some(mode), Some(definition)) = (mode, definition.as_object_mut()) {
        definition.entry("networks").or_insert_with(|| json!([{"mode": mode}]));
    }
    definition
}

/// Of what Marathon shows, what it takes again.
pub(super) fn writable(live: &Value) -> Value {
    let Value::Object(live) = live else { return live.clone() };
    let has = |key: &str| live.get(key).is_some_and(|value| !value.is_null());
    let is_doubled = |key: &str| match key {
        // Shown in both the old form and the new, and refused when both come back.
        "uris" => has("fetch"),
        "ports" => has("portDefinitions") || has("container"),
        "portDefinitions" => has("container"),
        _ => false,
    };
    let kept = live
        .iter()
        .filter(|(key, value)| !value.is_null() && !SHOWN.contains(&key.as_str()) && !is_doubled(key));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_marathon_adds_or_moves_does_not_count() {
        let wanted = json!({
            "id": "/registry", "mem": 256, "env": {"A": "b"},
            "container": {"type": "DOCKER", "docker": {"image": "r:2", "network": "BRIDGE", "portMappings": [{"containerPort": 5000}]}},
        });
        let live = json!({
            "id": "/registry", "mem": 256.0, "env": {"A": "b"}, "backoffFactor": 1.15, "tasksRunning": 1, "args": null,
            "networks": [{"mode": "container/bridge"}],
            "container": {"type": "DOCKER", "docker": {"image": "r:2", "parameters": []},
                          "portMappings": [{"containerPort": 5000, "hostPort": 0, "name": "default"}]},
        });
        assert_eq!(normal(&project(&wanted, &live)), normal(&wanted));
        for (pointer, value) in
            [("/container/docker/image", json!("r:3")), ("/env/A", json!("c")), ("/mem", json!(512))]
        {
            let mut other = live.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert_ne!(normal(&project(&wanted, &other)), normal(&wanted), "{pointer}");
        }
        let mut fewer = live.clone();
        fewer["container"]["portMappings"] = json!([]);
        assert_ne!(normal(&project(&wanted, &fewer)), normal(&wanted));
    }

    #[test]
    fn what_is_put_back_is_what_marathon_takes() {
        let live = json!({
            "id": "/a", "cmd": "x", "args": null, "fetch": [{"uri": "u"}], "uris": ["u"], "ports": [1], "portDefinitions": [{"port": 1}],
            "version": "2017", "versionInfo": {}, "tasksRunning": 1, "deployments": [],
        });
        let expected =
            json!({"id": "/a", "cmd": "x", "fetch": [{"uri": "u"}], "portDefinitions": [{"port": 1}]});
        assert_eq!(writable(&live), expected);
        assert_eq!(writable(&expected), expected);
    }
}
