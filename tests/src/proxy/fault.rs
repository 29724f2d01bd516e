//! What can go wrong with a request.

use crate::random::Random;

/// One injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset, before the answer or within a body.
    Reset,
    /// Nothing more comes, and the connection stays open.
    Stall,
    /// The connection is closed in good order before the body's end.
    Truncate,
    /// One byte of a body is changed.
    Corrupt,
    /// The proxy answers with this status.
    Status(u16),
}

/// How often each fault is injected, in percent of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// [`Fault::Reset`]
    pub reset: u32,
    /// [`Fault::Stall`]
    pub stall: u32,
    /// [`Fault::Truncate`]
    pub truncate: u32,
    /// [`Fault::Corrupt`]
    pub corrupt: u32,
    /// 429 with `Retry-After: 0`.
    pub too_many: u32,
    /// 500.
    pub server_error: u32,
    /// 503.
    pub unavailable: u32,
    /// 401, as for a token that has expired.
    pub unauthorized: u32,
}

impl Faults {
    /// Every kind of fault that a retry can cure, each this often.
    pub fn curable(percent: u32) -> Self {
        Self {
            reset: percent,
            stall: percent,
            truncate: percent,
            corrupt: 0,
            too_many: percent,
            server_error: percent,
            unavailable: percent,
            unauthorized: 0,
        }
    }

    /// Every kind of fault, each this often.
    pub fn all(percent: u32) -> Self {
        Self { corrupt: percent, unauthorized: percent, ..Self::curable(percent) }
    }

    pub(super) fn draw(self, random: &mut Random) -> Option<Fault> {
        let mut drawn = random.below(100);
        for (percent, fault) in [
            (self.reset, Fault::Reset),
            (self.stall, Fault::Stall),
            (self.truncate, Fault::Truncate),
            (self.corrupt, Fault::Corrupt),
            (self.too_many, Fault::Status(429)),
            (self.server_error, Fault::Status(500)),
            (self.unavailable, Fault::Status(503)),
            (self.unauthorized, Fault::Status(401)),
        ] {
            let percent = u64::from(percent);
            if drawn < percent {
                return Some(fault);
            }
            drawn -= percent;
        }
        None
    }
}
