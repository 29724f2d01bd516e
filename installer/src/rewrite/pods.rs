//! Pods that run on virtual nodes (KCI) say in annotations which registries and names there are: these are put into the texts of
//! workloads that are scheduled there, and of no others.
//!
//! Only block style is edited, and what comes out is read again: it must say what was there before and the annotations.

use std::collections::BTreeMap;
use std::ops::Range;

use ferry_model::site::VirtualNodes;
use ferry_references::documents;
use serde_json::Value;

use super::pieces::line_ends;
use super::remark::{Kind, Said};
use crate::virtual_nodes::is_scheduled_there;

/// How deep pods are looked for.
const MAX_DEPTH: usize = 12;

/// What pods on virtual nodes are told.
#[derive(Debug)]
pub(super) struct Pods {
    pub(super) nodes: VirtualNodes,
    pub(super) annotations: BTreeMap<String, String>,
}

/// A pod's template that was or should be annotated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Annotated {
    /// The line that the pod's document begins with, from 0.
    pub(super) line: usize,
    /// Kind and name.
    pub(super) object: String,
    /// What was said before and is said now; or why it was not.
    pub(super) result: Result<(String, String), Said>,
}

impl Pods {
    /// The text with annotations, where any are missing.
    pub(super) fn annotate(&self, text: &str) -> (Option<String>, Vec<Annotated>) {
        let (mut all, mut out, mut at) = (Vec::new(), String::new(), 0);
        if self.annotations.is_empty() || !self.may_hold(text) {
            return (None, all);
        }
        for range in documents(text) {
            let document = &text[range.clone()];
            if !self.may_hold(document) {
                continue;
            }
            let Ok(value) = serde_saphyr::from_str::<Value>(document) else { continue };
            let mut paths = Vec::new();
            find_pods(&value, &mut Vec::new(), &mut paths);
            let mut new = document.to_owned();
            for path in paths {
                let Some(result) = self.pod(&mut new, &path) else { continue };
                let line = line_ends(&text.as_bytes()[..range.start]);
                all.push(Annotated { line, object: title(&value), result });
            }
            if new != document {
                out.push_str(&text[at..range.start]);
                out.push_str(&new);
                at = range.end;
            }
        }
        if at == 0 {
            return (None, all);
        }
        out.push_str(&text[at..]);
        (Some(out), all)
    }

    /// Whether a text says anything of virtual nodes; most do not, and need not be read as YAML.
    fn may_hold(&self, text: &str) -> bool {
        let words = self.nodes.selector.keys().chain(&self.nodes.taints).chain(&self.nodes.names);
        text.contains("/kci-") || words.into_iter().any(|word| text.contains(word.as_str()))
    }

    /// Annotates the pod at a path of a document; nothing where it runs elsewhere or has all that it needs.
    fn pod(&self, document: &mut String, path: &[String]) -> Option<Result<(String, String), Said>> {
        let value: Value = serde_saphyr::from_str(document).ok()?;
        let pod = path.iter().try_fold(&value, |value, key| value.get(key))?;
        if !is_scheduled_there(&self.nodes, &pod["spec"], &pod["metadata"]) {
            return None;
        }
        let has = |name: &str| pod["metadata"]["annotations"][name].as_str();
        let wanted: BTreeMap<&str, &str> = self
            .annotations
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, value)| has(name) != Some(value))
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let before: Vec<String> =
            wanted.keys().filter_map(|name| Some(format!("{name}: {}", has(name)?))).collect();
        let after: Vec<String> = wanted.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let edited = insert(document, path, &wanted).filter(|edited| says(edited, &value, path, &wanted));
        let Some(edited) = edited else {
            let said =
                format!("its pods run on virtual nodes, and need the annotations {}", after.join("; "));
            return Some(Err(Said::problem(Kind::VirtualNodes, said)));
        };
        *document = edited;
        let before = if before.is_empty() { "no annotation".to_owned() } else { before.join("; ") };
        Some(Ok((before, after.join("; "))))
    }
}

/// Where pods and templates of pods are, by the keys that lead there.
fn find_pods(value: &Value, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    if value["spec"]["containers"].is_array() {
        paths.push(path.clone());
        return;
    }
    if path.len() > MAX_DEPTH {
        return;
    }
    let items: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in items {
        path.push(key);
        find_pods(value, path, paths);
        path.pop();
    }
}

