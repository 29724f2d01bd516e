//! Foreign tar streams, plain or gzip-compressed, read from front to back in bounded memory.
//!
//! Nothing is ever unpacked to a disk: each member is handed to the caller as a name and a reader. Long names and
//! extended headers are read here and not by the tar crate, which would take them into memory whole, however long.

use std::io::{self, Read};

use ferry_model::failure::{Class, Failure};

/// The longest name, as bkrepo has it.
const MAX_NAME: u64 = 4096;
/// The largest extended header.
const MAX_EXTENSION: u64 = 64 << 10;

/// How much of an archive is read before it is taken for an attack.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Members, folders among them.
    pub members: u64,
    /// Bytes after decompression.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { members: 1_000_000, bytes: 256 << 30 }
    }
}

/// Why an archive could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TarballError {
    /// Cut off, or damaged, or no tar archive at all.
    #[error("not a whole tar archive")]
    Broken(#[source] io::Error),
    /// Compressed in a way that is not read here.
    #[error("compressed with {0}; only plain and gzip-compressed tar archives can be read")]
    Compression(&'static str),
    /// Larger than any honest archive.
    #[error("over the limit of {limit} {what}")]
    Limit {
        /// `members`, `bytes`, …
        what: &'static str,
        /// How many are read.
        limit: u64,
    },
}

impl Failure for TarballError {
    fn class(&self) -> Class {
        Class::Verification
    }
}

/// For what a member's content gives.
impl From<io::Error> for TarballError {
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Broken)
    }
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A file with content.
    File,
    /// A link to another member, which it names as a path from the archive's root.
    Link(String),
    /// A folder.
    Folder,
    /// A device, a pipe or the like.
    Other,
}

/// One member on its way past.
pub struct Member<'a> {
    /// Its name: parts joined by `/`, none of them empty, `.` or `..`.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// Its bytes.
    pub size: u64,
    /// Its content; what is not read is skipped.
    pub content: &'a mut dyn Read,
}

impl std::fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Hands every member to `visit`, in order, and reads the stream to its end.
pub fn walk<E: From<TarballError>>(
    stream: impl Read,
    limits: Limits,
    mut visit: impl FnMut(Member<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let limited = Limited { inner: plain(stream)?, left: limits.bytes, limit: limits.bytes };
    let mut archive = tar::Archive::new(limited);
    let broken = |error| fault(error, limits);
    let mut extension = Extension::default();
    for (count, entry) in (0..).zip(archive.entries().map_err(broken)?.raw(true)) {
        if count >= limits.members {
            return Err(TarballError::Limit { what: "members", limit: limits.members }.into());
        }
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if extension.take(kind, &mut entry, limits)? {
            continue;
        }
        let named = std::mem::take(&mut extension);
        let name = named.name.unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = member_name(&String::from_utf8_lossy(&name));
        let target = named.target.or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
        let target = String::from_utf8_lossy(&target.unwrap_or_default()).into_owned();
        let kind = match kind {
            kind if kind.is_hard_link() => MemberKind::Link(member_name(&target)),
            kind if kind.is_symlink() => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let from_root = if target.starts_with('/') { target } else { format!("{folder}/{target}") };
                MemberKind::Link(member_name(&from_root))
            }
            kind if kind.is_dir() => MemberKind::Folder,
            kind if kind.is_file() || kind.is_contiguous() => MemberKind::File,
            _ => MemberKind::Other,
        };
        let size = entry.size();
        visit(Member { name, kind, size, content: &mut entry })?;
    }
    // Only at its end does a gzip stream tell that it was whole.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(())
}

/// `./a/../b` and `b` are one name; nothing leads out of the archive.
pub fn member_name(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What stands in front of a member when its name does not fit into its header.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Extension {
    /// Takes an entry that says something of the next one; `false` for a member.
    fn take(
        &mut self,
        kind: tar::EntryType,
        entry: &mut impl Read,
        limits: Limits,
    ) -> Result<bool, TarballError> {
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            let mut text = bounded(entry, MAX_NAME, "bytes in a name", limits)?;
            text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
            *(if kind.is_gnu_longname() { &mut self.name } else { &mut self.target }) = Some(text);
        } else if kind.is_pax_local_extensions() {
            let text = bounded(entry, MAX_EXTENSION, "bytes in an extended header", limits)?;
            for record in tar::PaxExtensions::new(&text) {
                let record = record.map_err(TarballError::Broken)?;
                match record.key_bytes() {
                    b"path" => self.name = Some(record.value_bytes().to_vec()),
                    b"linkpath" => self.target = Some(record.value_bytes().to_vec()),
                    // Only members of more than 8 GiB have one; to go on without it would misread what follows.
                    b"size" => return Err(TarballError::Limit { what: "bytes in a member", limit: 8 << 30 }),
                    _ => {}
                }
            }
        } else {
            return Ok(kind.is_pax_global_extensions());
        }
        Ok(true)
    }
}

