//! Files: from URLs, and from this machine.

use std::path::{Path, PathBuf};

use ferry_model::catalog::{Encoding, FileKind};
use ferry_model::event::Task;
use ferry_model::failure::{Class, Failure as _};
use ferry_model::lock::{BlobSource, LockedFile};
use ferry_model::{Digest, SitePath};
use ferry_transfer::{Expected, Resume, Sink};

use super::entry::{Entry, Local, Remote};
use super::{Found, Request, published, smart};
use crate::Error;

/// The largest checksum file that is read.
const MAX_CHECKSUM: u64 = 256 << 10;
/// Names of files that are compressed already.
const COMPRESSED: [&str; 22] = [
    "gz", "tgz", "bz2", "tbz", "xz", "txz", "zst", "lz4", "zip", "whl", "jar", "war", "rpm", "deb", "apk",
    "7z", "png", "jpg", "jpeg", "mp4", "br", "gem",
];

/// How a file of this name is kept.
pub(super) fn encoding(name: &str) -> Encoding {
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    if COMPRESSED.contains(&ending.as_str()) { Encoding::Stored } else { Encoding::Zstd }
}

/// Counts and hashes, keeps nothing.
struct Discard;

impl Sink for Discard {
    fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn restart(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Digest and size of what a URL holds. With a known digest only the size is asked for; otherwise it is read once to
/// learn both.
pub(super) async fn learn(
    request: &Request<'_>,
    url: &str,
    known: Option<Digest>,
    task: &Task,
) -> Result<(Digest, u64), Error> {
    let known = match known {
        Some(digest) => Some(digest),
        None => published_checksum(request, url).await?,
    };
    let size = match known {
        Some(_) => request.client.probe(url).await?.size,
        None => None,
    };
    match known.zip(size) {
        Some(both) => Ok(both),
        None => {
            let expected = Expected { digest: known, size: None };
            Ok(request.client.fetch_url(url, expected, Resume::default(), &mut Discard, task).await?)
        }
    }
}

/// A file behind a URL. A SaaS package is read in any case: what it says of itself must fit what the spec says.
pub(super) async fn resolve_remote(
    request: &Request<'_>,
    entry: &Entry,
    remote: &Remote,
    task: &Task,
) -> Result<Found, Error> {
    let mut found = Found::default();
    let known = remote.sha256.map(|sha256| sha256.0);
    let (digest, size) = match (remote.kind, &remote.name, &remote.version) {
        (FileKind::Saas, Some(name), Some(version)) => {
            let known = match known {
                Some(digest) => Some(digest),
                None => published_checksum(request, &remote.url).await?,
            };
            let (digest, size, package) = smart::inspect(request, &remote.url, known, task).await?;
            smart::check(&remote.url, name, version, &package)?;
            found.needs_base(name, package.base_image());
            (digest, size)
        }
        _ => learn(request, &remote.url, known, task).await?,
    };
    let name = url::Url::parse(&remote.url).map(|url| url.path().to_owned()).unwrap_or_default();
    found.blob(
        digest,
        size,
        encoding(&name).min(encoding(remote.path.file_name())),
        BlobSource::Url(remote.url.clone()),
    );
    found.files.push(LockedFile {
        kind: remote.kind,
        repository: remote.repository.clone(),
        path: remote.path.clone(),
        origin: entry.origin.clone(),
        entries: vec![entry.fingerprint.clone()],
        required: entry.required,
        name: remote.name.clone(),
        version: remote.version.clone(),
        source: remote.url.clone(),
        digest,
        size,
    });
    Ok(found)
}

/// `URL.sha256`, where the source has one.
async fn published_checksum(request: &Request<'_>, url: &str) -> Result<Option<Digest>, Error> {
    let name = url.rsplit('/').next().unwrap_or_default();
    match request.client.get_small(&format!("{url}.sha256"), MAX_CHECKSUM).await {
        Ok(bytes) => Ok(published::parse_checksum(&String::from_utf8_lossy(&bytes), name)),
        // Not there, not allowed, or a server that answers everything with a page.
        Err(error) if matches!(error.class(), Class::NotFound | Class::Denied | Class::Protocol) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Files of this machine: one, all of a folder, or all that a glob matches.
pub(super) fn resolve_local(
    request: &Request<'_>,
    entry: &Entry,
    local: &Local,
    task: &Task,
) -> Result<Found, Error> {
    let base = request.spec.folder();
    let files = list(base, local)?;
    if files.is_empty() {
        return Err(Error::not_found(
            format!("`{}` matches no file", local.pattern),
            "paths are relative to the spec's folder",
        ));
    }
    if local.sha256.is_some() && files.len() > 1 {
        return Err(Error::input(
            format!("`{}`: one `sha256` for {} files", local.pattern, files.len()),
            "list them one by one",
        ));
    }
    let mut found = Found::default();
    for (path, to) in files {
        let (size, digest) = hash(&path, task)?;
        if let Some(expected) = local.sha256.filter(|expected| expected.0 != digest) {
            let problem = format!("{} has digest {digest}, the spec says {}", path.display(), expected.0);
            return Err(Error::verification(problem, "correct the spec, or get the right file"));
        }
        let shown = path.strip_prefix(base).unwrap_or(&path).to_string_lossy().into_owned();
        found.blob(digest, size, encoding(&shown), BlobSource::Path(shown.clone()));
        found.files.push(LockedFile {
            kind: FileKind::File,
            repository: local.repository.clone(),
            path: to,
            origin: entry.origin.clone(),
            entries: vec![entry.fingerprint.clone()],
            required: entry.required,
            name: None,
            version: None,
            source: shown,
            digest,
            size,
        });
    }
    Ok(found)
}

/// The files with their places at the site, sorted.
fn list(base: &Path, local: &Local) -> Result<Vec<(PathBuf, SitePath)>, Error> {
    let place = |text: String| {
        let error = |error| {
            Error::input(
                format!("`{}` to `{text}`: {error}", local.pattern),
                "`to` is a relative path with `/` between its parts",
            )
        };
        text.parse().map_err(error)
    };
    let folder = local.to.trim_end_matches('/');
    let inside = |relative: &Path| {
        let relative = relative.to_string_lossy();
        if folder.is_empty() || folder == "." {
            relative.into_owned()
        } else {
            format!("{folder}/{relative}")
        }
    };
    let path = base.join(&local.pattern);
    if path.is_dir() {
        return walk(&path)?
            .into_iter()
            .map(|file| {
                let to = place(inside(file.strip_prefix(&path).unwrap_or(&file)))?;
                Ok((file, to))
            })
            .collect();
    }
    if path.is_file() {
        let name = Path::new(path.file_name().unwrap_or_default());
        let to = if local.to.ends_with('/') { inside(name) } else { local.to.clone() };
        return Ok(vec![(path.clone(), place(to)?)]);
    }
    let pattern = path.to_string_lossy();
    let matches = glob::glob(&pattern)
        .map_err(|error| Error::input(format!("`{}`: {error}", local.pattern), "correct the pattern"))?;
    let mut files = Vec::new();
    for found in matches {
        let found = found.map_err(|error| Error::Io {
            action: "reading",
            path: error.path().to_owned(),
            source: error.into(),
        })?;
        let parent = found.parent().unwrap_or(Path::new("")).to_owned();
        let below = if found.is_dir() { walk(&found)? } else { vec![found] };
        for file in below {
            let to = place(inside(file.strip_prefix(&parent).unwrap_or(&file)))?;
            files.push((file, to));
        }
    }
    Ok(files)
}

/// All files below a folder, hidden ones too; links to files count as files.
fn walk(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            let source =
                error.into_io_error().unwrap_or_else(|| std::io::Error::other("links that lead in a circle"));
            Error::Io { action: "reading", path, source }
        })?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

fn hash(path: &Path, task: &Task) -> Result<(u64, Digest), Error> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).map_err(Error::io("opening", path))?;
    let mut hasher = ferry_model::digest::Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("reading", path))?;
        if count == 0 {
            return Ok((size, hasher.finish()));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
        task.advance(count as u64);
    }
}
