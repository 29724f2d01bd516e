//! What can go wrong while a bundle is made.

use std::fmt;
use std::io;
use std::path::PathBuf;

use ferry_model::document::DocumentError;
use ferry_model::failure::{Class, Failure};
use ferry_model::lock::LockError;
use ferry_model::size::ByteSize;
use ferry_transfer::TlsProblem;

/// A failure of the builder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{action} {}", path.display())]
    Io {
        /// `reading`, `writing`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The spec is wrong.
    #[error("{}:{source}", path.display())]
    Spec {
        /// The spec.
        path: PathBuf,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// The lock is wrong.
    #[error("{}: {source}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What is wrong with it.
        source: LockError,
    },
    /// The lock does not belong to the spec.
    #[error("{} does not match the spec: {}", path.display(), differences.join("; "))]
    OutOfDate {
        /// The spec.
        spec: PathBuf,
        /// The lock.
        path: PathBuf,
        /// What differs.
        differences: Vec<String>,
    },
    /// An entry of the spec cannot be what it is meant to be.
    #[error("{problem}")]
    Entry {
        /// What is wrong.
        problem: String,
        /// What to try.
        hint: Option<String>,
        /// What kind of failure it is.
        class: Class,
    },
    /// A transfer failed.
    #[error(transparent)]
    Transfer(#[from] ferry_transfer::Error),
    /// The bundle could not be written or read.
    #[error(transparent)]
    Bundle(#[from] ferry_bundle::Error),
    /// Several things failed; everything else was done.
    #[error("{}", Listed(failures))]
    Several {
        /// Each with its name.
        failures: Vec<Failed>,
    },
    /// Images are named that are not carried.
    #[error("{}", Holes(missing, unread))]
    Incomplete {
        /// The spec.
        spec: PathBuf,
        /// Images, each with a place that names it.
        missing: Vec<(String, String)>,
        /// What could not be read, and why.
        unread: Vec<(String, String)>,
    },
    /// There is not enough room.
    #[error("{} needs {} more, and has {} free{}", path.display(), ByteSize(*needed), ByteSize(*free), Left(salvage))]
    Disk {
        /// Where.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// What a run with another lock left there, with the bytes that each file occupies.
        salvage: Vec<(PathBuf, u64)>,
    },
}

/// One of several failures.
#[derive(Debug)]
pub struct Failed {
    /// What failed: an entry of the spec, or a blob.
    pub name: String,
    /// Why.
    pub error: Box<Error>,
}

/// Images that are not carried, and what could not be looked into.
struct Holes<'a>(&'a [(String, String)], &'a [(String, String)]);

impl fmt::Display for Holes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "image that is" } else { "images that are" };
        write!(f, "charts name {} {noun} not carried", self.0.len())?;
        self.0.iter().try_for_each(|(image, place)| write!(f, "\n  {image}  in {place}"))?;
        self.1.iter().try_for_each(|(source, reason)| write!(f, "\n  {source} cannot be read: {reason}"))
    }
}

/// What could make room.
struct Left<'a>(&'a [(PathBuf, u64)]);

impl fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.iter().map(|(_, size)| size).sum() {
            0 => Ok(()),
            size => write!(f, "; what an earlier run left there takes {}", ByteSize(size)),
        }
    }
}

struct Listed<'a>(&'a [Failed]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "failure" } else { "failures" };
        write!(f, "{} {noun}:", self.0.len())?;
        // Many failures tend to have one cause.
        let mut folded: Vec<(String, Vec<&str>)> = Vec::new();
        for failed in self.0 {
            let text = with_causes(&failed.error);
            match folded.iter_mut().find(|(known, _)| *known == text) {
                Some((_, names)) => names.push(&failed.name),
                None => folded.push((text, vec![&failed.name])),
            }
        }
        for (text, names) in folded {
            let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            let more = match names.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            write!(f, "\n  {shown}{more}: {text}")?;
        }
        Ok(())
    }
}

