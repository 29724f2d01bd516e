//! BlueKing itself: its domain, its settings, and what is installed through its PaaS.

use std::path::PathBuf;

use serde::Deserialize;

use super::secret::SecretSource;
use crate::ImageReference;
use crate::host::Host;

/// BlueKing on the site's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blueking {
    /// Its base domain (`BK_DOMAIN`): `bkce7.example.com`.
    pub domain: Host,
    /// Its namespace. Default: blueking.
    #[serde(default = "namespace")]
    pub namespace: String,
    /// A folder of this machine for the environment and values files that the helmfiles read. Absent: none are written.
    #[serde(default)]
    pub settings: Option<PathBuf>,
    /// SaaS packages of the bundle that are installed through PaaS.
    #[serde(default)]
    pub saas: Vec<Saas>,
    /// Redis entries for SaaS, made in PaaS's pool before the first is installed.
    #[serde(default)]
    pub redis_pool: Option<RedisPool>,
    /// The base image of SaaS (slug-app): PaaS takes it from the site's registry, and its job for that runs again if it failed. Absent:
    /// left alone.
    #[serde(default)]
    pub slug_app: Option<SlugApp>,
    /// Give the agent plug-ins of the bundle (files below `gse2/plugins/`) to node management. Default: false.
    #[serde(default)]
    pub plugins: bool,
}

/// The base image of SaaS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlugApp {
    /// Its name in the bundle. Default: the one image whose repository ends in `slug-app`.
    #[serde(default)]
    pub image: Option<ImageReference>,
    /// PaaS's release: `1.4`. Default: what the tag of its own image says.
    #[serde(default)]
    pub release: Option<String>,
}

/// A SaaS package that is installed through PaaS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Saas {
    /// The application's code: `bk_sops`.
    pub app: String,
    /// The modules that are deployed; `default` comes first. Default: those of the package's description.
    #[serde(default)]
    pub modules: Vec<String>,
    /// `prod` or `stag`. Default: prod.
    #[serde(default)]
    pub environment: Environment,
    /// A file with configuration variables (`env_variables:`), imported into the default module before it is deployed.
    #[serde(default)]
    pub variables: Option<PathBuf>,
    /// Put the bundle's version in the place of a newer one that runs, and give PaaS a package again that it has already. Default:
    /// false; such an application is left as it is, and that is told.
    #[serde(default)]
    pub overwrite: bool,
}

/// An environment of PaaS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Production.
    #[default]
    Prod,
    /// Staging.
    Stag,
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Prod => "prod",
            Self::Stag => "stag",
        })
    }
}

/// Redis entries for SaaS in PaaS's pool of instances.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisPool {
    /// The plan: `0shared` or `1exclusive`. Default: 0shared.
    #[serde(default = "plan")]
    pub plan: String,
    /// How many entries. Default: 10. Of plan `1exclusive` just 1: its entries must not repeat, and these are of one server.
    #[serde(default = "entries")]
    pub entries: u32,
    /// The server. Default: bk-redis-master.NAMESPACE.svc.cluster.local.
    #[serde(default)]
    pub host: Option<String>,
    /// Its port. Default: 6379.
    #[serde(default = "port")]
    pub port: u16,
    /// Where its password is. Default: key redis-password of secret NAMESPACE/bk-redis.
    #[serde(default)]
    pub password: Option<SecretSource>,
}

fn namespace() -> String {
    "blueking".to_owned()
}

fn plan() -> String {
    "0shared".to_owned()
}

fn entries() -> u32 {
    10
}

fn port() -> u16 {
    6379
}
