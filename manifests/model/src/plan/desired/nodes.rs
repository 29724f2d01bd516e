//! What nodes shall be like.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::{Host, RegistryAddress};
use crate::node::NodeDesired;
use crate::site::SecretSource;

/// A node that resolves the registry's name, trusts it and pulls from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSetup {
    /// The node.
    pub node: Host,
    /// How commands get there.
    pub reach: Reach,
    /// What it shall be like. Authorities that lie in files come in when they are needed, since this run may make them.
    pub desired: NodeDesired,
    /// The files of authorities (PEM), by the registries that they vouch for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorities: BTreeMap<RegistryAddress, PathBuf>,
    /// Which wave it goes with: 0 is the canary's.
    pub wave: u32,
    /// How long it may take for one command, in seconds.
    pub time_limit: u32,
}

/// How commands get to a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Reach {
    /// Through ssh.
    Ssh {
        /// ssh's arguments before the command.
        arguments: Vec<String>,
        /// Who runs it there.
        sudo: Sudo,
    },
    /// It is this machine.
    Local {
        /// Who runs it.
        sudo: Sudo,
    },
    /// Through a pod on it.
    Pod {
        /// What the cluster calls the node.
        node: Host,
        /// The pods.
        pods: NodePods,
    },
}

/// The pods through which nodes are reached: those of a DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePods {
    /// The cluster's kubeconfig; absent for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context; absent for the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The DaemonSet's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The image that the pods run.
    pub image: String,
    /// Which nodes get one: those that meet all that one of these asks for. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeTerm>,
    /// Whether they stay when the work is done.
    #[serde(default)]
    pub keep: bool,
}

/// What a node must meet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeTerm {
    /// What its labels must be.
    pub labels: Vec<LabelRequirement>,
    /// Names that it must not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_named: Vec<Host>,
}

/// What a label must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// With what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label is compared, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LabelOperator {
    /// It is one of the values.
    In,
    /// It is none of them, or not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not.
    DoesNotExist,
}

/// Who runs commands on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "sudo", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Sudo {
    /// Who logs in.
    No,
    /// root, through a sudo that asks for nothing.
    WithoutPassword,
    /// root, through a sudo that asks for a password.
    WithPassword {
        /// Where it is.
        password: SecretSource,
    },
}
