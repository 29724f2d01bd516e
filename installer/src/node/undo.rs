//! Takes back what was done to a node: each file byte for byte as it was, unless somebody has changed it since.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ferry_model::failure::Class;
use ferry_model::node::{Change, FileChange, NodeReport, Takeup};
use ferry_model::report::Failed;

use super::apply::{Run, here, refused};
use super::gather;
use super::hands::Hands;
use super::state::{Journal, State, Touched};
use super::{Root, diff, docker};
use crate::replace::{Guise, clear_beside};

/// Takes back what [`apply_node`](super::apply::apply_node) did. What others have changed since keeps their changes.
pub fn undo_node(root: &Root) -> NodeReport {
    undo_with(root, &here(root))
}

pub(super) fn undo_with(root: &Root, hands: &dyn Hands) -> NodeReport {
    let mut report = NodeReport { node: gather::node_name(root), ..NodeReport::default() };
    let run = Run { root, state: State::of(root), hands };
    if let Err(failed) = run.undo(&mut report) {
        report.failures.push(failed);
    }
    report
}

/// What becomes of a file.
enum Way {
    /// It is as it was.
    Nothing,
    /// It becomes what it was.
    Restore,
    /// It becomes what others made of it.
    Write(Vec<u8>),
    /// It cannot be told what others made of it.
    Leave,
}

impl Run<'_> {
    fn undo(&self, report: &mut NodeReport) -> Result<(), Failed> {
        if self.state.journal()?.is_empty() {
            report.notes.push("there is nothing to take back on this node".into());
            // A run may have been cut off before its first change.
            return self.state.remove();
        }
        let _lock = self.state.lock()?;
        let mut journal = self.state.journal()?;
        for touched in journal.files.clone().into_iter().rev() {
            match self.take_back(&touched, &mut journal, report) {
                Ok(()) => journal.files.retain(|other| other.path != touched.path),
                Err(failed) => report.failures.push(failed),
            }
        }
        for folder in std::mem::take(&mut journal.folders).into_iter().rev() {
            let removed = self.hands.remove_folder(&self.root.path(&folder));
            if let Err(error) = removed {
                report.failures.push(refused(&folder, &error));
                journal.folders.insert(0, folder);
            }
        }
        self.settle(&mut journal, report);
        if journal.is_empty() { self.state.remove() } else { self.state.note(&journal, self.hands) }
    }

    /// Makes a file what it was, having noted who has to take that up.
    fn take_back(
        &self,
        touched: &Touched,
        journal: &mut Journal,
        report: &mut NodeReport,
    ) -> Result<(), Failed> {
        let now = self.root.read(&touched.path)?;
        let way = self.way(touched, now.as_deref())?;
        let then = match &way {
            Way::Nothing => {
                let cleared = clear_beside(&self.root.path(&touched.path));
                return cleared.map_err(|error| refused(&touched.path, &error));
            }
            Way::Leave => return Err(changed_since(&touched.path)),
            Way::Restore => touched.before.as_ref().map(|was| self.state.read(&was.digest)).transpose()?,
            Way::Write(bytes) => Some(bytes.clone()),
        };
        let services = journal.services.drain(..).chain(touched.service.clone());
        journal.services = gather::merged(services);
        for command in &touched.commands {
            if !journal.commands.contains(command) {
                journal.commands.push(command.clone());
            }
        }
        self.state.note(journal, self.hands)?;
        self.forget(touched, journal, now.as_deref(), then.as_deref())?;
        match way {
            Way::Write(bytes) => {
                let place = self.root.path(&touched.path);
                let written = self.hands.write(&place, &bytes, &Guise::with_mode(mode(&place)));
                written.map_err(|error| refused(&touched.path, &error))?;
                let path = touched.path.display();
                report.notes.push(format!("{path} was changed since; only Ferry's part of it is taken back"));
            }
            _ => self.restore(&touched.path, touched.before.as_ref())?,
        }
        report.changes.push(FileChange {
            path: touched.path.clone(),
            change: match (&now, &then) {
                (None, _) => Change::Made,
                (_, None) => Change::Removed,
                _ => Change::Changed,
            },
            diff: diff::unified(&touched.path, now.as_deref(), then.as_deref()),
        });
        Ok(())
    }

    /// Has dockerd forget what would outlive its file.
    fn forget(
        &self,
        touched: &Touched,
        journal: &mut Journal,
        now: Option<&[u8]>,
        then: Option<&[u8]>,
    ) -> Result<(), Failed> {
        let service = touched.service.as_ref().filter(|service| {
            service.how == Takeup::Reload && docker::UNITS.contains(&service.unit.as_str())
        });
        let (Some(service), Some(bytes)) = (service, docker::forgetting(now, then)) else { return Ok(()) };
        // A cut between the two writes leaves a file that is known to be Ferry's, too.
        let digest = self.state.keep_bytes(Some(&bytes))?;
        for noted in journal.files.iter_mut().filter(|noted| noted.path == touched.path) {
            noted.ours.insert(0, digest.clone());
        }
        self.state.note(journal, self.hands)?;
        let place = self.root.path(&touched.path);
        let written = self.hands.write(&place, &bytes, &Guise::with_mode(mode(&place)));
        written.map_err(|error| refused(&touched.path, &error))?;
        // Where this fails, so will what comes next, and that is told.
        let _ = self.hands.take_up(service);
        Ok(())
    }

    fn way(&self, touched: &Touched, now: Option<&[u8]>) -> Result<Way, Failed> {
        if touched.is_as_before(now) {
            return Ok(Way::Nothing);
        }
        if touched.is_ours(now) {
            return Ok(Way::Restore);
        }
        let Some(now) = now else { return Ok(Way::Leave) };
        Ok(self.state.without_ours(touched, now)?.map_or(Way::Leave, Way::Write))
    }

    /// Has services take up that files are as they were.
    fn settle(&self, journal: &mut Journal, report: &mut NodeReport) {
        for command in std::mem::take(&mut journal.commands) {
            if let Err(failed) = self.hands.run(&command) {
                report.failures.push(failed);
                journal.commands.push(command);
            }
        }
        for service in std::mem::take(&mut journal.services) {
            match self.hands.take_up(&service) {
                Ok(note) => report.notes.extend(note),
                Err(failed) => {
                    report.failures.push(failed);
                    journal.services.push(service.clone());
                }
            }
            report.services.push(service);
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).map_or(0o644, |metadata| metadata.mode() & 0o7777)
}

fn changed_since(path: &Path) -> Failed {
    let message =
        format!("{} was changed since, where Ferry changed it too; it is left as it is", path.display());
    Failed::because(Class::Local, message)
        .hint(format!("`ferry-installer node apply --dry-run` shows what of {} is Ferry's", path.display()))
}
