//! Reading image archives: plain tar files by position, compressed ones and a docker daemon's stream in order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use ferry_model::Digest;
use ferry_model::digest::Hasher;

/// Documents of up to this size are kept by [`scan`]: manifests and configs.
const SMALL: u64 = 4 << 20;
/// Bytes handed from the scanning thread at once.
const CHUNK: usize = 256 << 10;

/// One file of an archive, as [`scan`] found it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name, without a leading `./`.
    pub name: String,
    /// Its place in the order of the archive.
    pub order: u64,
    /// Its bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// The first two bytes: enough to tell gzip.
    pub magic: [u8; 2],
    /// Its content, where that is small.
    pub content: Option<Vec<u8>>,
}

/// Opens the stream that an archive is read from, from its start.
pub type Opener = Box<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// Hashes every file of a tar stream in one pass. Links are resolved to the files that they name.
pub fn scan(stream: impl Read) -> io::Result<Vec<Member>> {
    let mut archive = tar::Archive::new(stream);
    let mut members: Vec<Member> = Vec::new();
    let mut links: Vec<(String, String)> = Vec::new();
    for (order, entry) in (0..).zip(archive.entries()?) {
        let mut entry = entry?;
        let name = member_name(&entry.path()?);
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            if let Some(target) = entry.link_name()? {
                let base =
                    if kind.is_symlink() { Path::new(&name).parent().map(Path::to_owned) } else { None };
                links.push((name, member_name(&base.unwrap_or_default().join(target))));
            }
        } else if kind.is_file() {
            members.push(scan_member(&mut entry, name, order)?);
        }
    }
    for (name, target) in links {
        if let Some(found) = members.iter().find(|member| member.name == target).cloned() {
            members.push(Member { name, ..found });
        }
    }
    Ok(members)
}

fn scan_member(entry: &mut impl Read, name: String, order: u64) -> io::Result<Member> {
    let mut hasher = Hasher::default();
    let mut small = Some(Vec::new());
    let (mut size, mut magic) = (0, [0; 2]);
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = entry.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        if size == 0 && count >= 2 {
            magic.copy_from_slice(&buffer[..2]);
        }
        // Only documents are looked into; layers of any size would add up.
        if size == 0 && !matches!(buffer[0], b'{' | b'[') {
            small = None;
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
        if size > SMALL {
            small = None;
        }
        if let Some(content) = &mut small {
            content.extend_from_slice(&buffer[..count]);
        }
    }
    Ok(Member { name, order, size, digest: hasher.finish(), magic, content: small })
}

/// `./a/../b` and `b` are one name.
fn member_name(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            std::path::Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    parts.join("/")
}

/// Whether a file is gzip-compressed.
pub fn is_gzip(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    File::open(path)?.take(2).read_to_end(&mut magic)?;
    Ok(magic == [0x1f, 0x8b])
}

/// Opens an archive file for reading from its start, decompressing it where needed.
pub fn open_file(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let file = io::BufReader::with_capacity(CHUNK, File::open(path)?);
    if is_gzip(path)? { Ok(Box::new(flate2::read::MultiGzDecoder::new(file))) } else { Ok(Box::new(file)) }
}

/// A stream of an archive without its gzip compression, where it has one.
pub fn decompressed(mut stream: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    (&mut stream).take(2).read_to_end(&mut magic)?;
    let is_gzip = magic == [0x1f, 0x8b];
    let whole = io::BufReader::with_capacity(CHUNK, io::Cursor::new(magic).chain(stream));
    if is_gzip { Ok(Box::new(flate2::bufread::MultiGzDecoder::new(whole))) } else { Ok(Box::new(whole)) }
}

/// Gives out the members of one archive.
pub enum Archive {
    /// A plain tar file: each member lies at a known place.
    Indexed {
        /// The file.
        path: PathBuf,
        /// Where each member lies: position and size.
        members: HashMap<String, (u64, u64)>,
    },
    /// A stream that can only be read from its start. Asking in the order of the stream reads it once.
    Sequential {
        /// Starts the stream anew.
        opener: Opener,
        /// The stream under way.
        cursor: Mutex<Option<Cursor>>,
    },
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Indexed { path, members } => {
                write!(f, "Indexed({}, {} members)", path.display(), members.len())
            }
            Self::Sequential { .. } => f.write_str("Sequential"),
        }
    }
}

