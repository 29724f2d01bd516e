//! What is installed through BlueKing's PaaS, inside its pods.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::site::{Environment, SecretSource};

/// Where BlueKing runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Platform {
    /// The kubeconfig; absent for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context; absent for the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// BlueKing's namespace.
    pub namespace: String,
}

/// A SaaS package (S-Mart) that PaaS has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SaasPackage {
    /// Where BlueKing runs.
    pub platform: Platform,
    /// The application's code.
    pub app: String,
    /// The package's version, as its description says.
    pub version: String,
    /// Its file's name: `bk_sops.tgz`.
    pub file: String,
    /// Its content, byte for byte as it was published.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Whether it takes the place of a newer version, and is given again where PaaS has it.
    #[serde(default)]
    pub overwrite: bool,
}

/// A module of a SaaS that is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SaasModule {
    /// Where BlueKing runs.
    pub platform: Platform,
    /// The application's code.
    pub app: String,
    /// The module.
    pub module: String,
    /// The environment.
    pub environment: Environment,
    /// What is deployed: `image:2.6.6` or `package:2.6.6`.
    pub revision: String,
    /// The content of the package that it comes from. The same version can come with another.
    pub package: Digest,
    /// Whether it takes the place of a newer version.
    #[serde(default)]
    pub overwrite: bool,
    /// A file of configuration variables that is imported first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Variables>,
}

/// A file of configuration variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variables {
    /// Where it lies on this machine.
    pub path: PathBuf,
    /// Its content.
    pub digest: Digest,
}

/// Redis entries in PaaS's pool of instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisEntries {
    /// Where BlueKing runs.
    pub platform: Platform,
    /// The plan.
    pub plan: String,
    /// How many there shall be.
    pub entries: u32,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where its password is.
    pub password: SecretSource,
}

/// Agent plug-ins that node management offers. It takes all that it is given at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentPlugins {
    /// Where BlueKing runs.
    pub platform: Platform,
    /// The packages, sorted by name.
    pub files: Vec<PluginFile>,
}

/// A package of agent plug-ins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginFile {
    /// Its file name: `bkmonitorbeat-3.34.1831.tgz`.
    pub name: String,
    /// Its content.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}
