//! What of a cluster shall be so that others made: its DNS, keys of their objects, their service accounts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Platform;
use crate::host::{Host, RegistryAddress};
use crate::site::{Login, ObjectName, PatchedKind, SecretSource, Workload};

/// Which cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTarget {
    /// The kubeconfig; absent for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context; absent for the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// Names that the cluster's own DNS (CoreDNS) answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNames {
    /// Which cluster.
    pub cluster: ClusterTarget,
    /// The ConfigMap with the Corefile; absent for the one that the cluster's DNS reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ObjectName>,
    /// The names, each with all its addresses.
    pub names: BTreeMap<Host, Vec<IpAddr>>,
    /// Whether entries of others for these names go.
    #[serde(default)]
    pub replace: bool,
}

/// Keys of a ConfigMap or a Secret that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyPatch {
    /// Which cluster.
    pub cluster: ClusterTarget,
    /// Whether it is a ConfigMap or a Secret.
    pub object: PatchedKind,
    /// Which.
    pub name: ObjectName,
    /// What each key shall hold.
    pub set: BTreeMap<String, NewValue>,
    /// Who takes it up.
    pub restart: TakenUpBy,
}

/// What a key shall hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum NewValue {
    /// This text.
    Text {
        /// The text.
        text: String,
    },
    /// A secret.
    Secret {
        /// Where it is.
        source: SecretSource,
    },
}

/// Who takes a change up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum TakenUpBy {
    /// All workloads that read the object.
    Readers,
    /// These, in the object's namespace.
    These {
        /// Which.
        workloads: Vec<Workload>,
    },
    /// Nobody.
    Nobody,
}

/// A namespace whose pods have the registry's login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// Which cluster.
    pub cluster: ClusterTarget,
    /// The Secret.
    pub name: ObjectName,
    /// The registry that it is for.
    pub registry: RegistryAddress,
    /// Who logs in.
    pub login: Login,
    /// The service accounts whose pods use it.
    pub service_accounts: Vec<String>,
}

/// PaaS's base image of SaaS (slug-app), taken from the site's registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlugApp {
    /// Where BlueKing runs.
    pub platform: Platform,
    /// The image's name at the site.
    pub image: String,
    /// The names at the site of images that builds use, by the keys that newer releases have for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub builders: BTreeMap<String, String>,
    /// Whether the registry's address has a port, which one release does not understand.
    pub has_port: bool,
    /// PaaS's release, where the site file says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}
