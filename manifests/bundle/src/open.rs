//! Opening a bundle: reads its tail, authenticates the catalog, then parses and checks it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ferry_model::catalog::{Blob, CATALOG_VERSION, Catalog};
use ferry_model::{Digest, FormatVersion};
use serde::Deserialize;

use crate::locator::{LOCATOR_SIZE, Locator, Place};
use crate::read::{BlobReader, Frames};
use crate::volumes::first_volume;
use crate::{Error, PublicKey, SignatureState, Volumes, check, seek_table, signature};

/// The largest catalog that is read: some 500,000 blobs.
const MAX_CATALOG: u64 = 256 << 20;
/// The largest signature that is read; a real one has some 350 bytes.
const MAX_SIGNATURE: u64 = 8 << 10;

/// What a bundle is checked against before it is believed. The default checks that the bundle is in itself right, which
/// protects against damage but not against someone who made another bundle.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The builder's key: the bundle must be signed by it.
    pub public_key: Option<PublicKey>,
    /// The catalog's digest, as `ferry-builder build` printed it.
    pub catalog_digest: Option<Digest>,
}

/// An open bundle. Cheap to clone; all clones share one set of open files.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) volumes: Volumes,
    pub(crate) locator: Locator,
    pub(crate) catalog: Catalog,
    signature: SignatureState,
    index: HashMap<Digest, usize>,
    /// Blobs that this process has hashed and found right, with the frames of compressed ones.
    pub(crate) verified: Mutex<HashMap<Digest, Arc<Frames>>>,
}

impl Bundle {
    /// Opens a file, a first volume or a list of volumes.
    pub fn open(path: &Path, trust: &Trust) -> Result<Self, Error> {
        Self::open_inner(path, trust).map_err(|error| match error {
            // These name the file themselves.
            Error::Io { .. }
            | Error::NotABundle { .. }
            | Error::Truncated { .. }
            | Error::LaterVolume { .. }
            | Error::WrongSize { .. }
            | Error::Volumes { .. } => error,
            other => Error::InBundle { path: path.to_owned(), source: Box::new(other) },
        })
    }

