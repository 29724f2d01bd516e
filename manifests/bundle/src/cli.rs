//! The flags that name a bundle and what it is checked against, and the commands that only look at one: the same on
//! both of Ferry's programs.

use std::path::{Path, PathBuf};

use clap::Args;
use ferry_display::cli::OutputArgs;
use ferry_display::inspect::{Facts, summarize};
use ferry_model::Digest;
use ferry_model::digest::DigestError;
use ferry_model::failure::ExitCode;

use crate::verify::verify;
use crate::{Bundle, Error, PublicKey, SignatureState, Trust};

/// What a bundle is checked against before it is believed.
#[derive(Args, Clone, Debug)]
pub struct TrustArgs {
    /// Accept only a bundle that was signed with this minisign public key file.
    #[arg(long, value_name = "FILE", env = "FERRY_PUBLIC_KEY")]
    pub public_key: Option<PathBuf>,
    /// Accept only a bundle whose catalog has this digest, as `build` printed it.
    #[arg(long, value_name = "SHA256", value_parser = digest)]
    pub catalog_digest: Option<Digest>,
}

/// A digest as `build` printed it, or its 64 digits alone.
fn digest(text: &str) -> Result<Digest, DigestError> {
    if text.contains(':') { text.parse() } else { Digest::from_hex(text) }
}

impl TrustArgs {
    /// Reads the key.
    pub fn trust(&self) -> Result<Trust, Error> {
        let public_key = self.public_key.as_deref().map(PublicKey::read).transpose()?;
        Ok(Trust { public_key, catalog_digest: self.catalog_digest })
    }

    /// Opens a bundle, and notes where it has a signature that nothing was given to check.
    pub fn open(&self, path: &Path, output: &OutputArgs) -> Result<Bundle, Error> {
        let bundle = Bundle::open(path, &self.trust()?)?;
        if let SignatureState::Unchecked { key_id } = bundle.signature()
            && self.catalog_digest.is_none()
        {
            let path = path.display();
            output.note(format!("{path} is signed by key {key_id}, not checked: give --public-key"));
        }
        Ok(bundle)
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
    /// Opens the bundle, and notes where it has a signature that nothing was given to check.
    pub fn open(&self, output: &OutputArgs) -> Result<Bundle, Error> {
        self.trust.open(&self.bundle, output)
    }

    /// Opens the bundle for one who tells of its signature anyway.
    fn open_silently(&self) -> Result<Bundle, Error> {
        Bundle::open(&self.bundle, &self.trust.trust()?)
    }
}

/// Show what is in a bundle: reads its table of contents, not its body
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Show manifests and layers too.
    #[arg(long)]
    tree: bool,
}

impl InspectArgs {
    /// Prints what is inside.
    pub fn run(&self, output: &OutputArgs) -> Result<ExitCode, Error> {
        let bundle = self.bundle.open_silently()?;
        let facts = Facts {
            path: bundle.path().display().to_string(),
            file_size: bundle.file_size(),
            catalog_digest: bundle.catalog_digest(),
            signature: bundle.signature().to_string(),
            signer: bundle.signature().signer(),
        };
        let summary = summarize(bundle.catalog(), facts);
        output.print(&summary, || summary.text(self.tree));
        Ok(ExitCode::Done)
    }
}

/// Check every byte of a bundle against its catalog, and its signature where a key is given
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    bundle: BundleArgs,
}

impl VerifyArgs {
    /// Hashes everything and prints what was found.
    pub fn run(&self, output: &OutputArgs) -> Result<ExitCode, Error> {
        let bundle = self.bundle.open_silently()?;
        let (events, guard) = output.renderer();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let verification = verify(&bundle, threads, &events)?;
        drop(guard);
        output.print(&verification, || verification.text(&bundle));
        Ok(if verification.is_good() { ExitCode::Done } else { ExitCode::Verification })
    }
}
