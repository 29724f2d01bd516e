//! Where a text goes piece by piece: nowhere, into a diff, over the file that it was read from, into another folder.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::pieces::line_ends;
use crate::replace::{Guise, Replacement};

/// Where a text goes.
pub(super) enum Sink<'a> {
    /// Only what would be edited is told.
    Nowhere,
    /// Changes are shown as a unified diff.
    Diff { to: &'a mut dyn Write, name: String, lines_before: usize, lines_after: usize, is_begun: bool },
    /// It takes the place of the file that it was read from, once something changes.
    InPlace { path: &'a Path, unchanged: u64, replacement: Option<BufWriter<Replacement>> },
    /// It is written in any case.
    Whole(Box<dyn Write + 'a>),
    /// It is written to another file in any case.
    Copy(BufWriter<Replacement>),
}

impl<'a> Sink<'a> {
    pub(super) fn diff(to: &'a mut dyn Write, name: &str) -> Self {
        Self::Diff { to, name: name.to_owned(), lines_before: 0, lines_after: 0, is_begun: false }
    }

    pub(super) fn in_place(path: &'a Path) -> Self {
        Self::InPlace { path, unchanged: 0, replacement: None }
    }

    /// Another file with the permissions of `original`.
    pub(super) fn copy(original: &Path, path: &Path) -> io::Result<Self> {
        Ok(Self::Copy(BufWriter::new(Replacement::begin(path, &guise(original)?)?)))
    }

    /// The next piece, as it was and as it is now.
    pub(super) fn piece(&mut self, before: &[u8], after: Option<&str>) -> io::Result<()> {
        let bytes = after.map_or(before, str::as_bytes);
        match self {
            Self::Nowhere => Ok(()),
            Self::Whole(to) => to.write_all(bytes),
            Self::Copy(to) => to.write_all(bytes),
            Self::Diff { to, name, lines_before, lines_after, is_begun } => {
                if let Some(after) = after {
                    let before = std::str::from_utf8(before).map_err(io::Error::other)?;
                    if !*is_begun {
                        writeln!(to, "--- {name}\n+++ {name}")?;
                        *is_begun = true;
                    }
                    hunks(*to, before, after, (*lines_before, *lines_after))?;
                }
                *lines_before += line_ends(before);
                *lines_after += line_ends(bytes);
                Ok(())
            }
            Self::InPlace { path, unchanged, replacement } => {
                if after.is_some() && replacement.is_none() {
                    let mut new = BufWriter::new(Replacement::begin(path, &guise(path)?)?);
                    io::copy(&mut File::open(path)?.take(*unchanged), &mut new)?;
                    *replacement = Some(new);
                }
                *unchanged += before.len() as u64;
                replacement.as_mut().map_or(Ok(()), |to| to.write_all(bytes))
            }
        }
    }

    /// A file that is no text, as it was and as it is now.
    pub(super) fn whole(&mut self, before: &[u8], after: Option<&[u8]>) -> io::Result<()> {
        match (self, after) {
            (Self::InPlace { path, replacement, .. }, Some(after)) => {
                let mut new = BufWriter::new(Replacement::begin(path, &guise(path)?)?);
                new.write_all(after)?;
                *replacement = Some(new);
                Ok(())
            }
            (Self::Diff { to, name, .. }, Some(_)) => {
                writeln!(to, "Binary files a/{name} and b/{name} differ")
            }
            (Self::Nowhere | Self::InPlace { .. } | Self::Diff { .. }, _) => Ok(()),
            (Self::Whole(to), after) => to.write_all(after.unwrap_or(before)),
            (Self::Copy(to), after) => to.write_all(after.unwrap_or(before)),
        }
    }

    /// Puts it where it belongs.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Nowhere | Self::Diff { .. } => Ok(()),
            Self::Whole(mut to) => to.flush(),
            Self::Copy(to) => close(to),
            Self::InPlace { replacement, .. } => replacement.map_or(Ok(()), close),
        }
    }
}

fn close(to: BufWriter<Replacement>) -> io::Result<()> {
    to.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
}

fn guise(path: &Path) -> io::Result<Guise> {
    Ok(Guise::with_mode(std::fs::metadata(path)?.permissions().mode() & 0o7777))
}

/// The changes of a piece that has so many lines before it in the old and in the new text.
fn hunks(to: &mut dyn Write, before: &str, after: &str, (old, new): (usize, usize)) -> io::Result<()> {
    let diff = TextDiff::from_lines(before, after);
    for group in diff.grouped_ops(3) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let range = |start: usize, end: usize, above: usize| {
            let count = end - start;
            // A range without lines is named by the line before it.
            let start = above + start + usize::from(count > 0);
            if count == 1 { start.to_string() } else { format!("{start},{count}") }
        };
        writeln!(
            to,
            "@@ -{} +{} @@",
            range(first.old_range().start, last.old_range().end, old),
            range(first.new_range().start, last.new_range().end, new)
        )?;
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            write!(to, "{}{}", change.tag(), change.value())?;
            if change.missing_newline() {
                writeln!(to, "\n\\ No newline at end of file")?;
            }
        }
    }
    Ok(())
}

/// Where a file goes in another folder; its folders are made.
pub(super) fn place(folder: &Path, relative: &Path) -> io::Result<PathBuf> {
    let path = folder.join(relative);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(path)
}
