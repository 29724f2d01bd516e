//! What keeps pods from being ready, in their own words.

use ferry_model::report::Failed;
use serde_json::Value;

use crate::cluster::fields::{holds, list, text};
use crate::cluster::{Cluster, Kind};

/// Reasons that no waiting cures, if they last.
const LASTING: [&str; 8] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// The pods of a Deployment.
pub(super) async fn of(cluster: &Cluster, deployment: &Value) -> Result<Vec<Value>, Failed> {
    let labels = deployment.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    let namespace = deployment.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let kind = Kind::known("v1", "Pod").expect("pods are a known kind");
    cluster.list(&kind, namespace, &labels.join(",")).await
}

/// What each pod that is not ready says, one line each.
pub(crate) fn troubles(pods: &[Value]) -> Vec<String> {
    pods.iter().filter(|pod| !holds(pod, "Ready")).map(trouble).collect()
}

/// The troubles that will not pass by themselves.
pub(crate) fn lasting_trouble(pods: &[Value]) -> Vec<String> {
    let reasons = pods.iter().filter(|pod| !holds(pod, "Ready")).flat_map(|pod| {
        containers(pod).into_iter().filter_map(|container| {
            let reason = container.pointer("/state/waiting/reason")?.as_str()?;
            // One and the same trouble shows these two by turns.
            let reason = if reason == "ErrImagePull" { "ImagePullBackOff" } else { reason };
            LASTING.contains(&reason).then(|| format!("{} {reason}", text(pod, "/metadata/name")))
        })
    });
    reasons.collect()
}

fn trouble(pod: &Value) -> String {
    let name = text(pod, "/metadata/name");
    for container in containers(pod) {
        let called = text(container, "/name");
        let (reason, message) =
            (text(container, "/state/waiting/reason"), text(container, "/state/waiting/message"));
        if reason.is_empty() || matches!(reason, "PodInitializing" | "ContainerCreating") {
            continue;
        }
        let mut trouble = format!("pod {name}, container {called}: {reason}");
        if !message.is_empty() {
            trouble.push_str(&format!(" ({message})"));
        }
        if let Some(last) = container.pointer("/lastState/terminated") {
            let (code, why) = (&last["exitCode"], text(last, "/reason"));
            trouble.push_str(&format!("; it last ended with {code} {why}"));
            let said = text(last, "/message").trim();
            if !said.is_empty() {
                trouble.push_str(&format!(": {said}"));
            }
        }
        return trouble;
    }
    let scheduled = condition(pod, "PodScheduled").filter(|condition| condition["status"] == "False");
    if let Some(condition) = scheduled {
        let (reason, message) = (text(condition, "/reason"), text(condition, "/message"));
        return format!("pod {name} has no node: {reason} ({message})");
    }
    let unready = condition(pod, "Ready").map(|condition| text(condition, "/message")).unwrap_or_default();
    let phase = text(pod, "/status/phase");
    if unready.is_empty() {
        format!("pod {name}: {phase}")
    } else {
        format!("pod {name}: {phase} ({unready})")
    }
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

fn containers(pod: &Value) -> Vec<&Value> {
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    statuses.into_iter().flat_map(|pointer| list(pod, pointer)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "what `json!` gives is handed on as it is")]
    fn pod(status: Value) -> Value {
        json!({"metadata": {"name": "registry-1"}, "status": status})
    }

    #[test]
    fn pods_say_what_is_wrong() {
        let waiting = |reason: &str, message: &str, last: Value| {
            pod(json!({"phase": "Pending", "containerStatuses": [
                {"name": "registry", "state": {"waiting": {"reason": reason, "message": message}}, "lastState": last}]}))
        };
        let last = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "no config\n"}});
        for (pod, expected) in [
            (
                waiting("ImagePullBackOff", "Back-off pulling image \"r:2\"", json!({})),
                "pod registry-1, container registry: ImagePullBackOff (Back-off pulling image \"r:2\")",
            ),
            (
                waiting("CrashLoopBackOff", "back-off 10s", last),
                "pod registry-1, container registry: CrashLoopBackOff (back-off 10s); it last ended with 1 Error: no config",
            ),
            (
                pod(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                    "reason": "Unschedulable", "message": "0/3 nodes are available"}]})),
                "pod registry-1 has no node: Unschedulable (0/3 nodes are available)",
            ),
            (waiting("ContainerCreating", "", json!({})), "pod registry-1: Pending"),
        ] {
            assert_eq!(troubles(&[pod]), [expected]);
        }
        let ready = pod(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
        assert!(troubles(&[ready]).is_empty());
    }

    #[test]
    fn what_passes_is_no_lasting_trouble() {
        let waiting = |reason: &str| {
            vec![pod(json!({"containerStatuses": [{"name": "a", "state": {"waiting": {"reason": reason}}}]}))]
        };
        assert_eq!(lasting_trouble(&waiting("ErrImagePull")), lasting_trouble(&waiting("ImagePullBackOff")));
        assert_eq!(lasting_trouble(&waiting("CrashLoopBackOff")), ["registry-1 CrashLoopBackOff"]);
        assert!(lasting_trouble(&waiting("ContainerCreating")).is_empty());
    }
}
