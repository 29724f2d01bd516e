//! The site file, and what it names: paths relative to it, secrets, whom to trust.

mod error;
mod secrets;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ferry_model::Digest;
use ferry_model::site::{Site, Tls};
use ferry_transfer::{CaFile, Options};

pub use error::SiteFileError;
pub use secrets::{Secret, Secrets};

use crate::Error;

/// A site file that was read.
#[derive(Clone, Debug)]
pub struct SiteFile {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// What it says.
    pub site: Site,
    /// The digest of its text.
    pub digest: Digest,
}

impl SiteFile {
    /// Where it lies where nobody says.
    pub const DEFAULT: &str = "site.yaml";

    /// Reads and checks a site file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SiteFileError::Missing { path: path.to_owned() }.into());
            }
            other => other.map_err(Error::io("reading", path))?,
        };
        let text = String::from_utf8(bytes).map_err(|error| SiteFileError::binary(path, error.as_bytes()))?;
        let site = Site::parse(&text).map_err(|source| SiteFileError::text(path, &text, source))?;
        let path = fs::canonicalize(path).map_err(Error::io("reading", path))?;
        Ok(Self { path, site, digest: Site::digest(&text) })
    }

    /// Reads the one that is named; where none is, [`SiteFile::DEFAULT`] if it is there.
    pub fn read_any(named: Option<&Path>) -> Result<Option<Self>, Error> {
        let default = || Some(Path::new(Self::DEFAULT)).filter(|path| path.exists());
        named.or_else(default).map(Self::read).transpose()
    }

    /// The folder that its relative paths begin at.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// A path of the file, absolute.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.folder().join(path)
    }

    /// Where runs, journals and reports are kept: `site.ferry` beside `site.yaml`.
    pub fn state_folder(&self) -> PathBuf {
        self.path.with_extension("ferry")
    }

    /// The authority that clients of the registry must trust, where it is not one of the system's. The file may not be there
    /// yet.
    pub fn authority(&self) -> Option<PathBuf> {
        let registry = self.site.registry.as_ref()?;
        match &registry.tls {
            Tls::Generated => Some(self.absolute(&registry.folder).join("tls/ca.crt")),
            Tls::Given { authority, .. } => authority.as_deref().map(|path| self.absolute(path)),
            Tls::System | Tls::PlainHttp => None,
        }
    }

    /// `options` with what the site says about its registry: plain HTTP, its authority.
    pub fn network(&self, mut options: Options) -> Options {
        let Some(registry) = &self.site.registry else { return options };
        if registry.tls == Tls::PlainHttp {
            options.plain_http.push(registry.address.to_string());
        }
        if let Some(path) = self.authority().filter(|path| path.exists()) {
            let host = match registry.address.host().ip() {
                Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
                _ => registry.address.host().to_string(),
            };
            options.ca_files.push(CaFile { host: Some(host), path });
        }
        options
    }
}