fn title(value: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    [text(&value["kind"]), text(&value["metadata"]["name"])].join(" ").trim().to_owned()
}

/// Whether a text says what the old one did, and the annotations.
fn says(text: &str, before: &Value, path: &[String], wanted: &BTreeMap<&str, &str>) -> bool {
    let mut expected = before.clone();
    let Some(pod) = path.iter().try_fold(&mut expected, |value, key| value.get_mut(key)) else {
        return false;
    };
    if pod["metadata"]["annotations"].is_null() {
        pod["metadata"]["annotations"] = Value::Object(serde_json::Map::new());
    }
    for (name, value) in wanted {
        pod["metadata"]["annotations"][*name] = Value::String((*value).to_owned());
    }
    serde_saphyr::from_str::<Value>(text).is_ok_and(|now| now == expected)
}

/// The lines of a map in block style.
#[derive(Clone, Debug)]
struct Block {
    lines: Range<usize>,
    indentation: usize,
}

/// A document by its lines.
struct Lines<'a>(Vec<&'a str>);

impl Lines<'_> {
    fn content(&self, line: usize) -> Option<&str> {
        let content = self.0[line].trim();
        (!content.is_empty() && !content.starts_with('#') && content != "---").then_some(content)
    }

    fn indentation(&self, line: usize) -> usize {
        self.0[line].len() - self.0[line].trim_start_matches(' ').len()
    }

    fn block(&self, lines: Range<usize>) -> Option<Block> {
        let first = lines.clone().find(|line| self.content(*line).is_some())?;
        Some(Block { indentation: self.indentation(first), lines })
    }

    /// The line of a key, and the lines below it.
    fn key(&self, block: &Block, key: &str) -> Option<(usize, Range<usize>)> {
        let is_here =
            |line: &usize| self.content(*line).is_some() && self.indentation(*line) <= block.indentation;
        let line = block.lines.clone().filter(is_here).find(|line| {
            let name = self.content(*line).and_then(|content| content.split_once(':'));
            name.is_some_and(|(name, _)| name.trim().trim_matches(['"', '\'']) == key)
        })?;
        let end = (line + 1..block.lines.end).find(is_here).unwrap_or(block.lines.end);
        Some((line, line + 1..end))
    }

    /// What stands behind a key on its line, without a comment.
    fn value(&self, line: usize) -> &str {
        let value = self
            .content(line)
            .and_then(|content| content.split_once(':'))
            .map_or("", |(_, value)| value.trim());
        if value.starts_with('#') { "" } else { value }
    }
}

