//! Makes a node as it shall be: keeps what is there, writes files, has services take them up, each once and in the gentlest
//! way that will do. A runtime that does not come back gets its previous files again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ferry_model::failure::Class;
use ferry_model::node::{NodeDesired, NodeReport, ServiceChange, Takeup};
use ferry_model::report::Failed;

use super::gather::{self, Gathered};
use super::hands::{Hands, Here};
use super::state::{Journal, Last, State, Touched, Was};
use super::{Edit, Edits, Root};
use crate::replace::Guise;

#[cfg(test)]
mod tests;

/// Makes this node as it shall be, or says why not. A second time there is nothing to do.
pub fn apply_node(root: &Root, desired: &NodeDesired) -> NodeReport {
    apply_with(root, desired, &here(root))
}

/// What [`apply_node`] would do.
pub fn plan_node(root: &Root, desired: &NodeDesired) -> NodeReport {
    let mut report = Gathered::ask(root, desired).report(root);
    match State::of(root).journal() {
        Ok(journal) => report.unfinished = journal.unfinished(),
        Err(failed) => report.failures.push(failed),
    }
    report
}

/// Another root than `/` has files alone.
pub(super) fn here(root: &Root) -> Here {
    if root.path("/") == Path::new("/") { Here::Machine } else { Here::Files }
}

pub(super) fn apply_with(root: &Root, desired: &NodeDesired, hands: &dyn Hands) -> NodeReport {
    let gathered = Gathered::ask(root, desired);
    let mut report = gathered.report(root);
    let run = Run { root, state: State::of(root), hands };
    if let Err(failed) = run.apply(&gathered, &mut report) {
        report.failures.push(failed);
    }
    report
}

/// One run on a node.
pub(super) struct Run<'a> {
    pub(super) root: &'a Root,
    pub(super) state: State,
    pub(super) hands: &'a dyn Hands,
}

