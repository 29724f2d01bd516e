//! What a push did.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use ferry_model::Digest;
use ferry_model::failure::ExitCode;
use ferry_model::size::ByteSize;
use serde::Serialize;

use super::item::{Item, ItemKind};
use super::plan::Plan;
use super::{Failed, Target};

/// Failures that are shown to people one by one.
const MAX_LISTED: usize = 20;

/// What a push did, for people and for scripts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushReport {
    /// Where to: the registry, and the prefix of all repositories.
    pub target: String,
    /// Every image, attachment and chart, in the catalog's order.
    pub items: Vec<PushedItem>,
    /// Blobs sent.
    pub uploaded: BlobCount,
    /// Blobs taken over from another repository of the registry.
    pub mounted: BlobCount,
    /// Blobs that were there already.
    pub present: BlobCount,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What came of one image, attachment or chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushedItem {
    /// What it is.
    pub kind: ItemKind,
    /// Its name at the target: `registry.corp:5000/library/registry:2`.
    pub reference: String,
    /// What it must resolve to. Unless it failed, the registry was asked, and it does.
    pub digest: Digest,
    /// What was done.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failed>,
}

/// What was done with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was pushed.
    Pushed,
    /// It was there already.
    Present,
    /// It failed; a second run goes on with it.
    Failed,
}

/// Blobs and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlobCount {
    /// How many.
    pub blobs: u64,
    /// How large they are together.
    pub bytes: u64,
}

impl BlobCount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }
}

/// What `apply` moved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) uploaded: BlobCount,
    pub(super) mounted: BlobCount,
}

/// Puts the report together.
pub(super) fn report(
    target: &Target,
    items: &[Item],
    plan: &Plan,
    moved: Moved,
    mut failures: BTreeMap<usize, Failed>,
    duration: Duration,
) -> PushReport {
    let mut present = BlobCount::default();
    plan.present.values().for_each(|&size| present.add(size));
    let items = items.iter().enumerate().map(|(index, item)| {
        let failure = failures.remove(&index);
        let outcome = match (&failure, plan.incomplete.contains(&index)) {
            (Some(_), _) => Outcome::Failed,
            (None, true) => Outcome::Pushed,
            (None, false) => Outcome::Present,
        };
        let reference = format!("{}/{item}", target.registry());
        PushedItem { kind: item.kind, reference, digest: item.digest, outcome, failure }
    });
    PushReport {
        target: target.to_string(),
        items: items.collect(),
        uploaded: moved.uploaded,
        mounted: moved.mounted,
        present,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    }
}

impl PushReport {
    /// How many items came to this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.items.iter().filter(|item| item.outcome == outcome).count()
    }

    /// Whether everything is where it belongs.
    pub fn is_complete(&self) -> bool {
        self.count(Outcome::Failed) == 0
    }

    /// How a program ends that did this.
    pub fn exit_code(&self) -> ExitCode {
        let failures = || self.items.iter().filter_map(|item| item.failure.as_ref());
        if failures().any(|failure| failure.class.exit_code() == ExitCode::Verification) {
            ExitCode::Verification
        } else {
            failures().next().map_or(ExitCode::Done, |failure| failure.class.exit_code())
        }
    }

    /// The report for people: the sums, then each failure with what to try.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let line =
            |what: &str, count: BlobCount| format!("{what} {} blobs, {}", count.blobs, ByteSize(count.bytes));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}: {} pushed, {} there already, {} failed",
            self.target,
            self.count(Outcome::Pushed),
            self.count(Outcome::Present),
            self.count(Outcome::Failed)
        );
        let sums =
            [line("uploaded", self.uploaded), line("mounted", self.mounted), line("found", self.present)]
                .join("; ");
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let seconds = self.duration_ms as f64 / 1000.0;
        let _ = writeln!(text, "{sums}; in {seconds:.1} s");
        let mut hints: Vec<&str> = Vec::new();
        let failures = || self.items.iter().filter_map(|item| Some((item, item.failure.as_ref()?)));
        for (number, (item, failure)) in failures().enumerate() {
            if number < MAX_LISTED {
                let _ = writeln!(text, "failed: {}: {}", item.reference, failure.message);
            }
            hints.extend(failure.hints.iter().map(String::as_str));
        }
        if let Some(more) = failures().count().checked_sub(MAX_LISTED).filter(|&more| more > 0) {
            let _ = writeln!(text, "failed: {more} more; --output json lists all");
        }
        // Many failures tend to have one cause.
        hints.sort_unstable();
        hints.dedup();
        for hint in hints.iter().take(MAX_LISTED) {
            let _ = writeln!(text, "  hint: {hint}");
        }
        if self.is_complete() {
            let _ = writeln!(text, "each tag resolves to the digest in the catalog");
        }
        text
    }
}