impl Archive {
    /// Opens an archive file.
    pub fn open(path: &Path) -> io::Result<Self> {
        if is_gzip(path)? {
            let path = path.to_owned();
            return Ok(Self::sequential(Box::new(move || open_file(&path))));
        }
        let mut archive = tar::Archive::new(File::open(path)?);
        let mut members = HashMap::new();
        let mut links = Vec::new();
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let name = member_name(&entry.path()?);
            match entry.link_name()? {
                Some(target) => {
                    let symlink = entry.header().entry_type().is_symlink();
                    let base = if symlink { Path::new(&name).parent().map(Path::to_owned) } else { None };
                    links.push((name, member_name(&base.unwrap_or_default().join(target))));
                }
                None => {
                    members.insert(name, (entry.raw_file_position(), entry.size()));
                }
            }
        }
        for (name, target) in links {
            if let Some(place) = members.get(&target).copied() {
                members.insert(name, place);
            }
        }
        Ok(Self::Indexed { path: path.to_owned(), members })
    }

    /// An archive that can only be streamed.
    pub fn sequential(opener: Opener) -> Self {
        Self::Sequential { opener, cursor: Mutex::new(None) }
    }

    /// Hands the bytes of `member`, from byte `from` on, to `take`, in chunks.
    pub fn read(
        &self,
        member: &str,
        from: u64,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Indexed { path, members } => {
                let (position, size) = *members.get(member).ok_or_else(|| no_member(member))?;
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(position + from.min(size)))?;
                copy(&mut file.take(size.saturating_sub(from)), take)
            }
            Self::Sequential { opener, cursor } => {
                let mut cursor = cursor.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let mut skip = from;
                let mut take_rest = |chunk: &[u8]| {
                    let drop = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
                    skip -= drop as u64;
                    if drop == chunk.len() { Ok(()) } else { take(&chunk[drop..]) }
                };
                if let Some(open) = cursor.as_mut()
                    && open.find(member)?
                {
                    return open.content(&mut take_rest);
                }
                let open = cursor.insert(Cursor::start(opener()?));
                if open.find(member)? { open.content(&mut take_rest) } else { Err(no_member(member)) }
            }
        }
    }
}

fn no_member(member: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("the archive has no `{member}`"))
}

fn copy(source: &mut dyn Read, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            count => take(&buffer[..count])?,
        }
    }
}

/// A tar stream being read by a thread of its own.
#[derive(Debug)]
pub struct Cursor(Receiver<Step>);

#[derive(Debug)]
enum Step {
    Member(String),
    Data(Vec<u8>),
    End,
    Failed(io::Error),
}

impl Cursor {
    fn start(stream: Box<dyn Read + Send>) -> Self {
        let (sender, receiver) = sync_channel(2);
        std::thread::spawn(move || {
            let run = || -> io::Result<()> {
                let mut archive = tar::Archive::new(stream);
                for entry in archive.entries()? {
                    let mut entry = entry?;
                    if !entry.header().entry_type().is_file() {
                        continue;
                    }
                    let name = member_name(&entry.path()?);
                    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
                    sender.send(Step::Member(name)).map_err(gone)?;
                    copy(&mut entry, &mut |chunk| sender.send(Step::Data(chunk.to_vec())).map_err(gone))?;
                    sender.send(Step::End).map_err(gone)?;
                }
                Ok(())
            };
            if let Err(error) = run() {
                // Nobody listens any more when the reader was dropped.
                let _ = sender.send(Step::Failed(error));
            }
        });
        Self(receiver)
    }

    /// Moves to the content of `member`; `false` at the end of the stream.
    fn find(&mut self, member: &str) -> io::Result<bool> {
        loop {
            match self.0.recv() {
                Ok(Step::Member(name)) if name == member => return Ok(true),
                Ok(Step::Member(_) | Step::Data(_) | Step::End) => {}
                Ok(Step::Failed(error)) => return Err(error),
                Err(_) => return Ok(false),
            }
        }
    }

    /// Hands on content up to the end of the member.
    fn content(&mut self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        loop {
            match self.0.recv() {
                Ok(Step::Data(chunk)) => take(&chunk)?,
                Ok(Step::Failed(error)) => return Err(error),
                Ok(Step::End) => return Ok(()),
                Ok(Step::Member(_)) | Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}
