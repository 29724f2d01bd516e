//! Which version of the API to speak.

use serde::Deserialize;

use super::{Daemon, MAX_INSPECT};
use crate::Error;
use crate::client::web_access;
use crate::exchange::Call;

/// docker 19.03's, which has all that is asked for here.
const OLDEST: ApiVersion = ApiVersion(1, 40);

/// What a daemon says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DaemonVersion {
    /// The program's version: `20.10.24`.
    pub version: String,
    /// The newest API that it speaks: `1.41`.
    pub api_version: String,
    /// The oldest API that it speaks; the newest dockers have given up old ones.
    #[serde(default, rename = "MinAPIVersion")]
    pub min_api_version: String,
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `amd64`.
    #[serde(default)]
    pub arch: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ApiVersion(u32, u32);

impl ApiVersion {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl DaemonVersion {
    /// The version to speak: the oldest that has what is needed, so that newer dockers answer as older ones do.
    pub(super) fn speaks(&self) -> String {
        let oldest = ApiVersion::parse(&self.min_api_version).unwrap_or(OLDEST);
        let ApiVersion(major, minor) = oldest.max(OLDEST);
        format!("{major}.{minor}")
    }

    fn is_new_enough(&self) -> bool {
        ApiVersion::parse(&self.api_version).is_some_and(|newest| newest >= OLDEST)
    }
}

impl Daemon {
    /// What the daemon is. Refuses one from before docker 19.03.
    pub async fn describe(&self) -> Result<&DaemonVersion, Error> {
        self.version
            .get_or_try_init(|| async {
                let (url, access) = web_access("http://docker/version")?;
                let call = Call::new(http::Method::GET, url.clone(), &access);
                let reply = self.client.request_bytes(&call, MAX_INSPECT).await;
                let (_, body) = reply.map_err(|error| self.explain(error))?;
                let version: DaemonVersion = serde_json::from_slice(&body).map_err(|_| Error::Protocol {
                    url: (&url).into(),
                    reason: "it does not describe a docker daemon".into(),
                })?;
                if version.is_new_enough() {
                    return Ok(version);
                }
                let reason = format!(
                    "it is docker {} with API {}; Ferry needs docker 19.03 (API 1.40) or later",
                    version.version, version.api_version
                );
                Err(Error::Daemon { host: self.host.clone(), reason })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoken() {
        for (newest, oldest, expected) in [
            ("1.40", "1.12", Some("1.40")),
            ("1.41", "", Some("1.40")),
            ("1.51", "1.44", Some("1.44")),
            ("2.0", "1.99", Some("1.99")),
            ("1.39", "1.12", None),
            ("1.9", "1.1", None),
            ("new", "", None),
        ] {
            let version = DaemonVersion {
                version: String::new(),
                api_version: newest.into(),
                min_api_version: oldest.into(),
                os: String::new(),
                arch: String::new(),
            };
            assert_eq!(version.is_new_enough().then(|| version.speaks()).as_deref(), expected, "{newest}");
        }
    }
}
