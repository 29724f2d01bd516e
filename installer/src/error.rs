//! What can go wrong at the site.

use std::io;
use std::path::PathBuf;

use ferry_model::Digest;
use ferry_model::failure::{Class, Failure};
use ferry_model::report::Failed;

use crate::desire::BluekingError;
use crate::export::ExportError;
use crate::plan::PlanError;
use crate::push::PushError;
use crate::serve::ServeError;
use crate::site::SiteFileError;

/// A failure of the installer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{action} {}", path.display())]
    Io {
        /// `reading`, `starting`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The command line asks for something that does not exist.
    #[error("{problem}")]
    Usage {
        /// What.
        problem: String,
        /// What to write instead.
        hint: String,
    },
    /// The command line is right, and the site or the file is not such that it can be done.
    #[error("{problem}")]
    State {
        /// What.
        problem: String,
        /// What to do first, or instead.
        hint: String,
    },
    /// Somebody has pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The bundle was allowed to go without some of its entries.
    #[error("{} is incomplete: it lacks {count}, the first of them {first}", path.display())]
    Incomplete {
        /// The bundle.
        path: PathBuf,
        /// How many entries it lacks.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// The site file is wrong, or not there.
    #[error(transparent)]
    SiteFile(#[from] SiteFileError),
    /// A plan or a journal is not what this program can read.
    #[error("{} cannot be read: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another run holds the site.
    #[error("another run is changing this site: {holder} holds {}", path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// The process.
        holder: String,
    },
    /// Two things of the bundle would get one name at the registry.
    #[error("{one} and {other} would both be {name}")]
    NameClash {
        /// The name.
        name: String,
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// Two different files of the bundle would lie at one place.
    #[error("{one} and {other} of the bundle differ, and both belong at {name}")]
    PlaceClash {
        /// The place in bkrepo.
        name: String,
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
    /// The site file gives a file a path that it cannot have.
    #[error("{file} cannot go to `{to}`")]
    Place {
        /// The file.
        file: String,
        /// The folder that the site file names.
        to: String,
        /// Why.
        source: ferry_model::path::SitePathError,
    },
    /// The site file names an image that the bundle does not have.
    #[error("`registry.names` has {name}, and the bundle has no such image")]
    NameOfNothing {
        /// The image.
        name: String,
    },
    /// A registry takes single images only, and the bundle has none for this platform.
    #[error("{image} has no image for {platform}, and the registry takes no images for several platforms")]
    NoPlatform {
        /// The image.
        image: String,
        /// The platform.
        platform: String,
    },
    /// The plan is for another bundle.
    #[error("the plan was made for another bundle: for {made_for}, and this is {given}")]
    OtherBundle {
        /// Its name, version and catalog.
        made_for: String,
        /// Those of the bundle that is here.
        given: String,
    },
    /// The site has changed since the plan was made.
    #[error("the site has changed since the plan was made:{}", lines(differences))]
    Drift {
        /// Each resource, with what it was and is.
        differences: Vec<String>,
    },
    /// A run is being taken back, and was cut off.
    #[error("run {run} is half taken back")]
    HalfUndone {
        /// The run.
        run: String,
    },
    /// A run was cut off, and what it left cannot be seen now.
    #[error("run {run} was cut off, and cannot be gone on with now")]
    CannotGoOn {
        /// The run.
        run: String,
        /// What cannot be seen, and why.
        source: PlanError,
    },
    /// Something that must be so before anything is changed is not.
    #[error("preflight speaks against it: {}", checks.join("; "))]
    Preflight {
        /// The checks, each with what it found.
        checks: Vec<String>,
        /// What to do, one sentence each.
        remedies: Vec<String>,
    },
    /// What is asked of BlueKing's PaaS cannot be done with this bundle.
    #[error(transparent)]
    Blueking(#[from] BluekingError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Something at the site failed.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The bundle cannot be opened or read.
    #[error(transparent)]
    Bundle(#[from] ferry_bundle::Error),
    /// A transfer failed.
    #[error(transparent)]
    Transfer(#[from] ferry_transfer::Error),
    /// Pushing failed as a whole.
    #[error(transparent)]
    Push(#[from] PushError),
    /// An image cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Serving failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl Error {
    /// For `map_err` of file operations.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A plan or a journal that cannot be read.
    pub fn damaged(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), problem: problem.into() }
    }
}

/// One to a line, with short digests: their first digits tell two apart.
fn lines(differences: &[String]) -> String {
    const MOST: usize = 20;
    let mut text: String = differences
        .iter()
        .take(MOST)
        .map(|difference| format!("\n  {}", with_short_digests(difference)))
        .collect();
    if let Some(more) = differences.len().checked_sub(MOST).filter(|&more| more > 0) {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

fn with_short_digests(text: &str) -> String {
    const PREFIX: &str = "sha256:";
    let mut parts = text.split(PREFIX);
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        short.push_str(PREFIX);
        match part.get(..64).and_then(|hex| Digest::from_hex(hex).ok()) {
            Some(digest) => short.push_str(&(digest.short() + &part[64..])),
            None => short.push_str(part),
        }
    }
    short
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Incomplete { .. } => Class::NotFound,
            Self::Usage { .. } => Class::Usage,
            Self::SiteFile(error) => error.class(),
            Self::Damaged { .. }
            | Self::NameClash { .. }
            | Self::PlaceClash { .. }
            | Self::Place { .. }
            | Self::NameOfNothing { .. }
            | Self::NoPlatform { .. } => Class::Input,
            Self::Io { .. }
            | Self::State { .. }
            | Self::Interrupted
            | Self::Locked { .. }
            | Self::OtherBundle { .. }
            | Self::Drift { .. }
            | Self::HalfUndone { .. }
            | Self::Preflight { .. } => Class::Local,
            Self::Blueking(error) => error.class(),
            Self::Plan(error) | Self::CannotGoOn { source: error, .. } => error.class(),
            Self::Failed(failed) => failed.class(),
            Self::Bundle(error) => error.class(),
            Self::Transfer(error) => error.class(),
            Self::Push(error) => error.class(),
            Self::Export(error) => error.class(),
            Self::Serve(error) => error.class(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Io { .. } | Self::Damaged { .. } => Vec::new(),
            Self::Incomplete { .. } => {
                vec!["`inspect` lists what is missing; to push what there is, say --allow-incomplete".into()]
            }
            Self::Usage { hint, .. } | Self::State { hint, .. } => vec![hint.clone()],
            Self::Interrupted => vec!["the same command goes on where it stopped".into()],
            Self::SiteFile(error) => error.hints(),
            Self::Locked { .. } => vec!["wait for it to end; the lock goes with its process".into()],
            Self::NameClash { .. } => {
                vec!["give one of them another name under `registry.names` in the site file".into()]
            }
            Self::PlaceClash { .. } => {
                vec!["give one of them another place under `bkrepo.files` in the site file, or in the bundle's spec (`to`)".into()]
            }
            Self::Place { .. } => vec!["`to` under `bkrepo.files` is a folder in the repository".into()],
            Self::NameOfNothing { .. } => vec!["`inspect` lists the images of a bundle".into()],
            Self::NoPlatform { .. } => {
                vec!["build the bundle with that platform, or say `manifestLists: accepted` if the registry takes them".into()]
            }
            Self::OtherBundle { .. } => {
                vec!["name the bundle that it was made for, or make a new plan and have it reviewed".into()]
            }
            Self::Drift { .. } => vec!["make a new plan and have it reviewed".into()],
            Self::CannotGoOn { .. } => vec![
                "mend that and `apply` again: the run is as it was, and goes on where it stopped".into(),
                "or take it back: `rollback`".into(),
            ],
            Self::HalfUndone { run } => vec![
                "`rollback` goes on taking it back; then `apply` again".into(),
                format!("or give that up: `rollback {run} --leave` leaves as it is what is not taken back"),
            ],
            Self::Preflight { remedies, .. } => {
                let skip = "--skip-check NAME leaves a check out, at your own risk";
                remedies.iter().cloned().chain([skip.to_owned()]).collect()
            }
            Self::Blueking(error) => error.hints(),
            Self::Plan(error) => error.hints(),
            Self::Failed(failed) => failed.hints(),
            Self::Bundle(error) => error.hints(),
            Self::Transfer(error) => error.hints(),
            Self::Push(error) => error.hints(),
            Self::Export(error) => error.hints(),
            Self::Serve(error) => error.hints(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_one_by_one() {
        let digest = Digest::of(b"1");
        let differences: Vec<String> = (0..25)
            .map(|number| format!("image r:5000/a:{number} was absent and is digest {digest}, by sha256:no"))
            .collect();
        let text = Error::Drift { differences }.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 22, "{text}");
        let expected =
            format!("  image r:5000/a:0 was absent and is digest sha256:{}, by sha256:no", digest.short());
        assert_eq!((lines[1], lines[21]), (expected.as_str(), "  and 5 more"));
    }
}
