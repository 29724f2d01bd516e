use ferry_bundle::cli::BundleArgs;
use ferry_model::failure::ExitCode;

use super::site::SiteArgs;
use super::{Global, block_on};
use crate::Error;
use crate::desire::{Facts, desire};
use crate::rights::cluster_role;

/// Print a ClusterRole that allows what `apply` and `rollback` do in the site's cluster
///
/// Before it changes anything, `apply` asks the cluster whether it may do what its plan needs, and lists what it may not. An
/// administrator can grant it with this role: to the kubeconfig's user, by a RoleBinding in each namespace or one ClusterRoleBinding.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ferry-installer cluster-role bundle.ferry.tar.zst --site site.yaml |\n      kubectl apply -f -"
)]
pub(super) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let bundle = args.bundle.open(&global.output)?;
    let (events, guard) = global.output.renderer();
    let context = args.site.context(Some(bundle), global, &events)?;
    let desire = block_on(async {
        let facts = Facts::gather(&context).await?;
        desire(context.bundle()?.catalog(), &context.site, &facts)
    })?;
    let role = cluster_role(desire.resources.iter().map(|resource| &resource.desired));
    if role["rules"].as_array().is_some_and(Vec::is_empty) {
        events.warn("this site file has nothing done in a cluster, so the role allows nothing");
    }
    drop(guard);
    global.output.print(&role, || serde_saphyr::to_string(&role).expect("JSON can be written as YAML"));
    Ok(ExitCode::Done)
}
