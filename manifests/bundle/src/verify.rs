//! Checking every byte of a bundle: all blobs by their digests, and all else against what the catalog implies.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferry_model::Digest;
use ferry_model::catalog::{Blob, Catalog, Encoding, Missing};
use ferry_model::event::Events;
use ferry_model::report::Signer;
use serde::Serialize;

use crate::error::COPY_AGAIN;
use crate::locator::{LOCATOR_SIZE, Locator, Place};
use crate::open::read_member;
use crate::read::verified_frames;
use crate::seek_table::{self, FrameSize};
use crate::{Bundle, Error, Volumes, layout, oci_index};

/// What [`verify`] found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Whether every byte is what it must be.
    pub verdict: Verdict,
    /// The digest of its catalog.
    pub catalog_digest: Digest,
    /// Who vouches for it.
    pub signer: Signer,
    /// Whether it has everything that its lock asked for.
    pub complete: bool,
    /// What it was allowed to go without.
    pub missing: Vec<Missing>,
    /// Blobs that were hashed.
    pub blobs: u64,
    /// Their bytes of content.
    pub bytes: u64,
    /// Blobs that are damaged, in the order of the file.
    pub damaged: Vec<DamagedBlob>,
    /// What is wrong between the blobs.
    pub structure: Vec<String>,
    /// The volumes that all this lies in: the ones to copy again.
    pub volumes: Vec<String>,
}

/// Whether every byte of a bundle is what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Good,
    /// No.
    Damaged,
}

/// A damaged blob.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedBlob {
    /// Which.
    pub digest: Digest,
    /// What is wrong with it.
    pub reason: String,
    /// The images, charts and files that need it.
    pub needed_by: Vec<String>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.verdict == Verdict::Good
    }

    /// The result for people.
    #[cfg(feature = "cli")]
    pub fn text(&self, bundle: &Bundle) -> String {
        use ferry_display::{counted, printable};
        use ferry_model::size::ByteSize;

        let mut lines = Vec::new();
        for blob in &self.damaged {
            lines.push(format!("DAMAGED  {}: {}", blob.digest, blob.reason));
            lines.extend(blob.needed_by.iter().map(|owner| format!("         needed by {owner}")));
        }
        lines.extend(self.structure.iter().map(|problem| format!("DAMAGED  {problem}")));
        lines.extend(self.volumes.iter().map(|name| format!("DAMAGED  volume {name}: copy it again")));
        lines.extend(self.missing.iter().map(|missing| {
            format!("MISSING  {} {}: {}", missing.kind, printable(&missing.name), printable(&missing.reason))
        }));
        let (path, size) = (bundle.path().display(), ByteSize(self.bytes));
        let problems = self.damaged.len() + self.structure.len();
        match self.verdict {
            Verdict::Good => {
                let but =
                    if self.complete { "" } else { ", but INCOMPLETE: it was built without what is missing" };
                let blobs = counted(usize::try_from(self.blobs).unwrap_or(usize::MAX), "blob");
                lines.push(format!("{path}: good. {blobs}, {size}, all as their digests say{but}"));
            }
            Verdict::Damaged => {
                lines.push(format!("{path}: {problems} of {} blobs and parts are damaged", self.blobs));
                lines.push(format!("Next       {COPY_AGAIN}"));
            }
        }
        lines.push(format!("Catalog    {}", bundle.catalog_digest()));
        lines.push(format!("Signature  {}", bundle.signature()));
        lines.join("\n")
    }
}

