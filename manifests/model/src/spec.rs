//! The spec (`*.yaml`): what a person wants carried. Strict: an unknown key is refused, with its place and the
//! nearest known one.

mod bkdl;
mod check;
mod entry;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use bkdl::{Bkdl, BkdlItem};
pub use check::{Check, Ignore, Pattern};
pub(crate) use entry::check_url;
pub use entry::{
    ChartEntry, ChartSource, FileEntry, ImageEntry, ImageSource, RuntimeItem, Runtimes, SaasEntry, Sha256,
};

use crate::document::DocumentError;
use crate::{Name, Platform};

/// The only `apiVersion` there is.
pub const API_VERSION: &str = "ferry/v1";

/// What to carry.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// `ferry/v1`.
    pub api_version: ApiVersion,
    /// `Bundle`.
    pub kind: Kind,
    /// The bundle's name; its file is NAME-VERSION.ferry.tar.zst.
    pub name: Name,
    /// The bundle's version.
    pub version: Name,
    /// Platforms of each image; `all` keeps the whole index. Default: linux/amd64.
    #[serde(default)]
    pub platforms: Platforms,
    /// Carry signatures, SBOMs and attestations of every image. An image can say otherwise.
    #[serde(default)]
    pub attachments: bool,
    /// What differs from the default (TLS, docker's own credentials), by host and port.
    #[serde(default)]
    pub registries: BTreeMap<String, Registry>,
    /// Container images.
    #[serde(default)]
    pub images: Vec<ImageEntry>,
    /// Helm charts.
    #[serde(default)]
    pub charts: Vec<ChartEntry>,
    /// PaaS runtimes.
    #[serde(default)]
    pub runtimes: Vec<Runtimes>,
    /// SaaS packages.
    #[serde(default)]
    pub saas: Vec<SaasEntry>,
    /// What BlueKing's own download script would fetch.
    #[serde(default)]
    pub bkdl: Vec<Bkdl>,
    /// Anything else.
    #[serde(default)]
    pub files: Vec<FileEntry>,
    /// How completeness is checked.
    #[serde(default)]
    pub check: Check,
}

/// `ferry/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ApiVersion {
    /// The first and only version.
    #[serde(rename = "ferry/v1")]
    V1,
}

/// `Bundle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Kind {
    /// A bundle's spec.
    Bundle,
}

/// How to talk to one registry, chart repository or file server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Talk plain HTTP. Never a fall-back: only where spelled out.
    #[serde(default)]
    pub plain_http: bool,
    /// PEM file of the authority that signed its certificate, relative to the spec's folder.
    #[serde(default)]
    pub ca_file: Option<String>,
}

/// Which platforms of an image to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// The whole index, as it is.
    All,
    /// These, each of which must be there.
    Some(Vec<Platform>),
}

impl Default for Platforms {
    fn default() -> Self {
        Self::Some(vec![Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }])
    }
}

impl Spec {
    /// Parses a spec. The error names line, column and the nearest known key.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        serde_saphyr::from_str(text).map_err(|error| DocumentError::from_yaml(&error, text))
    }
}

impl<'de> Deserialize<'de> for Platforms {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Platforms;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`all`, or a list of platforms such as [linux/amd64, linux/arm64]")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Platforms, E> {
                match text {
                    "all" => Ok(Platforms::All),
                    other => other.parse().map(|one| Platforms::Some(vec![one])).map_err(E::custom),
                }
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Platforms, A::Error> {
                let mut platforms: Vec<Platform> = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    if text == "all" {
                        return Err(serde::de::Error::custom("`all` stands alone: write `platforms: all`"));
                    }
                    let platform = text.parse().map_err(serde::de::Error::custom)?;
                    if !platforms.contains(&platform) {
                        platforms.push(platform);
                    }
                }
                if platforms.is_empty() {
                    return Err(serde::de::Error::custom(
                        "the list of platforms is empty; write `all` to keep every one",
                    ));
                }
                Ok(Platforms::Some(platforms))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Platforms {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Platforms".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "`all`, or platforms such as linux/amd64",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1}
            ]
        })
    }
}

#[cfg(test)]
mod tests;
