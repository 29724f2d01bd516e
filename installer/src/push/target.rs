//! Where to push to.

use std::fmt;
use std::str::FromStr;

use ferry_model::ImageReference;
use ferry_model::failure::{Class, Failure};

/// A registry, and a prefix for all repositories: `registry.corp:5000`, `harbor.corp/mirror`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    registry: String,
    prefix: Option<String>,
}

/// A text is no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no registry: {reason}")]
pub struct TargetError {
    text: String,
    reason: String,
}

impl Failure for TargetError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

impl Target {
    /// The registry's host, and port where there is one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// What stands before each repository.
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Where a repository of the catalog lies at the target.
    pub fn repository(&self, repository: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{repository}"),
            None => repository.to_owned(),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let error =
            |reason: &str| TargetError { text: text.chars().take(200).collect(), reason: reason.to_owned() };
        if text.contains("://") {
            return Err(error(
                "write it without `http://` or `https://`; for plain HTTP add --plain-http HOST",
            ));
        }
        let (registry, prefix) = text.split_once('/').unwrap_or((text, ""));
        let prefix = Some(prefix.trim_end_matches('/')).filter(|prefix| !prefix.is_empty());
        let target = Self { registry: registry.to_owned(), prefix: prefix.map(str::to_owned) };
        let sample = ImageReference::new(registry, &target.repository("name"), None, None)
            .map_err(|_| error("expected HOST, HOST:PORT or HOST:PORT/PREFIX, the prefix in lower case"))?;
        if sample.registry() != registry {
            return Err(error("a host needs a dot or a port, such as `registry.corp` or `registry:5000`"));
        }
        Ok(target)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.registry)?;
        self.prefix.iter().try_for_each(|prefix| write!(f, "/{prefix}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        for (text, registry, repository) in [
            ("registry.corp:5000", "registry.corp:5000", "a/b"),
            ("harbor.corp/mirror", "harbor.corp", "mirror/a/b"),
            ("localhost/x/y/", "localhost", "x/y/a/b"),
            ("10.0.0.1:5000/", "10.0.0.1:5000", "a/b"),
            ("[::1]:5000", "[::1]:5000", "a/b"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.registry(), target.repository("a/b").as_str()), (registry, repository));
            assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        }
        for (bad, reason) in [
            ("http://r:5000", "--plain-http"),
            ("registry", "a dot or a port"),
            ("r:5000/Upper", "lower case"),
            ("r:port", "HOST"),
            ("", "HOST"),
        ] {
            let error = bad.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
