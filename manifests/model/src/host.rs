//! Names of hosts, and where a registry answers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A DNS name or an IP address, without scheme, port or path. IPv6 is written without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

/// A text is no [`Host`] or no [`RegistryAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct HostError {
    text: String,
    expected: &'static str,
}

impl Host {
    pub(crate) const EXPECTING: &'static str =
        "a host name or IP address, such as `registry.corp` or `10.0.0.5`";

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is one and no name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let is_name = text.len() <= 253 && text.split('.').all(is_label);
        if is_name || text.parse::<IpAddr>().is_ok() {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(HostError { text: text.chars().take(100).collect(), expected: Self::EXPECTING })
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::serde_as_string!(Host);

/// Where a registry answers, as references begin: `registry.corp:5000`, `10.0.0.5:5000`, `[fd00::5]:5000`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryAddress {
    host: Host,
    port: Option<u16>,
}

impl RegistryAddress {
    pub(crate) const EXPECTING: &'static str =
        "a registry's address: HOST or HOST:PORT without `http://`, the host with a dot or with a port";

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, where one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for RegistryAddress {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let error = || HostError { text: text.chars().take(100).collect(), expected: Self::EXPECTING };
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(error)?)),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse::<u16>).transpose().map_err(|_| error())?;
        let host: Host = host.parse().map_err(|_| error())?;
        // Without a dot or a port, `registry/app` is an image of Docker Hub.
        let reads_as_host =
            port.is_some() || host.as_str().contains(['.', ':']) || host.as_str() == "localhost";
        if !reads_as_host || port == Some(0) {
            return Err(error());
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.ip() {
            Some(IpAddr::V6(_)) => write!(f, "[{}]", self.host)?,
            _ => write!(f, "{}", self.host)?,
        }
        self.port.iter().try_for_each(|port| write!(f, ":{port}"))
    }
}

crate::serde_as_string!(RegistryAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("registry.corp:5000", "registry.corp", Some(5000)),
            ("registry:5000", "registry", Some(5000)),
            ("Harbor.corp", "harbor.corp", None),
            ("10.0.0.5:443", "10.0.0.5", Some(443)),
            ("[fd00::5]:5000", "fd00::5", Some(5000)),
            ("localhost", "localhost", None),
        ] {
            let address: RegistryAddress = text.parse().unwrap();
            assert_eq!((address.host().as_str(), address.port()), (host, port));
            assert_eq!(address.to_string(), text.to_lowercase());
        }
        for bad in [
            "",
            "registry",
            "http://r:5000",
            "r:5000/prefix",
            "r:0",
            "r:port",
            "a..b",
            "-a.b",
            "a b:1",
            "[x]y",
        ] {
            assert!(bad.parse::<RegistryAddress>().is_err(), "{bad}");
        }
    }
}
