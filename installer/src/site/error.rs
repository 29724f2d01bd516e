//! What can be wrong with a site file.

use std::path::{Path, PathBuf};

use ferry_model::document::DocumentError;
use ferry_model::failure::{Class, Failure};

/// The four bytes that a bundle, and each zstd file, begins with.
const ZSTD: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// What is wrong with a site file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteFileError {
    /// There is none.
    #[error("there is no site file {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It is another kind of file.
    #[error("{} is no site file: it is {is}", path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        is: &'static str,
    },
    /// It says what it must not.
    #[error("{}:{source}", path.display())]
    Document {
        /// The site file.
        path: PathBuf,
        /// Where and what.
        source: Box<DocumentError>,
    },
}

impl SiteFileError {
    /// Of bytes that are no text.
    pub(super) fn binary(path: &Path, bytes: &[u8]) -> Self {
        let is = if bytes.starts_with(&ZSTD) { "a bundle, or another zstd file" } else { "no text" };
        Self::OtherFile { path: path.to_owned(), is }
    }

    /// Of a text that is none.
    pub(super) fn text(path: &Path, text: &str, source: DocumentError) -> Self {
        let path = path.to_owned();
        let kind = text.lines().find_map(|line| line.strip_prefix("kind:"));
        if kind.is_some_and(|kind| kind.split('#').next().unwrap_or_default().trim() == "Bundle") {
            return Self::OtherFile { path, is: "the spec of a bundle (`kind: Bundle`)" };
        }
        Self::Document { path, source: Box::new(source) }
    }
}

impl Failure for SiteFileError {
    fn class(&self) -> Class {
        match self {
            Self::Missing { .. } => Class::Local,
            Self::OtherFile { .. } => Class::Input,
            Self::Document { source, .. } => source.class(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Missing { path } => vec![
                format!("`ferry-installer init BUNDLE -o {}` writes one to start from", path.display()),
                "or name the one that there is: `--site FILE`".into(),
            ],
            Self::OtherFile { .. } => {
                vec!["a site file is YAML with `kind: Site`, as `ferry-installer init` prints one".into()]
            }
            Self::Document { source, .. } => source.hints(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SiteFile;
    use super::*;
    use crate::Error;

    #[test]
    fn what_is_no_site_file_is_told_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.yaml");
        let missing = SiteFile::read(&path).unwrap_err();
        assert!(missing.to_string().starts_with("there is no site file"), "{missing}");
        assert!(missing.hints()[0].contains("init BUNDLE -o"), "{:?}", missing.hints());
        for (bytes, expected) in [
            (&b"\x28\xb5\x2f\xfd\xff"[..], "a bundle"),
            (b"\xff\xfe", "no text"),
            (b"apiVersion: ferry/v1\nkind: Bundle # of ours\nname: a\nversion: 1\n", "the spec of a bundle"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = SiteFile::read(&path).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.class(), Class::Input);
        }
        std::fs::write(&path, "apiVersion: ferry/v1\nkind: Sites\nname: a\n").unwrap();
        let error = SiteFile::read(&path).unwrap_err();
        assert!(matches!(error, Error::SiteFile(SiteFileError::Document { .. })), "{error}");
    }
}