/// The document with annotations in the pod at a path; nothing where it is not written in block style.
fn insert(document: &str, path: &[String], wanted: &BTreeMap<&str, &str>) -> Option<String> {
    let lines = Lines(document.split_inclusive('\n').collect());
    let feed = if lines.0.iter().any(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
    let mut block = lines.block(0..lines.0.len())?;
    for key in path {
        let (line, below) = lines.key(&block, key)?;
        if !lines.value(line).is_empty() {
            return None;
        }
        block = lines.block(below)?;
    }
    let step = 2;
    let entries = |indentation: usize, wanted: &BTreeMap<&str, &str>| -> String {
        let entry = |(name, value): (&&str, &&str)| {
            format!("{:indentation$}{name}: '{}'{feed}", "", value.replace('\'', "''"))
        };
        wanted.iter().map(entry).collect()
    };
    let mut new: Vec<String> = lines.0.iter().map(|line| (*line).to_owned()).collect();
    let Some((metadata, below)) = lines.key(&block, "metadata") else {
        let (spec, _) = lines.key(&block, "spec")?;
        let at = block.indentation;
        let text = format!("{:at$}metadata:{feed}{:2$}annotations:{feed}", "", "", at + step);
        new[spec].insert_str(0, &format!("{text}{}", entries(at + 2 * step, wanted)));
        return Some(new.concat());
    };
    if !lines.value(metadata).is_empty() {
        return None;
    }
    let inner = lines.block(below)?;
    let Some((annotations, below)) = lines.key(&inner, "annotations") else {
        let at = inner.indentation;
        new[metadata].push_str(&format!("{:at$}annotations:{feed}{}", "", entries(at + step, wanted)));
        return Some(new.concat());
    };
    if !lines.value(annotations).is_empty() {
        return None;
    }
    let held = lines.block(below);
    let mut missing = wanted.clone();
    if let Some(held) = &held {
        for (name, value) in wanted {
            if let Some((line, _)) = lines.key(held, name) {
                let entry = BTreeMap::from([(*name, *value)]);
                new[line] = entries(held.indentation, &entry);
                missing.remove(name);
            }
        }
    }
    let indentation = held.map_or(inner.indentation + step, |held| held.indentation);
    new[annotations].push_str(&entries(indentation, &missing));
    Some(new.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> Pods {
        let annotations = BTreeMap::from([
            ("k8s.ksyun.com/kci-http-registry".to_owned(), "r.corp:5000".to_owned()),
            ("k8s.ksyun.com/kci-host-aliases".to_owned(), "[{\"ip\":\"10.0.0.5\"}]".to_owned()),
        ]);
        Pods { nodes: VirtualNodes::default(), annotations }
    }

    const LINES: [&str; 2] = [
        "k8s.ksyun.com/kci-host-aliases: '[{\"ip\":\"10.0.0.5\"}]'",
        "k8s.ksyun.com/kci-http-registry: 'r.corp:5000'",
    ];

    fn deployment(metadata: &str) -> String {
        format!(
            "# web\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n{metadata}    spec:\n      nodeSelector: {{type: virtual-kubelet}}\n      containers:\n        - {{name: a, image: a}}\n"
        )
    }

    #[test]
    fn annotations_are_put_where_they_belong() {
        let block = |indentation: usize, head: &str| {
            let lines = LINES.map(|line| format!("{:indentation$}{line}\n", ""));
            format!("{head}{}", lines.concat())
        };
        for (before, after) in [
            (String::new(), block(8, "    metadata:\n      annotations:\n")),
            (
                "    metadata:\n      labels: {a: b}\n".to_owned(),
                block(8, "    metadata:\n      annotations:\n") + "      labels: {a: b}\n",
            ),
            (
                "    metadata:\n        annotations:   # ours\n            x: y\n".to_owned(),
                block(12, "    metadata:\n        annotations:   # ours\n") + "            x: y\n",
            ),
        ] {
            let (text, annotated) = pods().annotate(&deployment(&before));
            assert_eq!(text.unwrap(), deployment(&after));
            assert_eq!(annotated.len(), 1);
            let (again, annotated) = pods().annotate(&deployment(&after));
            assert!(again.is_none() && annotated.is_empty());
        }
        let old = format!(
            "    metadata:\n      annotations:\n        {}\n        k8s.ksyun.com/kci-http-registry: old\n",
            LINES[0]
        );
        let new = format!("    metadata:\n      annotations:\n        {}\n        {}\n", LINES[0], LINES[1]);
        assert_eq!(pods().annotate(&deployment(&old)).0.unwrap(), deployment(&new));
    }

    #[test]
    fn others_are_left_alone() {
        let other = deployment("").replace("type: virtual-kubelet", "type: machine");
        assert_eq!(pods().annotate(&other), (None, Vec::new()));
        let two = format!("{other}---\n{}", deployment("").replace('\n', "\r\n"));
        let (text, annotated) = pods().annotate(&two);
        let text = text.unwrap();
        assert!(text.starts_with(&other) && text.contains("      annotations:\r\n"), "{text}");
        assert_eq!((annotated.len(), annotated[0].line), (1, other.lines().count()));
    }

    #[test]
    fn what_is_not_in_blocks_is_told() {
        for text in [
            deployment("    metadata: {labels: {a: b}}\n"),
            "{kind: Pod, spec: {nodeSelector: {type: virtual-kubelet}, containers: []}}\n".to_owned(),
        ] {
            let (new, annotated) = pods().annotate(&text);
            assert!(new.is_none());
            assert!(matches!(&annotated[..], [Annotated { result: Err(_), .. }]), "{annotated:?}");
        }
    }
}
