use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use ferry_bundle::Bundle;
use ferry_bundle::cli::TrustArgs;
use ferry_model::catalog::Catalog;
use ferry_model::event::Events;
use ferry_model::failure::ExitCode;
use ferry_model::node::NodePreflight;
use ferry_model::plan::Space;

use super::site::is_for_blueking;
use super::{Global, PROGRAM, block_on};
use crate::Error;
use crate::context::Context;
use crate::fleet::members;
use crate::preflight::{
    CHECKS, NodeChecks, PreflightReport, Profile, Request, Role, bkrepo_login, check_cluster, list_text,
    login, login_differs, needs, preflight, preflight_nodes, registry_space, repositories, room, skipped,
};
use crate::site::SiteFile;

/// Check disks, ports, names, the registry, this machine and the site's nodes before anything is changed
///
/// What could not be checked is not passed. Nothing is changed; an upload into the registry is begun and taken back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry-installer preflight bundle.ferry.tar.zst --site site.yaml\n  ferry-installer preflight bundle.ferry.tar.zst --profile blueking --role node\n  ferry-installer preflight --list"
)]
pub(super) struct Args {
    /// The bundle that everything is sized from.
    #[arg(required_unless_present = "list")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// The site file. Default: site.yaml, if there is one; otherwise only this machine is looked at.
    #[arg(long, value_name = "FILE", env = "FERRY_SITE")]
    site: Option<PathBuf>,
    /// Whose requirements this machine must meet. BlueKing's count too where the site has a `bkrepo`.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// What this machine is to BlueKing.
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// Leave these checks out.
    #[arg(long, visible_alias = "skip", value_name = "NAME", value_delimiter = ',', hide_possible_values = true,
          value_parser = PossibleValuesParser::new(CHECKS.iter().map(|kind| kind.name)))]
    skip_check: Vec<String>,
    /// Without a site file: where a registry on this machine would keep the bundle's images.
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/ferry/registry")]
    storage: PathBuf,
    /// List all checks, with how much each matters and why.
    #[arg(long)]
    list: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let Some(path) = args.bundle.as_ref().filter(|_| !args.list) else {
        global.output.print(&CHECKS, list_text);
        return Ok(ExitCode::Done);
    };
    let bundle = args.trust.open(path, &global.output)?;
    let site = SiteFile::read_any(args.site.as_deref())?;
    let (events, guard) = global.output.renderer();
    if site.is_none() {
        events.note("no site file: only this machine is looked at");
    }
    let options = global.network.options();
    let options = match &site {
        Some(site) => site.network(options),
        None => options,
    };
    let report = block_on(async {
        let login = match &site {
            Some(site) => login(site).await,
            None => Ok(None),
        };
        let request = Request {
            bundle: &bundle,
            site: site.as_ref().map(|site| &site.site),
            folder: site.as_ref().map_or(Path::new("."), SiteFile::folder),
            needs: space(args, bundle.catalog(), site.as_ref()),
            profile: args.profile,
            role: args.role,
            options,
            repositories: site.as_ref().map_or_else(Vec::new, |site| repositories(bundle.catalog(), site)),
            login_changes: match (&site, &login) {
                (Some(site), Ok(Some(login))) => login_differs(site, login),
                _ => false,
            },
            login,
            bkrepo: match &site {
                Some(site) => bkrepo_login(site).await,
                None => None,
            },
            skip: skipped(&args.skip_check),
            events: &events,
        };
        let nodes = match &site {
            Some(site) => look_at_nodes(args, &bundle, site, global, &events).await,
            None => Vec::new(),
        };
        let mut checks = preflight(&request).await;
        if let (Some(site), false) = (&site, request.skip.contains("cluster-rights")) {
            let bundle = Bundle::open(path, &args.trust.trust()?)?;
            let context = Context::new(site.clone(), Some(bundle), global.network.options(), events.clone());
            checks.extend(check_cluster(&context).await);
        }
        Ok(PreflightReport::new(checks).with_nodes(nodes))
    })?;
    drop(guard);
    global.output.print(&report, || report.text());
    Ok(report.objection().map_or(ExitCode::Done, |objection| global.output.failure(&objection, PROGRAM)))
}

/// The program looks at each node of the site as it does at this machine.
async fn look_at_nodes(
    args: &Args,
    bundle: &Bundle,
    site: &SiteFile,
    global: &Global,
    events: &Events,
) -> Vec<NodeChecks> {
    let nodes = &site.site.nodes;
    if nodes.hosts.is_empty() && !nodes.are_found_elsewhere() {
        return Vec::new();
    }
    let context = Context::new(site.clone(), None, global.network.options(), events.clone());
    let wanted = NodePreflight {
        blueking: args.profile == Profile::Blueking || is_for_blueking(site),
        room: room(bundle.catalog()),
        skip: args.skip_check.clone(),
    };
    match members(&context).await {
        Ok(listed) => preflight_nodes(&context, &listed.machines, &wanted).await,
        Err(failed) => vec![NodeChecks::unlisted(&failed)],
    }
}

fn space(args: &Args, catalog: &Catalog, site: Option<&SiteFile>) -> Vec<Space> {
    match site {
        Some(site) => {
            let registry = site.site.registry.as_ref();
            registry.map_or_else(Vec::new, |registry| needs(catalog, registry, site.folder()))
        }
        None => vec![registry_space(catalog, &args.storage)],
    }
}
