//! A row of files that reads and writes like one: a whole bundle (one file) or its volumes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ferry_model::{Digest, FormatVersion};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What the list of volumes is called, behind the bundle's name.
pub const VOLUMES_SUFFIX: &str = ".volumes.json";
/// The most volumes: three digits, and fewer files than a process may have open.
pub(crate) const MAX_VOLUMES: usize = 999;
/// The largest list that is read: far more than [`MAX_VOLUMES`] entries need.
const MAX_LIST: u64 = 4 << 20;

/// The list of volumes, beside them: `NAME.volumes.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeList {
    /// The version of this document.
    pub format_version: FormatVersion,
    /// The digest of the bundle's catalog.
    pub catalog: Digest,
    /// The volumes, in order.
    pub volumes: Vec<VolumeEntry>,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeEntry {
    /// Its file name, beside the list.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// The sha256 of the file.
    pub digest: Digest,
}

/// Files that make up one bundle.
#[derive(Debug)]
pub struct Volumes {
    parts: Vec<Part>,
    /// Bytes of every part but the last.
    part_size: u64,
    /// What each part was written with; empty where no list says.
    digests: Vec<Digest>,
    /// The catalog that the list belongs to, where there is a list.
    catalog: Option<Digest>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: OnceLock<File>,
}

impl Part {
    fn new(path: PathBuf) -> Self {
        Self { path, file: OnceLock::new() }
    }

    fn opened(path: PathBuf, file: File) -> Self {
        Self { path, file: OnceLock::from(file) }
    }

    /// The file, created on first use.
    fn file(&self) -> Result<&File, Error> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path);
        let file = file.map_err(Error::io("creating", &self.path))?;
        Ok(self.file.get_or_init(|| file))
    }
}

