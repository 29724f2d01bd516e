//! What the fuzz targets in `tests/fuzz` do with an input. An ordinary test runs the same code over the inputs that
//! once failed, and over mutations of good ones.
//!
//! This file and `forge` are compiled into the fuzz targets as well, so they use nothing else of this crate.

use std::io::Write as _;
use std::path::Path;

use ferry_bundle::{Bundle, PublicKey, Trust, verify::verify};
use ferry_model::catalog::{Catalog, Encoding};
use ferry_model::event::Events;
use ferry_model::lock::Lock;
use ferry_model::size::ByteSize;
use ferry_model::spec::Spec;
use ferry_model::{Digest, FormatVersion, ImageReference, Name, Platform, SitePath};

use crate::forge::{Forgery, empty_catalog};

/// A parser of foreign bytes, by its target's name.
pub type Target = fn(&[u8]);

/// All targets.
pub const TARGETS: [(&str, Target); 4] =
    [("bundle", bundle), ("lock", lock), ("reference", reference), ("spec", spec)];

/// Blobs larger than this are not read back.
const LARGEST_READ: u64 = 1 << 20;
/// A key whose secret half nobody has.
const PUBLIC_KEY: &str = "RWSw+VXMw/KmFm8qu52MMhoG+RZoJJ3AmCcW4C72H/r64IQkgZkG0BGM";

/// A text's parsers never panic, and what they accept they print and read again as the same.
pub fn reference(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    round_trip::<ImageReference>(text);
    round_trip::<Digest>(text);
    round_trip::<SitePath>(text);
    round_trip::<Platform>(text);
    round_trip::<Name>(text);
    round_trip::<FormatVersion>(text);
    let _ = text.parse::<ByteSize>();
    let _ = text.parse::<ferry_model::spec::ImageSource>();
}

fn round_trip<T>(text: &str)
where
    T: std::str::FromStr + std::fmt::Display + std::fmt::Debug + PartialEq,
    T::Err: std::fmt::Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            let again = printed.parse::<T>().ok();
            assert_eq!(again.as_ref(), Some(&value), "{text:?} became {printed:?}");
        }
        // Errors quote foreign text; they must stay short.
        Err(error) => assert!(error.to_string().len() < 2000),
    }
}

/// A spec is read or refused, with a place and a message.
pub fn spec(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(error) = Spec::parse(text) {
        assert!(!error.message.is_empty());
    }
}

/// A lock that is accepted says the same when it is written and read again.
pub fn lock(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(lock) = Lock::parse(text) {
        let again = Lock::parse(&lock.to_text()).expect("what was written can be read");
        assert_eq!(again, lock);
    }
}

/// A bundle is read or refused. The first byte says what the rest is: a whole file, or in an otherwise good bundle its
/// catalog, the frames of its one blob, or its signature, so that the fuzzer need not guess digests to get past the
/// first checks.
pub fn bundle(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    let bytes = match kind % 4 {
        0 => rest.to_vec(),
        1 => {
            let mut forgery = Forgery::new();
            forgery.catalog = rest.to_vec();
            forgery.put_together()
        }
        2 => with_frames(rest),
        _ => {
            let mut forgery = Forgery::new();
            forgery.signature = Some(rest.to_vec());
            forgery.put_together()
        }
    };
    read_everything(&bytes);
}

/// A bundle of one compressed blob: its size in four bytes, then its frames.
fn with_frames(input: &[u8]) -> Vec<u8> {
    let mut forgery = Forgery::new();
    let (size, frames) = input.split_at(input.len().min(4));
    let size = size.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
    // The frames say what the digest is, if they say anything.
    let content = zstd::bulk::decompress(frames, LARGEST_READ as usize).unwrap_or_default();
    let blob = forgery.add_frames(Digest::of(&content), size, Encoding::Zstd, frames);
    forgery.set_catalog(&Catalog { blobs: vec![blob], ..empty_catalog() });
    forgery.put_together()
}

/// Opens the file, reads each blob whole and in part, and verifies it.
fn read_everything(bytes: &[u8]) {
    let memory = Path::new("/dev/shm");
    let file = if memory.is_dir() {
        tempfile::NamedTempFile::new_in(memory)
    } else {
        tempfile::NamedTempFile::new()
    };
    let mut file = file.expect("a temporary file can be made");
    file.write_all(bytes).expect("a temporary file can be written");
    let key = PublicKey::parse(PUBLIC_KEY, file.path()).expect("a good key");
    let trust = Trust { public_key: Some(key), ..Trust::default() };
    assert!(Bundle::open(file.path(), &trust).is_err(), "a signature held that its key did not make");
    let Ok(bundle) = Bundle::open(file.path(), &Trust::default()) else { return };
    for blob in &bundle.catalog().blobs {
        if let Ok(content) = bundle.read_all(&blob.digest, LARGEST_READ) {
            assert_eq!(Digest::of(&content), blob.digest, "content was handed on that is not the blob's");
        }
        if let Ok(mut reader) = bundle.range(&blob.digest, blob.size / 2, 16) {
            while let Ok(Some(chunk)) = reader.next_chunk() {
                assert!(chunk.len() <= 16);
            }
        }
    }
    let _ = verify(&bundle, 1, &Events::none());
}
