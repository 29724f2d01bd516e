//! What only this machine and this bundle's file know, gathered beforehand so that all that follows is pure.

use std::fs;
use std::path::PathBuf;

use ferry_model::{Digest, ImageReference, Platform};

use crate::Error;
use crate::context::Context;
use crate::export::host_platform;

/// What only this machine and this bundle's file know.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// This program's file.
    pub program: PathBuf,
    /// The bundle's file, absolute.
    pub bundle: PathBuf,
    /// Bytes of the bundle's file, all volumes together.
    pub bundle_size: u64,
    /// The platform of this machine, for images that must run on it.
    pub platform: Platform,
    /// The registry's program in the bundle's image of it, where the mode needs that.
    pub registry_program: Option<ImageFile>,
}

/// A file in an image of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// The image.
    pub image: ImageReference,
    /// The file's path in it, absolute.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

impl Facts {
    /// Of this machine, and the bundle and site of `context`.
    #[expect(clippy::unused_async, reason = "a site's registry may have to be asked what it is")]
    pub async fn gather(context: &Context) -> Result<Self, Error> {
        let bundle = context.bundle()?;
        let absolute = |path: PathBuf| fs::canonicalize(&path).map_err(Error::io("reading", path));
        Ok(Self {
            program: absolute(std::env::current_exe().map_err(Error::io("finding", "this program"))?)?,
            bundle: absolute(bundle.path().to_owned())?,
            bundle_size: bundle.file_size(),
            platform: host_platform(),
            registry_program: None,
        })
    }
}
