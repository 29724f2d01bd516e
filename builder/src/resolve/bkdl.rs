//! What BlueKing's download script would fetch: an item of a release, expanded into files and images.
//!
//! [`index`] reads the release's index and says which packages an item needs, [`place`] where each lies at the site,
//! [`chart_images`] which images the release's charts start. The site has no checksums; each file is read once to learn
//! its own, and twice never, whoever names it.

mod chart_images;
mod index;
mod members;
mod place;

use std::collections::HashMap;
use std::sync::Arc;

use ferry_model::Digest;
use ferry_model::catalog::{Encoding, FileKind};
use ferry_model::event::Task;
use ferry_model::failure::{Class, Failure as _};
use ferry_model::lock::{BlobSource, LockedFile, LockedIndex, MissingEntry};
use ferry_model::spec::{Bkdl, BkdlItem, ImageEntry, ImageSource, Platforms};
use ferry_transfer::Expected;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{Mutex, OnceCell};

use super::entry::{Entry, ImageWanted, absolute, url_file_name};
use super::{Found, Request, files, images, may_be_missing, smart};
use crate::{Error, Failed};
use index::{Package, Release};
use place::{Carried, Place};

/// The largest index that is read.
const MAX_INDEX: u64 = 8 << 20;
/// Packages or images of one item at once; hosts have their own limits.
const AT_ONCE: usize = 16;
/// The package that lists images.
const CHART_IMAGES: &str = "chart-images";

/// One item of a source.
#[derive(Debug)]
pub(crate) struct BkdlWanted {
    pub(crate) source: Bkdl,
    pub(crate) what: BkdlWhat,
    /// Fingerprints of all items of the source: they are to be of one release.
    pub(crate) together: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum BkdlWhat {
    Item(BkdlItem),
    ChartImages { platforms: Platforms, attachments: bool },
}

/// Something that is fetched once and asked for by many.
type Once<T> = Mutex<HashMap<String, Arc<OnceCell<Arc<T>>>>>;

/// What the items of a spec share.
#[derive(Default)]
pub(super) struct Shared {
    indexes: Once<Index>,
    files: Once<Looked>,
}

/// A release's index and where it came from.
struct Index {
    url: String,
    version: String,
    digest: Digest,
    release: Release,
}

/// What a file turned out to be.
enum Looked {
    Whole { digest: Digest, size: u64, saas: Option<ferry_bundle::smart::Package> },
    Members(Vec<members::Member>),
}

async fn once<T>(
    shared: &Once<T>,
    key: String,
    make: impl AsyncFnOnce() -> Result<T, Error>,
) -> Result<Arc<T>, Error> {
    let cell = Arc::clone(shared.lock().await.entry(key).or_default());
    cell.get_or_try_init(|| async { make().await.map(Arc::new) }).await.cloned()
}

pub(super) async fn resolve(
    request: &Request<'_>,
    shared: &Shared,
    entry: &Entry,
    wanted: &BkdlWanted,
    task: &Task,
) -> Result<Found, Error> {
    let version = release(request, wanted).await?;
    let url = format!("{}{}/{version}.txt", wanted.source.base, wanted.source.channel);
    let index =
        once(&shared.indexes, url.clone(), async || read_index(request, wanted, url, version).await).await?;
    let mut found = match &wanted.what {
        BkdlWhat::Item(item) => files(request, shared, &index, entry, wanted, item, task).await?,
        BkdlWhat::ChartImages { platforms, attachments } => {
            let chosen = (platforms, *attachments);
            chart_images(request, &index, entry, wanted, chosen, task).await?
        }
    };
    found.indexes.push(LockedIndex {
        source: index.url.clone(),
        release: index.version.clone(),
        digest: index.digest,
        entries: vec![entry.fingerprint.clone()],
    });
    Ok(found)
}

/// The release that is meant. `latest` is what it was when other items of the source were locked, until they move.
async fn release(request: &Request<'_>, wanted: &BkdlWanted) -> Result<String, Error> {
    let source = &wanted.source;
    if source.release != Bkdl::LATEST {
        return Ok(source.release.clone());
    }
    let folder = format!("{}{}/", source.base, source.channel);
    let locked = request.previous.filter(|_| request.update == super::Update::Nothing).and_then(|lock| {
        let of_source = |index: &&LockedIndex| {
            index.source.starts_with(&folder)
                && index.entries.iter().any(|entry| wanted.together.contains(entry))
        };
        lock.indexes.iter().rfind(of_source)
    });
    if let Some(index) = locked {
        return Ok(index.release.clone());
    }
    let (url, releases) = list(request, source).await?;
    releases.last().cloned().ok_or_else(|| {
        Error::not_found(
            format!("{url} lists no release"),
            "name one with `release:`; check `base` and `channel`",
        )
    })
}

async fn list(request: &Request<'_>, source: &Bkdl) -> Result<(String, Vec<String>), Error> {
    let url = format!("{}{}/list.txt", source.base, source.channel);
    let bytes = request.client.get_small(&url, MAX_INDEX).await?;
    let text = String::from_utf8_lossy(&bytes);
    let releases: Vec<&str> = index::parse_list(&text);
    if let Some(odd) =
        releases.iter().find(|release| release.contains(|c: char| c.is_whitespace() || "/<>".contains(c)))
    {
        let problem =
            format!("{url} is no list of releases: it has `{}`", odd.chars().take(60).collect::<String>());
        return Err(Error::input(problem, "check `base` and `channel`"));
    }
    Ok((url, releases.into_iter().map(str::to_owned).collect()))
}

async fn read_index(
    request: &Request<'_>,
    wanted: &BkdlWanted,
    url: String,
    version: String,
) -> Result<Index, Error> {
    let bytes = match request.client.get_small(&url, MAX_INDEX).await {
        // A bucket that may not be listed answers 403 for what is not there.
        Err(error) if matches!(error.class(), Class::NotFound | Class::Denied) => {
            let Ok((list, known)) = list(request, &wanted.source).await else { return Err(error.into()) };
            let newest: Vec<&str> = known.iter().rev().take(12).map(String::as_str).collect();
            return Err(Error::Entry {
                problem: format!("{url}: the channel has no release `{version}` ({error})"),
                hint: Some(format!("{list} has, the latest first: {}", newest.join(", "))),
                class: error.class(),
            });
        }
        other => other?,
    };
    let release = Release::parse(&String::from_utf8_lossy(&bytes));
    if release.is_empty() {
        return Err(Error::input(
            format!("{url} is no index: not one line has 3 or 7 columns"),
            "look at what the URL really gives, and check `base` and `channel`",
        ));
    }
    for oddity in release.oddities() {
        request.events.note(format!("{url}: {oddity}"));
    }
    Ok(Index { digest: Digest::of(&bytes), url, version, release })
}

impl Index {
    fn select(&self, request: &Request<'_>, item: &BkdlItem) -> Result<Vec<Package>, Error> {
        let selection = self.release.select(item).map_err(|unusable| {
            let place = if unusable.line == 0 { String::new() } else { format!(":{}", unusable.line) };
            let class = if unusable.is_unknown { Class::NotFound } else { Class::Input };
            let problem = format!("{}{place}: {}", self.url, unusable.problem);
            Error::Entry { problem, hint: Some(unusable.remedy), class }
        })?;
        for warning in selection.warnings {
            request.events.warn(format!("{}: {warning}", self.url));
        }
        Ok(selection.packages)
    }

