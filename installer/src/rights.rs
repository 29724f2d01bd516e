//! What must be allowed in the cluster for what is to be done there: asked for before anything is changed, and printed as a role.
//!
//! Asked for is what every run of a step needs. What only some need (to restart what does not reload, to undo) is in the role too.

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::plan::{Action, Desired, KeyPatch, NodePods, Object, Plan, Reach, TakenUpBy};
use ferry_model::report::Failed;
use ferry_model::site::WorkloadKind;
use serde_json::{Value, json};

use crate::cluster::{Kind, Place, Right, SYSTEM, Target};
use crate::context::Context;
use crate::workloads::api_kind;

/// What something needs to be allowed.
#[derive(Debug, Default)]
struct Needs {
    always: Vec<Right>,
    sometimes: Vec<Right>,
}

impl Needs {
    fn always(&mut self, verbs: &[&'static str], kind: &Kind, namespace: &str, name: &str) {
        self.always.extend(verbs.iter().map(|verb| Right::new(verb, kind, namespace).named(name)));
    }

    fn sometimes(&mut self, verbs: &[&'static str], kind: &Kind, namespace: &str) {
        self.sometimes.extend(verbs.iter().map(|verb| Right::new(verb, kind, namespace)));
    }

    /// To find the workloads that read something, and to start anew what turns up: it is not known before what that is, and
    /// too late to ask once what they read has changed.
    fn restarts(&mut self, namespace: &str) {
        for kind in WorkloadKind::ALL {
            self.always(&["get", "list", "patch"], &api_kind(kind), namespace, "");
        }
    }

    /// To find the workloads that read something, and to start them anew where they do not look again by themselves.
    fn readers(&mut self, namespace: &str) {
        for kind in WorkloadKind::ALL {
            self.always(&["list"], &api_kind(kind), namespace, "");
            self.sometimes(&["get", "patch"], &api_kind(kind), namespace);
        }
    }
}

/// Fails with all that is not allowed and that the steps of `plan` need.
pub(crate) async fn require(context: &Context, plan: &Plan) -> Result<(), Failed> {
    let steps = plan.steps.iter().filter(|step| step.action != Action::Check);
    for (target, rights) in asked(steps.map(|step| &step.resource.desired)) {
        let cluster = context.clusters.get(&target).await?;
        let required = cluster.require(&rights, "by this plan").await;
        required.map_err(|failed| {
            failed.hint(
                "`ferry-installer cluster-role BUNDLE --site site.yaml` prints a role that allows it all",
            )
        })?;
    }
    Ok(())
}

/// All that is not allowed and that these need.
pub(crate) async fn missing<'a>(
    context: &Context,
    all: impl IntoIterator<Item = &'a Desired>,
) -> Result<Vec<String>, Failed> {
    let mut missing = Vec::new();
    for (target, rights) in asked(all) {
        let cluster = context.clusters.get(&target).await?;
        missing.extend(cluster.missing(&rights).await?.iter().map(Right::to_string));
    }
    Ok(missing)
}

/// What is asked for, by cluster.
fn asked<'a>(all: impl IntoIterator<Item = &'a Desired>) -> Vec<(Target, Vec<Right>)> {
    let mut asked: Vec<(Target, BTreeSet<Right>)> = Vec::new();
    for (target, needs) in all.into_iter().filter_map(needs) {
        match asked.iter_mut().find(|(known, _)| *known == target) {
            Some((_, rights)) => rights.extend(needs.always),
            None => asked.push((target, needs.always.into_iter().collect())),
        }
    }
    asked.into_iter().map(|(target, rights)| (target, rights.into_iter().collect())).collect()
}

/// A ClusterRole that allows all that is needed for these, and to take it back.
pub(crate) fn cluster_role<'a>(all: impl IntoIterator<Item = &'a Desired>) -> Value {
    let mut rules: BTreeMap<(String, String), BTreeSet<&'static str>> = BTreeMap::new();
    for needs in all.into_iter().filter_map(needs).map(|(_, needs)| needs) {
        for right in needs.always.into_iter().chain(needs.sometimes) {
            rules.entry((right.group, right.resource)).or_default().insert(right.verb);
        }
    }
    let rule = |((group, resource), verbs): ((String, String), BTreeSet<&str>)| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    let rules: Vec<Value> = rules.into_iter().map(rule).collect();
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "ferry-installer"}, "rules": rules})
}

fn core(kind: &str) -> Kind {
    Kind::known("v1", kind).expect("it is a known kind")
}

fn job() -> Kind {
    Kind::known("batch/v1", "Job").expect("it is a known kind")
}

