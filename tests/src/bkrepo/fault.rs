//! What goes wrong when told to.

use std::fmt;
use std::time::Duration;

use axum::http::Method;

use crate::random::Random;

/// One thing that goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 401, before the body was received.
    Unauthorized,
    /// 403, after the body was received.
    Forbidden,
    /// 400 with 251012 after the body was received: somebody else was faster.
    NodeExisted,
    /// 400 with 251013 after the body was received.
    NodeConflict,
    /// 400 with 251003 after the body was received: it was damaged on its way.
    DigestMismatch,
    /// 404 with 251010.
    NodeNotFound,
    /// 400 with 251201: the block upload has expired, and is gone from then on.
    UploadExpired,
    /// An answer of the gateway's own: this status, and `{"code": STATUS}`.
    Gateway(u16),
    /// The connection is closed without an answer after this many bytes of the request's body, or where it is shorter, at its end.
    CutAfter(u64),
    /// The connection is closed after this many bytes of the answer's body.
    CutAnswerAfter(u64),
    /// The request is served, and the connection closed in place of the answer.
    LoseAnswer,
    /// The request is served after this long.
    Slow(Duration),
    /// The upload seems to go well, and something else is stored: the node has another sha256.
    StoreWrong,
}

type Fits = Box<dyn Fn(&Method, &str) -> bool + Send>;

enum Rule {
    Times { left: usize, fault: Fault, fits: Fits },
    Seeded { random: Random, percent: u32, faults: Vec<Fault>, fits: Fits },
}

/// The faults to come.
#[derive(Default)]
pub(super) struct Plan {
    rules: Vec<Rule>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("rules", &self.rules.len()).finish()
    }
}

impl Plan {
    pub(super) fn fail_times(&mut self, left: usize, fault: Fault, fits: Fits) {
        self.rules.push(Rule::Times { left, fault, fits });
    }

    pub(super) fn fail_seeded(&mut self, seed: u64, percent: u32, faults: &[Fault], fits: Fits) {
        let faults = faults.to_vec();
        self.rules.push(Rule::Seeded { random: Random::new(seed), percent, faults, fits });
    }

    /// The fault of this request: of the first rule that has one.
    pub(super) fn draw(&mut self, method: &Method, path: &str) -> Option<Fault> {
        self.rules.iter_mut().find_map(|rule| match rule {
            Rule::Times { left, fault, fits } if *left > 0 && fits(method, path) => {
                *left -= 1;
                Some(*fault)
            }
            Rule::Seeded { random, percent, faults, fits } if !faults.is_empty() && fits(method, path) => {
                let which = random.below(faults.len() as u64);
                random.chance(*percent).then(|| faults[usize::try_from(which).unwrap_or(0)])
            }
            _ => None,
        })
    }
}
