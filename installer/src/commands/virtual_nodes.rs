use ferry_model::failure::{Class, ExitCode};
use ferry_model::report::Failed;

use super::site::SiteArgs;
use super::{Global, block_on};
use crate::Error;
use crate::desire::{ingress, virtual_settings};

/// Show what nodes that are no machines (virtual-kubelet, KCI) are told: annotations of pods, environment
///
/// The same names and registries that other nodes are set up with. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ferry-installer virtual-nodes --site site.yaml\n\nThe site file has `nodes: {virtual: {}}`; with `nodes: {settings: FOLDER}`, apply writes the same as files."
)]
pub(super) struct Args {
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let (events, guard) = global.output.renderer();
    let context = args.site.context(None, global, &events)?;
    let ingress = block_on(ingress(&context))?;
    drop(guard);
    let Some(settings) = virtual_settings(&context.site, ingress)? else {
        let failed = Failed::because(Class::Input, "the site file names no virtual nodes");
        return Err(failed.hint("`nodes: {configure: true, virtual: {}}` does").into());
    };
    global.output.print(&settings, || settings.text());
    Ok(ExitCode::Done)
}
