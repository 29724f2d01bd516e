//! One file after another: read, rewritten, and put where it belongs. One that cannot be is told, and holds up no other.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferry_model::Digest;

use super::Output;
use super::archive;
use super::chart::Chart;
use super::ground::Ground;
use super::known::Known;
use super::outcome::{Outcome, shown};
use super::remark::{Kind, Said};
use super::report::Archive;
use super::sink::{self, Sink};
use super::source::Source;
use super::walk::{Item, What};
use crate::Error;

/// The largest chart archive.
const MAX_ARCHIVE: u64 = 128 << 20;

impl Outcome {
    /// A file that cannot be read or written must not hold up the others, of which some are written already.
    pub(super) fn item_or_why_not(
        &mut self,
        item: &Item,
        ground: &Ground,
        output: &mut Output<'_>,
        taken: &mut HashSet<PathBuf>,
    ) -> Result<(), Error> {
        match self.item(item, ground, output, taken) {
            // Nobody reads the diff any more.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
                Err(Error::io("writing", &item.path)(source))
            }
            Err(error @ Error::Io { .. }) => {
                self.failed(&item.path, &error);
                Ok(())
            }
            done => done,
        }
    }

    fn item(
        &mut self,
        item: &Item,
        ground: &Ground,
        output: &mut Output<'_>,
        taken: &mut HashSet<PathBuf>,
    ) -> Result<(), Error> {
        let copy = match &output {
            Output::Folder(folder) => {
                let place = sink::place(folder, &item.relative).map_err(Error::io("writing", folder))?;
                if item.what != What::Folder && !taken.insert(place.clone()) {
                    return Err(Error::Usage {
                        problem: format!("two files would both be {}", place.display()),
                        hint: "name the folder that they lie in".into(),
                    });
                }
                Some(place)
            }
            _ => None,
        };
        match (item.what, copy) {
            (What::Folder, Some(place)) => {
                std::fs::create_dir_all(&place).map_err(Error::io("making", place))
            }
            (What::Link, Some(place)) => copy_link(&item.path, &place).map_err(Error::io("linking", place)),
            (What::Folder | What::Link, None) => Ok(()),
            (What::File, copy) => self.file(item, ground, output, copy.as_deref()),
        }
    }

    fn file(
        &mut self,
        item: &Item,
        ground: &Ground,
        output: &mut Output<'_>,
        copy: Option<&Path>,
    ) -> Result<(), Error> {
        let path = &item.path;
        let name = shown(path);
        let file = File::open(path).map_err(Error::io("reading", path))?;
        let mut source = Source::begin(file, &name).map_err(Error::io("reading", path))?;
        let is_own = ground.is_own(path);
        source.format = source.format.filter(|_| !is_own);
        let mut sink = match (output, copy) {
            (_, Some(place)) => Sink::copy(path, place).map_err(Error::io("writing", place))?,
            (Output::Diff(to), None) => Sink::diff(*to, &name),
            (Output::InPlace, None) => Sink::in_place(path),
            _ => Sink::Nowhere,
        };
        self.files += 1;
        let before = self.edits.len();
        let result = if archive::is_archive(&name) && !is_own {
            self.archive(path, &name, source, &ground.known, &mut sink)
        } else if source.format.is_some() {
            source.rewrite(
                &mut sink,
                ground,
                (Chart::beside(path).as_ref(), ground.kustomized.ways(path)),
                self,
            )
        } else {
            if item.is_named && !is_own {
                let message = "neither its name nor how it begins says what it is written in";
                self.say(&name, Said::problem(Kind::Unread, message));
            }
            if copy.is_some() { source.copy(&mut sink) } else { Ok(()) }
        };
        match result {
            Ok(()) => {
                let finished = sink.finish().map_err(Error::io("writing", path));
                if finished.is_err() {
                    self.edits.truncate(before);
                }
                self.changed += usize::from(self.edits.len() > before);
                finished
            }
            // What cannot be read as a text stays as it is, and must not hold up the others.
            Err(error) if is_unread(&error) => {
                self.edits.truncate(before);
                self.say(&name, Said::problem(Kind::Unread, error.to_string()));
                copy.map_or(Ok(()), |place| {
                    std::fs::copy(path, place).map(drop).map_err(Error::io("copying", path))
                })
            }
            Err(error) => {
                self.edits.truncate(before);
                Err(Error::io("rewriting", path)(error))
            }
        }
    }

    fn archive(
        &mut self,
        path: &Path,
        name: &Arc<str>,
        source: Source<impl Read>,
        known: &Known,
        sink: &mut Sink<'_>,
    ) -> io::Result<()> {
        let mut bytes = source.beginning;
        source.reader.take(MAX_ARCHIVE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_ARCHIVE {
            return Err(archive::too_large(MAX_ARCHIVE));
        }
        let packed = archive::rewrite_archive(&bytes, name, known, 0, self)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(packed) = &packed {
            self.archives.push(Archive {
                file: name.clone(),
                before: Digest::of(&bytes),
                after: Digest::of(packed),
            });
            let provenance = format!("{}.prov", path.display());
            if Path::new(&provenance).exists() {
                let message =
                    format!("{name}.prov signs the chart as it was: sign it anew, or do not verify it");
                self.say(name, Said::note(Kind::Provenance, message));
            }
        }
        sink.whole(&bytes, packed.as_deref())
    }
}

/// Whether it is the text that is wrong, and not the disk.
fn is_unread(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge | io::ErrorKind::UnexpectedEof
    )
}

fn copy_link(link: &Path, place: &Path) -> io::Result<()> {
    match std::fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(std::fs::read_link(link)?, place)
}
