use ferry_model::failure::ExitCode;
use ferry_model::report::Outcome;

use super::site::SiteArgs;
use super::{Global, block_on_until_interrupted};
use crate::Error;
use crate::report;
use crate::session::{leave_site, rollback_site};

/// Take back what a run did: its steps in reverse, only those that are its own
///
/// What somebody has changed since, and what cannot be reached, is left as it is, and said; naming the run tries that again. What
/// something that stays needs stays too. Cut off or failed half way, the same command goes on; `--leave` gives that up.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer rollback --site site.yaml\n  ferry-installer rollback 0002 --site site.yaml\n  \
                  ferry-installer rollback 0002 --leave --site site.yaml   # give up the rest"
)]
pub(super) struct Args {
    /// The run, by its number; default: the last one that stands.
    run: Option<String>,
    /// Give up a run that is half taken back: the rest of it stays as it is, and `apply` is no longer refused because of it. Nothing
    /// at the site is asked or changed; report and `status` say what was left.
    #[arg(long)]
    leave: bool,
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let (events, guard) = global.output.renderer();
    let context = args.site.context(None, global, &events)?;
    let name = args.run.as_deref();
    let (done, run) = if args.leave {
        leave_site(&context, name)?
    } else {
        block_on_until_interrupted(rollback_site(&context, name))?
    };
    drop(guard);
    global.output.print(&done, || report::text(&done, &run));
    let is_left = done.with(Outcome::Left).next().is_some();
    Ok(if is_left && !args.leave { ExitCode::Failed } else { ExitCode::Done })
}
