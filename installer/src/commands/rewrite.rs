mod live;

use std::io::{BufWriter, ErrorKind, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};

use ferry_bundle::cli::TrustArgs;
use ferry_display::cli::Format;
use ferry_model::failure::ExitCode;

use super::site::SiteArgs;
use super::{Global, block_on};
use crate::Error;
use crate::rewrite::{Output, Resolving, RewriteReport, rewrite_paths, rewrite_stream};

/// Have files name the bundle's images as the site calls them
///
/// Reads Kubernetes YAML, values and templates of helm, charts (.tgz), kustomizations, compose files, Dockerfiles, Marathon's
/// JSON, .env files and lists. Edits only the bytes of references that the bundle has; tells of all others with their places.
/// A document of more than 32 MiB, and an archive of more than 128, is told and not looked at.
/// Without --in-place, --output-folder or --diff it lists what it would edit, and writes nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer rewrite deploy/ --bundle bundle.ferry.tar.zst --site site.yaml\n  ferry-installer rewrite deploy/ values.yaml chart-1.0.0.tgz \\\n      --bundle B --in-place --check\n  helm template chart | ferry-installer rewrite - --bundle B |\n      kubectl apply -f -\n  ferry-installer rewrite --cluster --bundle B --apply\n\nWith --check: 0 all references are right now, 4 some are to be renamed and nothing was written, 1 the bundle lacks some, or the registry does or cannot be asked (--offline does not ask it)."
)]
pub(super) struct Args {
    /// Files, and folders with all below them; `-` reads standard input and writes standard output.
    #[arg(required_unless_present = "cluster", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The bundle: a file, its first volume (.001), or its list of volumes (.volumes.json).
    #[arg(long, value_name = "BUNDLE", env = "FERRY_BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    site: SiteArgs,
    /// Write each file that changes where it lies, whole or not at all.
    #[arg(long, short, conflicts_with_all = ["output_folder", "diff"])]
    in_place: bool,
    /// Write everything below this folder, as `cp -r` would.
    #[arg(long, short, value_name = "FOLDER", conflicts_with = "diff")]
    output_folder: Option<PathBuf>,
    /// Print the changes as a unified diff; all else goes to standard error.
    #[arg(long, short)]
    diff: bool,
    /// Fail if the bundle lacks a reference, or the registry a name.
    #[arg(long)]
    check: bool,
    /// Do not ask the registry whether the names resolve.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    live: live::LiveArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let is_stream = args.paths.iter().any(|path| path == Path::new("-"));
    if is_stream && (args.paths.len() > 1 || args.in_place || args.output_folder.is_some() || args.diff) {
        return Err(Error::Usage {
            problem: "`-` is read and written alone".into(),
            hint: "name files or folders for --in-place, --output-folder or --diff".into(),
        });
    }
    let bundle = args.trust.open(&args.bundle, &global.output)?;
    let (events, guard) = global.output.renderer();
    let context = args.site.context(Some(bundle), global, &events)?;
    if args.live.cluster {
        return live::run(&args.live, &context, guard, global);
    }
    let resolving = if args.offline { Resolving::Offline } else { Resolving::Asked };
    let mut standard_output = stdout().lock();
    let output = match &args.output_folder {
        Some(folder) => Output::Folder(folder.clone()),
        None if args.in_place => Output::InPlace,
        None if args.diff => Output::Diff(&mut standard_output),
        None => Output::Nowhere,
    };
    let report = block_on(async {
        if is_stream {
            let mut out = stdout().lock();
            rewrite_stream(&context, stdin().lock(), &mut out, resolving).await
        } else {
            rewrite_paths(&context, &args.paths, output, resolving).await
        }
    })?;
    drop(guard);
    // Otherwise standard output has the texts.
    let told = if is_stream || args.diff {
        tell(&report, global, stderr().lock())
    } else {
        tell(&report, global, stdout().lock())
    };
    match told {
        // Who closes the pipe early, as `head` does, has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            return Err(Error::io("writing", "the report")(error));
        }
        _ => {}
    }
    Ok(match (args.check, report.problems(), report.is_pending()) {
        _ if report.is_cut_short() => ExitCode::Failed,
        (true, 1.., _) => ExitCode::Failed,
        (true, 0, true) => ExitCode::WouldChange,
        _ => ExitCode::Done,
    })
}

fn tell(report: &RewriteReport, global: &Global, to: impl Write) -> std::io::Result<()> {
    let mut to = BufWriter::new(to);
    match global.output.output {
        Format::Json => {
            serde_json::to_writer_pretty(&mut to, report)?;
            writeln!(to)?;
        }
        Format::Text => report.write(&mut to)?,
    }
    to.flush()
}
