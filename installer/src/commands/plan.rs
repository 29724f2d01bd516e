use std::path::PathBuf;

use ferry_bundle::cli::BundleArgs;
use ferry_model::failure::ExitCode;

use super::site::{SiteArgs, refuse_incomplete};
use super::{Global, block_on};
use crate::Error;
use crate::desire::Facts;
use crate::plan::plan_text;
use crate::session::make_plan;

/// Show what `apply` would do: each step with its reason, its diff and its undo
///
/// Looks at the site and changes nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer plan bundle.ferry.tar.zst --site site.yaml\n  ferry-installer plan bundle.ferry.tar.zst -o plan.json\n  ferry-installer apply bundle.ferry.tar.zst plan.json     # exactly that plan\n\nWith --detailed-exitcode: 0 nothing to do, 4 something would change, 1 failed, or nothing to do but what cannot be planned yet."
)]
pub(super) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    site: SiteArgs,
    /// Keep the plan in this file, to be reviewed and then applied exactly. One that is there already is replaced.
    #[arg(long = "output-file", short = 'o', value_name = "FILE")]
    to: Option<PathBuf>,
    /// End with exit code 4 if something would change.
    #[arg(long)]
    detailed_exitcode: bool,
    /// Plan with a bundle that says it is incomplete.
    #[arg(long)]
    allow_incomplete: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let bundle = args.bundle.open(&global.output)?;
    refuse_incomplete(&bundle, args.allow_incomplete)?;
    let (events, guard) = global.output.renderer();
    let context = args.site.context(Some(bundle), global, &events)?;
    let plan = block_on(async {
        let facts = Facts::gather(&context).await?;
        make_plan(&context, &facts).await
    })?;
    drop(guard);
    if let Some(path) = &args.to {
        let text = serde_json::to_vec_pretty(&plan).expect("a plan has only strings, numbers and lists");
        std::fs::write(path, text).map_err(Error::io("writing", path))?;
    }
    global.output.print(&plan, || plan_text(&plan));
    if let Some(path) = &args.to {
        let (path, bundle, site) = (path.display(), args.bundle.bundle.display(), args.site.site.display());
        global.output.note(format!(
            "the plan is kept in {path}; to take exactly its steps: ferry-installer apply {bundle} {path} --site {site}"
        ));
    }
    Ok(match (args.detailed_exitcode, plan.steps.is_empty()) {
        (true, false) => ExitCode::WouldChange,
        (true, true) if !plan.waiting.is_empty() => ExitCode::Failed,
        _ => ExitCode::Done,
    })
}
