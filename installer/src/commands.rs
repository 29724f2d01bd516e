//! The command line: one module for each subcommand, named like it. Each translates flags into one call of the
//! library and prints the value that comes back.

mod apply;
mod cluster_role;
mod completion;
mod export;
mod init;
mod node;
mod plan;
mod preflight;
mod push;
mod registry;
mod report;
mod rewrite;
mod rollback;
mod runtimes;
mod serve;
mod site;
mod status;
mod virtual_nodes;

use clap::{Parser, Subcommand};
use ferry_bundle::cli::{InspectArgs, VerifyArgs};
use ferry_display::cli::OutputArgs;
use ferry_model::failure::ExitCode;
use ferry_transfer::cli::NetworkArgs;

use crate::Error;

const PROGRAM: &str = "ferry-installer";
/// What shells say of a program that ended by SIGINT: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Puts a bundle into a datacenter without internet: reads it where it lies, and needs nothing else.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  ferry-installer verify bundle.ferry.tar.zst --public-key ferry.pub\n  ferry-installer init bundle.ferry.tar.zst -o site.yaml   # then edit it\n  ferry-installer plan bundle.ferry.tar.zst --site site.yaml\n  ferry-installer apply bundle.ferry.tar.zst --site site.yaml\n\nWithout a site file:\n  ferry-installer push bundle.ferry.tar.zst --registry registry.corp:5000\n  ferry-installer serve bundle.ferry.tar.zst --listen 0.0.0.0:5000\n\nExit codes: 0 done, 1 failed, 2 usage, 3 verification failed, 4 would change (plan, rewrite), 130 interrupted (Ctrl-C)"
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
    #[command(after_help = "Example:\n  ferry-installer inspect bundle.ferry.tar.zst --tree")]
    Inspect(InspectArgs),
    #[command(after_help = "Example:\n  ferry-installer verify bundle.ferry.tar.zst --public-key ferry.pub")]
    Verify(VerifyArgs),
    Init(init::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Status(status::Args),
    Rewrite(rewrite::Args),
    Rollback(rollback::Args),
    Report(report::Args),
    ClusterRole(cluster_role::Args),
    Preflight(preflight::Args),
    Push(push::Args),
    Serve(serve::Args),
    Export(export::Args),
    Registry(registry::Args),
    Node(node::Args),
    VirtualNodes(virtual_nodes::Args),
    Runtimes(runtimes::Args),
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
        Err(error @ Error::Interrupted) => {
            global.output.failure(&error, PROGRAM);
            std::process::ExitCode::from(INTERRUPTED)
        }
        Err(error) => global.output.failure(&error, PROGRAM).into(),
    }
}

fn run(command: Command, global: &Global) -> Result<ExitCode, Error> {
    match command {
        Command::Inspect(args) => Ok(args.run(&global.output)?),
        Command::Verify(args) => Ok(args.run(&global.output)?),
        Command::Preflight(args) => preflight::run(&args, global),
        Command::Init(args) => init::run(&args, global),
        Command::Plan(args) => plan::run(&args, global),
        Command::Apply(args) => apply::run(&args, global),
        Command::Status(args) => status::run(&args, global),
        Command::Rewrite(args) => rewrite::run(&args, global),
        Command::Rollback(args) => rollback::run(&args, global),
        Command::Report(args) => report::run(&args, global),
        Command::ClusterRole(args) => cluster_role::run(&args, global),
        Command::Push(args) => push::run(&args, global),
        Command::Serve(args) => serve::run(&args, global),
        Command::Export(args) => export::run(&args, global),
        Command::Registry(args) => registry::run(&args, global),
        Command::Node(args) => node::run(&args, global),
        Command::VirtualNodes(args) => virtual_nodes::run(&args, global),
        Command::Runtimes(args) => runtimes::run(&args, global),
        Command::Completion(args) => Ok(completion::run(&args)),
    }
}

/// Runs work that goes on when it is asked for again, until it is done or somebody presses Ctrl-C.
fn block_on_until_interrupted<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("starting threads for", PROGRAM))?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = work => done,
            Ok(()) = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        }
    });
    // What a thread is still at may take its time, and is not waited for.
    runtime.shutdown_background();
    done
}

/// Runs network work on all cores.
fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Error::io("starting threads for", PROGRAM))?.block_on(work)
}
