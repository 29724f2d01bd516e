//! Bundles put together by hand: right in all but the one thing that a test wants wrong, so that no earlier check
//! refuses them first.

use ferry_bundle::locator::{FORMAT_VERSION, LOCATOR_SIZE, Locator, Place};
use ferry_bundle::seek_table::{self, FrameSize};
use ferry_bundle::{frame, layout, oci_index};
use ferry_model::Digest;
use ferry_model::catalog::{Blob, CATALOG_VERSION, Catalog, Encoding};

/// The members of a bundle, and what the locator will say.
#[derive(Clone, Debug)]
pub struct Forgery {
    /// Everything up to the last blob, joints included.
    pub front: Vec<u8>,
    /// The size of the last member in `front`.
    pub last_size: u64,
    /// `index.json`.
    pub index: Vec<u8>,
    /// `bundle.json`.
    pub catalog: Vec<u8>,
    /// `bundle.json.minisig`.
    pub signature: Option<Vec<u8>>,
    /// Changes the locator before it is written.
    pub locator: fn(&mut Locator),
}

impl Forgery {
    /// A bundle without blobs or entries.
    pub fn new() -> Self {
        let marker = layout::OCI_LAYOUT_CONTENT;
        let mut front = layout::joint(None, layout::OCI_LAYOUT, marker.len() as u64);
        front.extend(frame::raw_frames(marker));
        let mut forgery = Self {
            front,
            last_size: marker.len() as u64,
            index: Vec::new(),
            catalog: Vec::new(),
            signature: None,
            locator: |_| {},
        };
        forgery.set_catalog(&empty_catalog());
        forgery
    }

    /// Adds a blob in raw frames, and returns its place.
    pub fn add_stored(&mut self, content: &[u8]) -> Blob {
        let (digest, size) = (Digest::of(content), content.len() as u64);
        self.add_frames(digest, size, Encoding::Stored, &frame::raw_frames(content))
    }

    /// Adds a blob with these bytes for frames, whatever they are.
    pub fn add_frames(&mut self, digest: Digest, size: u64, encoding: Encoding, frames: &[u8]) -> Blob {
        self.front.extend(layout::joint(Some(self.last_size), &layout::blob_name(&digest), size));
        let offset = self.front.len() as u64;
        self.front.extend_from_slice(frames);
        self.last_size = size;
        Blob { digest, size, offset, stored_size: frames.len() as u64, encoding }
    }

    /// Sets the catalog, and the index that it implies.
    pub fn set_catalog(&mut self, catalog: &Catalog) {
        self.index = oci_index(catalog);
        self.catalog = serde_json::to_vec_pretty(catalog).expect("a catalog is JSON");
    }

    /// Takes a good bundle apart.
    ///
    /// # Panics
    /// Where it is not good.
    pub fn take_apart(bundle: &[u8]) -> Self {
        let footer = &bundle[bundle.len() - seek_table::FOOTER as usize..];
        let table = seek_table::size_from_footer(footer).expect("it has a seek table").expect("a sane one");
        let end = bundle.len() - table as usize;
        let locator = Locator::decode(&bundle[end - LOCATOR_SIZE as usize..end]);
        let locator = locator.expect("it has a locator").expect("of our version");
        let member = |place: Place| {
            let (start, length) = (place.offset as usize, place.stored_size as usize);
            zstd::decode_all(&bundle[start..start + length]).expect("a good bundle decompresses")
        };
        let catalog = member(locator.catalog);
        let parsed: Catalog = serde_json::from_slice(&catalog).expect("a good bundle's catalog is JSON");
        let empty = Self::new();
        let (front_end, last_size) =
            parsed.blobs.last().map_or((empty.front.len(), empty.last_size), |blob| {
                ((blob.offset + blob.stored_size) as usize, blob.size)
            });
        Self {
            front: bundle[..front_end].to_vec(),
            last_size,
            index: oci_index(&parsed),
            signature: (locator.signature != Place::default()).then(|| member(locator.signature)),
            catalog,
            locator: |_| {},
        }
    }

