//! What runs beside the API server of a real cluster: it starts pods, binds volumes, removes what is to go.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon_set;
use super::job;
use super::store::{Key, Store};

/// What becomes of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// They run and are ready.
    #[default]
    Ready,
    /// A container waits, for a reason and with a message: `ImagePullBackOff`.
    Waits(String, String),
    /// A container ends with 1 and this message, and is started again and again.
    Crashes(String),
    /// No node takes them.
    NoNode(String),
}

pub(super) fn tick(store: &mut Store) {
    let keys: Vec<Key> = store.objects.keys().cloned().collect();
    for key in keys {
        let Some(object) = store.objects.get(&key).cloned() else { continue };
        let is_going = object["metadata"].get("deletionTimestamp").is_some();
        match key.0 {
            "Namespace" if is_going => {
                store.objects.retain(|(_, namespace, _), _| *namespace != key.2);
                store.objects.remove(&key);
            }
            "PersistentVolumeClaim" if is_going && is_claimed(store, &key) => {}
            "PersistentVolumeClaim" if is_going => {
                store.objects.remove(&key);
            }
            "PersistentVolumeClaim" => bind(store, key, object),
            "Deployment" => roll_out(store, &key, object),
            "Job" => job::run(store, &key, object),
            "DaemonSet" => daemon_set::spread(store, &key, object),
            "Pod" if is_orphan(store, &object) => {
                store.objects.remove(&key);
            }
            _ => {}
        }
    }
}

fn is_orphan(store: &Store, pod: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| {
        owners
            .iter()
            .all(|owner| !store.objects.values().any(|object| object["metadata"]["uid"] == owner["uid"]))
    })
}

fn is_claimed(store: &Store, claim: &Key) -> bool {
    store.objects.iter().any(|((kind, namespace, _), pod)| {
        let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
        let claims =
            |volume: &Value| volume.pointer("/persistentVolumeClaim/claimName") == Some(&json!(claim.2));
        *kind == "Pod" && *namespace == claim.1 && volumes.is_some_and(|volumes| volumes.iter().any(claims))
    })
}

fn bind(store: &mut Store, key: Key, mut claim: Value) {
    claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = json!("yes");
    claim["spec"]["volumeName"] = json!(format!("pvc-{}", key.2));
    claim["status"] = json!({"phase": "Bound"});
    store.put_by_controller(key, claim);
}

fn roll_out(store: &mut Store, key: &Key, mut deployment: Value) {
    let template = deployment["spec"]["template"].clone();
    let hash = hash_of(&template);
    let mut labels = template["metadata"]["labels"].clone();
    labels["pod-template-hash"] = json!(hash);
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let names: Vec<String> = (0..wanted).map(|number| format!("{}-{hash}-{number}", key.2)).collect();
    for name in &names {
        let pod_key = ("Pod", key.1.clone(), name.clone());
        let pod = store.objects.get(&pod_key).cloned();
        let pod = match pod {
            None => new_pod(&deployment, name, &labels, &template["spec"]),
            Some(pod) => next(pod, &store.fate),
        };
        store.put_by_controller(pod_key, pod);
    }
    let uid = deployment["metadata"]["uid"].clone();
    let is_ours = |pod: &Value| pod.pointer("/metadata/ownerReferences/0/uid") == Some(&uid);
    let ready = names
        .iter()
        .filter(|name| store.objects.get(&("Pod", key.1.clone(), (*name).clone())).is_some_and(is_ready))
        .count() as u64;
    if ready == wanted {
        // Old pods end once the new ones are there.
        store.objects.retain(|(kind, _, name), pod| *kind != "Pod" || !is_ours(pod) || names.contains(name));
    }
    let all = store.objects.values().filter(|object| object["kind"] == "Pod" && is_ours(object)).count();
    let generation = deployment["metadata"]["generation"].as_u64().unwrap_or(1);
    let seen = (uid.as_str().unwrap_or_default().to_owned(), generation);
    let begun = *store.seen.entry(seen).or_insert_with(Instant::now);
    let limit = Duration::from_secs(deployment["spec"]["progressDeadlineSeconds"].as_u64().unwrap_or(600));
    let reason = match ready == wanted {
        true => "NewReplicaSetAvailable",
        false if begun.elapsed() > limit => "ProgressDeadlineExceeded",
        false => "ReplicaSetUpdated",
    };
    deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] =
        json!(generation.to_string());
    deployment["status"] = json!({"observedGeneration": generation, "replicas": all, "updatedReplicas": wanted,
        "availableReplicas": ready, "conditions": [{"type": "Progressing", "reason": reason}]});
    store.put_by_controller(key.clone(), deployment);
}

/// What pods of this template have in their names.
pub(super) fn hash_of(template: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    format!("{:08x}", hasher.finish() as u32)
}

pub(super) fn is_ready(pod: &Value) -> bool {
    pod.pointer("/status/conditions/0/status") == Some(&json!("True"))
}

/// A pod of a Deployment or a DaemonSet, before anything has become of it.
pub(super) fn new_pod(owner: &Value, name: &str, labels: &Value, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": owner["metadata"]["namespace"], "labels": labels,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner["kind"],
                "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": true}]},
        "spec": spec,
        "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}})
}

pub(super) fn next(mut pod: Value, fate: &Fate) -> Value {
    let container = pod["spec"]["containers"][0]["name"].clone();
    let not_ready = json!({"type": "Ready", "status": "False"});
    pod["status"] = match fate {
        Fate::Ready => json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": container, "state": {"running": {}}, "ready": true}]}),
        Fate::Waits(reason, message) => json!({"phase": "Pending", "conditions": [not_ready],
            "containerStatuses": [{"name": container, "state": {"waiting": {"reason": reason, "message": message}}}]}),
        Fate::Crashes(message) => json!({"phase": "Running", "conditions": [not_ready],
            "containerStatuses": [{"name": container, "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}}]}),
        Fate::NoNode(message) => json!({"phase": "Pending", "conditions": [not_ready,
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}),
    };
    pod
}