    /// A package whose line makes no sense.
    fn wrong(&self, package: &Package, problem: &str) -> Error {
        Error::input(
            format!("{}:{}: `{}`: {problem}", self.url, package.line, package.name),
            "leave the item out, and carry what it stands for with an entry of your own under `files` or `runtimes`",
        )
    }

    /// A package's URL: relative to the site unless it begins with `http`, as in the script.
    fn url(&self, source: &Bkdl, package: &Package) -> Result<String, Error> {
        let full = if package.url.starts_with("http") {
            package.url.clone()
        } else {
            format!("{}{}", source.base, package.url.trim_start_matches('/'))
        };
        absolute(None, &full).map_err(|error| self.wrong(package, &error.to_string()))
    }
}

/// All packages that an item needs, each as one or more files.
async fn files(
    request: &Request<'_>,
    shared: &Shared,
    index: &Index,
    entry: &Entry,
    wanted: &BkdlWanted,
    item: &BkdlItem,
    task: &Task,
) -> Result<Found, Error> {
    let packages = index.select(request, item)?;
    if packages.is_empty() {
        let problem = format!("{}: `{item}` stands for no package", index.url);
        return Err(Error::input(problem, "leave it out"));
    }
    let results = stream::iter(packages)
        .map(|package| async move {
            let result = one_package(request, shared, index, entry, &wanted.source, &package, task).await;
            (format!("{} {}", package.name, package.version), result)
        })
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    together(request, entry, "file", results)
}

/// Puts results together; what an optional source lacks is noted one by one.
fn together(
    request: &Request<'_>,
    entry: &Entry,
    kind: &str,
    results: Vec<(String, Result<Found, Error>)>,
) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut failures = Vec::new();
    for (name, result) in results {
        match result {
            Ok(one) => found.add(one),
            Err(error) if !entry.required && may_be_missing(error.class()) => {
                request.events.warn(format!("{}: {name} is left out: {error}", entry.origin));
                let (origin, fingerprint) = (entry.origin.clone(), entry.fingerprint.clone());
                let reason = error.to_string();
                found.missing.push(MissingEntry {
                    origin,
                    entry: fingerprint,
                    kind: kind.to_owned(),
                    name,
                    reason,
                });
            }
            Err(error) => failures.push(Failed { name, error: Box::new(error) }),
        }
    }
    Error::collect(failures)?;
    Ok(found)
}

