//! Whether a pod may run on a virtual node, by what it asks of nodes.

use ferry_model::site::VirtualNodes;
use serde_json::Value;

use super::PREFIX;

/// The label that each node has with its own name.
const NAME: &str = "kubernetes.io/hostname";

/// Whether pods of this spec and metadata may run on a virtual node: what asks for one, or tolerates its taint, and does not
/// ask for others. A pod that tolerates just everything does not count: it is of a daemon.
pub fn is_scheduled_there(virtual_nodes: &VirtualNodes, pod_spec: &Value, pod_metadata: &Value) -> bool {
    if let Some(name) = pod_spec["nodeName"].as_str().filter(|name| !name.is_empty()) {
        return virtual_nodes.names.iter().any(|known| known == name);
    }
    let pod = Pod { virtual_nodes, spec: pod_spec };
    !pod.asks_for_others() && (pod.asks_for_these() || pod.tolerates() || is_annotated(pod_metadata))
}

/// Somebody has thought of it already.
fn is_annotated(metadata: &Value) -> bool {
    let keys = metadata["annotations"].as_object().into_iter().flat_map(|annotations| annotations.keys());
    keys.into_iter().any(|key| key.starts_with(PREFIX))
}

struct Pod<'a> {
    virtual_nodes: &'a VirtualNodes,
    spec: &'a Value,
}

/// What a requirement means for virtual nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It is one for them.
    These,
    /// They do not meet it.
    Others,
    /// It says nothing of them.
    Nothing,
}

impl Pod<'_> {
    fn asks_for_these(&self) -> bool {
        let everywhere: Vec<&str> = self.labels().filter(is_these).map(|(label, _)| label).collect();
        let is_enough = |more: &[&str]| {
            let has = |label: &str| everywhere.contains(&label) || more.contains(&label);
            let labels = &self.virtual_nodes.selector;
            has(NAME) || !labels.is_empty() && labels.keys().all(|label| has(label))
        };
        let by_term = |term: &Value| {
            let term = self.term(term);
            let is_possible = term.iter().all(|(_, meaning)| *meaning != Meaning::Others);
            let labels: Vec<&str> = term.into_iter().filter(is_these).map(|(label, _)| label).collect();
            is_possible && is_enough(&labels)
        };
        is_enough(&[]) || self.terms().chain(self.preferences()).any(by_term)
    }

    fn asks_for_others(&self) -> bool {
        let is_others = |(_, meaning): (&str, Meaning)| meaning == Meaning::Others;
        // Of several terms, one is enough; of a term, all that it requires is needed.
        let mut terms = self.terms().map(|term| self.term(term).into_iter().any(is_others)).peekable();
        (terms.peek().is_some() && terms.all(|others| others)) || self.labels().any(is_others)
    }

    fn tolerates(&self) -> bool {
        let tolerations = list(&self.spec["tolerations"]);
        let keys = tolerations.iter().filter_map(|toleration| toleration["key"].as_str());
        keys.into_iter().any(|key| self.virtual_nodes.taints.iter().any(|taint| taint == key))
    }

    fn labels(&self) -> impl Iterator<Item = (&str, Meaning)> {
        let labels = self.spec["nodeSelector"].as_object().into_iter().flatten();
        labels.map(|(label, value)| {
            (label.as_str(), self.requirement(label, "In", &[value.as_str().unwrap_or_default()]))
        })
    }

    fn terms(&self) -> impl Iterator<Item = &Value> {
        let affinity = &self.spec["affinity"]["nodeAffinity"];
        list(&affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]).iter()
    }

    fn preferences(&self) -> impl Iterator<Item = &Value> {
        let affinity = &self.spec["affinity"]["nodeAffinity"];
        list(&affinity["preferredDuringSchedulingIgnoredDuringExecution"])
            .iter()
            .map(|term| &term["preference"])
    }

    /// What each requirement of a term means.
    fn term<'a>(&self, term: &'a Value) -> Vec<(&'a str, Meaning)> {
        let expressions = list(&term["matchExpressions"]).iter();
        let expressions = expressions.map(|each| (each["key"].as_str().unwrap_or_default(), each));
        let fields = list(&term["matchFields"]).iter().filter(|field| field["key"] == "metadata.name");
        expressions
            .chain(fields.map(|each| (NAME, each)))
            .map(|(label, each)| {
                let values: Vec<&str> = list(&each["values"]).iter().filter_map(Value::as_str).collect();
                (label, self.requirement(label, each["operator"].as_str().unwrap_or_default(), &values))
            })
            .collect()
    }

    /// A label that only tells others apart, an operating system's or a zone's, says nothing of these.
    fn requirement(&self, label: &str, operator: &str, values: &[&str]) -> Meaning {
        let known: Vec<&str> = match self.virtual_nodes.selector.get(label) {
            Some(value) => vec![value],
            None if label == NAME => self.virtual_nodes.names.iter().map(String::as_str).collect(),
            None => Vec::new(),
        };
        if known.is_empty() {
            return Meaning::Nothing;
        }
        let is_among = known.iter().any(|known| values.contains(known));
        match operator {
            "In" if is_among => Meaning::These,
            "In" | "DoesNotExist" => Meaning::Others,
            "NotIn" if known.iter().all(|known| values.contains(known)) => Meaning::Others,
            _ => Meaning::Nothing,
        }
    }
}

fn is_these((_, meaning): &(&str, Meaning)) -> bool {
    *meaning == Meaning::These
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