/// Hashes every blob on `threads` threads, largest first, then checks joints, index, locator and seek table. An error is a
/// failure to read at all; damage is in the result.
pub fn verify(bundle: &Bundle, threads: usize, events: &Events) -> Result<Verification, Error> {
    let blobs = &bundle.catalog().blobs;
    let mut order: Vec<&Blob> = blobs.iter().collect();
    order.sort_by_key(|blob| std::cmp::Reverse(blob.size));
    let total = blobs.iter().map(|blob| blob.size).sum();
    events.stage("verify", Some(total), Some(blobs.len() as u64));
    let next = AtomicUsize::new(0);
    let damaged = Mutex::new(Vec::new());
    let fatal = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(blob) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match hash(bundle, blob, events) {
                        Ok(()) => {}
                        Err(error) if is_fatal(&error) => {
                            lock(&fatal).get_or_insert(error);
                            return;
                        }
                        Err(error) => lock(&damaged).push((blob.offset, blob.digest, reason(&error))),
                    }
                }
            });
        }
    });
    if let Some(error) = lock(&fatal).take() {
        return Err(error);
    }
    let mut damaged = std::mem::take(&mut *lock(&damaged));
    damaged.sort();
    let structure =
        check_structure(bundle, &damaged.iter().map(|(_, digest, _)| *digest).collect::<Vec<_>>())?;
    let is_good = damaged.is_empty() && structure.is_empty();
    let volumes = if is_good { Vec::new() } else { bundle.inner.volumes.damaged()? };
    let damaged = damaged.into_iter().map(|(_, digest, reason)| DamagedBlob {
        digest,
        reason,
        needed_by: needed_by(bundle.catalog(), digest),
    });
    let damaged = damaged.collect();
    let catalog = bundle.catalog();
    Ok(Verification {
        verdict: if is_good { Verdict::Good } else { Verdict::Damaged },
        catalog_digest: bundle.catalog_digest(),
        signer: bundle.signature().signer(),
        complete: catalog.is_complete(),
        missing: catalog.missing.clone(),
        blobs: blobs.len() as u64,
        bytes: total,
        damaged,
        structure,
        volumes,
    })
}

/// What is wrong with a blob, whose digest stands before it.
fn reason(error: &Error) -> String {
    match error {
        Error::BlobDigest { actual, .. } => format!("its content has digest {actual}"),
        other => other.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A file that is gone or closed to us ends the run; a medium that cannot be read is damage like any other.
fn is_fatal(error: &Error) -> bool {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    matches!(error, Error::Io { source, .. } if matches!(source.kind(), NotFound | PermissionDenied))
}

fn hash(bundle: &Bundle, blob: &Blob, events: &Events) -> Result<(), Error> {
    let task = events.start(blob.digest.short(), Some(blob.size));
    let result = (|| {
        let mut reader = bundle.reader(&blob.digest)?;
        while let Some(chunk) = reader.next_chunk()? {
            task.advance(chunk.len() as u64);
        }
        Ok(())
    })();
    match &result {
        Ok(()) => task.finish(),
        Err(error) => task.fail(error),
    }
    result
}

/// The images, charts and files that need a blob.
pub fn needed_by(catalog: &Catalog, digest: Digest) -> Vec<String> {
    let images = catalog.images.iter().filter(|image| {
        image.source_index == Some(digest)
            || image
                .all_manifests()
                .any(|manifest| manifest.digest == digest || manifest.blobs.contains(&digest))
    });
    let charts = catalog.charts.iter().filter(|chart| {
        chart.archive == digest
            || chart.provenance == Some(digest)
            || chart.manifest.digest == digest
            || chart.manifest.blobs.contains(&digest)
    });
    let files = catalog.files.iter().filter(|file| file.digest == digest);
    images
        .map(|image| format!("image {}", image.reference))
        .chain(charts.map(|chart| format!("chart {} {}", chart.name, chart.version)))
        .chain(files.map(|file| format!("{} {}", file.kind, file.served_path())))
        .collect()
}

/// Walks the file from its first byte to its last and compares all that is no blob with what it must be.
struct Walk<'a> {
    volumes: &'a Volumes,
    at: u64,
    previous: Option<u64>,
    frames: Vec<FrameSize>,
    problems: Vec<String>,
}

impl Walk<'_> {
    fn expect(&mut self, what: &str, expected: &[u8]) -> Result<(), Error> {
        let mut found = vec![0; expected.len()];
        match self.volumes.read_exact_at(self.at, &mut found) {
            Ok(()) if found == expected => {}
            Ok(()) | Err(Error::Frame { .. }) => {
                self.problems.push(format!("{what} at byte {} is not what it must be", self.at));
            }
            Err(error) => return Err(error),
        }
        self.at += expected.len() as u64;
        Ok(())
    }

    fn joint(&mut self, name: &str, size: u64) -> Result<(), Error> {
        let joint = layout::joint(self.previous, name, size);
        self.frames.push(layout::single_frame_size(&joint));
        self.previous = Some(size);
        self.expect(&format!("the tar header of {name}"), &joint)
    }

    fn content(&mut self, name: &str, place: Place, sizes: Vec<FrameSize>) {
        if place.offset != self.at {
            self.problems.push(format!("{name} lies at byte {} instead of {}", place.offset, self.at));
        }
        self.at = place.offset + place.stored_size;
        self.frames.extend(sizes);
    }

    /// A compressed member: its content, and its frames for the seek table.
    fn member(&mut self, name: &str, place: Place) -> Result<Vec<u8>, Error> {
        self.joint(name, place.size)?;
        let content = read_member(self.volumes, place, u64::MAX, "the size of a member")?;
        let mut sizes = Vec::new();
        let mut frames = crate::read::ZstdFrames::new(place.offset, place.stored_size);
        while let Some(frame) = frames.next(self.volumes)? {
            sizes.push(frame.sizes());
        }
        self.content(name, place, sizes);
        Ok(content)
    }
}