async fn one_package(
    request: &Request<'_>,
    shared: &Shared,
    index: &Index,
    entry: &Entry,
    source: &Bkdl,
    package: &Package,
    task: &Task,
) -> Result<Found, Error> {
    let url = index.url(source, package)?;
    let wrong = |problem: String| index.wrong(package, &problem);
    let file_name = url_file_name(&url).ok_or_else(|| wrong(format!("`{url}` has no file name")))?;
    let has_below = |folder: &str| index.release.has_below(folder);
    let place = place::place(package, &file_name, &source.channel, has_below).map_err(wrong)?;
    let look = async || look(request, &url, &place, task).await;
    let looked = once(&shared.files, format!("{url} {place:?}"), look).await?;
    let mut found = Found::default();
    let locked = |carried: &Carried, digest, size| LockedFile {
        kind: carried.kind,
        repository: carried.repository.clone(),
        path: carried.path.clone(),
        origin: entry.origin.clone(),
        entries: vec![entry.fingerprint.clone()],
        required: entry.required,
        name: Some(package.name.clone()),
        version: Some(package.version.clone()),
        source: url.clone(),
        digest,
        size,
    };
    match (&place, &*looked) {
        (Place::Whole(carried), Looked::Whole { digest, size, saas }) => {
            let encoding = files::encoding(&file_name).min(files::encoding(carried.path.file_name()));
            found.blob(*digest, *size, encoding, BlobSource::Url(url.clone()));
            let mut file = locked(carried, *digest, *size);
            if let Some(described) = saas {
                file.name = Some(described.app_code.clone());
                file.version = Some(described.version.clone());
                found.needs_base(&described.app_code, described.base_image());
            }
            found.files.push(file);
        }
        (Place::Members(_), Looked::Members(members)) => {
            for member in members {
                // Compressed in any case: such blobs lie in the archive's order, which is read but once.
                let archive = format!("url:{url}");
                let source = BlobSource::Member { archive, member: member.name.clone() };
                found.blob_in_order(member.digest, member.size, Encoding::Zstd, source, member.order);
                found.files.push(locked(&member.carried, member.digest, member.size));
            }
        }
        _ => return Err(wrong("it was looked at in two ways".into())),
    }
    Ok(found)
}

async fn look(request: &Request<'_>, url: &str, place: &Place, task: &Task) -> Result<Looked, Error> {
    match place {
        Place::Members(unpacking) => {
            members::list(request.client, url, unpacking.clone(), task).await.map(Looked::Members)
        }
        Place::Whole(carried) if carried.kind == FileKind::Saas => {
            let (digest, size, package) = smart::inspect(request, url, None, task).await?;
            Ok(Looked::Whole { digest, size, saas: Some(package) })
        }
        Place::Whole(_) => {
            let (digest, size) = files::learn(request, url, None, task).await?;
            Ok(Looked::Whole { digest, size, saas: None })
        }
    }
}

/// The images that the release's charts start.
async fn chart_images(
    request: &Request<'_>,
    index: &Index,
    entry: &Entry,
    wanted: &BkdlWanted,
    (platforms, attachments): (&Platforms, bool),
    task: &Task,
) -> Result<Found, Error> {
    let item = BkdlItem { name: CHART_IMAGES.into(), version: None };
    let packages = index.select(request, &item)?;
    let package = packages.iter().find(|package| package.name == CHART_IMAGES).ok_or_else(|| {
        Error::not_found(format!("{}: `{CHART_IMAGES}` is no package", index.url), "leave `chartImages` out")
    })?;
    let url = index.url(&wanted.source, package)?;
    let text = members::read_text(request.client, &url, task).await?;
    let images = chart_images::parse(&text, &wanted.source.registry).map_err(|wrong| {
        let remedy = "tell whoever keeps the download site; meanwhile list the images under `images`";
        Error::input(format!("{url}: {}", wrong.join("; ")), remedy)
    })?;
    if images.is_empty() {
        return Err(Error::input(format!("{url} names no image"), "look at what the URL really gives"));
    }
    let results = stream::iter(images)
        .map(|reference| async move {
            let name = reference.to_string();
            let image = ImageWanted {
                entry: ImageEntry {
                    source: ImageSource::Registry(reference),
                    site_name: None,
                    platforms: None,
                    attachments: None,
                    required: entry.required,
                },
                platforms: platforms.clone(),
                attachments,
            };
            (name, Box::pin(images::resolve(request, entry, &image, task)).await)
        })
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    together(request, entry, "image", results)
}

/// What is asked of a whole file: nothing, when it is only to be hashed.
pub(super) const UNKNOWN: Expected = Expected { digest: None, size: None };
