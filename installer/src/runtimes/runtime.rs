//! Which runtime a path of `bkpaas3-platform-assets` is. The layout is what PaaS's `init.sh` and the buildpacks ask for.

use std::fmt;

use serde::Serialize;

/// A runtime, by the name that the download site has for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// `python`, `pip-whl`, `pip-whl-py23`, `node`, `go`, or `common` for buildpacks and their library.
    pub name: &'static str,
    /// Its version, where it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Runtime {
    /// The runtime at a path.
    pub fn of(path: &str) -> Option<Self> {
        let file = path.rsplit('/').next()?;
        let between = |prefix: &str, suffix: &str| {
            file.strip_prefix(prefix)?.strip_suffix(suffix).filter(|version| !version.is_empty())
        };
        let versioned = |name, version: &str| Self { name, version: Some(version.to_owned()) };
        if path.starts_with("/buildpacks/")
            || path.starts_with("/common/")
            || path.contains("/buildpack-stdlib/")
        {
            return Some(Self { name: "common", version: None });
        }
        if path.starts_with("/runtimes/python/") {
            return between("python-", ".tar.gz")
                .map(|version| versioned("python", version))
                .or_else(|| {
                    between("pip-", "-py2.py3-none-any.whl").map(|pip| versioned("pip-whl-py23", pip))
                })
                .or_else(|| between("pip-", "-py3-none-any.whl").map(|pip| versioned("pip-whl", pip)));
        }
        if path.starts_with("/runtimes/nodejs/") {
            return between("node-v", "-linux-x64.tar.gz").map(|version| versioned("node", version));
        }
        if path.starts_with("/runtimes/golang/") {
            return between("go", ".linux-amd64.tar.gz").map(|version| versioned("go", version));
        }
        None
    }

    /// Whether its version is none that a file can have: `14.x`, as a package.json may ask for.
    pub fn is_range(&self) -> bool {
        self.version.as_deref().is_some_and(|version| !version.split('.').all(is_number))
    }

    /// What the download site's index calls it: `node=14.16.1`.
    pub fn item(&self) -> String {
        match &self.version {
            Some(version) => format!("{}={version}", self.name),
            None => self.name.to_owned(),
        }
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{} {version}", self.name),
            None => f.write_str(self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_runtimes_by_their_paths() {
        let items = [
            ("/runtimes/python/heroku-18/runtimes/python-3.10.5.tar.gz", "python=3.10.5"),
            ("/runtimes/python/common/pip-20.3.4-py2.py3-none-any.whl", "pip-whl-py23=20.3.4"),
            ("/runtimes/python/common/pip-22.2.2-py3-none-any.whl", "pip-whl=22.2.2"),
            ("/runtimes/nodejs/node/release/linux-x64/node-v14.16.1-linux-x64.tar.gz", "node=14.16.1"),
            ("/runtimes/golang/go1.19.1.linux-amd64.tar.gz", "go=1.19.1"),
            ("/common/buildpack-stdlib/v7/stdlib.sh", "common"),
            ("/buildpacks/bk-buildpack-go-v168.tar", "common"),
        ];
        for (path, item) in items {
            let runtime = Runtime::of(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(runtime.item(), item);
            assert!(!runtime.is_range(), "{path}");
        }
        assert_eq!(Runtime::of("/runtimes/ruby/ruby-3.tar.gz"), None);
        assert_eq!(Runtime::of("/runtimes/nodejs/node/release/linux-x64/index.json"), None);
        let range = Runtime::of("/runtimes/nodejs/node/release/linux-x64/node-v14.x-linux-x64.tar.gz");
        assert!(range.is_some_and(|runtime| runtime.is_range()));
    }
}
