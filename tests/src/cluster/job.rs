//! Jobs. A pod of one ends well if a key of a ConfigMap, read when the pod starts, holds what the pod template says that it needs:
//! in the annotation `ferry-tests/needs`, as `CONFIGMAP KEY VALUE`. Jobs without it are left alone.

use serde_json::{Value, json};

use super::store::{Key, Store};

pub(super) fn run(store: &mut Store, key: &Key, mut job: Value) {
    let needs = job.pointer("/spec/template/metadata/annotations/ferry-tests~1needs").and_then(Value::as_str);
    let Some(needs) = needs.map(str::to_owned) else { return };
    let parts: Vec<&str> = needs.splitn(3, ' ').collect();
    let [map, wanted, value] = parts[..] else { return };
    if job.pointer("/status/conditions").is_some() {
        return;
    }
    let found = store.objects.get(&("ConfigMap", key.1.clone(), map.to_owned()));
    let is_good = found.is_some_and(|found| found["data"][wanted] == *value);
    let failed = job.pointer("/status/failed").and_then(Value::as_u64).unwrap_or(0);
    let limit = job["spec"]["backoffLimit"].as_u64().unwrap_or(6);
    let phase = if is_good { "Succeeded" } else { "Failed" };
    let name = format!("{}-{failed}", key.2);
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": key.1, "labels": {"job-name": key.2},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": key.2, "uid": job["metadata"]["uid"], "controller": true}]},
        "spec": job["spec"]["template"]["spec"], "status": {"phase": phase}});
    store.put_by_controller(("Pod", key.1.clone(), name), pod);
    job["status"] = match (is_good, failed + 1 > limit) {
        (true, _) => json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}),
        (false, true) => {
            json!({"failed": failed + 1, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]})
        }
        (false, false) => json!({"failed": failed + 1}),
    };
    store.put_by_controller(key.clone(), job);
}
