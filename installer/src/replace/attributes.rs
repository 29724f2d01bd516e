//! Extended attributes: the label of SELinux, the access list, and what programs and people note on a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// The longest list of names, and the longest value, that Linux has (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LONGEST: usize = 64 << 10;
/// The access list (ACL) of a file.
pub(crate) const ACCESS_LIST: &str = "system.posix_acl_access";
/// True of one content alone: a program's capabilities, and what vouches for its bytes.
const OF_CONTENT: [&str; 2] = ["security.capability", "security.ima"];
/// The kernel reckons it out of all others, and lets nobody set it.
const OF_KERNEL: &str = "security.evm";

/// The extended attributes of a file, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(BTreeMap<String, Vec<u8>>);

impl Attributes {
    /// Those of a file; none where its file system has no such thing. `None` where there is no file.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        let mut list = vec![0; LONGEST];
        let length = match rustix::fs::listxattr(path, &mut list[..]) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => 0,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let mut found = BTreeMap::new();
        for name in list[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            let name = std::str::from_utf8(name).map_err(|_| {
                let name = String::from_utf8_lossy(name);
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("its attribute {name} has a name that is no text"),
                )
            })?;
            let mut value = vec![0; LONGEST];
            match rustix::fs::getxattr(path, name, &mut value[..]) {
                Ok(length) => value.truncate(length),
                // Removed meanwhile, or listed for others alone.
                Err(Errno::NODATA | Errno::NOTSUP) => continue,
                Err(errno) => return Err(about("reading", name, errno)),
            }
            if name != OF_KERNEL {
                found.insert(name.to_owned(), value);
            }
        }
        Ok(Some(Self(found)))
    }

    /// Those that stay when the file gets other bytes.
    pub(crate) fn for_other_content(mut self) -> Self {
        self.0.retain(|name, _| !OF_CONTENT.contains(&name.as_str()));
        self
    }

    /// The access list, where there is one.
    pub(crate) fn access_list(&self) -> Option<&[u8]> {
        self.0.get(ACCESS_LIST).map(Vec::as_slice)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives them to a new file, still empty, that lies at `path`. What it has from its folder alone goes; labels stay,
    /// since the kernel has given it the one that the policy wants.
    pub(super) fn put_on(&self, file: &fs::File, path: &Path) -> io::Result<()> {
        let has = Self::of(path)?.unwrap_or_default();
        for name in has.0.keys().filter(|name| !self.0.contains_key(*name) && !is_of_policy(name)) {
            match rustix::fs::fremovexattr(file, name.as_str()) {
                Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(errno) => return Err(about("removing", name, errno)),
            }
        }
        let missing = self.0.iter().filter(|(name, value)| has.0.get(*name) != Some(*value));
        missing
            .filter(|(name, _)| !OF_CONTENT.contains(&name.as_str()))
            .try_for_each(|(name, value)| set(file, name, value))
    }

    /// Gives what is true of its content to a file that has its bytes.
    pub(super) fn put_powers_on(&self, file: &fs::File) -> io::Result<()> {
        let powers = OF_CONTENT.iter().filter_map(|&name| Some((name, self.0.get(name)?)));
        powers.into_iter().try_for_each(|(name, value)| set(file, name, value))
    }

    /// As a text to keep.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let text: BTreeMap<&String, String> =
            self.0.iter().map(|(name, value)| (name, BASE64.encode(value))).collect();
        serde_json::to_vec(&text).expect("these are strings")
    }

    /// What [`Attributes::to_json`] has written.
    pub(crate) fn from_json(text: &[u8]) -> Option<Self> {
        let text: BTreeMap<String, String> = serde_json::from_slice(text).ok()?;
        let decoded = text.into_iter().map(|(name, value)| Some((name, BASE64.decode(value).ok()?)));
        decoded.collect::<Option<_>>().map(Self)
    }
}

fn is_of_policy(name: &str) -> bool {
    name.starts_with("security.")
}

fn set(file: &fs::File, name: &str, value: &[u8]) -> io::Result<()> {
    match rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()) {
        Ok(()) | Err(Errno::NOTSUP) => Ok(()),
        Err(errno) => Err(about("keeping", name, errno)),
    }
}

fn about(action: &str, name: &str, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("{action} its attribute {name}: {error}"))
}

