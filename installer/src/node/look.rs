//! What is on a node, told by its files alone: nothing is run.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::report::Failed;

use super::Root;

/// Where programs lie.
const PROGRAMS: [&str; 6] =
    ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/bin", "/opt/bin"];
/// Where units lie, the first that has one counts.
const UNITS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// How much of a program is looked at in one piece.
const PIECE: usize = 1 << 20;

impl Root {
    /// Where a program lies, if it is there.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        PROGRAMS.iter().map(|folder| Path::new(folder).join(name)).find(|path| self.exists(path))
    }

    /// Whether a unit is there.
    pub(crate) fn has_unit(&self, unit: &str) -> bool {
        UNITS.iter().any(|folder| self.exists(Path::new(folder).join(unit)))
    }

    /// The text of a unit and of what is dropped in beside it, in the order in which systemd reads them.
    pub(crate) fn unit(&self, unit: &str) -> Result<String, Failed> {
        let mut text = String::new();
        for folder in UNITS {
            if let Some(bytes) = self.read(Path::new(folder).join(unit))? {
                text.push_str(&String::from_utf8_lossy(&bytes));
                break;
            }
        }
        for folder in UNITS.iter().rev() {
            let dropped = Path::new(folder).join(format!("{unit}.d"));
            for name in self.list(&dropped)?.iter().filter(|name| name.ends_with(".conf")) {
                let bytes = self.read(dropped.join(name))?.unwrap_or_default();
                text.push('\n');
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        Ok(text)
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub(crate) fn list(&self, folder: impl AsRef<Path>) -> Result<Vec<String>, Failed> {
        let folder = folder.as_ref();
        let broken = |error: io::Error| {
            Failed::because(Class::Local, format!("{} cannot be listed: {error}", folder.display()))
        };
        let entries = match std::fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(broken(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is no UTF-8 is none that a runtime's configuration has.
            names.extend(entry.map_err(broken)?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// Which of these texts stand somewhere in a program. Programs are too large to be read whole.
    pub(crate) fn mentions<const N: usize>(&self, program: &Path, texts: [&str; N]) -> [bool; N] {
        let mut found = [false; N];
        let Ok(mut file) = File::open(self.path(program)) else { return found };
        let overlap = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let mut piece = Vec::with_capacity(PIECE + overlap);
        while let Ok(1..) = file.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
            for (found, text) in found.iter_mut().zip(texts) {
                *found = *found || has(&piece, text.as_bytes());
            }
            if found.iter().all(|found| *found) {
                break;
            }
            piece.drain(..piece.len().saturating_sub(overlap));
        }
        found
    }
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    let Some(first) = text.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_across_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![b'x'; 3 * PIECE];
        bytes[PIECE - 3..PIECE + 3].copy_from_slice(b"needle");
        std::fs::write(folder.path().join("program"), bytes).unwrap();
        let root = Root::new(folder.path());
        assert_eq!(root.mentions(Path::new("/program"), ["needle", "xx", "noodle"]), [true, true, false]);
        assert_eq!(root.mentions(Path::new("/nothing"), ["x"]), [false]);
    }
}