/// What a resource needs, and in which cluster; nothing for what lies in none.
fn needs(desired: &Desired) -> Option<(Target, Needs)> {
    let mut needs = Needs::default();
    let target = match desired {
        Desired::Object(object) => {
            of_object(&mut needs, object)?;
            Target { kubeconfig: object.kubeconfig.clone(), context: object.context.clone() }
        }
        Desired::ClusterNames(names) => {
            let (namespace, name) =
                names.config_map.as_ref().map_or((SYSTEM, ""), |map| (map.namespace(), map.name()));
            needs.always(&["get", "update"], &core("ConfigMap"), namespace, name);
            needs.readers(namespace);
            needs.sometimes(&["list"], &core("Endpoints"), namespace);
            needs.sometimes(&["list"], &core("Service"), SYSTEM);
            needs.sometimes(&["list"], &core("Pod"), namespace);
            Target::from(&names.cluster)
        }
        Desired::KeyPatch(patch) => {
            of_patch(&mut needs, patch);
            Target::from(&patch.cluster)
        }
        Desired::PullSecret(secret) => {
            let (namespace, name) = (secret.name.namespace(), secret.name.name());
            needs.always(&["get", "update"], &core("Secret"), namespace, name);
            needs.always(&["create"], &core("Secret"), namespace, "");
            needs.sometimes(&["delete"], &core("Secret"), namespace);
            needs.sometimes(&["get"], &core("Namespace"), "");
            for account in &secret.service_accounts {
                needs.always(&["get", "update"], &core("ServiceAccount"), namespace, account);
            }
            Target::from(&secret.cluster)
        }
        Desired::SlugApp(slug) => {
            let namespace = &slug.platform.namespace;
            needs.always(&["get", "update"], &core("ConfigMap"), namespace, "");
            needs.restarts(namespace);
            needs.always(&["get", "list", "create"], &job(), namespace, "");
            needs.sometimes(&["delete"], &job(), namespace);
            needs.always(&["list", "delete"], &core("Pod"), namespace, "");
            Target { kubeconfig: slug.platform.kubeconfig.clone(), context: slug.platform.context.clone() }
        }
        Desired::NodeSetup(setup) => {
            let Reach::Pod { pods, .. } = &setup.reach else { return None };
            of_pods(&mut needs, pods);
            Target { kubeconfig: pods.kubeconfig.clone(), context: pods.context.clone() }
        }
        _ => return None,
    };
    Some((target, needs))
}

/// Only of kinds that are known: others are asked for when they are needed.
fn of_object(needs: &mut Needs, object: &Object) -> Option<()> {
    let place = Place::of(&object.manifest);
    let kind = Kind::known(&place.api_version, &place.kind)?;
    needs.always(&["get", "patch"], &kind, &place.namespace, &place.name);
    needs.always(&["create"], &kind, &place.namespace, "");
    needs.sometimes(&["update", "delete"], &kind, &place.namespace);
    Some(())
}

/// To make the pods through which nodes are reached, to run commands in them, and to remove them.
fn of_pods(needs: &mut Needs, pods: &NodePods) {
    let namespace = &pods.namespace;
    needs.always(&["get", "create", "patch", "delete"], &core("Namespace"), "", "");
    let daemon_set = api_kind(WorkloadKind::DaemonSet);
    needs.always(&["get", "create", "patch", "delete"], &daemon_set, namespace, "");
    needs.always(&["list"], &core("Pod"), namespace, "");
    let commands = Kind { plural: "pods/exec".into(), ..core("Pod") };
    // Over a websocket it is a GET to clusters before 1.30, and a creation to later ones.
    needs.always(&["get", "create"], &commands, namespace, "");
    needs.sometimes(&["list"], &core("Event"), namespace);
    needs.sometimes(&["update"], &daemon_set, namespace);
}

fn of_patch(needs: &mut Needs, patch: &KeyPatch) {
    let (namespace, name) = (patch.name.namespace(), patch.name.name());
    needs.always(&["get", "update"], &core(&patch.object.to_string()), namespace, name);
    match &patch.restart {
        TakenUpBy::Nobody => return,
        TakenUpBy::Readers => needs.restarts(namespace),
        TakenUpBy::These { workloads } => {
            for workload in workloads {
                needs.always(&["get", "patch"], &api_kind(workload.kind), namespace, &workload.name);
            }
        }
    }
    needs.always(&["list", "delete"], &core("Pod"), namespace, "");
    needs.sometimes(&["list"], &job(), namespace);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ferry_model::plan::ClusterTarget;
    use ferry_model::site::PatchedKind;

    use super::*;

    fn patch(restart: TakenUpBy) -> Desired {
        Desired::KeyPatch(KeyPatch {
            cluster: ClusterTarget::default(),
            object: PatchedKind::ConfigMap,
            name: "a/b".parse().unwrap(),
            set: BTreeMap::new(),
            restart,
        })
    }

    fn shown(desired: &Desired) -> Vec<String> {
        needs(desired).unwrap().1.always.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_patch_needs_no_more_than_it_does() {
        assert_eq!(shown(&patch(TakenUpBy::Nobody)), ["get configmaps/b -n a", "update configmaps/b -n a"]);
        let web = TakenUpBy::These { workloads: vec!["deployment/web".parse().unwrap()] };
        assert!(shown(&patch(web)).contains(&"patch deployments.apps/web -n a".to_owned()));
        let all = shown(&patch(TakenUpBy::Readers));
        for right in ["list statefulsets.apps -n a", "patch daemonsets.apps -n a", "delete pods -n a"] {
            assert!(all.contains(&right.to_owned()), "no {right} in {all:?}");
        }
    }

    #[test]
    fn a_role_has_each_resource_once() {
        let role = cluster_role([&patch(TakenUpBy::Readers), &patch(TakenUpBy::Nobody)]);
        let rules = role["rules"].as_array().unwrap();
        let maps: Vec<&Value> =
            rules.iter().filter(|rule| rule["resources"] == json!(["configmaps"])).collect();
        assert_eq!(
            maps,
            [&json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "update"]})]
        );
        let pods = rules.iter().find(|rule| rule["resources"] == json!(["pods"])).unwrap();
        assert_eq!(pods["verbs"], json!(["delete", "list"]));
    }
}
