//! What can go wrong with a push.

use std::error::Error;

use super::Target;
use ferry_model::failure::{Class, Failure};
use serde::Serialize;

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

/// Why one thing failed; shared by all that needed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// What kind of failure it is.
    pub class: Class,
    /// The error and its causes, in one line.
    pub message: String,
    /// What to try.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Failed {
    pub(super) fn new(error: &dyn Failure) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = Error::source(inner);
        }
        Self { class: error.class(), message, hints: error.hints() }
    }

    pub(super) fn because(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hints: Vec::new() }
    }

    pub(super) fn not_tried(target: &Target) -> Self {
        let hints =
            vec![format!("see to it that {} answers, then run the same command again", target.registry())];
        let message = format!("not tried: {} had stopped answering", target.registry());
        Self { class: Class::Transient, message, hints }
    }
}