impl Run<'_> {
    fn apply(&self, gathered: &Gathered, report: &mut NodeReport) -> Result<(), Failed> {
        if gathered.edits().next().is_none() && !self.state.journal()?.has_more_to_do() {
            return Ok(());
        }
        let _lock = self.state.lock()?;
        let mut journal = self.state.journal()?;
        for group in &gathered.groups {
            if let Err(failed) = self.write_group(group, &mut journal) {
                report.failures.push(failed);
            }
        }
        report.services = self.take_up(&mut journal, report);
        Ok(())
    }

    /// Notes what is about to be done for one editor, and does it.
    fn write_group(&self, group: &Edits, journal: &mut Journal) -> Result<(), Failed> {
        if group.files.is_empty() {
            return Ok(());
        }
        for edit in &group.files {
            self.expect(edit, journal, &group.commands)?;
        }
        // Noted before the first write: whoever goes on after a cut has to have it all taken up.
        let earlier = (journal.services.clone(), journal.commands.clone());
        journal.services = self.with_services(&earlier.0, &group.files);
        journal
            .commands
            .extend(group.commands.iter().filter(|command| !earlier.1.contains(command)).cloned());
        self.state.note(journal, self.hands)?;
        for (number, edit) in group.files.iter().enumerate() {
            if let Err(failed) = self.write(edit) {
                journal.services = self.with_services(&earlier.0, &group.files[..number]);
                if number == 0 {
                    journal.commands = earlier.1;
                }
                return Err(failed);
            }
        }
        Ok(())
    }

    fn with_services(&self, earlier: &[ServiceChange], edits: &[Edit]) -> Vec<ServiceChange> {
        let more = edits.iter().filter_map(|edit| gather::service(self.root, edit));
        gather::merged(earlier.iter().cloned().chain(more))
    }

    /// Notes that a file is about to be what it shall be.
    fn expect(&self, edit: &Edit, journal: &mut Journal, commands: &[Vec<String>]) -> Result<(), Failed> {
        let place = self.root.path(&edit.path);
        let was = edit.before.as_deref().map(|bytes| self.state.keep(&place, bytes)).transpose()?;
        let ours = self.state.keep_bytes(edit.after.as_deref())?;
        let service = gather::service(self.root, edit);
        self.expect_folders(&edit.path, journal);
        let last = Some(Last { was: was.clone() });
        let commands = commands.to_vec();
        let Some(touched) = journal.files.iter_mut().find(|touched| touched.path == edit.path) else {
            let ours = vec![ours];
            let path = edit.path.clone();
            journal.files.push(Touched { path, before: was, ours, last, service, commands });
            return Ok(());
        };
        touched.before = self.before_ours(touched, edit, was)?;
        touched.ours.push(ours);
        (touched.last, touched.service, touched.commands) = (last, service, commands);
        Ok(())
    }

    /// What the way back leads to. What somebody has changed since Ferry's last change stays in it.
    fn before_ours(&self, touched: &Touched, edit: &Edit, was: Option<Was>) -> Result<Option<Was>, Failed> {
        let now = edit.before.as_deref();
        if touched.is_ours(now) {
            return Ok(touched.before.clone());
        }
        let (Some(was), Some(now)) = (was, now) else { return Ok(None) };
        match self.state.without_ours(touched, now)? {
            Some(merged) => Ok(self.state.keep_bytes(Some(&merged))?.map(|digest| Was { digest, ..was })),
            None => Ok(Some(was)),
        }
    }

    fn expect_folders(&self, path: &Path, journal: &mut Journal) {
        let missing = path.ancestors().skip(1).take_while(|folder| !self.root.exists(folder));
        let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        missing.retain(|folder| !journal.folders.contains(folder));
        journal.folders.extend(missing.into_iter().rev());
    }

    fn write(&self, edit: &Edit) -> Result<(), Failed> {
        let path = self.root.path(&edit.path);
        if self.root.read(&edit.path)? != edit.before {
            let message = format!("{} was changed by somebody else just now", edit.path.display());
            return Err(Failed::because(Class::Transient, message).hint("run this again"));
        }
        let written = || -> io::Result<()> {
            leads_somewhere(&path)?;
            let Some(bytes) = &edit.after else { return self.hands.remove(&path) };
            let folders: Vec<&Path> =
                path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
            folders.into_iter().rev().try_for_each(|folder| self.hands.make_folder(folder))?;
            let mode = match fs::metadata(&path) {
                Ok(metadata) => std::os::unix::fs::MetadataExt::mode(&metadata) & 0o7777,
                Err(_) => edit.mode,
            };
            self.hands.write(&path, bytes, &Guise::with_mode(mode))
        };
        written().map_err(|error| refused(&edit.path, &error))
    }

    /// Has services take up what they have to. One that does not come back gets its previous files again.
    fn take_up(&self, journal: &mut Journal, report: &mut NodeReport) -> Vec<ServiceChange> {
        let mut done = Vec::new();
        for command in std::mem::take(&mut journal.commands) {
            if let Err(failed) = self.hands.run(&command) {
                report.failures.push(failed);
                journal.commands.push(command);
            }
        }
        for service in journal.services.clone() {
            let outcome =
                self.hands.take_up(&service).map_err(|failed| match self.put_back(&service, journal) {
                    Ok(()) => failed
                        .hint(format!("its previous files are back, and {} runs with them", service.unit)),
                    Err(more) => Failed { message: format!("{failed}; and then: {more}"), ..failed },
                });
            match outcome {
                Ok(note) => report.notes.extend(note),
                Err(failed) => report.failures.push(failed),
            }
            // Also where it failed: files and service are as they were, and the next run begins anew.
            journal.services.retain(|other| other.unit != service.unit);
            for touched in journal.files.iter_mut().filter(|touched| is_for(touched, &service)) {
                touched.last = None;
            }
            done.push(service);
        }
        for touched in journal.files.iter_mut().filter(|touched| touched.service.is_none()) {
            touched.last = None;
        }
        if let Err(failed) = self.state.note(journal, self.hands) {
            report.failures.push(failed);
        }
        done
    }

    /// Gives a service the files back that it had before, and starts it with them.
    fn put_back(&self, service: &ServiceChange, journal: &Journal) -> Result<(), Failed> {
        for touched in journal.files.iter().rev().filter(|touched| is_for(touched, service)) {
            if let Some(last) = &touched.last {
                self.restore(&touched.path, last.was.as_ref())?;
            }
        }
        let restart = ServiceChange { how: Takeup::Restart, ..service.clone() };
        self.hands.take_up(&restart).map(drop)
    }

    /// Makes a file what it was.
    pub(super) fn restore(&self, path: &Path, was: Option<&Was>) -> Result<(), Failed> {
        let place = self.root.path(path);
        let restored = match was {
            Some(was) => self.hands.write(&place, &self.state.read(&was.digest)?, &was.guise()),
            None => self.hands.remove(&place),
        };
        restored.map_err(|error| refused(path, &error))
    }
}

fn is_for(touched: &Touched, service: &ServiceChange) -> bool {
    touched.service.as_ref().is_some_and(|other| other.unit == service.unit)
}

/// A link to nowhere would be replaced by a file.
fn leads_somewhere(path: &Path) -> io::Result<()> {
    match (fs::symlink_metadata(path), path.exists()) {
        (Ok(metadata), false) if metadata.is_symlink() => {
            let target = fs::read_link(path)?;
            let message = format!("it is a link to {}, which is not there", target.display());
            Err(io::Error::new(io::ErrorKind::NotFound, message))
        }
        _ => Ok(()),
    }
}

/// Why a file is not what it shall be.
pub(super) fn refused(path: &Path, error: &io::Error) -> Failed {
    let failed = Failed::because(Class::Local, format!("{} cannot be written: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => failed.hint("run this as root"),
        io::ErrorKind::ReadOnlyFilesystem => {
            failed.hint("make the file system writable, or change the image that the node is made from")
        }
        io::ErrorKind::StorageFull => failed.hint("make room on the disk"),
        _ => failed,
    }
}
