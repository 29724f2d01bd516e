use ferry_display::Guard;
use ferry_model::failure::ExitCode;

use super::super::{Global, block_on};
use crate::Error;
use crate::context::Context;
use crate::live::{Choice, Doing, rewrite};

/// The flags about what runs in the cluster.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LiveArgs {
    /// Look at the workloads of the cluster instead of files: list those that name images outside the site's registries, with what each
    /// would become, and what their owners (helm, operators, GitOps) are to set. Exit code 1 while some point outside.
    #[arg(long, conflicts_with_all = ["paths", "in_place", "output_folder", "diff", "check", "offline"])]
    pub(super) cluster: bool,
    /// Change the workloads that nobody else would change back. `rollback` takes it back.
    #[arg(long, requires = "cluster")]
    apply: bool,
    /// Only workloads of this namespace; may be given again. Default: all.
    #[arg(long, short, value_name = "NAMESPACE", requires = "cluster")]
    namespace: Vec<String>,
    /// Only workloads with these labels: `app=web,tier!=db`.
    #[arg(
        long,
        short = 'l',
        value_name = "LABELS",
        default_value = "",
        hide_default_value = true,
        requires = "cluster"
    )]
    selector: String,
}

pub(super) fn run(
    args: &LiveArgs,
    context: &Context,
    guard: Guard,
    global: &Global,
) -> Result<ExitCode, Error> {
    let choice = Choice { namespaces: args.namespace.clone(), selector: args.selector.clone() };
    let doing = if args.apply { Doing::Apply } else { Doing::Show };
    let found = block_on(rewrite(context, &choice, doing))?;
    drop(guard);
    global.output.print(&found, || found.text());
    Ok(if found.is_good() { ExitCode::Done } else { ExitCode::Failed })
}
