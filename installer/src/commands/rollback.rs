use ferry_model::failure::ExitCode;
use ferry_model::report::Outcome;

use super::site::SiteArgs;
use super::{Global, block_on};
use crate::Error;
use crate::report;
use crate::session::rollback_site;

/// Take back what a run did: its steps in reverse, only those that are its own
///
/// What somebody has changed since is left as it is, and said; naming the run tries that again. Cut off anywhere, the same command
/// goes on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer rollback --site site.yaml\n  ferry-installer rollback 0002 --site site.yaml"
)]
pub(super) struct Args {
    /// The run, by its number; default: the last one that stands.
    run: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let (events, guard) = global.output.renderer();
    let context = args.site.context(None, global, &events)?;
    let (done, run) = block_on(rollback_site(&context, args.run.as_deref()))?;
    drop(guard);
    global.output.print(&done, || report::text(&done, &run));
    let is_left = done.with(Outcome::Left).next().is_some();
    Ok(if is_left { ExitCode::Failed } else { ExitCode::Done })
}