/// `NAME` and `.001` make `NAME.001`.
pub(crate) fn numbered(base: &Path, index: usize) -> PathBuf {
    with_suffix(base, &format!(".{:03}", index + 1))
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Volumes {
    /// Opens a bundle for reading: a file, a first volume (`….001`), or a list of volumes. Volumes that were joined
    /// again into one file are read from there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = path.as_os_str().to_string_lossy();
        if let Some(base) = text.strip_suffix(VOLUMES_SUFFIX) {
            return Self::open_listed(Path::new(base), path);
        }
        match text.strip_suffix(".001") {
            Some(base) => {
                let list = with_suffix(Path::new(base), VOLUMES_SUFFIX);
                if list.exists() {
                    Self::open_listed(Path::new(base), &list)
                } else {
                    Self::open_numbered(Path::new(base))
                }
            }
            None if !path.exists() && with_suffix(path, VOLUMES_SUFFIX).exists() => {
                Self::open_listed(path, &with_suffix(path, VOLUMES_SUFFIX))
            }
            None => {
                let file = File::open(path).map_err(Error::io("opening", path))?;
                if file.metadata().map_err(Error::io("opening", path))?.is_dir() {
                    return Err(Error::NotABundle { path: path.to_owned(), reason: "it is a folder" });
                }
                Ok(Self::of(vec![Part::opened(path.to_owned(), file)], u64::MAX))
            }
        }
    }

    /// Opens the volumes that a list names, telling every one that is missing or has another size.
    fn open_listed(base: &Path, list_path: &Path) -> Result<Self, Error> {
        let list = read_list(list_path)?;
        let folder = list_path.parent().unwrap_or(Path::new(""));
        if base.exists() && list.volumes.iter().all(|volume| !folder.join(&volume.name).exists()) {
            return Self::open(base);
        }
        let mut parts = Vec::new();
        let mut problems = Vec::new();
        for volume in &list.volumes {
            let path = folder.join(&volume.name);
            match File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
                Ok((size, file)) if size == volume.size => parts.push(Part::opened(path, file)),
                Ok((size, _)) => {
                    problems.push(format!("{} has {size} bytes instead of {}", volume.name, volume.size));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    problems.push(format!("{} is missing", volume.name));
                }
                Err(error) => problems.push(format!("{}: {error}", volume.name)),
            }
        }
        if !problems.is_empty() {
            return Err(Error::Volumes { base: base.to_owned(), problems });
        }
        let digests = list.volumes.iter().map(|volume| volume.digest).collect();
        Ok(Self { parts, part_size: list.volumes[0].size, digests, catalog: Some(list.catalog) })
    }

    /// Opens `BASE.001`, `BASE.002`, … as far as there are any. All but the last must have the same size.
    fn open_numbered(base: &Path) -> Result<Self, Error> {
        let mut parts = Vec::new();
        let mut sizes = Vec::new();
        for index in 0..MAX_VOLUMES {
            let path = numbered(base, index);
            match File::open(&path) {
                Ok(file) => {
                    sizes.push(file.metadata().map_err(Error::io("reading", &path))?.len());
                    parts.push(Part::opened(path, file));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && index > 0 => break,
                Err(error) => return Err(Error::io("opening", path)(error)),
            }
        }
        let problems: Vec<String> = (sizes.iter().enumerate().take(sizes.len() - 1))
            .filter(|(_, size)| **size != sizes[0])
            .map(|(index, size)| {
                format!("{} has {size} bytes instead of {}", numbered(base, index).display(), sizes[0])
            })
            .collect();
        if !problems.is_empty() {
            return Err(Error::Volumes { base: base.to_owned(), problems });
        }
        Ok(Self::of(parts, sizes[0].max(1)))
    }

    /// Prepares to write: one file, or as many of `part_size` bytes as `total` bytes need at most.
    pub(crate) fn create(
        base: &Path,
        suffix: &str,
        part_size: Option<u64>,
        most: u64,
    ) -> Result<Self, Error> {
        let Some(part_size) = part_size else {
            return Ok(Self::of(vec![Part::new(with_suffix(base, suffix))], u64::MAX));
        };
        let count = most.div_ceil(part_size);
        let limit = MAX_VOLUMES as u64;
        if count > limit {
            return Err(Error::Limit { what: "the number of volumes", value: count, limit });
        }
        let parts = (0..usize::try_from(count).expect("checked"))
            .map(|index| Part::new(with_suffix(&numbered(base, index), suffix)));
        Ok(Self::of(parts.collect(), part_size))
    }

    fn of(parts: Vec<Part>, part_size: u64) -> Self {
        Self { parts, part_size, digests: Vec::new(), catalog: None }
    }

    /// The volumes whose content is not what their list says, by name; none where there is no list.
    pub(crate) fn damaged(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for (part, expected) in self.parts.iter().zip(&self.digests) {
            if hash_file(&part.path)?.1 != *expected {
                names.push(part.path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// Refuses a list of volumes that belongs to another bundle than the one in the volumes.
    pub(crate) fn check_list(&self, found: Digest) -> Result<(), Error> {
        match self.catalog {
            Some(listed) if listed != found => {
                let problems =
                    vec![format!("the list is of the bundle with catalog {listed}, they hold {found}")];
                Err(Error::Volumes { base: self.path().to_owned(), problems })
            }
            _ => Ok(()),
        }
    }

    /// Bytes of each part that is there, without making any.
    pub(crate) fn lengths(&self) -> Vec<u64> {
        self.parts
            .iter()
            .map(|part| std::fs::metadata(&part.path).map_or(0, |metadata| metadata.len()))
            .collect()
    }

    /// Whether parts of these `lengths` hold all of `length` bytes at `offset`.
    pub(crate) fn covers(&self, lengths: &[u64], offset: u64, length: u64) -> bool {
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let (index, inner) = (at / self.part_size, at % self.part_size);
            let wanted = (end - at).min(self.part_size - inner);
            let there =
                usize::try_from(index).ok().and_then(|index| lengths.get(index)).copied().unwrap_or(0);
            if there < inner + wanted {
                return false;
            }
            at += wanted;
        }
        true
    }

    /// Parts in use, once [`Volumes::settle`] has removed the others.
    pub(crate) fn count(&self) -> usize {
        self.parts.len()
    }

    /// The first file: what error messages name.
    pub fn path(&self) -> &Path {
        &self.parts[0].path
    }

    /// Bytes of all parts together.
    pub fn size(&self) -> Result<u64, Error> {
        let mut total = 0;
        for part in &self.parts {
            if part.file.get().is_some() || part.path.exists() {
                total += part.file()?.metadata().map_err(Error::io("reading", &part.path))?.len();
            }
        }
        Ok(total)
    }

    /// Splits `length` bytes at `offset` by part: (part, offset there, range of the buffer).
    fn split(
        &self,
        offset: u64,
        length: usize,
    ) -> impl Iterator<Item = (Option<&Part>, u64, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            if done == length {
                return None;
            }
            let at = offset + done as u64;
            let (index, inner) = (at / self.part_size, at % self.part_size);
            let room = usize::try_from(self.part_size - inner).unwrap_or(usize::MAX);
            let range = done..length.min(done.saturating_add(room));
            done = range.end;
            Some((self.parts.get(usize::try_from(index).unwrap_or(usize::MAX)), inner, range))
        })
    }

    /// Reads exactly `buffer`.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        for (part, inner, range) in self.split(offset, buffer.len()) {
            let part = part.ok_or_else(|| Error::Frame {
                offset,
                reason: "it lies behind the end of the file".into(),
            })?;
            part.file()?.read_exact_at(&mut buffer[range], inner).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::Frame { offset, reason: "the file ends here".into() },
                _ => Error::io("reading", &part.path)(error),
            })?;
        }
        Ok(())
    }

    /// Writes all of `bytes`.
    pub(crate) fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        for (part, inner, range) in self.split(offset, bytes.len()) {
            let part =
                part.ok_or(Error::Limit { what: "the offset of a volume", value: offset, limit: u64::MAX })?;
            part.file()?.write_all_at(&bytes[range], inner).map_err(Error::io("writing", &part.path))?;
        }
        Ok(())
    }

    /// Cuts or fills to `total` bytes, flushes to disk and removes parts that hold nothing.
    pub(crate) fn settle(&mut self, total: u64) -> Result<(), Error> {
        let used = usize::try_from(total.div_ceil(self.part_size)).unwrap_or(usize::MAX).max(1);
        for part in self.parts.drain(used.min(self.parts.len())..) {
            match std::fs::remove_file(&part.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("removing", &part.path)(error));
                }
                _ => {}
            }
        }
        let last = self.parts.len() - 1;
        for (index, part) in self.parts.iter().enumerate() {
            let size = if index == last {
                total - self.part_size.saturating_mul(last as u64)
            } else {
                self.part_size
            };
            let file = part.file()?;
            file.set_len(size).and_then(|()| file.sync_all()).map_err(Error::io("writing", &part.path))?;
        }
        Ok(())
    }

    /// The parts with the hash of each: the content of `NAME.volumes.json`.
    pub(crate) fn list(&self, catalog: Digest, suffix: &str) -> Result<VolumeList, Error> {
        let mut volumes = Vec::new();
        for part in &self.parts {
            let (size, digest) = hash_file(&part.path)?;
            let name = part.path.file_name().unwrap_or_default().to_string_lossy();
            volumes.push(VolumeEntry { name: name.trim_end_matches(suffix).to_owned(), size, digest });
        }
        Ok(VolumeList { format_version: FormatVersion { major: 1, minor: 0 }, catalog, volumes })
    }

    /// The paths of all parts.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|part| part.path.as_path())
    }
}

