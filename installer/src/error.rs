//! What can go wrong at the site.

use std::io;
use std::path::PathBuf;

use ferry_model::failure::{Class, Failure};

use crate::export::ExportError;
use crate::push::PushError;
use crate::serve::ServeError;

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
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Local,
            Self::Incomplete { .. } => Class::NotFound,
            Self::Usage { .. } => Class::Usage,
            Self::Bundle(error) => error.class(),
            Self::Transfer(error) => error.class(),
            Self::Push(error) => error.class(),
            Self::Export(error) => error.class(),
            Self::Serve(error) => error.class(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Io { .. } => Vec::new(),
            Self::Incomplete { .. } => {
                vec!["`inspect` lists what is missing; to push what there is, say --allow-incomplete".into()]
            }
            Self::Usage { hint, .. } => vec![hint.clone()],
            Self::Bundle(error) => error.hints(),
            Self::Transfer(error) => error.hints(),
            Self::Push(error) => error.hints(),
            Self::Export(error) => error.hints(),
            Self::Serve(error) => error.hints(),
        }
    }
}
