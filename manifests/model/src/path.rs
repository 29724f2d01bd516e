//! Where a file lies at the site, below its repository.

use std::fmt;
use std::str::FromStr;

/// A relative path with `/` between its parts, at most 1,024 bytes and 64 parts; none of them empty, `.` or `..`, no
/// back-slash and no control character.
///
/// The limits are those of BlueKing's bkrepo (`PathUtils.kt`), the strictest place that files go to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SitePath(String);

/// Why a text is no [`SitePath`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SitePathError {
    /// Nothing there.
    #[error("an empty path")]
    Empty,
    /// Longer than [`SitePath::MAX_LENGTH`] or deeper than [`SitePath::MAX_DEPTH`].
    #[error("path of {length} bytes and {depth} parts is over the limit of 1024 bytes and 64 parts")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// Its parts.
        depth: usize,
    },
    /// It would leave its repository or be read differently by different systems.
    #[error("path {path:?} is not safe: {reason}")]
    Unsafe {
        /// The path, clipped.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl SitePath {
    pub(crate) const EXPECTING: &'static str = "a relative path with `/` between its parts, without `..`";
    /// The longest path in bytes.
    pub const MAX_LENGTH: usize = 1024;
    /// The most parts in a path.
    pub const MAX_DEPTH: usize = 64;

    /// The text, canonical: no leading, trailing or doubled `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for SitePath {
    type Err = SitePathError;

    fn from_str(text: &str) -> Result<Self, SitePathError> {
        let depth = text.split('/').count();
        if text.is_empty() {
            return Err(SitePathError::Empty);
        }
        if text.len() > Self::MAX_LENGTH || depth > Self::MAX_DEPTH {
            return Err(SitePathError::TooLong { length: text.len(), depth });
        }
        let reason = if text.starts_with('/') {
            Some("it is absolute")
        } else if text.split('/').any(|part| part == "..") {
            Some("it has a `..`")
        } else if text.split('/').any(|part| part.is_empty() || part == ".") {
            Some("it has an empty or `.` part")
        } else if text.contains('\\') {
            Some("it has a back-slash")
        } else if text.contains(char::is_control) {
            Some("it has a control character")
        } else if text.split('/').any(|part| part.trim() != part) {
            Some("a part of it begins or ends with white space")
        } else {
            None
        };
        match reason {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(SitePathError::Unsafe { path: text.chars().take(100).collect(), reason }),
        }
    }
}

impl fmt::Display for SitePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::serde_as_string!(SitePath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts() {
        for good in ["a", "runtimes/nodejs/node-v16.tar.gz", "docs/中文.md", "a b/c"] {
            assert_eq!(good.parse::<SitePath>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn rejects() {
        for bad in ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb", " a", "a /b"] {
            assert!(bad.parse::<SitePath>().is_err(), "{bad:?}");
        }
        assert!("a/".repeat(10_000).parse::<SitePath>().is_err());
        assert!("a".repeat(1025).parse::<SitePath>().is_err());
    }
}
