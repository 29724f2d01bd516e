//! The report of a run: what was in the bundle, who signed it, what was checked and found, what was changed, and what is
//! left to do. For a security desk or a change board to file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::FormatVersion;
use crate::failure::{Class, Failure};
use crate::plan::{Action, Identity, ResourceId, State, StepId};

/// Why something failed, as text that can be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// What kind of failure it is.
    pub class: Class,
    /// What failed and why, from the outermost cause to the innermost.
    pub message: String,
    /// What to try, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Failed {
    /// From an error, with all of its causes.
    pub fn new(error: &(dyn Failure + '_)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their cause.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        Self { class: error.class(), message, hints: error.hints() }
    }

    /// From a sentence.
    pub fn because(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hints: Vec::new() }
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

impl Failure for Failed {
    fn class(&self) -> Class {
        self.class
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

/// How much a check matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It will not work without.
    Required,
    /// It may go wrong, or slowly.
    Advised,
}

/// What a check found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// It could not be found out; that is not "passed".
    Unknown,
}

/// One thing that was looked at before anything was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its name, by which it can be skipped: `disk-space`, `host-swap`.
    pub name: String,
    /// What it looked at: a mount, a host, a port.
    pub subject: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it found out.
    pub finding: Finding,
    /// What was found, and what was expected.
    pub found: String,
    /// Why it matters.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It was not tried: one that it needs failed, or the run was cut off.
    NotTried,
    /// It was done and is undone.
    Undone,
    /// It was done, and could not be undone.
    Left,
}

/// One change, as it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The step's number in the plan.
    pub step: StepId,
    /// What it does.
    pub action: Action,
    /// To what.
    pub resource: ResourceId,
    /// In one line.
    pub summary: String,
    /// Why.
    pub reason: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What stood there before.
    pub before: State,
    /// What stands there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<State>,
    /// How its text changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Bytes moved.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why it failed, or could not be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failed>,
}

/// Something in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// `image`, `chart`, `runtime`, `saas` or `file`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The digest by which it is known.
    pub digest: String,
    /// Bytes of all that belongs to it; what several share counts for each.
    pub size: u64,
}

/// Who vouches for the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Signer {
    /// Nobody: it is not signed.
    Unsigned,
    /// It is signed, and the signature was not checked.
    Unchecked {
        /// The key's id.
        key: String,
    },
    /// The signature was checked with a given public key.
    Verified {
        /// The key's id.
        key: String,
        /// What the signer wrote beside it.
        comment: String,
    },
    /// What was known of the bundle when the run began is no longer on record: neither this nor its size and contents are known.
    Unknown,
}

/// All of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this document.
    pub format_version: FormatVersion,
    /// The run: its folder's name.
    pub run: String,
    /// Ferry's version.
    pub program: String,
    /// Bundle and site.
    pub identity: Identity,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// When it ended; absent if it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// Who vouches for the bundle.
    pub signer: Signer,
    /// Bytes of the bundle's file.
    pub bundle_size: u64,
    /// What is in the bundle, the largest first.
    pub contents: Vec<Content>,
    /// What the bundle was allowed to go without, one sentence each.
    pub missing: Vec<String>,
    /// What was looked at before.
    pub checks: Vec<Check>,
    /// What was changed.
    pub changes: Vec<Change>,
    /// How many resources were as they should be.
    pub unchanged: usize,
    /// What is left to the operator, one sentence each.
    pub by_hand: Vec<String>,
    /// What the site file asks for and the plan left for later, one sentence each: the site is not finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
}

impl Report {
    /// Changes with this outcome.
    pub fn with(&self, outcome: Outcome) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.outcome == outcome)
    }
}
