use ferry_bundle::cli::BundleArgs;
use ferry_model::failure::ExitCode;
use ferry_transfer::{Client, Options, RefusedLogins};

use super::{Global, block_on_until_interrupted};
use crate::Error;
use crate::push::{PushOptions, Target, push};

/// Push the images and charts of a bundle into a registry, straight from the bundle
///
/// Asks first and sends only what is missing; then proves that each tag names the right digest. A push that was cut
/// off goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer push bundle.ferry.tar.zst --registry registry.corp:5000\n  ferry-installer push bundle.ferry.tar.zst --registry harbor.corp/mirror \\\n      --ca-file ca.pem\n\nCredentials are docker's own: `docker login`, or --authfile."
)]
pub(super) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
    /// The registry, and a prefix for all repositories where wanted: HOST[:PORT][/PREFIX].
    #[arg(long, value_name = "REGISTRY", env = "FERRY_REGISTRY")]
    registry: Target,
    /// Push a bundle that says it is incomplete.
    #[arg(long)]
    allow_incomplete: bool,
    /// Ask for each blob, even below tags that are right already.
    #[arg(long)]
    recheck: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let bundle = args.bundle.open(&global.output)?;
    if !args.allow_incomplete
        && let Some(first) = bundle.catalog().missing.first()
    {
        let (path, count) = (bundle.path().to_owned(), bundle.catalog().missing.len());
        return Err(Error::Incomplete { path, count, first: format!("{} {}", first.kind, first.name) });
    }
    // Nothing here gives the registry another password.
    let options = Options { refused_logins: RefusedLogins::Final, ..global.network.options() };
    let client = Client::new(options)?;
    let (events, guard) = global.output.renderer();
    let options = PushOptions { jobs: global.network.jobs, recheck: args.recheck };
    let work = async { Ok(push(&bundle, &client, &args.registry, options, &events).await?) };
    let report = block_on_until_interrupted(work)?;
    drop(guard);
    global.output.print(&report, || report.text() + &files_left(bundle.catalog().files.len()));
    Ok(report.exit_code())
}

/// What a bundle has beside images and charts.
fn files_left(files: usize) -> String {
    let files = match files {
        0 => return String::new(),
        1 => "1 file (runtime, SaaS package or other) is".to_owned(),
        more => format!("{more} files (runtimes, SaaS packages and others) are"),
    };
    format!("{files} not pushed: `serve` offers them at /files/, `apply` uploads them to a bkrepo\n")
}
