//! The flags about what a program says, the same on both of Ferry's.

use clap::{Args, ValueEnum};
use ferry_model::event::Events;

use crate::{Environment, Guard, ProgressMode, Verbosity, choose};

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
