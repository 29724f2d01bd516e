//! What of workloads shall be so that others made.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A workload of the cluster that somebody else made, and that names images as the site does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadImages {
    /// The kubeconfig; absent for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context; absent for the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    #[serde(rename = "workload")]
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The values that change, by their places: `spec.template.spec.containers[web].image`.
    pub values: BTreeMap<String, Renamed>,
}

/// A value that names an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Renamed {
    /// The whole value as it was found.
    pub from: String,
    /// What it shall be.
    pub to: String,
}

impl WorkloadImages {
    /// Kind, namespace and name: `Deployment blueking/web`.
    pub fn name(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}
