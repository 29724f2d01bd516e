use std::path::PathBuf;

use ferry_bundle::{Bundle, SecretKey, Trust};
use ferry_model::failure::{Class, ExitCode};
use ferry_model::lock::Lock;
use ferry_model::size::ByteSize;
use ferry_transfer::Client;

use super::lock::{resolve_spec, transfer_options};
use super::{Global, block_on, contents, keygen};
use crate::Error;
use crate::assemble::{self, Report, build};
use crate::check::subject::{Access, Subject};
use crate::check::{self, Checker, Place, Settings, State};
use crate::document::{SpecFile, read_lock, write_whole};
use crate::resolve::{self, Resolution, Update};

/// Build the bundle: fetch everything that the lock names, into one file
///
/// Without --locked, the spec is locked first. A build that was cut off goes on where it stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-builder build bundle.yaml --key ferry.key\n  ferry-builder build bundle.yaml --locked --volume-size 4GiB -o /mnt/usb/bkce\n  ferry-builder build bundle.yaml --reuse last-month.ferry.tar.zst"
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
    /// Do not look whether every image that the charts name is carried.
    #[arg(long)]
    skip_check: bool,
}

/// The smallest volume: less would be more files than content.
const MIN_VOLUME: u64 = 1 << 20;

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    if let Some(size) = args.volume_size.filter(|size| size.0 < MIN_VOLUME) {
        let problem = format!("volumes of {size} are too small");
        return Err(Error::Entry { problem, hint: Some("use 1MiB or more".into()), class: Class::Usage });
    }
    let spec = SpecFile::read(&args.spec)?;
    let default_name = format!("{}-{}.ferry.tar.zst", spec.spec.name, spec.spec.version);
    let output = args.file.clone().unwrap_or_else(|| PathBuf::from(&default_name));
    assemble::check_place(&output, &default_name)?;
    let key = args.key.as_deref().map(|path| SecretKey::read(path, keygen::password())).transpose()?;
    let reuse =
        args.reuse.iter().map(|path| Bundle::open(path, &Trust::default())).collect::<Result<Vec<_>, _>>()?;
    let transfer = transfer_options(&spec, global);
    let client = Client::new(transfer.clone())?;
    let (events, guard) = global.output.renderer();
    let report = block_on(async {
        let resolution = lock(args, &spec, (&client, &transfer), global, &events).await?;
        if !args.skip_check && !resolution.lock.charts.is_empty() {
            // What is built already holds its charts.
            let built = Bundle::open(&output, &Trust::default()).ok();
            let earlier = reuse.iter().cloned().chain(built).collect();
            let get = Access { client: &client, transfer: &transfer, earlier, events: &events };
            complete(&spec, &resolution.lock, get).await?;
        }
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

/// Fails where charts name images that are not carried, unless the spec says that this is no reason.
async fn complete(spec: &SpecFile, lock: &Lock, access: Access<'_>) -> Result<(), Error> {
    let events = access.events.clone();
    let subject = Subject::of_lock(lock, Some(spec), spec.folder(), access)?;
    let mut checker = Checker::new(Settings::default());
    subject.look_into_charts(&mut checker, &events).await?;
    let report = checker.finish(&subject.holdings, &subject.rules);
    let possible = report.in_state(State::Possible).count();
    if possible > 0 {
        let spec = spec.path.display();
        events.note(format!(
            "charts may need {possible} more images than they do with these values: `ferry-builder check {spec}` lists them"
        ));
    }
    if report.helm.is_none() && !report.charts.is_empty() {
        events.note(
            "helm is not on PATH, so charts were not rendered: images that their templates make up are not seen, \
             and others count that are never used",
        );
    }
    for doubt in doubts(&report) {
        events.warn(doubt);
    }
    if report.complete {
        return Ok(());
    }
    let error = incomplete(spec, &report);
    if !subject.rules.fail {
        events.warn(error.to_string());
        return Ok(());
    }
    Err(error)
}

/// What the check does not know, and passes all the same.
fn doubts(report: &check::Report) -> Vec<String> {
    let does_not = |(chart, failure): (&str, &str)| format!("{chart} does not render: {failure}");
    let mut doubts: Vec<String> = report.unrendered().map(does_not).collect();
    let (malformed, unclear): (Vec<&Place>, Vec<&Place>) =
        report.unclear.iter().partition(|place| place.note.is_some());
    if let Some(first) = unclear.first() {
        let (count, place) = (unclear.len(), first.spot());
        doubts.push(format!(
            "templates say what {count} images are, such as {place}, and nobody rendered them"
        ));
    }
    let notes = malformed.iter().filter_map(|place| Some((place, place.note.as_ref()?)));
    doubts.extend(notes.map(|(place, note)| format!("{}: {note}", place.spot())));
    doubts
}

fn incomplete(spec: &SpecFile, report: &check::Report) -> Error {
    let place = |image: &check::CheckedImage| image.places.first().map(Place::name).unwrap_or_default();
    let missing = report.in_state(State::Missing).map(|image| (image.image.to_string(), place(image)));
    let unread = report.unread.iter().map(|unread| (unread.source.clone(), unread.reason.clone()));
    Error::Incomplete { spec: spec.path.clone(), missing: missing.collect(), unread: unread.collect() }
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
            let problem = format!("{} is not there, and --locked makes none", path.display());
            let hint =
                format!("run `ferry-builder lock {}`, review the lock, and commit it", spec.path.display());
            return Err(Error::not_found(problem, hint));
        };
        let differences = resolve::differences(spec, &lock)?;
        if !differences.is_empty() {
            return Err(Error::OutOfDate { spec: spec.path.clone(), path, differences });
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
        "{names} {head}: {}; {}\nCatalog   {}\n",
        ByteSize(report.size),
        contents(report.images, report.charts, report.files),
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