/// For `NAME.002` and those behind it, `NAME.001` where that lies beside it. A whole bundle may be called so too.
pub(crate) fn first_volume(path: &Path) -> Option<PathBuf> {
    let number = path.extension()?.to_str()?;
    let first = path.with_extension("001");
    (number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()) && first.is_file())
        .then_some(first)
}

/// One plain name, which leads to no other folder.
fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None));
    plain && name.len() <= 255 && !name.contains(['/', '\\']) && !name.contains(char::is_control)
}

fn read_list(path: &Path) -> Result<VolumeList, Error> {
    let not_a_list = |reason| Error::NotABundle { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(Error::io("reading", path))?.len();
    if size > MAX_LIST {
        return Err(Error::Limit { what: "the size of the list of volumes", value: size, limit: MAX_LIST });
    }
    let text = std::fs::read(path).map_err(Error::io("reading", path))?;
    let list: VolumeList =
        serde_json::from_slice(&text).map_err(|_| not_a_list("its list of volumes cannot be read"))?;
    if list.volumes.is_empty() || list.volumes.len() > MAX_VOLUMES {
        return Err(not_a_list("its list of volumes is empty or endless"));
    }
    if !list.volumes.iter().all(|volume| is_file_name(&volume.name)) {
        return Err(not_a_list("its list of volumes has a name that is no plain file name"));
    }
    let first = list.volumes[0].size;
    let (end, others) = list.volumes.split_last().expect("not empty");
    if first == 0 || others.iter().any(|volume| volume.size != first) || end.size > first {
        return Err(not_a_list("the sizes in its list of volumes do not fit together"));
    }
    Ok(list)
}

/// Size and sha256 of a file.
pub(crate) fn hash_file(path: &Path) -> Result<(u64, Digest), Error> {
    use std::io::Read as _;
    let mut file = File::open(path).map_err(Error::io("opening", path))?;
    let mut hasher = ferry_model::digest::Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut buffer).map_err(Error::io("reading", path))? {
            0 => return Ok((size, hasher.finish())),
            count => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
        }
    }
}
