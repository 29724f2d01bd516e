use std::io::Write as _;

use clap::Subcommand;
use ferry_bundle::cli::BundleArgs;
use ferry_model::failure::ExitCode;

use super::site::{SiteArgs, refuse_incomplete};
use super::{Global, block_on};
use crate::Error;
use crate::desire::{Facts, Secrets, manifests, registry};

/// Print what the site's registry is made from
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ferry-installer registry manifests bundle.ferry.tar.zst \\\n      --site site.yaml > registry.yaml"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Manifests(ManifestsArgs),
}

/// Print the registry's manifests, for others to apply
///
/// What that is depends on the site file's `registry`: the cluster's objects as YAML (`kubernetes`), the app's definition
/// as JSON (`marathon`), the texts of configuration and unit files (`systemd`, `docker`, `serve`, `proxy`). Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer registry manifests bundle.ferry.tar.zst --site site.yaml \\\n      > registry.yaml\n\nSecrets are not printed: comments say how to make them, before the rest is applied."
)]
struct ManifestsArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    site: SiteArgs,
    /// Print Secrets with what they hold, instead of how to make them. Do not keep that output.
    #[arg(long)]
    dangerously_show_secrets: bool,
    /// Go on with a bundle that says it is incomplete.
    #[arg(long)]
    allow_incomplete: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let Command::Manifests(args) = &args.command;
    let bundle = args.bundle.open(&global.output)?;
    refuse_incomplete(&bundle, args.allow_incomplete)?;
    let (events, guard) = global.output.renderer();
    let context = args.site.context(Some(bundle), global, &events)?;
    let secrets = if args.dangerously_show_secrets { Secrets::Shown } else { Secrets::Withheld };
    let (text, by_hand) = block_on(async {
        let facts = Facts::gather(&context).await?;
        let desire = registry(context.bundle()?.catalog(), &context.site, &facts)?;
        Ok((manifests(&desire, &context, secrets).await?, desire.by_hand))
    })?;
    if text.is_empty() {
        return Err(Error::State {
            problem: "the site's registry has no manifests".into(),
            hint: "say in the site file who brings it up: `registry: {kubernetes: …}`".into(),
        });
    }
    for sentence in by_hand {
        events.note(format!("by hand: {sentence}"));
    }
    drop(guard);
    std::io::stdout().write_all(text.as_bytes()).map_err(Error::io("writing", "standard output"))?;
    Ok(ExitCode::Done)
}
