use std::path::PathBuf;

use ferry_bundle::cli::TrustArgs;
use ferry_model::failure::ExitCode;

use super::site::SiteArgs;
use super::{Global, block_on};
use crate::Error;
use crate::live::cluster_status;
use crate::session::status;

/// Tell where the site stands: its runs, and whether what they made is still so; or whether its cluster gets its images
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer status --site site.yaml\n  ferry-installer status --cluster --site site.yaml --bundle bundle.ferry.tar.zst\n\nExit code 1 if something is half done or has changed since; with --cluster, if a pod waits for an image."
)]
pub(super) struct Args {
    #[command(flatten)]
    site: SiteArgs,
    /// Look at the cluster's pods instead, and explain each that waits for an image. Needs the right to list pods; that to list
    /// events and nodes makes it say more.
    #[arg(long)]
    cluster: bool,
    /// The bundle, to tell what is not in it from what is not pushed.
    #[arg(long, value_name = "BUNDLE", requires = "cluster")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let bundle = match &args.bundle {
        Some(path) => Some(args.trust.open(path, &global.output)?),
        None => None,
    };
    let (events, guard) = global.output.renderer();
    let context = args.site.context(bundle, global, &events)?;
    let good = if args.cluster {
        let status = block_on(cluster_status(&context))?;
        drop(guard);
        global.output.print(&status, || status.text());
        status.is_good()
    } else {
        let status = block_on(status(&context))?;
        drop(guard);
        global.output.print(&status, || status.text());
        status.is_good()
    };
    Ok(if good { ExitCode::Done } else { ExitCode::Failed })
}