/// Attributes for tests, raw.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::ACCESS_LIST;
    use super::{Attributes, Errno, Path, XattrFlags};

    /// Sets an attribute.
    pub(crate) fn set(path: &Path, name: &str, value: &[u8]) -> Result<(), Errno> {
        rustix::fs::setxattr(path, name, value, XattrFlags::empty())
    }

    /// A folder whose files can have attributes of users and access lists. Without these a test would show nothing.
    pub(crate) fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe");
        std::fs::write(&path, "").unwrap();
        for answer in [set(&path, "user.probe", b"1"), set(&path, ACCESS_LIST, &access_list(1234, 4))] {
            let place = folder.path().display();
            assert_eq!(
                answer,
                Ok(()),
                "{place} takes no extended attributes: set TMPDIR to a folder that does"
            );
        }
        std::fs::remove_file(&path).unwrap();
        folder
    }

    /// An access list: `rw-` for the owner, `r--` for its group, `rights` for another user, nothing for others. As in
    /// `linux/posix_acl_xattr.h`.
    pub(crate) fn access_list(user: u32, rights: u16) -> Vec<u8> {
        let none = u32::MAX;
        let entries = [
            (0x01, 6, none),
            (0x02, rights, user),
            (0x04, 4, none),
            (0x10, rights | 4, none),
            (0x20, 0, none),
        ];
        let mut list = 2u32.to_le_bytes().to_vec();
        for (tag, rights, of) in entries {
            list.extend(u16::to_le_bytes(tag));
            list.extend(u16::to_le_bytes(rights));
            list.extend(u32::to_le_bytes(of));
        }
        list
    }

    /// All attributes of a file.
    pub(crate) fn of(path: &Path) -> Attributes {
        Attributes::of(path).unwrap().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Guise, write_file};
    use super::*;

    #[test]
    fn what_was_noted_on_a_file_and_who_may_read_it_stays_when_it_is_replaced() {
        let folder = testing::folder();
        let path = folder.path().join("file");
        std::fs::write(&path, "old").unwrap();
        testing::set(&path, "user.note", b"\xffkeep").unwrap();
        testing::set(&path, ACCESS_LIST, &testing::access_list(1234, 6)).unwrap();
        let before = testing::of(&path);
        assert_eq!(before.0.len(), 2, "{before:?}");
        write_file(&path, b"new", &Guise::with_mode(0o660)).unwrap();
        assert_eq!(testing::of(&path), before);
        // The bits of the group are the most that the list can give.
        write_file(&path, b"new", &Guise::with_mode(0o640)).unwrap();
        let narrowed = testing::of(&path);
        assert_ne!(narrowed, before);
        assert_eq!(Attributes::from_json(&before.to_json()), Some(before.clone()));
        let guise = Guise { mode: 0o660, owner: None, attributes: Some(before.clone()) };
        write_file(&path, b"old", &guise).unwrap();
        assert_eq!(testing::of(&path), before);
    }

    #[test]
    fn capabilities_are_of_one_content_and_come_back_with_it() {
        let folder = testing::folder();
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let path = folder.path().join("program");
        std::fs::write(&path, "old").unwrap();
        // `cap_net_bind_service=ep`, as in `linux/capability.h`.
        let capability: Vec<u8> =
            [0x0200_0001_u32, 1 << 10, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        testing::set(&path, "security.capability", &capability).unwrap();
        let before = testing::of(&path);
        write_file(&path, b"new", &Guise::with_mode(0o755)).unwrap();
        assert!(!testing::of(&path).0.contains_key("security.capability"));
        let guise = Guise { mode: 0o755, owner: None, attributes: Some(before.clone()) };
        write_file(&path, b"old", &guise).unwrap();
        assert_eq!(testing::of(&path), before);
    }

    #[test]
    fn what_a_folder_gives_to_new_files_is_not_what_a_file_had() {
        let folder = testing::folder();
        let path = folder.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let list = testing::access_list(1234, 6);
        testing::set(folder.path(), "system.posix_acl_default", &list).unwrap();
        let guise = Guise { mode: 0o600, owner: None, attributes: Some(Attributes::default()) };
        write_file(&path, b"again", &guise).unwrap();
        assert!(testing::of(&path).is_empty());
        // A new one is as the folder's owner wants it, within its mode.
        let new = folder.path().join("new");
        write_file(&new, b"new", &Guise::with_mode(0o640)).unwrap();
        assert!(testing::of(&new).access_list().is_some());
    }

    #[test]
    fn file_systems_without_attributes_are_no_failure() {
        assert_eq!(Attributes::of(Path::new("/nowhere/at/all")).unwrap(), None);
        // The kernel's own files have at most labels.
        assert!(Attributes::of(Path::new("/proc/self/stat")).unwrap().is_some());
    }
}
