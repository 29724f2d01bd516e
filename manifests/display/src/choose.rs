//! Which renderer, from what the command line asks for and what the terminal can do.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferry_model::event::Events;
use indicatif::ProgressDrawTarget;

use crate::bars::{Bars, Colour};
use crate::json::JsonLines;
use crate::plain::Plain;
use crate::ticker::{Renderer, Shared, Ticker};

/// How progress is shown (`--progress`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// Bars on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// Bars.
    Bars,
    /// A line for each thing that happens.
    Plain,
    /// A JSON object for each event.
    Json,
    /// Warnings and failures only.
    None,
}

/// A text is no [`ProgressMode`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no way to show progress; there are auto, bars, plain, json and none")]
pub struct ProgressModeError(String);

impl ProgressMode {
    const ALL: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("bars", Self::Bars),
        ("plain", Self::Plain),
        ("json", Self::Json),
        ("none", Self::None),
    ];
}

impl FromStr for ProgressMode {
    type Err = ProgressModeError;

    fn from_str(text: &str) -> Result<Self, ProgressModeError> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, mode)| *mode).ok_or_else(|| ProgressModeError(text.chars().take(100).collect()))
    }
}

impl fmt::Display for ProgressMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::ALL.iter().find(|(_, mode)| mode == self).map_or("", |(name, _)| name))
    }
}

/// How much is said (`--quiet`, `-v`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and failures.
    Quiet,
    /// Stages, progress, retries.
    #[default]
    Normal,
    /// Each task too.
    Verbose,
}

/// What standard error is, and what the user's environment asks of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// The terminal cannot move its cursor (`TERM=dumb`).
    pub dumb: bool,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
}

impl Environment {
    /// That of this process.
    pub fn current() -> Self {
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        Self {
            stderr_is_terminal: io::stderr().is_terminal(),
            dumb: variable("TERM") == "dumb",
            no_color: !variable("NO_COLOR").is_empty(),
        }
    }
}

/// Keeps the renderer running. Dropping it stops its thread, clears the bars and prints the last summary; do so
/// before printing a result or an error.
#[must_use = "progress ends when this is dropped"]
pub struct Guard {
    _ticker: Ticker,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Starts the renderer that fits. Everything goes to standard error.
pub fn choose(mode: ProgressMode, verbosity: Verbosity, environment: Environment) -> (Events, Guard) {
    let verbosity = if mode == ProgressMode::None { Verbosity::Quiet } else { verbosity };
    match resolve(mode, verbosity, environment) {
        Resolved::Json => run(Duration::from_millis(200), JsonLines::new(io::stderr())),
        Resolved::Plain => {
            run(Duration::from_millis(500), Plain::new(io::stderr(), verbosity, Instant::now()))
        }
        Resolved::Bars => {
            let colour = if environment.no_color { Colour::Off } else { Colour::On };
            run(Duration::from_millis(100), Bars::new(ProgressDrawTarget::stderr(), verbosity, colour))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolved {
    Bars,
    Plain,
    Json,
}

fn resolve(mode: ProgressMode, verbosity: Verbosity, environment: Environment) -> Resolved {
    match mode {
        ProgressMode::Json => Resolved::Json,
        // Whoever asks for bars on a pipe would get nothing at all: bars are only drawn on terminals.
        ProgressMode::Auto | ProgressMode::Bars
            if verbosity != Verbosity::Quiet && environment.stderr_is_terminal && !environment.dumb =>
        {
            Resolved::Bars
        }
        ProgressMode::Auto | ProgressMode::Bars | ProgressMode::Plain | ProgressMode::None => Resolved::Plain,
    }
}

fn run<R: Renderer + 'static>(period: Duration, renderer: R) -> (Events, Guard) {
    let shared = Shared::new(renderer);
    let ticker = Ticker::start(period, Arc::clone(&shared));
    (Events::new(shared), Guard { _ticker: ticker })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const TERMINAL: Environment = Environment { stderr_is_terminal: true, dumb: false, no_color: false };

    #[test]
    fn modes_have_names() {
        for (name, mode) in ProgressMode::ALL {
            assert_eq!(name.parse(), Ok(mode));
            assert_eq!(mode.to_string(), name);
        }
        assert!("".parse::<ProgressMode>().is_err() && "BARS".parse::<ProgressMode>().is_err());
    }

    #[test]
    fn bars_need_a_terminal_that_can_draw_them() {
        let dumb = Environment { dumb: true, ..TERMINAL };
        for (mode, verbosity, environment, expected) in [
            (ProgressMode::Auto, Verbosity::Normal, TERMINAL, Resolved::Bars),
            (ProgressMode::Auto, Verbosity::Quiet, TERMINAL, Resolved::Plain),
            (ProgressMode::Auto, Verbosity::Normal, dumb, Resolved::Plain),
            (ProgressMode::Auto, Verbosity::Verbose, Environment::default(), Resolved::Plain),
            (ProgressMode::Bars, Verbosity::Normal, Environment::default(), Resolved::Plain),
            (ProgressMode::Plain, Verbosity::Normal, TERMINAL, Resolved::Plain),
            (ProgressMode::None, Verbosity::Normal, TERMINAL, Resolved::Plain),
            (ProgressMode::Json, Verbosity::Quiet, TERMINAL, Resolved::Json),
        ] {
            assert_eq!(
                resolve(mode, verbosity, environment),
                expected,
                "{mode} {verbosity:?} {environment:?}"
            );
        }
    }

    /// A writer that others can look into.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Seen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_lost_between_threads_and_the_guard_ends_it_all() {
        let seen = Seen::default();
        let (events, guard) = run(Duration::from_millis(1), JsonLines::new(seen.clone()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..250 {
                        let task = events.start(format!("task {number}"), None);
                        (0..100).for_each(|_| task.advance(1));
                        task.finish();
                    }
                });
            }
        });
        drop(guard);
        let text = String::from_utf8(seen.0.lock().unwrap().clone()).unwrap();
        let count = |kind: &str| text.lines().filter(|line| line.contains(kind)).count();
        assert_eq!((count(r#""event":"started""#), count(r#""event":"finished""#)), (1000, 1000));
        let bytes = text
            .lines()
            .filter(|line| line.contains(r#""event":"advanced""#))
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["bytes"].as_u64().unwrap());
        assert_eq!(bytes.sum::<u64>(), 100_000);
    }
}
