//! Runs and their journals: folders beside the site file, `site.ferry/runs/0001`, each with the plan, the journal, what was
//! kept for the undo, and the report.

mod progress;

use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ferry_model::Digest;
use ferry_model::journal::{Entry, JournalEvent};
use ferry_model::plan::{PLAN_VERSION, Plan};

pub use progress::{Progress, StepProgress, StepState, Undo};

use crate::Error;
use crate::resources::Kept;

const PLAN: &str = "plan.json";
/// No line of a journal is longer.
const MAX_LINE: u64 = 16 << 20;
const JOURNAL: &str = "journal.jsonl";

/// A run's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// All runs of a site, the first one first.
    pub fn all(state: &Path) -> Result<Vec<Self>, Error> {
        let folder = state.join("runs");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("reading", &folder)(error)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io("reading", &folder))?.path();
            let run = Self { path };
            // A run begins with its journal's first line; a folder without is one that was cut off before. What has no number
            // for its name is somebody's copy.
            if run.number().is_some() && run.has_begun() {
                runs.push(run);
            }
        }
        runs.sort_by_key(Self::number);
        Ok(runs)
    }

    /// The run with this name, or the last one.
    pub fn find(state: &Path, name: Option<&str>) -> Result<Option<Self>, Error> {
        let mut runs = Self::all(state)?;
        match name {
            None => Ok(runs.pop()),
            Some(name) => {
                let number = name.parse::<u64>().ok();
                Ok(runs
                    .into_iter()
                    .find(|run| run.name() == name || (number.is_some() && run.number() == number)))
            }
        }
    }

    /// Begins a run of `plan`, with these files in its folder. The journal comes last: with it the run has begun.
    pub fn begin(state: &Path, plan: &Plan, files: &[(&str, Vec<u8>)]) -> Result<(Self, Journal), Error> {
        let last = Self::all(state)?.last().and_then(Self::number).unwrap_or(0);
        let run = Self { path: state.join("runs").join(format!("{:04}", last + 1)) };
        // What a run left that was cut off before its journal began.
        match fs::remove_dir_all(&run.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("removing", &run.path)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&run.path).map_err(Error::io("creating", &run.path))?;
        let text = serde_json::to_vec_pretty(plan).expect("a plan has only strings, numbers and lists");
        run.write(PLAN, &text)?;
        for (name, content) in files {
            run.write(name, content)?;
        }
        let journal = run.journal()?;
        let (identity, plan) = (plan.identity.clone(), Digest::of(&text));
        journal.append([JournalEvent::Began { format_version: PLAN_VERSION, identity, plan }])?;
        // The folders that lead to it may be as new as the run, up to the one that the site file is in, which is the operator's.
        let mut folders = run.path.ancestors();
        folders
            .by_ref()
            .take(3)
            .try_for_each(|folder| sync_folder(folder).map_err(Error::io("syncing", folder)))?;
        match folders.next().map(|folder| (folder, sync_folder(folder))) {
            Some((folder, Err(error))) if error.kind() != io::ErrorKind::PermissionDenied => {
                Err(Error::io("syncing", folder)(error))
            }
            // Where new files may be made, and none be listed, it cannot be opened either.
            _ => Ok((run, journal)),
        }
    }

    /// Its name: `0001`.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn number(&self) -> Option<u64> {
        let name = self.name();
        name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten()
    }

    fn has_begun(&self) -> bool {
        let first = fs::File::open(self.path.join(JOURNAL)).and_then(|file| {
            let mut line = Vec::new();
            io::BufReader::new(file).take(MAX_LINE).read_until(b'\n', &mut line).map(|_| line)
        });
        first.is_ok_and(|line| line.ends_with(b"\n"))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it kept for its undo.
    pub(crate) fn kept(&self) -> Kept {
        Kept::in_folder(self.path.join("before"))
    }

    /// Its plan, checked against the journal's digest of it.
    pub fn plan(&self) -> Result<Plan, Error> {
        let path = self.path.join(PLAN);
        let wanted = self.entries()?.into_iter().find_map(|entry| match entry.event {
            JournalEvent::Began { plan, .. } => Some(plan),
            _ => None,
        });
        let text = fs::read(&path).map_err(Error::io("reading", &path))?;
        if wanted != Some(Digest::of(&text)) {
            return Err(Error::damaged(&path, "it is not the plan that its journal began with"));
        }
        read_plan(&path, &text)
    }

    /// How far it has come.
    pub fn progress(&self) -> Result<Progress, Error> {
        Ok(Progress::of(&self.entries()?))
    }

    /// The journal's lines. A last line that was cut off does not count.
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        let path = self.path.join(JOURNAL);
        let text = fs::read(&path).map_err(Error::io("reading", &path))?;
        let mut entries = Vec::new();
        for (number, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let Some(whole) = line.strip_suffix(b"\n") else { break };
            let entry = serde_json::from_slice(whole)
                .map_err(|error| Error::damaged(&path, format!("line {}: {error}", number + 1)))?;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Opens its journal to append to.
    pub fn journal(&self) -> Result<Journal, Error> {
        let path = self.path.join(JOURNAL);
        let file = fs::OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        cut_torn_line(&file, &path)?;
        Ok(Journal {
            path,
            file: Mutex::new(file),
            #[cfg(test)]
            stop: Mutex::default(),
        })
    }

    /// Writes a file of the run, whole or not at all.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, Error> {
        let (path, temporary) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let written = || -> io::Result<()> {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        written().map_err(Error::io("writing", &path))?;
        Ok(path)
    }
}

/// Reads a plan that a person kept or a run did.
pub fn read_plan(path: &Path, text: &[u8]) -> Result<Plan, Error> {
    let plan: Plan = serde_json::from_slice(text).map_err(|error| Error::damaged(path, error.to_string()))?;
    if !plan.format_version.readable_by(PLAN_VERSION) {
        let problem =
            format!("its version is {}, and this program reads {PLAN_VERSION}", plan.format_version);
        return Err(Error::damaged(path, problem));
    }
    Ok(plan)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// A line that a killed process left unfinished is cut off, so that the next one begins on a line of its own.
fn cut_torn_line(file: &fs::File, path: &Path) -> Result<(), Error> {
    let text = fs::read(path).map_err(Error::io("reading", path))?;
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        file.set_len(whole as u64).map_err(Error::io("writing", path))?;
    }
    Ok(())
}

/// The journal of a run, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<fs::File>,
    #[cfg(test)]
    pub(crate) stop: Mutex<Option<Stop>>,
}

/// Where a test cuts a run off.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Stop {
    /// Appends that go well.
    pub(crate) after: usize,
    /// Whether the append that fails has reached the disk.
    pub(crate) written: bool,
}

impl Journal {
    /// Appends; on disk when this returns. Several at once cost one sync.
    pub fn append(&self, events: impl IntoIterator<Item = JournalEvent>) -> Result<(), Error> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, &Entry { at: now(), event })
                .expect("entries are strings and numbers");
            lines.push(b'\n');
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(test)]
        self.stop_here(&mut file, &lines)?;
        file.write_all(&lines).and_then(|()| file.sync_data()).map_err(Error::io("writing", &self.path))
    }

    #[cfg(test)]
    fn stop_here(&self, file: &mut fs::File, lines: &[u8]) -> Result<(), Error> {
        let mut stop = self.stop.lock().unwrap();
        let Some(stop) = stop.as_mut() else { return Ok(()) };
        if stop.after > 0 {
            stop.after -= 1;
            return Ok(());
        }
        if std::mem::take(&mut stop.written) {
            file.write_all(lines).unwrap();
        }
        Err(Error::io("stopping at", &self.path)(io::Error::other("a test wants it")))
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
