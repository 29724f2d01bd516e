//! Which registries a daemon trusts and mirrors, and whether it can pull from them.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde::Deserialize;

use super::{Daemon, MAX_INSPECT};
use crate::Error;

/// A pull moves layers over the network, unpacks them, and talks about both.
const PULLING: Duration = Duration::from_secs(600);
const MAX_PROGRESS: u64 = 16 << 20;

/// The registries of a daemon as it sees them itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonRegistries {
    /// Those whose certificates it does not ask for: `host:port`, and networks.
    pub insecure: Vec<String>,
    /// The mirrors of Docker Hub: `https://host:port/`.
    pub mirrors: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    registry_config: RegistryConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegistryConfig {
    // `null` where there are none.
    #[serde(rename = "InsecureRegistryCIDRs")]
    networks: Option<Vec<String>>,
    index_configs: Option<BTreeMap<String, Index>>,
    mirrors: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    secure: bool,
}

/// A line of what a daemon says while it pulls.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    error: String,
}

impl Daemon {
    /// Which registries it trusts and mirrors, as it sees them itself.
    pub async fn registries(&self) -> Result<DaemonRegistries, Error> {
        let place = self.url(&["info"], &[]).await?;
        let url = (&place.0).into();
        let reply =
            self.ask("ask docker for its registries", Method::GET, place, None, Duration::ZERO).await?;
        let body = reply.bytes(MAX_INSPECT, &self.client).await?;
        let info: Info = serde_json::from_slice(&body)
            .map_err(|_| Error::Protocol { url, reason: "it does not say which registries it has".into() })?;
        let RegistryConfig { networks, index_configs, mirrors } = info.registry_config;
        let indexes = index_configs.unwrap_or_default().into_iter();
        let mut insecure: Vec<String> =
            indexes.filter(|(_, index)| !index.secure).map(|(name, _)| name).collect();
        insecure.extend(networks.unwrap_or_default());
        Ok(DaemonRegistries { insecure, mirrors: mirrors.unwrap_or_default() })
    }

    /// Pulls an image: `host:port/repository@sha256:…`. Nothing is sent along that a registry would ask for a password.
    pub async fn pull(&self, reference: &str) -> Result<(), Error> {
        let place = self.url(&["images", "create"], &[("fromImage", reference)]).await?;
        let action = format!("pull {reference}");
        let reply = self.ask(&action, Method::POST, place, None, PULLING).await?;
        let said = reply.bytes(MAX_PROGRESS, &self.client).await?;
        // A daemon says 200 before it knows how it ends.
        for line in said.split(|byte| *byte == b'\n') {
            let line: Line = serde_json::from_slice(line).unwrap_or_default();
            if !line.error.is_empty() {
                let message = line.error.chars().filter(|c| !c.is_control()).take(300).collect();
                return Err(Error::Engine { action, status: 200, message });
            }
        }
        Ok(())
    }
}
