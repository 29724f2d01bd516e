//! How many requests may run at once to one host: fewer when it struggles, more again when it does not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Failures that come this close together count as one: they are requests that were under way at the same time.
const ONE_CUT: Duration = Duration::from_millis(500);

/// What is known about the hosts of this run.
#[derive(Debug)]
pub(crate) struct Hosts {
    most: usize,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Hosts {
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), hosts: Mutex::default() }
    }

    pub(crate) fn get(&self, host: &str) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(host) {
            return Arc::clone(host);
        }
        let new = Arc::new(Host::new(self.most));
        hosts.insert(host.to_owned(), Arc::clone(&new));
        new
    }
}

/// What is known about one host.
#[derive(Debug)]
pub(crate) struct Host {
    most: f64,
    state: Mutex<State>,
    freed: Notify,
    reached: AtomicBool,
    /// The largest request body that it (or a proxy in front of it) took for too large, less one.
    largest_body: AtomicU64,
}

#[derive(Debug)]
struct State {
    allowed: f64,
    running: usize,
    last_cut: Option<Instant>,
}

impl Host {
    #[expect(clippy::cast_precision_loss, reason = "a handful of connections")]
    fn new(most: usize) -> Self {
        Self {
            most: most as f64,
            state: Mutex::new(State { allowed: most as f64, running: 0, last_cut: None }),
            freed: Notify::new(),
            reached: AtomicBool::new(false),
            largest_body: AtomicU64::new(u64::MAX),
        }
    }

    /// Waits until one more request may run.
    pub(crate) async fn permit(self: &Arc<Self>) -> Permit {
        loop {
            // Registered before looking, so that a permit freed in between is not missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.try_start() {
                return Permit(Arc::clone(self));
            }
            freed.await;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a handful of connections")]
    fn try_start(&self) -> bool {
        let mut state = lock(&self.state);
        let may = (state.running as f64) < state.allowed.floor();
        state.running += usize::from(may);
        may
    }

    /// A request went well: one more at once after as many as now run at once.
    pub(crate) fn went_well(&self) {
        self.reached.store(true, Ordering::Relaxed);
        let mut state = lock(&self.state);
        if state.allowed < self.most {
            state.allowed = (state.allowed + 1.0 / state.allowed).min(self.most);
            drop(state);
            self.freed.notify_one();
        }
    }

    /// A request failed for the host's overload: half as many at once.
    pub(crate) fn struggled(&self) {
        let mut state = lock(&self.state);
        if state.last_cut.is_none_or(|cut| cut.elapsed() >= ONE_CUT) {
            state.allowed = (state.allowed / 2.0).max(1.0);
            state.last_cut = Some(Instant::now());
        }
    }

    /// The host answered.
    pub(crate) fn was_reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// Whether it ever answered.
    pub(crate) fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// The largest request body that is worth trying.
    pub(crate) fn largest_body(&self) -> u64 {
        self.largest_body.load(Ordering::Relaxed)
    }

    /// A request body of `size` bytes was too large.
    pub(crate) fn body_too_large(&self, size: u64) {
        self.largest_body.fetch_min(size.saturating_sub(1), Ordering::Relaxed);
    }
}

/// The right to run one request.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Host>);

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.0.state).running -= 1;
        self.0.freed.notify_one();
    }
}

/// None of these locks is held across anything that panics; a poisoned one is as good as new.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn halves_and_recovers() {
        let hosts = Hosts::new(8);
        let host = hosts.get("r:5000");
        let permits: Vec<_> = futures_util::future::join_all((0..8).map(|_| host.permit())).await;
        assert!(!host.try_start());
        drop(permits);
        host.struggled();
        host.struggled();
        let permits: Vec<_> = futures_util::future::join_all((0..4).map(|_| host.permit())).await;
        assert!(!hosts.get("r:5000").try_start(), "two failures at once cut once");
        assert!(hosts.get("other").try_start(), "hosts do not share limits");
        for _ in 0..4 {
            host.went_well();
        }
        assert!(!host.try_start(), "recovery is slower than the cut");
        for _ in 0..2 {
            host.went_well();
        }
        assert!(host.try_start());
        drop(permits);
        for _ in 0..100 {
            host.went_well();
        }
        lock(&host.state).running = 8;
        assert!(!host.try_start(), "never more than the setting");
    }

    #[tokio::test]
    async fn a_freed_permit_wakes_a_waiter() {
        let host = Hosts::new(1).get("r");
        let held = host.permit().await;
        let waiter = tokio::spawn({
            let host = Arc::clone(&host);
            async move { host.permit().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(held);
        tokio::time::timeout(Duration::from_secs(5), waiter).await.expect("woken").unwrap();
    }
}
