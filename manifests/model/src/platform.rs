//! Platforms, as the OCI image index names them.

use std::fmt;
use std::str::FromStr;

/// An operating system and a processor, with the processor's variant where it has one: `linux/amd64`,
/// `linux/arm64/v8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// `GOOS`: `linux`, `windows`.
    pub os: String,
    /// `GOARCH`: `amd64`, `arm64`.
    pub architecture: String,
    /// `v7`, `v8`; absent for most.
    pub variant: Option<String>,
}

/// A text is no [`Platform`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a platform; expected `os/architecture` or `os/architecture/variant`, such as `linux/amd64`"
)]
pub struct PlatformError(String);

impl Platform {
    pub(crate) const EXPECTING: &'static str = "a platform such as `linux/amd64`";

    /// Whether an image made for `self` is what someone means who asks for `wanted`.
    ///
    /// `arm64` and `arm64/v8` are the same, as in containerd's platform matching.
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        let variant =
            |platform: &Platform| match (platform.architecture.as_str(), platform.variant.as_deref()) {
                ("arm64", None | Some("v8")) => None,
                (_, variant) => variant.map(str::to_owned),
            };
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (variant(self) == variant(wanted) || wanted.variant.is_none())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(text.chars().take(100).collect());
        let part_is_good = |part: &str| {
            !part.is_empty()
                && part.len() <= 32
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(|part| part_is_good(part)) {
            return Err(error());
        }
        Ok(Self {
            os: parts[0].to_owned(),
            architecture: parts[1].to_owned(),
            variant: parts.get(2).map(|&variant| variant.to_owned()),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

crate::serde_as_string!(Platform);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_matches() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        assert_eq!(platform("linux/arm64/v8").to_string(), "linux/arm64/v8");
        assert!(platform("linux/arm64/v8").satisfies(&platform("linux/arm64")));
        assert!(platform("linux/arm64").satisfies(&platform("linux/arm64/v8")));
        assert!(!platform("linux/arm/v6").satisfies(&platform("linux/arm/v7")));
        assert!(!platform("linux/arm64").satisfies(&platform("linux/amd64")));
        for bad in ["", "linux", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
