//! A tar archive whose members are known beforehand and read when they are written.

use std::fmt;
use std::io::{self, BufReader, Read as _, Write};
use std::sync::Arc;

use bytes::Bytes;
use ferry_bundle::{BlobReader, Bundle};
use ferry_model::Digest;
use ferry_model::digest::Hasher;
use ferry_model::event::Task;
use ferry_transfer::{BlobSource, ChunkReader, SourceError};

use super::ExportError;

const BLOCK: u64 = 512;
const CHUNK: usize = 256 << 10;

/// What an archive is made of. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Archive {
    bundle: Bundle,
    members: Arc<[Member]>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Bytes(Bytes),
    /// A blob as it is.
    Blob(Digest),
    /// What comes out of a zstd blob.
    Unpacked(Digest),
}

impl Member {
    pub(super) fn bytes(name: impl Into<String>, content: Vec<u8>) -> Self {
        Self { name: name.into(), size: content.len() as u64, content: Content::Bytes(content.into()) }
    }

    pub(super) fn blob(
        name: impl Into<String>,
        bundle: &Bundle,
        digest: Digest,
    ) -> Result<Self, ExportError> {
        let size = bundle.blob(&digest).ok_or(ExportError::NoBlob(digest))?.size;
        Ok(Self { name: name.into(), size, content: Content::Blob(digest) })
    }

    /// A zstd layer without its compression. That is the only way to learn how large it is, so it is unpacked here and
    /// again when it is written; in exchange it is known to be what the image's config says.
    pub(super) fn unpacked(
        name: impl Into<String>,
        bundle: &Bundle,
        digest: Digest,
        expected: Digest,
    ) -> Result<Self, ExportError> {
        let (mut hasher, mut size) = (Hasher::default(), 0);
        let mut reader = Unpacking::new(bundle, digest)?;
        while let Some(chunk) = reader.next_chunk()? {
            hasher.update(&chunk);
            size += chunk.len() as u64;
        }
        let actual = hasher.finish();
        if actual != expected {
            return Err(ExportError::Layer { digest, expected, actual });
        }
        Ok(Self { name: name.into(), size, content: Content::Unpacked(digest) })
    }

    fn header(&self) -> Bytes {
        let mut header = tar::Header::new_gnu();
        // Names are digests and the fixed ones of the formats: never longer than a header has room for.
        header.set_path(&self.name).expect("a short relative path");
        header.set_size(self.size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        Bytes::copy_from_slice(header.as_bytes())
    }

    fn changed(&self, how: &str) -> ExportError {
        ExportError::Write(io::Error::other(format!("{}: {how} a moment ago", self.name)))
    }

    fn padding(&self) -> u64 {
        self.size.next_multiple_of(BLOCK) - self.size
    }
}

impl Archive {
    pub(super) fn new(bundle: &Bundle, members: Vec<Member>) -> Self {
        Self { bundle: bundle.clone(), members: members.into() }
    }

    /// The bytes that it will have.
    pub fn size(&self) -> u64 {
        self.members.iter().map(|member| BLOCK + member.size + member.padding()).sum::<u64>() + 2 * BLOCK
    }

    /// Begins to read it.
    pub fn open(&self) -> ArchiveReader {
        self.open_at(0)
    }

    fn open_at(&self, skip: u64) -> ArchiveReader {
        ArchiveReader { archive: self.clone(), next: 0, state: State::Between, skip }
    }

