//! The one retry policy: what may be tried again, after which pause, how often.

use std::time::{Duration, SystemTime};

use ferry_model::event::Task;
use ferry_model::failure::Failure;

use crate::Error;

/// When and how often to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries without progress in between.
    pub retries: u32,
    /// The first pause; each further one is twice as long.
    pub base: Duration,
    /// The longest pause of our own choice.
    pub cap: Duration,
    /// The longest pause that a server may ask for (`Retry-After`).
    pub server_cap: Duration,
    /// The longest sum of pauses without progress in between.
    pub total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 6,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            server_cap: Duration::from_secs(300),
            total: Duration::from_secs(900),
        }
    }
}

/// Retries of a host that never answered: more likely a wrong name than a moment's failure.
const RETRIES_UNREACHED: u32 = 2;

/// The attempts at one thing.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    policy: &'a RetryPolicy,
    retries: u32,
    paused: Duration,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(policy: &'a RetryPolicy) -> Self {
        Self { policy, retries: 0, paused: Duration::ZERO }
    }

    /// Something was achieved since the last failure: the count starts again.
    pub(crate) fn progressed(&mut self) {
        self.retries = 0;
        self.paused = Duration::ZERO;
    }

    /// Pauses before the next attempt, or gives `error` back as final.
    pub(crate) async fn pause(&mut self, error: Error, task: Option<&Task>) -> Result<(), Error> {
        let Some(delay) = self.next_delay(&error, rand::random()) else { return Err(error) };
        tracing::debug!(%error, ?delay, "trying again");
        if let Some(task) = task {
            task.retry(self.retries + 1, delay, describe(&error));
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// The pause before the next attempt; `None` if there is to be none. `jitter` lies in 0..1.
    fn next_delay(&mut self, error: &Error, jitter: f32) -> Option<Duration> {
        let limit = match error {
            Error::Connect { reached_before: false, .. } => RETRIES_UNREACHED.min(self.policy.retries),
            _ => self.policy.retries,
        };
        if !error.class().is_retryable() || self.retries >= limit {
            return None;
        }
        let doubled =
            self.policy.base.saturating_mul(2_u32.saturating_pow(self.retries)).min(self.policy.cap);
        // Between half and all of it, so that clients which failed together do not come back together.
        let own = doubled.mul_f32(0.5 + jitter / 2.0);
        let delay = match error.retry_after() {
            // Who asks for longer than that does not want us back in this run.
            Some(asked) if asked > self.policy.server_cap => return None,
            Some(asked) => asked + own.min(Duration::from_secs(1)).mul_f32(jitter),
            None => own,
        };
        self.paused += delay;
        self.retries += 1;
        (self.paused <= self.policy.total).then_some(delay)
    }
}

/// The error with its causes, in one line.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Reads `Retry-After`: seconds, or a date.
pub(crate) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SafeUrl;
    use url::Url;

    fn url() -> SafeUrl {
        (&Url::parse("https://host/x").unwrap()).into()
    }

    fn overloaded(retry_after: Option<Duration>) -> Error {
        Error::Overloaded { url: url(), status: 429, message: String::new(), retry_after }
    }

    #[test]
    fn retry_after() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_end() {
        let policy = RetryPolicy { retries: 4, cap: Duration::from_secs(2), ..RetryPolicy::default() };
        let mut attempts = Attempts::new(&policy);
        let error = Error::Truncated { url: url(), expected: 2, actual: 1 };
        let mut delays = Vec::new();
        while let Some(delay) = attempts.next_delay(&error, 1.0) {
            delays.push(delay.as_millis());
        }
        assert_eq!(delays, [500, 1000, 2000, 2000]);
        attempts.progressed();
        assert_eq!(attempts.next_delay(&error, 0.0), Some(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_tried_again() {
        let policy = RetryPolicy::default();
        let decide = |error: &Error| Attempts::new(&policy).next_delay(error, 0.0);
        assert_eq!(decide(&overloaded(Some(Duration::from_secs(7)))), Some(Duration::from_secs(7)));
        assert_eq!(decide(&overloaded(Some(Duration::from_secs(301)))), None);
        assert!(decide(&overloaded(None)).is_some());
        let server = |status| Error::Server { url: url(), status, message: String::new() };
        assert!(decide(&server(500)).is_some());
        assert!(decide(&Error::Stalled { url: url(), after: Duration::from_secs(30) }).is_some());
        let token = Error::Token { registry: "r".into(), scope: "s".into(), source: Box::new(server(502)) };
        assert!(decide(&token).is_some());
        for last in [
            Error::NotFound { url: url(), message: String::new() },
            Error::Denied { url: url(), status: 403, message: String::new(), help: Vec::new() },
            Error::Refused { url: url(), status: 400, message: String::new() },
            Error::WrongSize { url: url(), expected: 1, actual: 2, at_least: true },
            Error::Sink { url: url(), source: std::io::Error::other("disk full") },
        ] {
            assert_eq!(decide(&last), None, "{last}");
        }
    }

    #[test]
    fn the_sum_of_pauses_is_bounded() {
        let policy = RetryPolicy { total: Duration::from_secs(100), ..RetryPolicy::default() };
        let mut attempts = Attempts::new(&policy);
        let error = overloaded(Some(Duration::from_secs(60)));
        assert!(attempts.next_delay(&error, 0.0).is_some());
        assert!(attempts.next_delay(&error, 0.0).is_none());
    }
}
