//! The flags that every command about a site has.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ferry_bundle::Bundle;
use ferry_model::event::Events;
use ferry_model::node::NodePreflight;
use ferry_model::plan::{Desired, Plan, State, Step};
use ferry_model::report::{Check, Finding, Severity};

use super::Global;
use crate::Error;
use crate::context::Context;
use crate::fleet::members;
use crate::preflight::{
    CHECKS, NodeChecks, Profile, Request, Role, bkrepo_login, changes_login, login, needs, preflight,
    preflight_nodes, repositories, room, skipped,
};
use crate::site::SiteFile;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SiteArgs {
    /// The site file.
    #[arg(long, value_name = "FILE", env = "FERRY_SITE", default_value = SiteFile::DEFAULT)]
    pub(super) site: PathBuf,
}

impl SiteArgs {
    /// Reads the site file and makes what all work on the site shares.
    pub(super) fn context(
        &self,
        bundle: Option<Bundle>,
        global: &Global,
        events: &Events,
    ) -> Result<Context, Error> {
        let site = SiteFile::read(&self.site)?;
        Ok(Context::new(site, bundle, global.network.options(), events.clone()))
    }
}

/// Refuses a bundle that was allowed to go without some of its entries, unless that is wanted.
pub(super) fn refuse_incomplete(bundle: &Bundle, allowed: bool) -> Result<(), Error> {
    let missing = &bundle.catalog().missing;
    match missing.first() {
        Some(first) if !allowed => {
            let (path, count) = (bundle.path().to_owned(), missing.len());
            Err(Error::Incomplete { path, count, first: format!("{} {}", first.kind, first.name) })
        }
        _ => Ok(()),
    }
}

/// Whether the site is BlueKing's, whose guide asks something of hosts.
pub(super) fn is_for_blueking(site: &SiteFile) -> bool {
    site.site.bkrepo.is_some() || site.site.blueking.is_some()
}

/// The preflight before a change. BlueKing's requirements of hosts are listed in the report; they do not hold up a registry, and a
/// node holds up no other: those have limits of their own.
pub(super) async fn look_before(
    context: &Context,
    global: &Global,
    plan: &Plan,
    skip: &[String],
) -> Result<Vec<Check>, Error> {
    let (site, bundle) = (&context.site, context.bundle()?);
    // What a plan has left for later because it is not up does not hold up the rest.
    let is_of_bkrepo = |step: &Step| {
        matches!(
            step.resource.desired,
            Desired::BkrepoProject(_) | Desired::BkrepoRepository(_) | Desired::Upload(_)
        )
    };
    let leaves_bkrepo = !plan.waiting.is_empty() && !plan.steps.iter().any(is_of_bkrepo);
    let mut skip = skipped(skip);
    if leaves_bkrepo {
        skip.extend(CHECKS.iter().map(|kind| kind.name).filter(|name| name.starts_with("bkrepo-")));
    }
    let request = Request {
        bundle,
        site: Some(&site.site),
        folder: site.folder(),
        needs: site
            .site
            .registry
            .as_ref()
            .map_or_else(Vec::new, |registry| needs(bundle.catalog(), registry, site.folder())),
        profile: Profile::Ferry,
        role: Role::Control,
        options: site.network(global.network.options()),
        repositories: repositories(bundle.catalog(), site),
        login: login(site).await,
        bkrepo: if leaves_bkrepo { None } else { bkrepo_login(site).await },
        login_changes: changes_login(plan),
        skip,
        events: &context.events,
    };
    let mut checks = preflight(&request).await;
    let nodes = look_at_nodes(context, plan, &request.skip).await;
    checks.extend(nodes.into_iter().flat_map(|node| node.checks).filter(is_worth_a_line));
    let bad = |check: &&Check| {
        let is_hosts = check.name.starts_with("host-") || check.name.starts_with("node-");
        check.severity == Severity::Required && check.finding != Finding::Passed && !is_hosts
    };
    let blocking: Vec<&Check> = checks.iter().filter(bad).collect();
    if blocking.is_empty() {
        return Ok(checks);
    }
    let shown = |check: &&Check| format!("{} {}: {}", check.name, check.subject, check.found);
    Err(Error::Preflight {
        checks: blocking.iter().map(shown).collect(),
        remedies: blocking.iter().map(|check| check.remedy.clone()).collect(),
    })
}

/// Nodes that will be set up. The look before the plan has tried all: those that gave no answer are not waited for again.
async fn look_at_nodes(context: &Context, plan: &Plan, skip: &BTreeSet<&'static str>) -> Vec<NodeChecks> {
    let (mut names, mut unknown) = (BTreeSet::new(), Vec::new());
    for step in &plan.steps {
        let Desired::NodeSetup(setup) = &step.resource.desired else { continue };
        match &step.before {
            State::Unknown { reason } => unknown.push(NodeChecks::unknown(setup.node.as_str(), reason)),
            _ => drop(names.insert(&setup.node)),
        }
    }
    if names.is_empty() {
        return unknown;
    }
    // The plan was made from this list a moment ago.
    let mut nodes = members(context).await.unwrap_or_default().machines;
    nodes.retain(|node| names.contains(&node.name));
    let wanted = NodePreflight {
        blueking: is_for_blueking(&context.site),
        room: context.bundle().map_or(0, |bundle| room(bundle.catalog())),
        skip: skip.iter().map(|&name| name.to_owned()).collect(),
    };
    let mut checks = preflight_nodes(context, &nodes, &wanted).await;
    checks.extend(unknown);
    checks
}

/// Of what has passed on hundreds of nodes, that they were reached is enough.
fn is_worth_a_line(check: &Check) -> bool {
    check.finding != Finding::Passed || check.name == "node-reach"
}
