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
