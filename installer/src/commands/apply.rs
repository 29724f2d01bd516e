use std::fs;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use ferry_bundle::cli::BundleArgs;
use ferry_model::failure::ExitCode;
use ferry_model::site::Mode;

use super::site::{SiteArgs, look_before, refuse_incomplete};
use super::{Global, block_on_until_interrupted};
use crate::Error;
use crate::desire::Facts;
use crate::journal::read_plan;
use crate::plan::plan_text;
use crate::preflight::CHECKS;
use crate::report;
use crate::session::{Applied, apply_site};
use crate::site::SiteFile;

/// Make the site as the site file says, with what is in the bundle
///
/// Notes each step in a journal beside the site file. Cut off anywhere, the same command goes on. What is right already is left
/// alone; a second run changes nothing. What belongs to a bkrepo, helm repository or PaaS that is not up yet is left for a later
/// `apply`, and said; the exit code is 1 then.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer apply bundle.ferry.tar.zst --site site.yaml\n  ferry-installer apply bundle.ferry.tar.zst plan.json --site site.yaml\n\nThe report is left in site.ferry/runs/NUMBER/report.html; `rollback` takes the run back."
)]
pub(super) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
    /// A plan that `plan -o` kept: exactly its steps are taken, and none if the site has changed since.
    plan: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArgs,
    /// Apply a bundle that says it is incomplete.
    #[arg(long)]
    allow_incomplete: bool,
    /// Leave these checks of the preflight out.
    #[arg(long, value_name = "NAME", value_delimiter = ',', hide_possible_values = true,
          value_parser = PossibleValuesParser::new(CHECKS.iter().map(|kind| kind.name)))]
    skip_check: Vec<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let bundle = args.bundle.open(&global.output)?;
    refuse_incomplete(&bundle, args.allow_incomplete)?;
    let reviewed = match &args.plan {
        Some(path) => Some(read_plan(path, &fs::read(path).map_err(Error::io("reading", path))?)?),
        None => None,
    };
    let (events, guard) = global.output.renderer();
    let context = args.site.context(Some(bundle), global, &events)?;
    let applied = block_on_until_interrupted(async {
        let facts = Facts::gather(&context).await?;
        let look = async |plan: &_| Box::pin(look_before(&context, global, plan, &args.skip_check)).await;
        Box::pin(apply_site(&context, &facts, reviewed, look)).await
    })?;
    drop(guard);
    match applied {
        Applied::Nothing(plan) => {
            global.output.print(&Told { kind: "Plan", value: &*plan }, || plan_text(&plan));
            Ok(if plan.waiting.is_empty() { ExitCode::Done } else { ExitCode::Failed })
        }
        Applied::Run(done, run) => {
            let code = report::exit_code(&done);
            let registry = if code == ExitCode::Done { own_registry(&context.site) } else { None };
            global.output.print(&Told { kind: "Report", value: &*done }, || {
                report::text(&done, &run) + &registry.unwrap_or_default()
            });
            Ok(code)
        }
    }
}

/// What JSON tells: a plan where there is nothing to do, else a run's report. Programs know them apart by their kind.
#[derive(serde::Serialize)]
struct Told<'a, T> {
    kind: &'static str,
    #[serde(flatten)]
    value: &'a T,
}

/// Where the registry that Ferry brought up answers, and what its clients must trust.
fn own_registry(site: &SiteFile) -> Option<String> {
    let registry = site.site.registry.as_ref()?;
    if matches!(registry.mode, Mode::Existing(_)) {
        return None;
    }
    let address = format!("{}://{}", registry.tls.scheme(), registry.address);
    Some(match site.authority() {
        Some(authority) => format!("registry: {address}; its clients must trust {}\n", authority.display()),
        None => format!("registry: {address}\n"),
    })
}
