//! The flags about what a program says, the same on both of Ferry's.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use ferry_model::event::Events;
use ferry_model::failure::{ExitCode, Failure};

use crate::{Environment, Guard, ProgressMode, Verbosity, choose, write_failure, write_failure_json};

/// What a program says, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// The form of the result on standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, env = "FERRY_OUTPUT")]
    pub output: Format,
    /// Say only warnings and errors.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: each task as it starts and ends.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Show progress on standard error as `auto`, `bars`, `plain`, `json` or `none`.
    #[arg(long, global = true, default_value_t, env = "FERRY_PROGRESS", value_name = "MODE")]
    pub progress: ProgressMode,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl OutputArgs {
    /// Starts the renderer that these flags ask for.
    pub fn renderer(&self) -> (Events, Guard) {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        choose(self.progress, verbosity, Environment::current())
    }
}

impl OutputArgs {
    /// Says one thing on standard error, as these flags have it.
    pub fn note(&self, text: impl Into<String>) {
        let (events, _guard) = self.renderer();
        events.note(text);
    }

    /// Prints a result to standard output: as JSON, or as `text` makes it.
    pub fn print(&self, value: &impl serde::Serialize, text: impl FnOnce() -> String) {
        let result = match self.output {
            Format::Json => {
                serde_json::to_string_pretty(value).expect("results have only strings, numbers and lists")
            }
            Format::Text => text().trim_end().to_owned(),
        };
        match writeln!(std::io::stdout().lock(), "{result}") {
            // Who closes the pipe early, as `head` does, has read enough.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                writeln!(std::io::stderr().lock(), "warning: the result cannot be printed: {error}").ok();
            }
            _ => {}
        }
    }

    /// Prints the error that ends the program to standard error, and tells its exit code.
    pub fn failure(&self, error: &dyn Failure, program: &str) -> ExitCode {
        let mut stderr = std::io::stderr().lock();
        let written = match self.output {
            Format::Json => write_failure_json(&mut stderr, error, program),
            Format::Text => write_failure(&mut stderr, error, program),
        };
        // With standard error gone, the exit code is all that is left to tell.
        written.ok();
        error.class().exit_code()
    }
}
