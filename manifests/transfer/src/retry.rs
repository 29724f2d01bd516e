use std::time::Duration;

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
