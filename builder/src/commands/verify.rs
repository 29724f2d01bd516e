use ferry_bundle::cli::BundleArgs;
use ferry_bundle::verify::verify;
use ferry_model::failure::ExitCode;

use super::Global;
use crate::Error;

/// Check every byte of a bundle against its catalog, and its signature where a key is given
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry-builder verify bundle.ferry.tar.zst --public-key ferry.pub")]
pub(super) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let bundle = args.bundle.open()?;
    let (events, guard) = global.output.renderer();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let verification = verify(&bundle, threads, &events)?;
    drop(guard);
    global.output.print(&verification, || verification.text(&bundle));
    Ok(if verification.is_good() { ExitCode::Done } else { ExitCode::Verification })
}
