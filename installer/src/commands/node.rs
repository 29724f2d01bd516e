use std::io::Read as _;
use std::path::{Path, PathBuf};

use ferry_model::failure::{Class, ExitCode};
use ferry_model::report::Failed;
use serde::de::DeserializeOwned;

use super::{Global, block_on};
use crate::Error;
use crate::node::Root;
use crate::node::apply::{apply_node, plan_node};
use crate::node::check::check_node;
use crate::node::report::{self, Tense};
use crate::node::undo::undo_node;
use crate::preflight::look_at_this_node;

/// Make this node resolve, trust and mirror registries; prove it; take it back
///
/// Runs on the node itself. `ferry-installer apply` copies this program to the nodes of a site and runs it there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer node apply --dry-run < node.json\n  ferry-installer node apply --input node.json\n  ferry-installer node check --input node.json --output json\n  ferry-installer node undo"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The root of the node's file system.
    #[arg(long, global = true, hide = true, default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make it as it shall be; a second time changes nothing
    Apply {
        #[command(flatten)]
        input: Input,
        /// Show what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Prove that it is: names, registries, runtimes, a pull
    #[command(after_help = "Example:\n  ferry-installer node check --input node.json")]
    Check {
        #[command(flatten)]
        input: Input,
    },
    /// Make it as it was before
    #[command(after_help = "Example:\n  ferry-installer node undo")]
    Undo,
    /// Say how it is before anything is changed: runtimes, room, and what BlueKing asks of hosts
    Preflight {
        #[command(flatten)]
        input: Input,
    },
}

#[derive(Debug, clap::Args)]
struct Input {
    /// What the node shall be like, as JSON; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
}

impl Input {
    /// The command line may be seen by others; what comes this way is not.
    fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let text = if self.input == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(Error::io("reading", "standard input"))?;
            text
        } else {
            std::fs::read_to_string(&self.input).map_err(Error::io("reading", &self.input))?
        };
        serde_json::from_str(&text).map_err(|error| {
            let message =
                format!("what the node shall be like cannot be read from {}: {error}", self.input.display());
            Failed::because(Class::Input, message).into()
        })
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let root = Root::new(&args.root);
    let mut tense = Tense::Done;
    let done = match &args.command {
        Command::Apply { input, dry_run: true } => {
            tense = Tense::Planned;
            plan_node(&root, &input.read()?)
        }
        Command::Apply { input, dry_run: false } => apply_node(&root, &input.read()?),
        Command::Check { input } => {
            let desired = input.read()?;
            block_on(async { Ok(check_node(&root, &desired).await) })?
        }
        Command::Undo => undo_node(&root),
        Command::Preflight { input } => {
            let wanted = input.read()?;
            block_on(async { Ok(look_at_this_node(&root, &wanted).await) })?
        }
    };
    global.output.print(&done, || report::text(&done, tense));
    Ok(if report::is_good(&done) { ExitCode::Done } else { ExitCode::Failed })
}
