//! Push: images, charts and their attachments into a registry, straight from the bundle.
//!
//! 1. `item` turns the catalog into the list of what must resolve at the target.
//! 2. `observe` asks the registry: which tags are right already, which blobs it has.
//! 3. `plan` decides from that, without asking anything: each blob is uploaded once and mounted into every other repository
//!    that wants it, and what belongs together is pushed together, in a bunch.
//! 4. `apply` takes one bunch after the other, several at once: its `blobs`, then its `manifests` from the leaves to the roots,
//!    then tags. `referrers` keeps the lists of attachments for registries that have no API for them. `prove` asks whether each
//!    tag now names the catalog's digest. A [`Watch`] is told when an item is begun and when it has come to its end.
//! 5. The [`PushReport`] says what was done.
//!
//! One image that fails does not stop the others. A run that was cut off is simply run again: what has arrived is
//! found by the questions of step 2.

mod apply;
mod blobs;
mod error;
mod item;
mod manifests;
mod observe;
mod plan;
mod prove;
mod referrers;
mod report;
mod source;
mod target;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ferry_bundle::Bundle;
use ferry_model::event::Events;
use ferry_model::failure::Failure as _;
use ferry_transfer::{Client, Repository};
use tokio::sync::{Semaphore, SemaphorePermit};

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

/// Is told how far a push is, by the items' indexes.
pub(crate) trait Watch {
    /// These are about to be written, and nothing of them has been. Gives those that must not be, with why.
    async fn begin(&self, items: &[usize]) -> BTreeMap<usize, Failed>;

    /// This one is proven, or has failed. What never began was found right, or nothing of it was written.
    fn ended(&self, item: usize, result: Result<(), &Failed>);
}

/// For a push whose report is all that anybody wants.
struct Unwatched;

impl Watch for Unwatched {
    async fn begin(&self, _: &[usize]) -> BTreeMap<usize, Failed> {
        BTreeMap::new()
    }

    fn ended(&self, _: usize, _: Result<(), &Failed>) {}
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
    let push = Push::new(bundle, client, target, options, events);
    push.run(&Item::at_target(bundle.catalog(), target), &Unwatched).await
}

/// A push, and what all its steps share.
pub(crate) struct Push<'a> {
    bundle: &'a Bundle,
    client: &'a Client,
    target: &'a Target,
    options: PushOptions,
    events: &'a Events,
    /// Requests in a row that failed for good though failing so may pass.
    struck: AtomicUsize,
    /// Requests that may be under way at once.
    slots: Semaphore,
}

impl<'a> Push<'a> {
    pub(crate) fn new(
        bundle: &'a Bundle,
        client: &'a Client,
        target: &'a Target,
        options: PushOptions,
        events: &'a Events,
    ) -> Self {
        let slots = Semaphore::new(options.jobs.max(1));
        Self { bundle, client, target, options, events, struck: AtomicUsize::new(0), slots }
    }

    /// Brings these items of the bundle to the target's registry, under the names that they have.
    ///
    /// Fails only where nothing at all can be done, and then `watch` was told nothing.
    pub(crate) async fn run(&self, items: &[Item], watch: &impl Watch) -> Result<PushReport, PushError> {
        let begun = Instant::now();
        let observed = observe::observe(self, items).await?;
        let size = |digest: &_| self.bundle.blob(digest).map(|blob| blob.size);
        let plan = plan::plan_push(items, &observed, size);
        let applied = apply::apply_plan(self, items, &plan, watch).await;
        Ok(report::report(self.target, items, &plan, applied.moved, applied.failures, begun.elapsed()))
    }

    fn repository(&self, name: &str) -> Repository {
        self.client.repository(self.target.registry(), name).for_push()
    }

    fn jobs(&self) -> usize {
        self.options.jobs.max(1)
    }

    /// Waits until one more request may be made.
    async fn slot(&self) -> SemaphorePermit<'_> {
        self.slots.acquire().await.expect("nobody closes it")
    }

    /// Makes a request when one more may be made.
    async fn attempt<T>(
        &self,
        work: impl Future<Output = Result<T, ferry_transfer::Error>>,
    ) -> Result<T, Failed> {
        let _slot = self.slot().await;
        self.tried(work).await
    }

    /// Whether the registry has not answered for so long that nothing more is tried.
    fn is_given_up(&self) -> bool {
        self.struck.load(Ordering::Relaxed) >= self.jobs().max(MIN_STRIKES)
    }

    fn strike(&self, times: usize) {
        self.struck.fetch_add(times, Ordering::Relaxed);
    }

    /// Runs `work`, unless the registry has not answered for so long that trying on would only waste hours.
    async fn tried<T>(
        &self,
        work: impl Future<Output = Result<T, ferry_transfer::Error>>,
    ) -> Result<T, Failed> {
        if self.is_given_up() {
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
                    self.strike(1);
                } else {
                    self.struck.store(0, Ordering::Relaxed);
                }
                Err(Failed::new(&error))
            }
        }
    }
}
