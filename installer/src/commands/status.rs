use ferry_model::failure::ExitCode;

use super::site::SiteArgs;
use super::{Global, block_on};
use crate::Error;
use crate::session::status;

/// Tell where the site stands: its runs, and whether what they made is still so
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ferry-installer status --site site.yaml\n\nExit code 1 if something is half done or has changed since."
)]
pub(super) struct Args {
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let (events, guard) = global.output.renderer();
    let context = args.site.context(None, global, &events)?;
    let status = block_on(status(&context))?;
    drop(guard);
    global.output.print(&status, || status.text());
    Ok(if status.is_good() { ExitCode::Done } else { ExitCode::Failed })
}
