//! Push: images, charts and their attachments into a registry, straight from the bundle.
//!
//! 1. `item` turns the catalog into the list of what must resolve at the target.
//! 2. `observe` asks the registry: which tags are right already, which blobs it has.
//! 3. `plan` decides from that, without asking anything: each blob is uploaded once, the largest first, and mounted
//!    into every other repository that wants it.
//! 4. `apply` does it: blobs, then manifests from the leaves to the roots, then tags. `referrers` keeps the lists of
//!    attachments for registries that have no API for them.
//! 5. `prove` asks whether each tag now names the catalog's digest. The [`PushReport`] says what was done.
//!
//! One image that fails does not stop the others. A run that was cut off is simply run again: what has arrived is
//! found by the questions of step 2.

mod apply;
mod error;
mod item;
mod observe;
mod plan;
mod prove;
mod referrers;
mod report;
mod source;
mod target;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ferry_bundle::Bundle;
use ferry_model::event::Events;
use ferry_model::failure::Failure as _;
use ferry_transfer::{Client, Repository};

pub use error::PushError;
use ferry_model::report::Failed;
pub use item::ItemKind;
pub(crate) use item::{Entry, Item, items};
pub use report::{BlobCount, Outcome, PushReport, PushedItem};
pub(crate) use source::BundleBlob;
pub use target::{Target, TargetError};

/// So many requests must end without an answer before the rest is not tried.
const MIN_STRIKES: usize = 8;

/// How to push.
#[derive(Clone, Copy, Debug)]
pub struct PushOptions {
    /// Requests at once.
    pub jobs: usize,
    /// Ask for each blob, even below tags that are right already.
    pub recheck: bool,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self { jobs: 8, recheck: false }
    }
}

/// Brings all images, charts and attachments of `bundle` to `target`.
///
/// Fails only where nothing at all can be done; what fails for one image is in the report.
pub async fn push(
    bundle: &Bundle,
    client: &Client,
    target: &Target,
    options: PushOptions,
    events: &Events,
) -> Result<PushReport, PushError> {
    push_items(bundle, client, target, &Item::at_target(bundle.catalog(), target), options, events).await
}

/// Brings these items of `bundle` to the registry of `target`, under the names that they have.
pub(crate) async fn push_items(
    bundle: &Bundle,
    client: &Client,
    target: &Target,
    items: &[Item],
    options: PushOptions,
    events: &Events,
) -> Result<PushReport, PushError> {
    let begun = Instant::now();
    let run = Run { bundle, client, target, options, events, struck: AtomicUsize::new(0) };
    let observed = observe::observe(&run, items).await?;
    let plan = plan::plan_push(items, &observed, |digest| bundle.blob(digest).map(|blob| blob.size));
    let applied = apply::apply_plan(&run, items, &plan).await;
    let failures = prove::prove(&run, items, &plan, applied.failures).await;
    Ok(report::report(target, items, &plan, applied.moved, failures, begun.elapsed()))
}

/// What all steps share.
struct Run<'a> {
    bundle: &'a Bundle,
    client: &'a Client,
    target: &'a Target,
    options: PushOptions,
    events: &'a Events,
    /// Requests in a row that failed for good though failing so may pass.
    struck: AtomicUsize,
}

impl Run<'_> {
    fn repository(&self, name: &str) -> Repository {
        self.client.repository(self.target.registry(), name).for_push()
    }

    fn jobs(&self) -> usize {
        self.options.jobs.max(1)
    }

    /// Runs `work`, unless the registry has not answered for so long that trying on would only waste hours.
    async fn attempt<T>(
        &self,
        work: impl Future<Output = Result<T, ferry_transfer::Error>>,
    ) -> Result<T, Failed> {
        if self.struck.load(Ordering::Relaxed) >= self.jobs().max(MIN_STRIKES) {
            return Err(error::not_tried(self.target));
        }
        match work.await {
            Ok(value) => {
                self.struck.store(0, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => {
                // A registry that answers, with whatever, has not gone away.
                if error.class().is_retryable() && error.status().is_none() {
                    self.struck.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.struck.store(0, Ordering::Relaxed);
                }
                Err(Failed::new(&error))
            }
        }
    }
}
