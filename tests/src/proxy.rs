//! A proxy in front of any HTTP server, which injects seeded faults on the level of TCP: resets, stalls, cut-off
//! and corrupted bodies, and answers that overloaded servers give.
//!
//! Each connection carries one request: the proxy makes both sides say `Connection: close`, so that it need not
//! know where a message ends, and faults are spread over requests and not over connections.

mod fault;
mod relay;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use fault::{Fault, Faults};

use crate::random::Random;
use crate::server::Listening;

/// The proxy.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    listening: Listening,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    plan: Mutex<Plan>,
    requests: AtomicU64,
    injected: Mutex<Vec<Fault>>,
}

#[derive(Debug)]
struct Plan {
    faults: Faults,
    random: Random,
    /// A pause before every 16 KiB, to make transfers last.
    pace: Duration,
}

impl Proxy {
    /// A proxy in front of `upstream` (`host:port`), on a free port, without faults.
    pub fn start(upstream: &str) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            plan: Mutex::new(Plan {
                faults: Faults::default(),
                random: Random::new(0),
                pace: Duration::ZERO,
            }),
            requests: AtomicU64::new(0),
            injected: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let listening = Listening::start(|listener| async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay::serve(client, Arc::clone(&served)));
            }
        });
        Self { shared, listening }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.listening.address().to_string()
    }

    /// From now on injects `faults`, drawn by `seed`.
    pub fn misbehave(&self, seed: u64, faults: Faults) {
        let mut plan = self.shared.plan();
        plan.random = Random::new(seed);
        plan.faults = faults;
        self.shared.injected().clear();
    }

    /// From now on injects nothing.
    pub fn behave(&self) {
        self.shared.plan().faults = Faults::default();
    }

    /// From now on waits this long before every 16 KiB of a body.
    pub fn slow_down(&self, pace: Duration) {
        self.shared.plan().pace = pace;
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// What was injected since the last [`Proxy::misbehave`].
    pub fn injected(&self) -> Vec<Fault> {
        self.shared.injected().clone()
    }
}

impl Shared {
    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn injected(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what the next request suffers.
    fn draw(&self) -> (Option<Fault>, Random, Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut plan = self.plan();
        let mut random = Random::new(plan.random.bits());
        let fault = plan.faults.draw(&mut random);
        self.injected().extend(fault);
        (fault, random, plan.pace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Files, FilesSetup};
    use crate::http::{get, request};

    fn proxied(faults: Faults) -> (Files, Proxy, String) {
        let files = Files::start(FilesSetup::default());
        files.add("a", vec![7; 100_000]);
        let proxy = Proxy::start(&files.host());
        proxy.misbehave(1, faults);
        let url = format!("http://{}/a", proxy.host());
        (files, proxy, url)
    }

    #[test]
    fn hands_through() {
        let (files, proxy, url) = proxied(Faults::default());
        assert_eq!(get(&url).unwrap().body.len(), 100_000);
        assert_eq!((proxy.requests(), files.requests().len()), (1, 1));
    }

    #[test]
    fn corrupts_one_byte_of_the_body() {
        let (_files, proxy, url) = proxied(Faults { corrupt: 100, ..Faults::default() });
        let body = get(&url).unwrap().body;
        assert_eq!(body.len(), 100_000);
        assert_eq!(body.iter().filter(|&&byte| byte != 7).count(), 1);
        assert_eq!(proxy.injected(), [Fault::Corrupt]);
    }

    #[test]
    fn answers_itself_and_breaks_off() {
        for (faults, status) in [
            (Faults { too_many: 100, ..Faults::default() }, 429),
            (Faults { server_error: 100, ..Faults::default() }, 500),
            (Faults { unavailable: 100, ..Faults::default() }, 503),
            (Faults { unauthorized: 100, ..Faults::default() }, 401),
        ] {
            let (_files, _proxy, url) = proxied(faults);
            assert_eq!(request(&hyper::Method::GET, &url, &[], "").unwrap().status, status);
        }
        for faults in
            [Faults { reset: 100, ..Faults::default() }, Faults { truncate: 100, ..Faults::default() }]
        {
            let (_files, _proxy, url) = proxied(faults);
            assert!(get(&url).is_err(), "{faults:?}");
        }
    }
}