    /// The catalog as a value to change; give it back to [`Forgery::change_catalog`].
    pub fn parsed_catalog(&self) -> Catalog {
        serde_json::from_slice(&self.catalog).expect("the catalog is JSON")
    }

    /// Changes the catalog as JSON, so that it may also become what no [`Catalog`] can be.
    pub fn change_catalog(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut value = serde_json::from_slice(&self.catalog).expect("the catalog is JSON");
        change(&mut value);
        self.catalog = serde_json::to_vec_pretty(&value).expect("a value is JSON");
    }

    /// The file.
    pub fn put_together(&self) -> Vec<u8> {
        let mut out = self.front.clone();
        let mut previous = self.last_size;
        let mut member = |out: &mut Vec<u8>, name: &str, content: &[u8]| {
            out.extend(layout::joint(Some(previous), name, content.len() as u64));
            let offset = out.len() as u64;
            for chunk in content.chunks(frame::FRAME_CONTENT as usize) {
                out.extend(zstd::bulk::compress(chunk, 3).expect("compressing memory"));
            }
            previous = content.len() as u64;
            Place { offset, stored_size: out.len() as u64 - offset, size: previous }
        };
        member(&mut out, layout::INDEX, &self.index);
        let catalog = member(&mut out, layout::CATALOG, &self.catalog);
        let signature = match &self.signature {
            Some(signature) => member(&mut out, layout::SIGNATURE, signature),
            None => Place::default(),
        };
        out.extend(layout::trailer(previous));
        let mut frames = frame_sizes(&out);
        frames.push(FrameSize { stored: LOCATOR_SIZE as u32, content: 0 });
        let table = seek_table::encode(&frames);
        let mut locator = Locator {
            version: FORMAT_VERSION,
            file_size: out.len() as u64 + LOCATOR_SIZE + table.len() as u64,
            catalog,
            signature,
            catalog_digest: Digest::of(&self.catalog),
        };
        (self.locator)(&mut locator);
        out.extend(locator.encode());
        out.extend(table);
        out
    }
}

impl Default for Forgery {
    fn default() -> Self {
        Self::new()
    }
}

/// A catalog of nothing.
pub fn empty_catalog() -> Catalog {
    Catalog {
        format_version: CATALOG_VERSION,
        name: "forged".parse().expect("a good name"),
        version: "1".parse().expect("a good name"),
        lock: Digest::of(b""),
        missing: Vec::new(),
        images: Vec::new(),
        charts: Vec::new(),
        files: Vec::new(),
        blobs: Vec::new(),
    }
}

/// The sizes of all frames, as far as they are frames.
fn frame_sizes(mut bytes: &[u8]) -> Vec<FrameSize> {
    let mut sizes = Vec::new();
    while let Ok(stored) = zstd::zstd_safe::find_frame_compressed_size(bytes) {
        let content = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten().unwrap_or(0);
        sizes.push(FrameSize { stored: stored as u32, content: content as u32 });
        bytes = &bytes[stored..];
        if bytes.is_empty() {
            break;
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferry_bundle::{Bundle, Trust, verify::verify};
    use ferry_model::event::Events;

    #[test]
    fn an_honest_forgery_is_a_good_bundle() {
        let mut forgery = Forgery::new();
        let stored = forgery.add_stored(&vec![7; 300_000]);
        let text = b"text ".repeat(1000);
        let frames = zstd::bulk::compress(&text, 3).unwrap();
        let compressed = forgery.add_frames(Digest::of(&text), text.len() as u64, Encoding::Zstd, &frames);
        forgery.set_catalog(&Catalog { blobs: vec![stored, compressed], ..empty_catalog() });
        let bytes = forgery.put_together();
        assert_eq!(Forgery::take_apart(&bytes).put_together(), bytes);

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let bundle = Bundle::open(file.path(), &Trust::default()).unwrap();
        let verification = verify(&bundle, 2, &Events::none()).unwrap();
        assert!(verification.is_good(), "{verification:?}");
    }
}