fn check_structure(bundle: &Bundle, damaged: &[Digest]) -> Result<Vec<String>, Error> {
    let inner = &bundle.inner;
    let locator = &inner.locator;
    let mut walk =
        Walk { volumes: &inner.volumes, at: 0, previous: None, frames: Vec::new(), problems: Vec::new() };
    let marker = layout::OCI_LAYOUT_CONTENT;
    walk.joint(layout::OCI_LAYOUT, marker.len() as u64)?;
    walk.expect(layout::OCI_LAYOUT, &crate::frame::raw_frames(marker))?;
    walk.frames.extend(layout::raw_frame_sizes(marker.len() as u64));
    for blob in &bundle.catalog().blobs {
        walk.joint(&layout::blob_name(&blob.digest), blob.size)?;
        let sizes = match blob.encoding {
            Encoding::Stored => layout::raw_frame_sizes(blob.size).collect(),
            _ if damaged.contains(&blob.digest) => Vec::new(),
            _ => verified_frames(bundle, blob)?.0.clone(),
        };
        walk.content(
            &blob.digest.to_string(),
            Place { offset: blob.offset, stored_size: blob.stored_size, size: blob.size },
            sizes,
        );
    }
    let result = check_tail(bundle.catalog(), locator, &mut walk, damaged.is_empty());
    match result {
        Ok(()) => {}
        Err(error) if is_fatal(&error) => return Err(error),
        Err(error) => walk.problems.push(error.to_string()),
    }
    Ok(walk.problems)
}

fn check_tail(
    catalog: &Catalog,
    locator: &Locator,
    walk: &mut Walk<'_>,
    frames_known: bool,
) -> Result<(), Error> {
    let index = oci_index(catalog);
    let offset = walk.at + layout::joint_size(walk.previous);
    let catalog_joint = layout::joint_size(Some(index.len() as u64));
    let stored_size = locator.catalog.offset.saturating_sub(catalog_joint).saturating_sub(offset);
    let place = Place { offset, stored_size, size: index.len() as u64 };
    if walk.member(layout::INDEX, place)? != index {
        walk.problems.push(format!("{} does not match the catalog", layout::INDEX));
    }
    walk.member(layout::CATALOG, locator.catalog)?;
    if locator.signature != Place::default() {
        walk.member(layout::SIGNATURE, locator.signature)?;
    }
    let trailer = layout::trailer(walk.previous.unwrap_or(0));
    walk.frames.push(layout::single_frame_size(&trailer));
    walk.expect("the end of the archive", &trailer)?;
    walk.expect("the locator", &locator.encode())?;
    walk.frames.push(FrameSize { stored: u32::try_from(LOCATOR_SIZE).expect("about 100"), content: 0 });
    if frames_known {
        let table = seek_table::encode(&walk.frames);
        walk.expect("the seek table", &table)?;
        if walk.at != locator.file_size {
            walk.problems.push(format!("the file has {} bytes, its parts {}", locator.file_size, walk.at));
        }
    }
    Ok(())
}
