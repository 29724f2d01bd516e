//! The flags that name a bundle and what it is checked against, the same on both of Ferry's programs.

use std::path::PathBuf;

use clap::Args;
use ferry_model::Digest;

use crate::{Bundle, Error, PublicKey, Trust};

/// What a bundle is checked against before it is believed.
#[derive(Args, Clone, Debug)]
pub struct TrustArgs {
    /// Accept only a bundle that was signed with this minisign public key file.
    #[arg(long, value_name = "FILE", env = "FERRY_PUBLIC_KEY")]
    pub public_key: Option<PathBuf>,
    /// Accept only a bundle whose catalog has this digest, as `build` printed it.
    #[arg(long, value_name = "SHA256")]
    pub catalog_digest: Option<Digest>,
}

impl TrustArgs {
    /// Reads the key.
    pub fn trust(&self) -> Result<Trust, Error> {
        let public_key = self.public_key.as_deref().map(PublicKey::read).transpose()?;
        Ok(Trust { public_key, catalog_digest: self.catalog_digest })
    }
}

/// One bundle.
#[derive(Args, Clone, Debug)]
pub struct BundleArgs {
    /// The bundle: a file, its first volume (.001), or its list of volumes (.volumes.json).
    pub bundle: PathBuf,
    /// What it is checked against.
    #[command(flatten)]
    pub trust: TrustArgs,
}

impl BundleArgs {
    /// Opens the bundle.
    pub fn open(&self) -> Result<Bundle, Error> {
        Bundle::open(&self.bundle, &self.trust.trust()?)
    }
}
