//! The name and the version of a bundle, which become its file name.

use std::fmt;
use std::str::FromStr;

/// A name of letters, digits, `.`, `_`, `-` and `+`, at most 128 long, starting with a letter or digit; safe as part of
/// a file name on every system that the bundle may cross.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// A text is no [`Name`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a name; use letters, digits, `.`, `_`, `-` and `+`, at most 128, starting with a letter or digit"
)]
pub struct NameError(String);

impl Name {
    pub(crate) const EXPECTING: &'static str = "a name of letters, digits, `.`, `_`, `-` and `+`";
    /// The longest name.
    pub const MAX_LENGTH: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = text.len() <= Self::MAX_LENGTH
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
        if good { Ok(Self(text.to_owned())) } else { Err(NameError(text.chars().take(100).collect())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::serde_as_string!(Name);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_rejects() {
        for good in ["bkce", "7.1.3", "a_b-c+1"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "a/b", "a b", "蓝鲸", &"a".repeat(129)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
