//! The registry that a site shall have, and what shall be in it.

mod config;
mod docker;
mod existing;
mod files;
mod kubernetes;
mod marathon;
mod product;
mod proxy;
mod room;
mod serve;
mod systemd;
#[cfg(test)]
pub(super) mod tests;
mod unit;

use ferry_model::catalog::Catalog;
use ferry_model::host::RegistryAddress;
use ferry_model::plan::{Desired, Endpoint, Resource, ResourceId};
use ferry_model::site::{ManifestLists, Mode, Product, Registry};

pub(super) use files::{add_file, add_folder};
pub(super) use product::detect;

use super::{Desire, Facts, Naming};
use crate::Error;
use crate::site::SiteFile;

/// How long a registry may take to come up, in seconds.
const PATIENCE: u32 = 60;

/// What a mode of registry is made from.
pub(super) struct Ground<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) site: &'a SiteFile,
    pub(super) registry: &'a Registry,
    pub(super) facts: &'a Facts,
}

/// What came of a mode: which resources must be there before the registry answers, and whether images are pushed to it.
pub(super) struct Brought {
    /// What the registry's answer needs.
    pub(super) needs: Vec<ResourceId>,
    /// Whether images are pushed; `serve` has them already, and a cache fetches them.
    pub(super) takes_images: bool,
}

pub(super) fn desire_registry(
    desire: &mut Desire,
    catalog: &Catalog,
    site: &SiteFile,
    facts: &Facts,
) -> Result<(), Error> {
    let Some(registry) = &site.site.registry else { return Ok(()) };
    let ground = Ground { catalog, site, registry, facts };
    let brought = match &registry.mode {
        Mode::Existing(_) => Brought { needs: Vec::new(), takes_images: true },
        Mode::Serve(mode) => serve::bring_up(desire, &ground, mode)?,
        Mode::Docker(mode) => docker::bring_up(desire, &ground, mode)?,
        Mode::Systemd(mode) => systemd::bring_up(desire, &ground, mode)?,
        Mode::Kubernetes(mode) => kubernetes::bring_up(desire, &ground, mode)?,
        Mode::Marathon(mode) => marathon::bring_up(desire, &ground, mode)?,
        Mode::Proxy(mode) => proxy::bring_up(desire, &ground, mode)?,
    };
    if matches!(&registry.mode, Mode::Marathon(mode) if mode.endpoint.is_none()) {
        // Its definition is written; that it runs is up to others.
        return Ok(());
    }
    let endpoint = endpoint(registry, brought.needs);
    let mut needs = vec![endpoint.id()];
    desire.resources.push(endpoint);
    if !brought.takes_images {
        return Ok(());
    }
    let lists = manifest_lists(&registry.mode, facts.product);
    let naming = Naming { registry, charts: &site.site.charts, lists, platform: &facts.platform };
    let images = naming.images(catalog)?;
    if let Mode::Existing(mode) = &registry.mode {
        let product = existing::product(mode, facts.product);
        desire.by_hand.extend(existing::left_by_hand(product, registry, &images));
        let projects = existing::projects(mode, product, registry, &images);
        needs.extend(projects.iter().map(Resource::id));
        desire.resources.extend(
            projects
                .into_iter()
                .map(|project| project.after([ResourceId::new("endpoint", &registry.address)])),
        );
    }
    let reason = format!("the bundle has it and {} shall have it", registry.address);
    desire.resources.extend(
        images
            .into_iter()
            .map(|image| Resource::new(Desired::Image(image), &reason).after(needs.iter().cloned())),
    );
    Ok(())
}

/// Whether a registry takes images for several platforms; one that is there may be what it `seems` to be.
pub(super) fn manifest_lists(mode: &Mode, seems: Product) -> ManifestLists {
    match mode {
        Mode::Existing(mode) => existing::manifest_lists(mode, existing::product(mode, seems)),
        _ => ManifestLists::Accepted,
    }
}

/// Whether nobody says which product a registry is that is there.
pub(super) fn is_product_unsaid(mode: &Mode) -> bool {
    matches!(mode, Mode::Existing(existing) if existing.product == Product::Auto)
}

fn endpoint(registry: &Registry, needs: Vec<ResourceId>) -> Resource {
    let endpoint = Endpoint {
        registry: registry.address.clone(),
        scheme: registry.tls.scheme().to_owned(),
        patience: PATIENCE,
    };
    Resource::new(Desired::Endpoint(endpoint), "everything else talks to it").after(needs)
}

/// The port that a registry is reached at.
pub(super) fn port(address: &RegistryAddress, registry: &Registry) -> u16 {
    address.port().unwrap_or(if registry.tls.scheme() == "http" { 80 } else { 443 })
}
