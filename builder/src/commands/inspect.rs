use ferry_bundle::cli::BundleArgs;
use ferry_display::inspect::{Facts, summarize};
use ferry_model::failure::ExitCode;

use super::Global;
use crate::Error;

/// Show what is in a bundle: reads its table of contents, not its body
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry-builder inspect bundle.ferry.tar.zst --tree")]
pub(super) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Show manifests and layers too.
    #[arg(long)]
    tree: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let bundle = args.bundle.open()?;
    let facts = Facts {
        path: bundle.path().display().to_string(),
        file_size: bundle.file_size(),
        catalog_digest: bundle.catalog_digest(),
        signature: bundle.signature().to_string(),
    };
    let summary = summarize(bundle.catalog(), facts);
    global.output.print(&summary, || summary.text(args.tree));
    Ok(ExitCode::Done)
}
