//! What one node shall be like, as `ferry-installer node` reads it on standard input, and what it answers. The installer on
//! the control host and the one that it copied to the node are the same program, so this never crosses versions.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::{Host, RegistryAddress};
use crate::report::{Check, Failed};

/// What a node shall be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeDesired {
    /// Names and their addresses.
    #[serde(default)]
    pub names: Vec<Name>,
    /// Who resolves them.
    #[serde(default)]
    pub resolver: Resolver,
    /// Registries that containers are pulled from.
    #[serde(default)]
    pub registries: Vec<NodeRegistry>,
    /// Whether authorities of registries are trusted by the whole host, and not by its container runtimes alone.
    #[serde(default)]
    pub host_trust: bool,
    /// Whether it is an agent of DC/OS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dcos: bool,
    /// An image that proves a pull, by digest: `registry.corp:5000/library/busybox@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
}

/// What a node is looked at for before anything is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodePreflight {
    /// Whether BlueKing's requirements count.
    #[serde(default)]
    pub blueking: bool,
    /// Bytes that an image of the bundle may take there.
    #[serde(default)]
    pub room: u64,
    /// Names of checks that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
}

/// A name that the node must resolve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Name {
    /// The name.
    pub name: Host,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Who resolves names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Resolver {
    /// `/etc/hosts`, in a block of Ferry's own.
    #[default]
    HostsFile,
    /// The site's DNS: names are only checked.
    Dns,
}

/// A registry that containers are pulled from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeRegistry {
    /// Where it is reached.
    pub address: RegistryAddress,
    /// How it is encrypted and trusted.
    pub security: Security,
    /// What the repositories of mirrored registries begin with there: empty, or `mirror`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Registries that it mirrors: `docker.io`, `hub.bktencent.com`, `k8s.gcr.io`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<RegistryAddress>,
}

/// How a registry is encrypted and trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Security {
    /// Plain HTTP.
    PlainHttp,
    /// HTTPS whose certificate nobody checks.
    Unverified,
    /// HTTPS.
    Https {
        /// The authority's certificates (PEM) where it is none of the system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
    },
}

/// What came of `node apply`, `node check` or `node undo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// What the node calls itself.
    pub node: String,
    /// The container runtimes that were found: `docker 20.10.24`, `containerd 1.6.20`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtimes: Vec<String>,
    /// Files that were made, changed or removed, or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FileChange>,
    /// Services that took changes up, or would have to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceChange>,
    /// What a run that was cut off has left to be done: files that nobody has taken up yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<String>,
    /// What was checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failed>,
    /// What an operator should know, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// The file, as the node's configuration names it (links are followed when it is written).
    pub path: PathBuf,
    /// What happens to it.
    pub change: Change,
    /// How its text changes, as a unified diff.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub diff: String,
}

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is made.
    Made,
    /// It is changed.
    Changed,
    /// It is removed.
    Removed,
}

/// What a service does to take up a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceChange {
    /// Its unit: `docker.service`.
    pub unit: String,
    /// What it does.
    pub how: Takeup,
    /// Why: a sentence without its full stop.
    pub reason: String,
}

/// How a service takes up a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeup {
    /// By itself: it reads the file each time that it needs it.
    Nothing,
    /// It is told to read its configuration again; containers run on.
    Reload,
    /// It is restarted.
    Restart,
}
