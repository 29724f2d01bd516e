use std::path::{Path, PathBuf};

use ferry_display::counted;
use ferry_model::event::Events;
use ferry_model::failure::ExitCode;
use ferry_model::lock::Lock;
use ferry_model::size::ByteSize;
use ferry_transfer::{CaFile, Client, Options, RefusedLogins};
use serde::Serialize;

use super::{Global, block_on, contents};
use crate::Error;
use crate::document::{SpecFile, read_lock, write_whole};
use crate::resolve::{self, Resolution, Update, resolve};

/// Resolve a spec: write every digest, size and source into the lock beside it
///
/// What the lock has already stays as it is; new entries are resolved, and those that left the spec are dropped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples: lock what is new; move these and no others; move everything\n  ferry-builder lock bundle.yaml\n  ferry-builder lock bundle.yaml --update registry:2 bkrepo\n  ferry-builder lock bundle.yaml --update"
)]
pub(super) struct Args {
    /// The spec.
    spec: PathBuf,
    /// Resolve these entries anew; without names, all.
    #[arg(long, num_args = 0.., value_name = "NAME")]
    update: Option<Vec<String>>,
    /// Write nothing; exit with 4 if the lock would change.
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    lock: PathBuf,
    changed: bool,
    images: usize,
    charts: usize,
    files: usize,
    blobs: usize,
    size: u64,
    missing: usize,
    changes: Vec<String>,
}

/// The client's options: the command line's, and what the spec says about single hosts.
pub(super) fn transfer_options(spec: &SpecFile, global: &Global) -> Options {
    let mut options = network(global);
    for (host, registry) in &spec.spec.registries {
        if registry.plain_http {
            options.plain_http.push(host.clone());
        }
        if let Some(path) = &registry.ca_file {
            options.ca_files.push(CaFile { host: Some(host.clone()), path: spec.folder().join(path) });
        }
    }
    options
}

/// The command line's options. No password becomes right while a bundle is made.
pub(super) fn network(global: &Global) -> Options {
    Options { refused_logins: RefusedLogins::Final, ..global.network.options() }
}

/// Resolves a spec with the lock that is beside it.
pub(super) async fn resolve_spec(
    spec: &SpecFile,
    previous: Option<&Lock>,
    update: Update,
    (client, transfer): (&Client, &Options),
    jobs: usize,
    events: &Events,
) -> Result<Resolution, Error> {
    let resolution =
        resolve(resolve::Request { spec, previous, update, client, transfer, jobs, events }).await?;
    // A source may claim anything; what is not a possible lock is not written.
    let wrong = |source| Error::Lock { path: spec.lock_path(), source };
    resolution.lock.check().map_err(wrong)?;
    Ok(resolution)
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let spec = SpecFile::read(&args.spec)?;
    let path = spec.lock_path();
    let previous = read_lock(&path)?;
    let update = match &args.update {
        None => Update::Nothing,
        Some(names) if names.is_empty() => Update::All,
        Some(names) => Update::Named(names.clone()),
    };
    let options = transfer_options(&spec, global);
    let client = Client::new(options.clone())?;
    let (events, guard) = global.output.renderer();
    let work =
        resolve_spec(&spec, previous.as_ref(), update, (&client, &options), global.network.jobs, &events);
    let resolution = block_on(work)?;
    drop(guard);
    let lock = resolution.lock;
    let changes = previous.as_ref().map(|previous| {
        super::diff::changes(&super::diff::contents_of_lock(previous), &super::diff::contents_of_lock(&lock))
    });
    let changed =
        if args.check { previous.as_ref() != Some(&lock) } else { write_whole(&path, &lock.to_text())? };
    let report = Report {
        changed,
        images: lock.images.len(),
        charts: lock.charts.len(),
        files: lock.files.len(),
        blobs: lock.blobs.len(),
        size: lock.content_size(),
        missing: lock.missing.len(),
        changes: changes.unwrap_or_default().iter().map(ToString::to_string).collect(),
        lock: path,
    };
    global.output.print(&report, || text(&report, args.check));
    Ok(if args.check && changed { ExitCode::WouldChange } else { ExitCode::Done })
}

fn text(report: &Report, check: bool) -> String {
    let mut text = report.changes.iter().map(|change| format!("{change}\n")).collect::<String>();
    let verb = match (report.changed, check) {
        (false, _) => "is up to date",
        (true, true) => "would change",
        (true, false) => "written",
    };
    text.push_str(&format!(
        "{} {verb}: {}; {} in {}",
        shown(&report.lock),
        contents(report.images, report.charts, report.files),
        ByteSize(report.size),
        counted(report.blobs, "blob")
    ));
    match report.missing {
        0 => {}
        1 => text.push_str("; 1 optional entry is missing"),
        several => text.push_str(&format!("; {several} optional entries are missing")),
    }
    text
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
