//! Versions of the documents that cross the gap: a breaking major, a compatible minor.

use std::fmt;
use std::str::FromStr;

/// `MAJOR.MINOR`. A reader refuses a major that it does not know, and reads a newer minor leaving alone what it
/// does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion {
    /// Moves when an old reader would misunderstand the document.
    pub major: u32,
    /// Moves when something is added that an old reader may leave alone.
    pub minor: u32,
}

/// A text is no [`FormatVersion`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a format version; expected `MAJOR.MINOR`")]
pub struct FormatVersionError(String);

impl FormatVersion {
    pub(crate) const EXPECTING: &'static str = "a format version `MAJOR.MINOR`";

    /// Whether a program that knows `known` can read a document of this version.
    pub fn readable_by(self, known: FormatVersion) -> bool {
        self.major == known.major
    }
}

impl FromStr for FormatVersion {
    type Err = FormatVersionError;

    fn from_str(text: &str) -> Result<Self, FormatVersionError> {
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }))
            .ok_or_else(|| FormatVersionError(text.chars().take(100).collect()))
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

crate::serde_as_string!(FormatVersion);
