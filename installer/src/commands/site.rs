//! The flags that every command about a site has.

use std::path::PathBuf;

use ferry_bundle::Bundle;
use ferry_model::event::Events;
use ferry_model::plan::{Desired, Plan, Step};
use ferry_model::report::{Check, Finding, Severity};

use super::Global;
use crate::Error;
use crate::context::Context;
use crate::preflight::{
    CHECKS, Profile, Request, Role, bkrepo_login, login, needs, preflight, repositories, skipped,
};
use crate::site::SiteFile;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SiteArgs {
    /// The site file.
    #[arg(long, value_name = "FILE", env = "FERRY_SITE", default_value = "site.yaml")]
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

/// The preflight before a change. BlueKing's requirements of hosts are listed in the report; they do not hold up a registry.
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
        skip,
        events: &context.events,
    };
    let checks = preflight(&request).await;
    let bad = |check: &&Check| {
        let is_hosts = check.name.starts_with("host-");
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