    /// Writes all of it, and flushes.
    pub fn write(&self, out: &mut impl Write, task: &Task) -> Result<(), ExportError> {
        let mut reader = self.open();
        while let Some(chunk) = reader.next_chunk()? {
            out.write_all(&chunk).map_err(ExportError::Write)?;
            task.advance(chunk.len() as u64);
        }
        out.flush().map_err(ExportError::Write)
    }
}

impl BlobSource for Archive {
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError> {
        Ok(Box::new(self.open_at(from)))
    }
}

/// An archive on its way out.
#[derive(Debug)]
pub struct ArchiveReader {
    archive: Archive,
    next: usize,
    state: State,
    /// Bytes still to be dropped from the front.
    skip: u64,
}

#[derive(Debug)]
enum State {
    /// A header comes next, or the end.
    Between,
    /// In a member, with this much of it left.
    Within(Body, u64),
    /// Zeros up to the next block come next.
    Padding(u64),
    Ended,
}

#[derive(Debug)]
enum Body {
    Bytes(Bytes),
    Blob(Box<BlobReader>),
    Unpacking(Box<Unpacking>),
}

impl ArchiveReader {
    /// The next chunk, at most 4 MiB; `None` at the end. Errors before the last bytes of a damaged blob.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, ExportError> {
        while let Some(mut chunk) = self.advance()? {
            let dropped = self.skip.min(chunk.len() as u64);
            self.skip -= dropped;
            let chunk = chunk.split_off(usize::try_from(dropped).expect("no more than a chunk"));
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    fn advance(&mut self) -> Result<Option<Bytes>, ExportError> {
        let member = self.next.checked_sub(1).map(|index| &self.archive.members[index]);
        match &mut self.state {
            State::Ended => Ok(None),
            State::Padding(length) => {
                let zeros = zeros(*length);
                self.state = State::Between;
                Ok(Some(zeros))
            }
            State::Between => self.begin_member().map(Some),
            State::Within(body, left) => {
                let member = member.expect("within a member");
                if let Some(chunk) = body.next_chunk()? {
                    *left = left
                        .checked_sub(chunk.len() as u64)
                        .ok_or_else(|| member.changed("it is larger than it was"))?;
                    return Ok(Some(chunk));
                }
                if *left > 0 {
                    return Err(member.changed("it is smaller than it was"));
                }
                self.state = State::Padding(member.padding());
                Ok(Some(Bytes::new()))
            }
        }
    }

    /// The header of the next member, or the two empty blocks at the end.
    fn begin_member(&mut self) -> Result<Bytes, ExportError> {
        let Some(member) = self.archive.members.get(self.next) else {
            self.state = State::Ended;
            return Ok(zeros(2 * BLOCK));
        };
        let bundle = &self.archive.bundle;
        let body = match &member.content {
            Content::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Content::Blob(digest) => Body::Blob(Box::new(bundle.reader(digest)?)),
            Content::Unpacked(digest) => Body::Unpacking(Box::new(Unpacking::new(bundle, *digest)?)),
        };
        self.next += 1;
        self.state = State::Within(body, member.size);
        Ok(member.header())
    }
}

impl ChunkReader for ArchiveReader {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        self.next_chunk().map_err(SourceError::new)
    }
}

impl Body {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, ExportError> {
        match self {
            Self::Bytes(bytes) => Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())),
            Self::Blob(reader) => Ok(reader.next_chunk()?),
            Self::Unpacking(unpacking) => unpacking.next_chunk(),
        }
    }
}

fn zeros(length: u64) -> Bytes {
    static ZEROS: [u8; 1024] = [0; 1024];
    Bytes::from_static(&ZEROS[..usize::try_from(length).expect("two blocks at most")])
}

/// A zstd blob on its way out of its compression.
struct Unpacking {
    digest: Digest,
    decoder: zstd::stream::read::Decoder<'static, BufReader<BlobReader>>,
}

impl fmt::Debug for Unpacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacking").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Unpacking {
    fn new(bundle: &Bundle, digest: Digest) -> Result<Self, ExportError> {
        let reader = BufReader::with_capacity(CHUNK, bundle.reader(&digest)?);
        let decoder = zstd::stream::read::Decoder::with_buffer(reader)
            .map_err(|source| ExportError::Unpack { digest, source })?;
        Ok(Self { digest, decoder })
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, ExportError> {
        let mut buffer = Vec::with_capacity(CHUNK);
        self.decoder
            .by_ref()
            .take(CHUNK as u64)
            .read_to_end(&mut buffer)
            .map_err(|source| ExportError::Unpack { digest: self.digest, source })?;
        Ok(Some(Bytes::from(buffer)).filter(|chunk| !chunk.is_empty()))
    }
}
