//! What can go wrong with a push.

use super::Target;
use ferry_model::failure::{Class, Failure};
use ferry_model::report::Failed;

/// Nothing at all could be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The registry cannot be talked to.
    #[error("cannot push to {registry}")]
    Registry {
        /// The registry.
        registry: String,
        /// Why.
        source: ferry_transfer::Error,
    },
}

impl Failure for PushError {
    fn class(&self) -> Class {
        match self {
            Self::Registry { source, .. } => source.class(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry { source, .. } => source.hints(),
        }
    }
}

/// For what was given up because the registry no longer answers.
pub(super) fn not_tried(target: &Target) -> Failed {
    let message = format!("not tried: {} had stopped answering", target.registry());
    Failed::because(Class::Transient, message)
        .hint(format!("see to it that {} answers, then run the same command again", target.registry()))
}
