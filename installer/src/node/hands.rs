//! What is done to a node: the edge where files are written and services told.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use ferry_model::node::ServiceChange;
use ferry_model::report::Failed;

use super::services;
use crate::replace::{Guise, remove_file, write_file};

/// Does it. Paths are those of the machine that this program runs on.
pub(crate) trait Hands: fmt::Debug {
    /// Writes a file: whole or not at all, and on disk when this returns.
    fn write(&self, path: &Path, bytes: &[u8], guise: &Guise) -> io::Result<()>;
    /// Removes a file. One that is not there is no failure.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes one folder.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder if it is empty.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Has a service take changes up, and waits until it answers again. Gives what there is to say about that.
    fn take_up(&self, service: &ServiceChange) -> Result<Option<String>, Failed>;
    /// Runs a program.
    fn run(&self, command: &[String]) -> Result<(), Failed>;
}

/// This machine; or, for tests, only files below another root.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Here {
    /// With its services.
    Machine,
    /// Files alone.
    Files,
}

fn is_of_kernel(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

impl Hands for Here {
    fn write(&self, path: &Path, bytes: &[u8], guise: &Guise) -> io::Result<()> {
        // A value of the kernel is a file whose place nothing can take.
        if is_of_kernel(path) { fs::write(path, bytes) } else { write_file(path, bytes, guise) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        remove_file(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o755).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        use io::ErrorKind::{DirectoryNotEmpty, NotADirectory, NotFound};
        match fs::remove_dir(path) {
            // Others put something there: it stays.
            Err(error) if matches!(error.kind(), DirectoryNotEmpty | NotFound | NotADirectory) => Ok(()),
            removed => removed,
        }
    }

    fn take_up(&self, service: &ServiceChange) -> Result<Option<String>, Failed> {
        match self {
            Self::Machine => services::take_up(service),
            Self::Files => Ok(None),
        }
    }

    fn run(&self, command: &[String]) -> Result<(), Failed> {
        match self {
            Self::Machine => services::run(command),
            Self::Files => Ok(()),
        }
    }
}
