//! Why a node has no pod that commands could be run in, and what to do about it.

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::plan::NodePods;
use ferry_model::report::Failed;
use serde_json::Value;

use super::set::Set;
use crate::cluster::Kind;
use crate::resources::troubles_of;

/// There are no pods, and none are made for a look.
pub(super) fn absent(pods: &NodePods) -> Failed {
    let (namespace, name, image) = (&pods.namespace, &pods.name, &pods.image);
    let afterwards = if pods.keep { "" } else { " and removes it when it is done" };
    let message = format!(
        "nodes are reached through pods, and there are none now: `apply` makes DaemonSet {namespace}/{name}, privileged, with image {image}{afterwards}"
    );
    Failed::because(Class::NotFound, message)
        .hint("`nodes: {daemonSet: {keep: true}}` leaves the pods there for later looks")
}

/// The pods that are there are not those that shall be.
pub(super) fn other(pods: &NodePods, image: &str) -> Failed {
    let (namespace, name, wanted) = (&pods.namespace, &pods.name, &pods.image);
    let message = format!(
        "nodes are reached through pods, and those of DaemonSet {namespace}/{name} have image {image}: `apply` gives them {wanted}"
    );
    Failed::because(Class::NotFound, message)
}

/// The cluster does not take the DaemonSet.
pub(super) fn not_taken(failed: Failed) -> Failed {
    if failed.message.contains("disallowed by cluster policy") {
        return failed.hint("the cluster's API server takes no privileged pods at all: start it with `--allow-privileged=true`, as kubeadm does, or reach nodes through ssh");
    }
    failed
}

/// Why this node has none that is ready.
pub(super) async fn explain(set: &Set, node: &Host, own: &[Value]) -> Failed {
    let mut said = troubles_of(own).join("; ");
    if own.is_empty() {
        said = refused(set).await.unwrap_or_else(|| "the cluster has made none for it".to_owned());
    }
    told(&set.pods, node, &said, &set.cluster.kubectl())
}

fn told(pods: &NodePods, node: &Host, said: &str, kubectl: &str) -> Failed {
    let (image, namespace) = (&pods.image, &pods.namespace);
    let failed = Failed::because(Class::Local, format!("node {node} has no pod that runs: {said}"));
    let has = |text: &str| said.contains(text);
    let failed = if has("ImagePull") || has("ErrImageNeverPull") {
        failed
            .hint(format!(
                "the node has no image {image} and cannot pull it, perhaps because it does not know or trust the registry yet: say one that it has, `nodes: {{daemonSet: {{image: NAME, onNodes: true}}}}`; `{kubectl} get node {node} -o jsonpath='{{.status.images[*].names}}'` lists them"
            ))
            .hint(format!(
                "or bring it there by hand: `ferry-installer export BUNDLE IMAGE -o image.tar --name {image}`, and on the node `ctr -n k8s.io images import image.tar` or `docker load -i image.tar`"
            ))
    } else if has("PodSecurity") || has("PodSecurityPolicy") || has("privileged") {
        failed.hint(format!(
            "the cluster takes no privileged pods in namespace {namespace}: leave the namespace to Ferry, or label it `pod-security.kubernetes.io/enforce=privileged`; with pod security policies, let its service account `default` use one for privileged pods"
        ))
    } else if has("executable file not found") || has("no such file or directory") {
        failed.hint(no_shell(image))
    } else {
        failed
    };
    failed.hint(format!("`{kubectl} -n {namespace} describe daemonset {}` and `… pods` say more", pods.name))
}

/// For an image without what is needed of it.
pub(super) fn no_shell(image: &str) -> String {
    format!(
        "image {image} needs `sh` and `chroot`, as busybox has them: `nodes: {{daemonSet: {{image: …}}}}`"
    )
}

/// Why the cluster makes no pods, as the last event of the DaemonSet has it.
async fn refused(set: &Set) -> Option<String> {
    let kind = Kind::known("v1", "Event").expect("events are a known kind");
    let events = set.cluster.list(&kind, &set.pods.namespace, "").await.ok()?;
    let is_it = |event: &&Value| {
        event["involvedObject"]["kind"] == "DaemonSet"
            && event["involvedObject"]["name"] == set.pods.name.as_str()
            && event["reason"] == "FailedCreate"
    };
    let last = events.iter().filter(is_it).max_by_key(|event| event["lastTimestamp"].as_str())?;
    Some(last["message"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::pods;
    use super::*;

    #[test]
    fn each_trouble_has_its_cure() {
        let node = "n1".parse().unwrap();
        for (said, cure) in [
            ("pod ferry-nodes-1, container node: ImagePullBackOff (x509: …)", "onNodes: true"),
            (
                "pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces",
                "enforce=privileged",
            ),
            ("pods \"x\" is forbidden: PodSecurityPolicy: unable to admit pod", "pod security policies"),
            (
                "pod x, container node: RunContainerError (exec: \"sh\": executable file not found in $PATH)",
                "needs `sh` and `chroot`",
            ),
            ("the cluster has made none for it", "describe daemonset ferry-nodes"),
        ] {
            let failed = told(&pods(), &node, said, "kubectl");
            assert!(failed.message.starts_with("node n1 has no pod that runs: "), "{failed}");
            assert!(failed.hints.join(" ").contains(cure), "{said}: {:?}", failed.hints);
        }
        let failed =
            not_taken(Failed::because(Class::Input, "privileged: Forbidden: disallowed by cluster policy"));
        assert!(failed.hints[0].contains("--allow-privileged"), "{failed:?}");
        let failed = absent(&pods());
        assert!(failed.message.contains("makes DaemonSet ferry-system/ferry-nodes, privileged"), "{failed}");
        assert!(failed.message.ends_with("removes it when it is done"), "{failed}");
    }
}
