//! The command line: one module for each subcommand, named like it. Each translates flags into one call of the
//! library and prints the value that comes back.

mod build;
mod check;
mod completion;
mod diff;
mod init;
mod keygen;
mod lock;
mod schema;

use clap::{Parser, Subcommand};
use ferry_bundle::cli::{InspectArgs, VerifyArgs};
use ferry_display::cli::OutputArgs;
use ferry_display::counted;
use ferry_model::failure::ExitCode;
use ferry_transfer::cli::NetworkArgs;

use crate::Error;

const PROGRAM: &str = "ferry-builder";

/// Packs images, charts, runtimes and files into one verified bundle, to be carried to a datacenter without internet.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  ferry-builder init -o bundle.yaml\n  ferry-builder lock bundle.yaml\n  ferry-builder build bundle.yaml -o bundle.ferry.tar.zst --key ferry.key\n\nExit codes: 0 done, 1 failed, 2 usage, 3 verification failed, 4 differs (diff, lock), 130 interrupted (Ctrl-C)"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Lock(lock::Args),
    Build(build::Args),
    Check(check::Args),
    #[command(after_help = "Example:\n  ferry-builder inspect bundle.ferry.tar.zst --tree")]
    Inspect(InspectArgs),
    #[command(after_help = "Example:\n  ferry-builder verify bundle.ferry.tar.zst --public-key ferry.pub")]
    Verify(VerifyArgs),
    Diff(diff::Args),
    Keygen(keygen::Args),
    Schema(schema::Args),
    Completion(completion::Args),
}

/// The flags that every command has.
struct Global {
    output: OutputArgs,
    network: NetworkArgs,
}

/// Parses the command line, runs the command, prints its error.
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let global = Global { output: cli.output, network: cli.network };
    match run(cli.command, &global) {
        Ok(code) => code.into(),
        Err(error) => global.output.failure(&error, PROGRAM).into(),
    }
}

fn run(command: Command, global: &Global) -> Result<ExitCode, Error> {
    match command {
        Command::Init(args) => init::run(&args, global),
        Command::Lock(args) => lock::run(&args, global),
        Command::Build(args) => build::run(&args, global),
        Command::Check(args) => check::run(&args, global),
        Command::Inspect(args) => Ok(args.run(&global.output)?),
        Command::Verify(args) => Ok(args.run(&global.output)?),
        Command::Diff(args) => diff::run(&args, global),
        Command::Keygen(args) => keygen::run(&args, global),
        Command::Schema(args) => Ok(schema::run(&args)),
        Command::Completion(args) => Ok(completion::run(&args)),
    }
}

/// `2 images, 1 chart, 0 files`.
fn contents(images: usize, charts: usize, files: usize) -> String {
    let counts = [(images, "image"), (charts, "chart"), (files, "file")];
    counts.map(|(count, noun)| counted(count, noun)).join(", ")
}

/// Runs network work on all cores.
fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Error::io("starting threads for", PROGRAM))?.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    /// What is wider than a terminal is broken there, and cannot be pasted.
    #[test]
    fn every_command_has_an_example_that_can_be_pasted() {
        let program = Cli::command();
        for command in program.get_subcommands().chain([&program]) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> =
                help.lines().filter(|line| line.starts_with("  ferry-builder ")).collect();
            assert!(!examples.is_empty(), "{}: {help}", command.get_name());
            for line in help.lines().filter(|line| line.starts_with(' ')) {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
        }
    }
}
