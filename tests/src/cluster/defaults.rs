//! What the API server adds to objects, and what it does not take.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::store::Refusal;

fn default(object: &mut Value, pointer: &[&str], value: Value) {
    let mut node = object;
    for part in pointer {
        node = &mut node[*part];
    }
    if node.is_null() {
        *node = value;
    }
}

/// Adds what was left out. `number` is a fresh one, for addresses.
pub(super) fn set_defaults(object: &mut Value, number: u64) {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            default(object, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
            default(object, &["spec", "finalizers"], json!(["kubernetes"]));
            default(object, &["status", "phase"], json!("Active"));
        }
        "Secret" => default(object, &["type"], json!("Opaque")),
        "Service" => {
            default(object, &["spec", "type"], json!("ClusterIP"));
            default(
                object,
                &["spec", "clusterIP"],
                json!(format!("10.96.{}.{}", number / 250 % 250, number % 250 + 1)),
            );
            default(object, &["spec", "sessionAffinity"], json!("None"));
            for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
                let own = port["port"].clone();
                default(port, &["protocol"], json!("TCP"));
                default(port, &["targetPort"], own);
            }
        }
        "PersistentVolumeClaim" => {
            default(object, &["spec", "volumeMode"], json!("Filesystem"));
            default(object, &["metadata", "finalizers"], json!(["kubernetes.io/pvc-protection"]));
            spell_amount(&mut object["spec"]["resources"]["requests"]["storage"]);
        }
        kind @ ("Deployment" | "DaemonSet") => {
            if kind == "Deployment" {
                default(object, &["spec", "replicas"], json!(1));
                default(object, &["spec", "progressDeadlineSeconds"], json!(600));
                default(object, &["spec", "strategy", "type"], json!("RollingUpdate"));
            } else {
                default(object, &["spec", "updateStrategy", "type"], json!("RollingUpdate"));
            }
            default(object, &["spec", "revisionHistoryLimit"], json!(10));
            let pod = &mut object["spec"]["template"]["spec"];
            default(pod, &["restartPolicy"], json!("Always"));
            default(pod, &["dnsPolicy"], json!("ClusterFirst"));
            default(pod, &["terminationGracePeriodSeconds"], json!(30));
            for container in pod["containers"].as_array_mut().into_iter().flatten() {
                default(container, &["imagePullPolicy"], json!("IfNotPresent"));
                default(container, &["terminationMessagePath"], json!("/dev/termination-log"));
                for port in container["ports"].as_array_mut().into_iter().flatten() {
                    default(port, &["protocol"], json!("TCP"));
                }
            }
        }
        _ => {}
    }
}

/// Whole `Mi` are spelled as `Gi`.
fn spell_amount(amount: &mut Value) {
    let mebibytes = amount.as_str().and_then(|text| text.strip_suffix("Mi")?.parse::<u64>().ok());
    if let Some(mebibytes) = mebibytes.filter(|mebibytes| mebibytes % 1024 == 0) {
        *amount = json!(format!("{}Gi", mebibytes / 1024));
    }
}

/// Refuses what is not valid, or may not change.
pub(super) fn check(kind: &Kind, object: &Value, live: Option<&Value>) -> Result<(), Refusal> {
    let mut causes: Vec<(&str, String)> = Vec::new();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.is_empty() || !name.chars().all(is_name) {
        causes.push((
            "metadata.name",
            format!("Invalid value: \"{name}\": a lowercase RFC 1123 subdomain is needed"),
        ));
    }
    if kind.name == "Secret" {
        let data = object["data"].as_object().into_iter().flatten();
        for (key, value) in data {
            if value.as_str().is_none_or(|text| STANDARD.decode(text).is_err()) {
                causes.push(("data", format!("Invalid value: {key}: {value} is not base64")));
            }
        }
    }
    if matches!(kind.name, "Deployment" | "DaemonSet") {
        let selector = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
        let labels = &object["spec"]["template"]["metadata"]["labels"];
        let fits = selector.is_some_and(|selector| {
            !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
        });
        if !fits {
            causes.push((
                "spec.template.metadata.labels",
                "Invalid value: `selector` does not match template `labels`".into(),
            ));
        }
        let containers = object.pointer("/spec/template/spec/containers").and_then(Value::as_array);
        if containers.is_none_or(Vec::is_empty) {
            causes.push(("spec.template.spec.containers", "Required value".into()));
        }
    }
    let fixed: &[&'static str] = match kind.name {
        "Deployment" | "DaemonSet" => &["selector"],
        "Service" => &["clusterIP"],
        "PersistentVolumeClaim" => &["accessModes", "storageClassName", "volumeMode"],
        _ => &[],
    };
    if let Some(live) = live {
        for field in fixed {
            if object["spec"].get(*field) != live["spec"].get(*field) {
                causes.push(("spec", format!("Invalid value: field {field} is immutable")));
            }
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let message = format!("{} \"{name}\" is invalid: {}: {}", kind.name, causes[0].0, causes[0].1);
    let causes = causes.into_iter().map(|(field, message)| (field.to_owned(), message)).collect();
    Err(Refusal { causes, ..Refusal::new(422, "Invalid", message) })
}
