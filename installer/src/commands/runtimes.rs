use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use ferry_bundle::Bundle;
use ferry_bundle::cli::TrustArgs;
use ferry_model::event::Events;
use ferry_model::failure::ExitCode;

use super::{Global, block_on};
use crate::Error;
use crate::cluster::{Logs, Target};
use crate::runtimes::Tally;
use crate::site::SiteFile;

/// A line that is longer is no request for a runtime.
const LONGEST_LINE: u64 = 64 << 10;

/// Find the runtimes that builds asked for and did not get
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry-installer runtimes missing --spec > runtimes.yaml")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Missing(MissingArgs),
}

/// List the runtimes that builds asked bkrepo for and did not get
///
/// Reads the access log of bkrepo's generic service: from a file, from standard input, or from its pods. Each runtime is
/// listed with the number of requests and the last of them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer runtimes missing\n  ferry-installer runtimes missing generic.log --bundle bundle.ferry.tar.zst\n  kubectl logs -n blueking deploy/bk-repo-bkrepo-generic generic |\n      ferry-installer runtimes missing - --spec > runtimes.yaml"
)]
struct MissingArgs {
    /// The log; `-` is standard input. Default: that of the pods, through the cluster.
    #[arg(value_name = "LOG")]
    log: Option<PathBuf>,
    /// Print a spec that would bring them.
    #[arg(long)]
    spec: bool,
    /// The download site's release that the spec names: paas3-1.1 for BlueKing 7.1, paas3-1.5 for 7.2.
    #[arg(long, value_name = "RELEASE", default_value = "paas3-1.1")]
    release: String,
    /// Say of each whether this bundle has it.
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// The project of bkrepo that builds fetch from.
    #[arg(long, default_value = "bkpaas")]
    project: String,
    /// The repository in it; `all` for every one.
    #[arg(long, default_value = "bkpaas3-platform-assets")]
    repository: String,
    /// The site file that names the cluster. Default: site.yaml, if there is one; otherwise kubectl's own configuration.
    #[arg(long, value_name = "FILE", env = "FERRY_SITE")]
    site: Option<PathBuf>,
    /// The namespace of the pods.
    #[arg(long, short = 'n', default_value = "blueking")]
    namespace: String,
    /// The Deployment of the pods.
    #[arg(long, default_value = "bk-repo-bkrepo-generic")]
    deployment: String,
    /// The container of the pods.
    #[arg(long, default_value = "generic")]
    container: String,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let Command::Missing(args) = &args.command;
    let open = |path: &PathBuf| args.trust.open(path, &global.output);
    let bundle = args.bundle.as_ref().map(open).transpose()?;
    let repository = (args.repository != "all").then(|| args.repository.clone());
    let mut tally = Tally::new(&args.project, repository);
    match args.log.as_deref() {
        Some(path) if path == Path::new("-") => read(io::stdin().lock(), path, &mut tally)?,
        Some(path) => {
            let file = File::open(path).map_err(Error::io("reading", path))?;
            read(BufReader::new(file), path, &mut tally)?;
        }
        None => {
            let (events, guard) = global.output.renderer();
            block_on(from_pods(args, &mut tally, &events))?;
            drop(guard);
        }
    }
    let missing = tally.missing(bundle.as_ref().map(Bundle::catalog));
    global.output.print(&missing, || if args.spec { missing.spec(&args.release) } else { missing.text() });
    Ok(ExitCode::Done)
}

/// Logs have anybody's bytes in them, and lines of any length.
fn read(mut log: impl BufRead, path: &Path, tally: &mut Tally) -> Result<(), Error> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = io::Read::take(&mut log, LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(Error::io("reading", path))?;
        if count == 0 {
            return Ok(());
        }
        tally.line(&String::from_utf8_lossy(&line));
    }
}

async fn from_pods(args: &MissingArgs, tally: &mut Tally, events: &Events) -> Result<(), Error> {
    let site = SiteFile::read_any(args.site.as_deref())?;
    let target = site.as_ref().map_or_else(Target::default, Target::of);
    let cluster = target.connect().await?;
    let logs = Logs { namespace: &args.namespace, deployment: &args.deployment, container: &args.container };
    for failed in cluster.logs(logs, |line| tally.line(line)).await? {
        events.note(failed.message);
    }
    Ok(())
}
