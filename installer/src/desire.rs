//! What shall stand at a site: resources, from the bundle's catalog and the site file. Asks nothing, so the same values give
//! the same resources; what only this machine knows comes in as [`Facts`].

pub(crate) mod artifacts;
mod blueking;
mod charts;
mod cluster;
mod facts;
mod manifests;
mod naming;
mod nodes;
mod registry;
mod settings;

use ferry_model::catalog::Catalog;
use ferry_model::plan::{Resource, Space};

pub use blueking::BluekingError;
pub(crate) use facts::ingress;
pub use facts::{Facts, GivenCertificate, GivenFile, ImageFile};
pub use manifests::{Secrets, manifests};
pub use naming::Naming;
pub(crate) use nodes::{reach_before, virtual_settings};

use crate::Error;
use crate::site::SiteFile;

/// What shall stand at a site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desire {
    /// Resources, each behind those that it needs.
    pub resources: Vec<Resource>,
    /// Room that they take.
    pub space: Vec<Space>,
    /// What is left to the operator, one sentence each.
    pub by_hand: Vec<String>,
}

/// What shall stand at the site.
pub fn desire(catalog: &Catalog, site: &SiteFile, facts: &Facts) -> Result<Desire, Error> {
    let mut desire = registry(catalog, site, facts)?;
    left_by_hand(&mut desire, catalog, site);
    artifacts::desire_artifacts(&mut desire, catalog, &site.site)?;
    charts::desire_charts(&mut desire, catalog, site)?;
    settings::desire_settings(&mut desire, site);
    cluster::desire_cluster(&mut desire, catalog, site, facts)?;
    cluster::desire_slug_app(&mut desire, catalog, site, facts)?;
    blueking::desire_blueking(&mut desire, catalog, site, facts)?;
    nodes::desire_nodes(&mut desire, catalog, site, facts)?;
    Ok(desire)
}

/// What of that is the registry: itself, and the images in it.
pub fn registry(catalog: &Catalog, site: &SiteFile, facts: &Facts) -> Result<Desire, Error> {
    let mut desire = Desire::default();
    if site.site.registry.is_some() {
        registry::desire_registry(&mut desire, catalog, site, facts)?;
    }
    Ok(desire)
}

/// What the bundle has and no section of the site file takes.
fn left_by_hand(desire: &mut Desire, catalog: &Catalog, site: &SiteFile) {
    let count = |number: usize, what: &str| {
        if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
    };
    if site.site.registry.is_none() && !catalog.images.is_empty() {
        let images = count(catalog.images.len(), "image");
        desire.by_hand.push(format!("{images} not pushed anywhere: the site file has no `registry`"));
    }
    let is_pushed = site.site.charts.push && site.site.registry.is_some();
    if !is_pushed && site.site.charts.repositories.is_empty() && !catalog.charts.is_empty() {
        let charts = count(catalog.charts.len(), "chart");
        let why = if site.site.charts.push { "has no `registry`" } else { "says `charts: {push: false}`" };
        desire.by_hand.push(format!(
            "{charts} not pushed anywhere: the site file {why} and names no `charts.repositories`"
        ));
    }
}