    fn open_inner(path: &Path, trust: &Trust) -> Result<Self, Error> {
        let volumes = Volumes::open(path)?;
        let locator = read_locator(&volumes).map_err(|error| match (error, first_volume(path)) {
            (error @ Error::Io { .. }, _) | (error, None) => error,
            (_, Some(first)) => Error::LaterVolume { path: path.to_owned(), first },
        })?;
        volumes.check_list(locator.catalog_digest)?;
        let catalog = read_member(&volumes, locator.catalog, MAX_CATALOG, "the size of the catalog")?;
        let actual = Digest::of(&catalog);
        let expected = trust.catalog_digest.unwrap_or(locator.catalog_digest);
        if let Some(expected) =
            [expected, locator.catalog_digest].into_iter().find(|expected| *expected != actual)
        {
            return Err(Error::CatalogDigest { expected, actual });
        }
        let signature = read_signature(&volumes, &locator, &catalog, trust.public_key.as_ref())?;
        let catalog = parse(&catalog)?;
        let index = check::check(&catalog, &locator)?;
        let inner = Inner { volumes, locator, catalog, signature, index, verified: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The table of contents.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// The digest of `bundle.json`.
    pub fn catalog_digest(&self) -> Digest {
        self.inner.locator.catalog_digest
    }

    /// Bytes of the bundle, all volumes together.
    pub fn file_size(&self) -> u64 {
        self.inner.locator.file_size
    }

    /// The first file of the bundle.
    pub fn path(&self) -> &Path {
        self.inner.volumes.path()
    }

    /// What is known about its signature.
    pub fn signature(&self) -> &SignatureState {
        &self.inner.signature
    }

    /// Where a blob lies.
    pub fn blob(&self, digest: &Digest) -> Option<&Blob> {
        self.inner.index.get(digest).map(|index| &self.inner.catalog.blobs[*index])
    }

    /// Opens a blob. Its digest is checked before its last chunk is handed on.
    pub fn reader(&self, digest: &Digest) -> Result<BlobReader, Error> {
        let blob = self.blob(digest).ok_or(Error::NoSuchBlob(*digest))?;
        BlobReader::whole(self, blob)
    }

    /// Opens `length` bytes of a blob from `start` on (cut at its end). A part proves nothing about the whole, so the
    /// whole blob is hashed first, unless this process did that before.
    pub fn range(&self, digest: &Digest, start: u64, length: u64) -> Result<BlobReader, Error> {
        let blob = self.blob(digest).ok_or(Error::NoSuchBlob(*digest))?;
        BlobReader::part(self, blob, start, length)
    }

    /// Reads a small blob: a manifest, a config.
    pub fn read_all(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let blob = self.blob(digest).ok_or(Error::NoSuchBlob(*digest))?;
        if blob.size > limit {
            return Err(Error::Limit { what: "the size of a document", value: blob.size, limit });
        }
        let mut reader = BlobReader::whole(self, blob)?;
        let mut content = Vec::with_capacity(usize::try_from(blob.size).unwrap_or(0));
        while let Some(chunk) = reader.next_chunk()? {
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }
}

fn read_locator(volumes: &Volumes) -> Result<Locator, Error> {
    let path = volumes.path();
    let size = volumes.size()?;
    let not_a_bundle = |reason| Error::NotABundle { path: path.to_owned(), reason };
    let cut_off = || {
        let mut magic = [0; 4];
        let zstd = volumes.read_exact_at(0, &mut magic).is_ok() && magic == 0xFD2F_B528_u32.to_le_bytes();
        if zstd {
            Error::Truncated { path: path.to_owned() }
        } else {
            not_a_bundle("it is another kind of file")
        }
    };
    let mut footer = [0; seek_table::FOOTER as usize];
    let footer_at = size.checked_sub(seek_table::FOOTER).ok_or_else(|| not_a_bundle("it is too short"))?;
    volumes.read_exact_at(footer_at, &mut footer)?;
    let table_size = seek_table::size_from_footer(&footer).ok_or_else(cut_off)??;
    let mut locator = [0; LOCATOR_SIZE as usize];
    let at = size.checked_sub(table_size + LOCATOR_SIZE).ok_or_else(cut_off)?;
    volumes.read_exact_at(at, &mut locator)?;
    let locator = Locator::decode(&locator)
        .ok_or_else(|| not_a_bundle("it has no locator; it is another seekable zstd file, or damaged"))??;
    if locator.file_size != size {
        return Err(Error::WrongSize { path: path.to_owned(), expected: locator.file_size, actual: size });
    }
    for place in [locator.catalog, locator.signature] {
        if place.offset.checked_add(place.stored_size).is_none_or(|end| end > at) {
            return Err(Error::Frame {
                offset: place.offset,
                reason: "the locator points out of the file".into(),
            });
        }
    }
    Ok(locator)
}

/// Reads a compressed member, never more than it says it is.
pub(crate) fn read_member(
    volumes: &Volumes,
    place: Place,
    limit: u64,
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    let largest = place.size.max(place.stored_size);
    if largest > limit {
        return Err(Error::Limit { what, value: largest, limit });
    }
    let mut content = Vec::new();
    let mut frames = crate::read::ZstdFrames::new(place.offset, place.stored_size);
    while let Some(frame) = frames.next(volumes)? {
        if content.len() as u64 + frame.content > place.size {
            return Err(Error::Frame {
                offset: frame.offset,
                reason: "there is more content than declared".into(),
            });
        }
        content.extend_from_slice(&frame.decompress()?);
    }
    if content.len() as u64 != place.size {
        return Err(Error::Frame {
            offset: place.offset,
            reason: "there is less content than declared".into(),
        });
    }
    Ok(content)
}

fn read_signature(
    volumes: &Volumes,
    locator: &Locator,
    catalog: &[u8],
    key: Option<&PublicKey>,
) -> Result<SignatureState, Error> {
    if locator.signature == Place::default() {
        return if key.is_some() { Err(Error::Unsigned) } else { Ok(SignatureState::Unsigned) };
    }
    let text = read_member(volumes, locator.signature, MAX_SIGNATURE, "the size of the signature")?;
    let text = String::from_utf8(text).map_err(|_| Error::Signature { reason: "it is no text".into() })?;
    signature::check(catalog, &text, key)
}

/// Parses the catalog. Only when that fails is its header read alone, so that a newer catalog gets a clear answer and
/// a large one is not read twice.
fn parse(text: &[u8]) -> Result<Catalog, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Header {
        format_version: FormatVersion,
    }
    let readable = |found: FormatVersion| {
        if found.readable_by(CATALOG_VERSION) {
            Ok(())
        } else {
            Err(Error::Version { what: "the catalog", found, known: CATALOG_VERSION })
        }
    };
    match serde_json::from_slice::<Catalog>(text) {
        Ok(catalog) => readable(catalog.format_version).map(|()| catalog),
        Err(error) => {
            if let Ok(header) = serde_json::from_slice::<Header>(text) {
                readable(header.format_version)?;
            }
            Err(Error::CatalogForm(error))
        }
    }
}