/// Reads a text that may not be longer than `limit`.
fn bounded(
    content: &mut impl Read,
    limit: u64,
    what: &'static str,
    limits: Limits,
) -> Result<Vec<u8>, TarballError> {
    let mut bytes = Vec::new();
    content.take(limit + 1).read_to_end(&mut bytes).map_err(|error| fault(error, limits))?;
    if bytes.len() as u64 > limit { Err(TarballError::Limit { what, limit }) } else { Ok(bytes) }
}

/// The stream without its gzip compression, where it has one.
fn plain<'a>(mut stream: impl Read + 'a) -> Result<Box<dyn Read + 'a>, TarballError> {
    let mut magic = Vec::new();
    (&mut stream).take(6).read_to_end(&mut magic).map_err(TarballError::Broken)?;
    let whole = io::Cursor::new(magic.clone()).chain(stream);
    let other = match magic[..] {
        [0x1f, 0x8b, ..] => {
            let buffered = io::BufReader::with_capacity(128 << 10, whole);
            return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(buffered)));
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [b'P', b'K', 3, 4, ..] => "zip",
        _ => return Ok(Box::new(whole)),
    };
    Err(TarballError::Compression(other))
}

/// Ends a stream that gives more than it may.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let over = || TarballError::Limit { what: "bytes", limit: self.limit };
        let left = self.left.checked_sub(count as u64);
        self.left = left.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, over()))?;
        Ok(count)
    }
}

/// For what the tar crate gives, which wraps errors in its own and keeps their kind alone.
fn fault(error: io::Error, limits: Limits) -> TarballError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => TarballError::Limit { what: "bytes", limit: limits.bytes },
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn names(bytes: &[u8], limits: Limits) -> Result<Vec<(String, String)>, TarballError> {
        let mut found = Vec::new();
        walk(bytes, limits, |member| -> Result<(), TarballError> {
            let mut text = String::new();
            member.content.read_to_string(&mut text)?;
            found.push((member.name, text));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn plain_compressed_and_long_names_are_read() {
        let long = format!("{}/file", "folder".repeat(60));
        let bytes = archive(&[("./a", b"1"), (&long, b"2")]);
        let expected = vec![("a".to_owned(), "1".to_owned()), (long, "2".to_owned())];
        assert_eq!(names(&bytes, Limits::default()).unwrap(), expected);
        assert_eq!(names(&gzip(&bytes), Limits::default()).unwrap(), expected);
    }

    #[test]
    fn names_stay_inside() {
        for (name, inside) in [("../../etc/passwd", "etc/passwd"), ("/a//b/./c", "a/b/c"), ("a/../..", "")] {
            assert_eq!(member_name(name), inside);
        }
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_refused() {
        let whole = gzip(&archive(&[("a", &[7; 5000]), ("b", b"2")]));
        for length in [0, 5, 40, whole.len() / 2, whole.len() - 1] {
            let read = names(&whole[..length], Limits::default());
            assert!(length == 0 || read.is_err(), "{length} bytes: {read:?}");
        }
        let mut flipped = whole.clone();
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        assert!(names(&flipped, Limits::default()).is_err(), "the checksum of the gzip stream counts");
        assert!(names(&[1; 5000], Limits::default()).is_err());
        assert!(names(b"<html>not found</html>", Limits::default()).is_err());
    }

    #[test]
    fn bombs_are_refused_early() {
        let bomb = gzip(&archive(&[("a", &vec![0; 4 << 20])]));
        let few = Limits { bytes: 1 << 20, ..Limits::default() };
        assert!(matches!(names(&bomb, few), Err(TarballError::Limit { what: "bytes", .. })));
        let many = archive(&[("a", b""), ("b", b""), ("c", b"")]);
        let two = Limits { members: 2, ..Limits::default() };
        assert!(matches!(names(&many, two), Err(TarballError::Limit { what: "members", .. })));
        let long = archive(&[(&"x/".repeat(4000), b"")]);
        assert!(matches!(
            names(&long, Limits::default()),
            Err(TarballError::Limit { what: "bytes in a name", .. })
        ));
        for magic in [&b"\xfd7zXZ\0abc"[..], b"BZh91AY", b"PK\x03\x04aa", b"\x28\xb5\x2f\xfdaa"] {
            assert!(matches!(names(magic, Limits::default()), Err(TarballError::Compression(_))));
        }
    }
}
