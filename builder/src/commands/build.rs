use std::path::PathBuf;

use ferry_bundle::{Bundle, SecretKey, Trust};
use ferry_model::failure::{Class, ExitCode};
use ferry_model::size::ByteSize;
use ferry_transfer::Client;

use super::lock::{resolve_spec, transfer_options};
use super::{Global, block_on, keygen};
use crate::Error;
use crate::assemble::{self, Report, build};
use crate::document::{SpecFile, read_lock, write_whole};
use crate::resolve::{self, Resolution, Update};

/// Build the bundle: fetch everything that the lock names, into one file
///
/// Without --locked, the spec is locked first. A build that was cut off goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-builder build bundle.yaml --key ferry.key\n  ferry-builder build bundle.yaml -o /media/usb/bundle.ferry.tar.zst --volume-size 4GiB --locked\n  ferry-builder build bundle.yaml --reuse last-month.ferry.tar.zst"
)]
pub(super) struct Args {
    /// The spec.
    spec: PathBuf,
    /// The bundle. Default: NAME-VERSION.ferry.tar.zst.
    #[arg(long = "output-file", short = 'o', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Fail unless the lock is there and matches the spec; resolve nothing.
    #[arg(long)]
    locked: bool,
    /// Sign with this secret key (minisign). FERRY_KEY_PASSWORD is the password of an encrypted one.
    #[arg(long, value_name = "FILE", env = "FERRY_KEY")]
    key: Option<PathBuf>,
    /// Write volumes of this size, such as 4GiB, instead of one file.
    #[arg(long, value_name = "SIZE")]
    volume_size: Option<ByteSize>,
    /// Take blobs from this earlier bundle instead of downloading them. May be given several times.
    #[arg(long, value_name = "BUNDLE")]
    reuse: Vec<PathBuf>,
}

/// The smallest volume: less would be more files than content.
const MIN_VOLUME: u64 = 1 << 20;

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    if let Some(size) = args.volume_size.filter(|size| size.0 < MIN_VOLUME) {
        let problem = format!("volumes of {size} are too small");
        return Err(Error::Entry { problem, hint: Some("use 1MiB or more".into()), class: Class::Usage });
    }
    let spec = SpecFile::read(&args.spec)?;
    let key = args.key.as_deref().map(|path| SecretKey::read(path, keygen::password())).transpose()?;
    let reuse =
        args.reuse.iter().map(|path| Bundle::open(path, &Trust::default())).collect::<Result<Vec<_>, _>>()?;
    let transfer = transfer_options(&spec, global);
    let client = Client::new(transfer.clone())?;
    let default_name = || PathBuf::from(format!("{}-{}.ferry.tar.zst", spec.spec.name, spec.spec.version));
    let output = args.file.clone().unwrap_or_else(default_name);
    let (events, guard) = global.output.renderer();
    let report = block_on(async {
        let resolution = lock(args, &spec, (&client, &transfer), global, &events).await?;
        let request = assemble::Request {
            lock: resolution.lock,
            kept: resolution.kept,
            folder: spec.folder().to_owned(),
            output,
            volume_size: args.volume_size.map(|size| size.0),
            key,
            reuse,
            client: client.clone(),
            transfer: transfer.clone(),
            jobs: global.network.jobs,
            events: events.clone(),
        };
        build(request).await
    })?;
    drop(guard);
    global.output.print(&report, || text(&report));
    Ok(ExitCode::Done)
}

async fn lock(
    args: &Args,
    spec: &SpecFile,
    client: (&Client, &ferry_transfer::Options),
    global: &Global,
    events: &ferry_model::event::Events,
) -> Result<Resolution, Error> {
    let path = spec.lock_path();
    let previous = read_lock(&path)?;
    if args.locked {
        let Some(lock) = previous else {
            return Err(Error::OutOfDate { path, differences: vec!["there is none".into()] });
        };
        let differences = resolve::differences(spec, &lock)?;
        if !differences.is_empty() {
            return Err(Error::OutOfDate { path, differences });
        }
        return Ok(Resolution { lock, kept: std::collections::HashMap::new() });
    }
    let resolution =
        resolve_spec(spec, previous.as_ref(), Update::Nothing, client, global.network.jobs, events).await?;
    write_whole(&path, &resolution.lock.to_text())?;
    Ok(resolution)
}

fn text(report: &Report) -> String {
    let paths: Vec<String> = report.paths.iter().map(|path| path.display().to_string()).collect();
    let names = match &paths[..] {
        [one] => one.clone(),
        several => format!("{} and {} more", several[0], several.len() - 1),
    };
    let head = if report.up_to_date { "is up to date" } else { "built" };
    let mut text = format!(
        "{names} {head}: {}; {} images, {} charts, {} files\nCatalog   {}\n",
        ByteSize(report.size),
        report.images,
        report.charts,
        report.files,
        report.catalog_digest
    );
    match &report.key_id {
        Some(key_id) => text.push_str(&format!("Signed by {key_id}\n")),
        None => text
            .push_str("Unsigned  give the site the catalog's digest by another way, or build with --key\n"),
    }
    for missing in &report.missing {
        text.push_str(&format!("MISSING   {} {}: {}\n", missing.kind, missing.name, missing.reason));
    }
    text
}
