//! The base image of SaaS: which image of the bundle it is, and what it is called at the site.

use std::collections::BTreeMap;

use ferry_model::ImageReference;
use ferry_model::catalog::Catalog;
use ferry_model::plan::{Desired, Platform, Resource, SlugApp};
use ferry_model::site::Tls;

use super::{name_at_site, target};
use crate::Error;
use crate::desire::{Desire, Facts};
use crate::site::SiteFile;

/// What the image is called, below whatever repository.
const SLUG_APP: &str = "slug-app";
/// Images that builds of cloud-native applications use, by the keys that PaaS 1.4 and later have for them.
const BUILDERS: [(&str, &str); 2] = [
    ("PAAS_HEROKU_BUILDER_IMAGE", "bk-builder-heroku-bionic"),
    ("PAAS_HEROKU_RUNNER_IMAGE", "run-heroku-bionic"),
];

pub(in crate::desire) fn desire_slug_app(
    desire: &mut Desire,
    catalog: &Catalog,
    site: &SiteFile,
    facts: &Facts,
) -> Result<(), Error> {
    let Some(blueking) = &site.site.blueking else { return Ok(()) };
    let Some(asked) = &blueking.slug_app else { return Ok(()) };
    let image = match &asked.image {
        Some(image) => image.clone(),
        None => only(catalog, SLUG_APP).ok_or_else(|| Error::Usage {
            problem: "`blueking: {slugApp: …}`: the bundle has no image slug-app, or several".into(),
            hint: "`blueking: {slugApp: {image: NAME}}` says which; `inspect` lists the bundle's images"
                .into(),
        })?,
    };
    let (name, pushed) = name_at_site(desire, catalog, site, facts, &image)?;
    let mut needs: Vec<_> = pushed.into_iter().collect();
    let mut builders = BTreeMap::new();
    for (key, repository) in BUILDERS {
        if let Some(image) = only(catalog, repository) {
            let (name, pushed) = name_at_site(desire, catalog, site, facts, &image)?;
            builders.insert(key.to_owned(), name);
            needs.extend(pushed);
        }
    }
    let cluster = target(site);
    let slug = SlugApp {
        platform: Platform {
            kubeconfig: cluster.kubeconfig,
            context: cluster.context,
            namespace: blueking.namespace.clone(),
        },
        image: name,
        builders,
        has_port: site.site.registry.as_ref().is_some_and(|registry| registry.address.port().is_some()),
        release: asked.release.clone(),
    };
    desire.by_hand.extend(traps(site));
    let reason = "PaaS makes the base image of SaaS from it, inside its own registry";
    desire.resources.push(Resource::new(Desired::SlugApp(slug), reason).after(needs));
    Ok(())
}

/// What nothing here can see to: PaaS pulls from inside its pod.
fn traps(site: &SiteFile) -> Vec<String> {
    let Some(registry) = &site.site.registry else { return Vec::new() };
    let mut traps = Vec::new();
    if registry.login.is_some() {
        traps.push(format!(
            "PaaS pulls slug-app without a login, and {} asks for one: anybody must be allowed to pull its repository there",
            registry.address
        ));
    }
    if !matches!(registry.tls, Tls::PlainHttp | Tls::System) {
        traps.push(format!(
            "PaaS's pods must trust the authority of {} to pull slug-app from it, which PaaS before 1.6 cannot be told to do without: put it into their image or mount it",
            registry.address
        ));
    }
    traps
}

/// The one image with this last part of its repository.
fn only(catalog: &Catalog, name: &str) -> Option<ImageReference> {
    let is_it = |repository: &str| repository.rsplit('/').next() == Some(name);
    let mut found = catalog.images.iter().filter(|image| is_it(image.reference.repository()));
    let first = found.next()?;
    found.next().is_none().then(|| first.reference.clone())
}