/// The most names that are shown of what failed for one cause.
const SHOWN: usize = 3;

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What to write into the spec so that a host can be talked to from now on.
fn in_the_spec(error: &ferry_transfer::Error) -> Option<String> {
    match error {
        ferry_transfer::Error::Tls { host, problem: TlsProblem::PlainHttp } => {
            Some(format!("or for good, in the spec:  registries: {{\"{host}\": {{plainHttp: true}}}}"))
        }
        ferry_transfer::Error::Tls { host, problem: TlsProblem::UnknownAuthority } => {
            Some(format!("or for good, in the spec:  registries: {{\"{host}\": {{caFile: FILE}}}}"))
        }
        ferry_transfer::Error::Token { source, .. } => in_the_spec(source),
        _ => None,
    }
}

impl Error {
    /// For `map_err` of file operations.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// An entry that is wrong in itself.
    pub fn input(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Entry { problem: problem.into(), hint: Some(hint.into()), class: Class::Input }
    }

    /// Something that an entry names and that is not there.
    pub fn not_found(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Entry { problem: problem.into(), hint: Some(hint.into()), class: Class::NotFound }
    }

    /// Content that is not what it was said to be.
    pub fn verification(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Entry { problem: problem.into(), hint: Some(hint.into()), class: Class::Verification }
    }

    /// One error out of several failures; none without any.
    pub fn collect(failures: Vec<Failed>) -> Result<(), Self> {
        if failures.is_empty() { Ok(()) } else { Err(Self::Several { failures }) }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Class::NotFound,
            Self::Io { .. } | Self::Disk { .. } => Class::Local,
            Self::Spec { source, .. } => source.class(),
            Self::Lock { source, .. } => source.class(),
            Self::OutOfDate { .. } | Self::Incomplete { .. } => Class::Input,
            Self::Entry { class, .. } => *class,
            Self::Transfer(error) => error.class(),
            Self::Bundle(error) => error.class(),
            // A wrong digest is graver than whatever else went wrong.
            Self::Several { failures } => {
                let classes = || failures.iter().map(|failed| failed.error.class());
                classes()
                    .find(|class| *class == Class::Verification)
                    .or_else(|| classes().next())
                    .unwrap_or(Class::Internal)
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                vec!["free space there, then run the same command again; it goes on where it stopped".into()]
            }
            Self::Io { .. } => Vec::new(),
            Self::Spec { source, .. } => source.hints(),
            Self::Lock { source, .. } => source.hints(),
            Self::OutOfDate { spec, .. } => {
                vec![format!(
                    "run `ferry-builder lock {}`, review the difference, and commit it",
                    spec.display()
                )]
            }
            Self::Incomplete { missing, .. } if missing.is_empty() => vec![
                "give the chart the site's `values` in the spec, or the subcharts that it lacks".into(),
                "what need not be seen is silenced in the spec:  check: {ignore: [{image: \"chart:NAME\", in: \"charts/NAME*\", reason: …}]}".into(),
                "--skip-check builds without looking".into(),
            ],
            Self::Incomplete { spec, missing, .. } => {
                let (image, place) = missing.first().cloned().unwrap_or_default();
                let place = place.split('/').take(2).collect::<Vec<_>>().join("/");
                let spec = spec.display();
                vec![
                    format!(
                        "`ferry-builder check {spec}` tells each place, and with --fix adds the images to the spec"
                    ),
                    format!(
                        "a false alarm is silenced in the spec:  check: {{ignore: [{{image: \"{image}\", in: \"{place}*\", reason: …}}]}}"
                    ),
                    "--skip-check builds without looking".into(),
                ]
            }
            Self::Entry { hint, .. } => hint.iter().cloned().collect(),
            Self::Transfer(error) => error.hints().into_iter().chain(in_the_spec(error)).collect(),
            Self::Bundle(error) => error.hints(),
            Self::Several { failures } => {
                let mut hints: Vec<String> = Vec::new();
                for hint in failures.iter().flat_map(|failed| failed.error.hints()) {
                    if !hints.contains(&hint) {
                        hints.push(hint);
                    }
                }
                hints
            }
            Self::Disk { salvage, .. } => {
                let mut hints = vec!["choose another place with `-o`, or free space there".to_owned()];
                if !salvage.is_empty() {
                    let files: Vec<String> =
                        salvage.iter().map(|(path, _)| path.display().to_string()).collect();
                    let files = files.join(" ");
                    hints.push(format!("to make room, delete {files}: what they hold is then fetched again"));
                }
                hints
            }
        }
    }
}
