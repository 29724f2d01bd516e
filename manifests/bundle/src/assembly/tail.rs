//! Finishing a bundle: everything but the blobs, then the final name.

use std::path::{Path, PathBuf};

use ferry_model::Digest;
use ferry_model::catalog::Catalog;

use super::{Finished, PARTIAL, Shared, State, VOLUMES_SUFFIX, with_suffix};
use crate::compress::{FRAME, compress};
use crate::locator::{FORMAT_VERSION, LOCATOR_SIZE, Locator, Place};
use crate::seek_table::{self, FrameSize};
use crate::volumes::{MAX_VOLUMES, numbered};
use crate::{Error, SecretKey, frame, layout, oci_index};

/// Appends members behind the last blob and keeps the sizes of all frames.
struct Tail<'a> {
    shared: &'a Shared,
    end: u64,
    /// Bytes of the last member.
    previous: u64,
    frames: Vec<FrameSize>,
}

impl Tail<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.shared.volumes.write_all_at(self.end, bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn joint(&mut self, joint: &[u8]) -> Result<(), Error> {
        self.frames.push(layout::single_frame_size(joint));
        self.bytes(joint)
    }

    /// A member, compressed.
    fn member(&mut self, name: &str, content: &[u8]) -> Result<Place, Error> {
        let size = content.len() as u64;
        self.joint(&layout::joint(Some(self.previous), name, size))?;
        let offset = self.end;
        for chunk in content.chunks(FRAME) {
            let stored = compress(chunk).map_err(Error::io("compressing for", self.shared.volumes.path()))?;
            let narrow = |length: usize| u32::try_from(length).expect("a frame is small");
            self.frames.push(FrameSize { stored: narrow(stored.len()), content: narrow(chunk.len()) });
            self.bytes(&stored)?;
        }
        self.previous = size;
        Ok(Place { offset, stored_size: self.end - offset, size })
    }
}

/// Writes the joints between blobs. Returns the frames of everything up to the last blob.
fn write_joints(shared: &Shared, state: &State, catalog: &Catalog) -> Result<Vec<FrameSize>, Error> {
    let marker = layout::OCI_LAYOUT_CONTENT;
    let first = layout::joint(None, layout::OCI_LAYOUT, marker.len() as u64);
    let mut frames = vec![layout::single_frame_size(&first)];
    frames.extend(layout::raw_frame_sizes(marker.len() as u64));
    shared.volumes.write_all_at(0, &[first, frame::raw_frames(marker)].concat())?;
    for (index, blob) in catalog.blobs.iter().enumerate() {
        let joint =
            layout::joint(Some(shared.previous_size(index)), &layout::blob_name(&blob.digest), blob.size);
        shared.volumes.write_all_at(blob.offset - joint.len() as u64, &joint)?;
        frames.push(layout::single_frame_size(&joint));
        frames.extend(shared.frames(state, index));
    }
    Ok(frames)
}

pub(super) fn finish(
    mut shared: Shared,
    mut catalog: Catalog,
    key: Option<&SecretKey>,
) -> Result<Finished, Error> {
    let (catalog_digest, file_size) = {
        let state = shared.lock();
        catalog.blobs = shared.placements(&state)?;
        let frames = write_joints(&shared, &state, &catalog)?;
        let previous = shared.previous_size(shared.blobs.len());
        let end = state.lane_offset;
        drop(state);
        write_tail(Tail { shared: &shared, end, previous, frames }, &catalog, key)?
    };
    if let Err(error) = shared.volumes.settle(file_size) {
        // Data that the journal speaks of may never have reached the disk.
        shared.lock().journal.doubt()?;
        return Err(error);
    }
    shared.lock().journal.finishing(shared.volumes.count())?;
    let paths = publish(&shared, catalog_digest)?;
    let state = shared.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    state.journal.remove()?;
    Ok(Finished { paths, file_size, catalog_digest })
}

fn write_tail(
    mut tail: Tail<'_>,
    catalog: &Catalog,
    key: Option<&SecretKey>,
) -> Result<(Digest, u64), Error> {
    tail.member(layout::INDEX, &oci_index(catalog))?;
    let text = serde_json::to_vec(catalog).expect("a catalog has only strings and numbers");
    let catalog_digest = Digest::of(&text);
    let catalog_place = tail.member(layout::CATALOG, &text)?;
    let signature = match key {
        Some(key) => {
            let comment = format!("{} {} {catalog_digest}", catalog.name, catalog.version);
            tail.member(layout::SIGNATURE, key.sign(&text, &comment).as_bytes())?
        }
        None => Place::default(),
    };
    let trailer = layout::trailer(tail.previous);
    tail.joint(&trailer)?;
    // The locator is a frame of no content to whoever reads the seek table.
    tail.frames.push(FrameSize { stored: u32::try_from(LOCATOR_SIZE).expect("about 100"), content: 0 });
    let table = seek_table::encode(&tail.frames);
    let file_size = tail.end + LOCATOR_SIZE + table.len() as u64;
    let locator =
        Locator { version: FORMAT_VERSION, file_size, catalog: catalog_place, signature, catalog_digest };
    tail.bytes(&locator.encode())?;
    tail.bytes(&table)?;
    Ok((catalog_digest, file_size))
}

/// The name without `.partial`.
pub(super) fn final_name(partial: &Path) -> PathBuf {
    let name = partial.as_os_str().to_string_lossy();
    PathBuf::from(name.strip_suffix(PARTIAL).unwrap_or(&name))
}

/// Gives the files their final names. The list of volumes goes first and comes last, so that it never speaks of a mix
/// of old and new; an earlier bundle's further volumes are removed.
fn publish(shared: &Shared, catalog_digest: Digest) -> Result<Vec<PathBuf>, Error> {
    let base = &shared.options.path;
    let list =
        shared.options.volume_size.map(|_| shared.volumes.list(catalog_digest, PARTIAL)).transpose()?;
    let list_path = with_suffix(base, VOLUMES_SUFFIX);
    let mut paths = Vec::new();
    if list.is_some() {
        remove_if_there(&list_path)?;
        (shared.volumes.count()..MAX_VOLUMES)
            .try_for_each(|index| remove_if_there(&numbered(base, index)))?;
    }
    for partial in shared.volumes.paths() {
        let finished = final_name(partial);
        std::fs::rename(partial, &finished).map_err(Error::io("renaming", partial))?;
        paths.push(finished);
    }
    if let Some(list) = list {
        let text = serde_json::to_vec_pretty(&list).expect("a list has only strings and numbers");
        let partial = with_suffix(&list_path, PARTIAL);
        std::fs::write(&partial, text).map_err(Error::io("writing", &partial))?;
        std::fs::rename(&partial, &list_path).map_err(Error::io("renaming", &partial))?;
        paths.push(list_path);
    }
    sync_folder(base);
    Ok(paths)
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Makes the new names last through a crash, where the file system can.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = std::fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}
