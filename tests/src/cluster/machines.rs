//! Nodes of the cluster that are machines: programs run what is asked of their pods, and connections to them break.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::{Value, json};

use super::{FakeCluster, Fate};

/// Which nodes are machines.
#[derive(Debug, Default)]
pub(super) struct Machines(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    programs: BTreeMap<String, Vec<String>>,
    cuts: Vec<Cut>,
}

/// A connection that breaks, once.
#[derive(Debug)]
struct Cut {
    node: String,
    text: String,
    after: usize,
}

/// What runs a command in a node's pod.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    program: Vec<String>,
    /// So many bytes of standard input go through before the connection breaks.
    pub(super) cut: Option<usize>,
}

impl Machines {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine of a pod's node, for this command.
    pub(super) fn of(&self, pod: &Value, command: &[String]) -> Option<Machine> {
        let node = pod.pointer("/spec/nodeName")?.as_str()?;
        let mut state = self.state();
        let program = state.programs.get(node)?.clone();
        let is_meant = |cut: &Cut| cut.node == node && command.iter().any(|word| word.contains(&cut.text));
        let cut = state.cuts.iter().position(is_meant).map(|place| state.cuts.swap_remove(place).after);
        Some(Machine { program, cut })
    }
}

impl Machine {
    pub(super) fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(words);
        command
    }
}

impl FakeCluster {
    /// Adds a node with these labels, and with a taint of each of these keys.
    pub fn add_node(&self, name: &str, labels: &Value, taints: &[&str]) -> Result<()> {
        let taints: Vec<Value> =
            taints.iter().map(|key| json!({"key": key, "effect": "NoSchedule"})).collect();
        let count = self.inner.store().objects.values().filter(|object| object["kind"] == "Node").count();
        let address = format!("10.77.1.{count}");
        let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]}});
        node["metadata"]["labels"]["kubernetes.io/os"] = json!("linux");
        self.apply_as("kubelet", &node)
    }

    /// Has a program, with its first arguments, run what is asked of a node's pods.
    pub fn set_machine(&self, node: &str, program: &Path, arguments: &[&str]) {
        let program = std::iter::once(program.display().to_string());
        let program = program.chain(arguments.iter().map(|&argument| argument.to_owned())).collect();
        self.inner.machines.state().programs.insert(node.to_owned(), program);
    }

    /// Breaks the next connection that asks a node's pod for something with `text` in it, after so many bytes of standard input.
    pub fn cut(&self, node: &str, text: &str, after: usize) {
        let (node, text) = (node.to_owned(), text.to_owned());
        self.inner.machines.state().cuts.push(Cut { node, text, after });
    }

    /// Connections that are still to be broken.
    pub fn cuts(&self) -> usize {
        self.inner.machines.state().cuts.len()
    }

    /// What becomes of pods on a node from now on.
    pub fn set_fate_on(&self, node: &str, fate: Fate) {
        self.inner.store().fates.insert(node.to_owned(), fate);
    }

    /// Nodes that have had a pod of a DaemonSet.
    pub fn nodes_of_daemon_sets(&self) -> BTreeSet<String> {
        self.inner.store().daemon_nodes.clone()
    }
}
