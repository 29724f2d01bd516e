//! One layer: a tar archive, plain or through gzip or zstd. What it says is foreign: sizes and counts have limits.

use std::io::{self, BufReader, Read};

use ferry_bundle::Bundle;
use ferry_model::Digest;

use super::tree::{Entry, Kind};

/// The most bytes that a layer may have unpacked.
const MAX_LAYER: u64 = 16 << 30;
/// The most entries that a layer may have.
const MAX_ENTRIES: usize = 1_000_000;
const CHUNK: usize = 256 << 10;

/// Opens a layer of the bundle, unpacked.
pub(super) fn open(bundle: &Bundle, digest: &Digest) -> Result<Box<dyn Read>, String> {
    let reader = bundle.reader(digest).map_err(|error| with_causes(&error))?;
    unpacked(reader).map_err(|error| with_causes(&error))
}

/// Takes off the compression that the first bytes tell; media types are not always right.
pub(super) fn unpacked(mut reader: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut magic)?;
    let is = |start: &[u8]| magic.starts_with(start);
    let (gzip, zstd) = (is(b"\x1f\x8b"), is(b"\x28\xb5\x2f\xfd"));
    let whole = BufReader::with_capacity(CHUNK, io::Cursor::new(magic).chain(reader));
    Ok(match (gzip, zstd) {
        (true, _) => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        (_, true) => Box::new(zstd::stream::read::Decoder::with_buffer(whole)?),
        _ => Box::new(whole),
    })
}

/// Everything that a layer says, in its order.
pub(super) fn entries(reader: impl Read, layer: usize) -> Result<Vec<Entry>, String> {
    let mut reader = reader.take(MAX_LAYER);
    let mut found = Vec::new();
    let mut read = || -> io::Result<()> {
        let mut archive = tar::Archive::new(&mut reader);
        for entry in archive.entries()? {
            let entry = entry?;
            if found.len() >= MAX_ENTRIES {
                return Err(io::Error::other(format!("it has more than {MAX_ENTRIES} entries")));
            }
            found.extend(read_entry(&entry, layer)?);
        }
        Ok(())
    };
    read().map_err(|error| with_causes(&error))?;
    finish(reader)?;
    Ok(found)
}

fn read_entry<R: Read>(entry: &tar::Entry<'_, R>, layer: usize) -> io::Result<Option<Entry>> {
    let Some(path) = normal(&entry.path_bytes()) else { return Ok(None) };
    let target = || {
        let name = entry.link_name_bytes().unwrap_or_default();
        String::from_utf8(name.into_owned()).map_err(io::Error::other)
    };
    let kind = match entry.header().entry_type() {
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
            Kind::File { layer, member: path.clone(), size: entry.size() }
        }
        tar::EntryType::Directory => Kind::Folder,
        tar::EntryType::Symlink => Kind::Link { target: target()? },
        tar::EntryType::Link => match normal(target()?.as_bytes()) {
            Some(target) => Kind::Same { target },
            None => return Ok(None),
        },
        _ => Kind::Other,
    };
    Ok(Some(Entry { path, kind }))
}

/// A file of a layer; where it is there more than once, the last one counts.
pub(super) fn member(reader: impl Read, path: &str, size: u64) -> Result<Vec<u8>, String> {
    let mut reader = reader.take(MAX_LAYER);
    let mut found = None;
    let mut read = || -> io::Result<()> {
        for entry in tar::Archive::new(&mut reader).entries()? {
            let mut entry = entry?;
            if entry.size() == size
                && entry.header().entry_type() != tar::EntryType::Link
                && normal(&entry.path_bytes()).as_deref() == Some(path)
            {
                let mut bytes = Vec::new();
                entry.by_ref().take(size).read_to_end(&mut bytes)?;
                found = Some(bytes);
            }
        }
        Ok(())
    };
    read().map_err(|error| with_causes(&error))?;
    finish(reader)?;
    found.ok_or_else(|| format!("it has no {path} of {size} bytes"))
}

/// Reads what is behind the archive: only then is the blob's digest checked.
fn finish(mut reader: io::Take<impl Read>) -> Result<(), String> {
    io::copy(&mut reader, &mut io::sink()).map_err(|error| with_causes(&error))?;
    if reader.limit() == 0 {
        return Err(format!("it unpacks to more than {MAX_LAYER} bytes"));
    }
    Ok(())
}

/// `./usr/bin/` as `usr/bin`; nothing for the root and for what would lead out of it.
pub(super) fn normal(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).ok()?;
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() || parts.contains(&"..") {
        return None;
    }
    Some(parts.join("/"))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
