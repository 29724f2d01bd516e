use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ferry_bundle::{Bundle, Trust};
use ferry_display::counted;
use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_model::failure::ExitCode;
use ferry_model::lock::Lock;
use ferry_model::size::ByteSize;
use serde::Serialize;

use super::Global;
use crate::document::read_lock;
use crate::{Error, assemble};

/// Show what differs between two locks or bundles; exits with 4 if something does
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry-builder diff last-month.ferry.tar.zst bundle.lock")]
pub(super) struct Args {
    /// The one: a lock (`*.lock`) or a bundle.
    old: PathBuf,
    /// The other.
    new: PathBuf,
}

/// What a lock or a bundle holds: entries with their digests, and blobs with their sizes.
pub(super) struct Contents {
    /// Name and version of the bundle.
    title: String,
    entries: BTreeMap<String, Digest>,
    blobs: BTreeMap<Digest, u64>,
}

/// One difference.
#[derive(Debug, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub(super) enum Change {
    Added { name: String, digest: Digest },
    Removed { name: String, digest: Digest },
    Moved { name: String, from: Digest, to: Digest },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { name, digest } => write!(f, "+ {name}  {}", digest.short()),
            Self::Removed { name, digest } => write!(f, "- {name}  {}", digest.short()),
            Self::Moved { name, from, to } => write!(f, "~ {name}  {} -> {}", from.short(), to.short()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Name and version of the one.
    from: String,
    /// Of the other.
    to: String,
    changes: Vec<Change>,
    /// Bytes of blobs that only the new one has.
    new_bytes: u64,
}

pub(super) fn contents_of_lock(lock: &Lock) -> Contents {
    let blobs = lock.blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
    Contents { blobs, ..contents_of_catalog(&assemble::catalog(lock)) }
}

fn contents_of_catalog(catalog: &Catalog) -> Contents {
    let images = catalog.images.iter().map(|image| {
        (
            format!(
                "image {} as {}:{}",
                image.reference,
                image.repository,
                image.tag.as_deref().unwrap_or("")
            ),
            image.digest,
        )
    });
    let charts =
        catalog.charts.iter().map(|chart| (format!("chart {} {}", chart.name, chart.version), chart.archive));
    let files = catalog
        .files
        .iter()
        .map(|file| (format!("{} {}{}", file.kind, place(file.repository.as_ref()), file.path), file.digest));
    let title = format!("{} {}", catalog.name, catalog.version);
    Contents { title, entries: images.chain(charts).chain(files).collect(), blobs: catalog.blob_sizes() }
}

fn place(repository: Option<&String>) -> String {
    repository.map(|repository| format!("{repository}/")).unwrap_or_default()
}

/// What differs, by name.
pub(super) fn changes(old: &Contents, new: &Contents) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, digest) in &old.entries {
        match new.entries.get(name) {
            None => changes.push(Change::Removed { name: name.clone(), digest: *digest }),
            Some(to) if to != digest => {
                changes.push(Change::Moved { name: name.clone(), from: *digest, to: *to });
            }
            Some(_) => {}
        }
    }
    let added = new.entries.iter().filter(|(name, _)| !old.entries.contains_key(*name));
    changes.extend(added.map(|(name, digest)| Change::Added { name: name.clone(), digest: *digest }));
    changes
}

fn read(path: &Path) -> Result<Contents, Error> {
    let extension = path.extension().unwrap_or_default();
    if path.is_file() && (extension == "yaml" || extension == "yml") {
        let hint = format!("name its lock, {}, or a bundle", path.with_extension("lock").display());
        return Err(Error::input(
            format!("{} is a spec, which says nothing of content", path.display()),
            hint,
        ));
    }
    if extension == "lock" {
        let missing =
            || Error::not_found(format!("{} is not there", path.display()), "name a lock or a bundle");
        return Ok(contents_of_lock(&read_lock(path)?.ok_or_else(missing)?));
    }
    Ok(contents_of_catalog(Bundle::open(path, &Trust::default())?.catalog()))
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let new_bytes =
        new.blobs.iter().filter(|(digest, _)| !old.blobs.contains_key(*digest)).map(|(_, size)| size).sum();
    let changes = changes(&old, &new);
    let report = Report { from: old.title, to: new.title, changes, new_bytes };
    let is_renamed = report.from != report.to;
    global.output.print(&report, || {
        let mut text = String::new();
        if is_renamed {
            text.push_str(&format!("~ {} -> {}\n", report.from, report.to));
        }
        text.extend(report.changes.iter().map(|change| format!("{change}\n")));
        let changes = counted(report.changes.len(), "change");
        format!("{text}{changes}; {} of new content", ByteSize(report.new_bytes))
    });
    let is_same = report.changes.is_empty() && !is_renamed;
    Ok(if is_same { ExitCode::Done } else { ExitCode::WouldChange })
}
