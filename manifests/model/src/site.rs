//! The site (`site.yaml`): what one datacenter looks like and what shall stand there. Written by a person, so strict: an
//! unknown key is refused, with its place and the nearest known one.
//!
//! Every section is optional; what is absent is left alone. Passwords are never in the file: it names where they are
//! ([`SecretSource`]).

mod bkrepo;
mod blueking;
mod charts;
mod cluster;
mod daemon_set;
mod modes;
mod nodes;
mod registry;
mod secret;
mod virtual_nodes;

use serde::Deserialize;

pub use bkrepo::{Access, Bkrepo, Destination, PaasSecret, Platform, RepositoryName};
pub use blueking::{Blueking, Environment, RedisPool, Saas, SlugApp};
pub use charts::{Charts, HelmPlace, HelmRepository};
pub use cluster::{
    BluekingNames, Cluster, ClusterDns, ObjectName, ObjectNameError, Patch, PatchValue, PatchedKind,
    PullSecrets, Restart, Workload, WorkloadKind,
};
pub use daemon_set::DaemonSet;
pub use modes::{
    Docker, Existing, Ingress, Kubernetes, ManifestLists, Marathon, Product, Proxy, S3, Serve, ServiceKind,
    Storage, Systemd,
};
pub use nodes::{Configure, FromCluster, FurtherRegistry, Node, Nodes, Ssh, Trust, Via};
pub use registry::{Mode, Paths, Registry, Tls};
pub use secret::{Login, SecretSource};
pub use virtual_nodes::{DnsOption, InstanceDns, VirtualNodes};

use crate::document::DocumentError;
use crate::spec::ApiVersion;
use crate::{Digest, Name};

/// One datacenter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Site {
    /// `ferry/v1`.
    pub api_version: ApiVersion,
    /// `Site`.
    pub kind: Kind,
    /// The datacenter's name, for reports.
    pub name: Name,
    /// The registry that images and charts go to.
    #[serde(default)]
    pub registry: Option<Registry>,
    /// Where charts go.
    #[serde(default)]
    pub charts: Charts,
    /// BlueKing's artifact repository.
    #[serde(default)]
    pub bkrepo: Option<Bkrepo>,
    /// BlueKing itself.
    #[serde(default)]
    pub blueking: Option<Blueking>,
    /// The machines that run containers.
    #[serde(default)]
    pub nodes: Nodes,
    /// The Kubernetes cluster.
    #[serde(default)]
    pub cluster: Option<Cluster>,
    /// How much at once.
    #[serde(default)]
    pub limits: Limits,
}

/// `Site`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Kind {
    /// A datacenter.
    Site,
}

/// How much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Steps at once. Default: 8.
    #[serde(default = "eight")]
    pub steps: usize,
    /// Transfers to the registry at once. Default: 8, or `--jobs`.
    #[serde(default)]
    pub transfers: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: eight(), transfers: None }
    }
}

fn eight() -> usize {
    8
}

impl Site {
    /// Parses a site. The error names line, column and the nearest known key.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        serde_saphyr::from_str(text).map_err(|error| DocumentError::from_yaml(&error, text))
    }

    /// The digest of a site file, by which plan and journal know it again.
    pub fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }
}

#[cfg(test)]
mod tests;
