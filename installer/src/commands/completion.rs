use clap::CommandFactory as _;
use ferry_model::failure::ExitCode;

use super::{Cli, PROGRAM};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ferry-installer completion bash > /etc/bash_completion.d/ferry-installer"
)]
pub(super) struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args) -> ExitCode {
    clap_complete::generate(args.shell, &mut Cli::command(), PROGRAM, &mut std::io::stdout());
    ExitCode::Done
}
