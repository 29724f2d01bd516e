//! What a preflight of a site is asked, beyond the site file itself.

use std::collections::BTreeSet;

use ferry_model::catalog::Catalog;
use ferry_model::report::Failed;
use ferry_model::site::ManifestLists;
use ferry_transfer::{BkrepoLogin, Login};

use super::find;
use crate::cluster::{Clusters, Target};
use crate::desire::Naming;
use crate::site::{Secrets, SiteFile};

/// The checks of these names.
pub fn skipped(names: &[String]) -> BTreeSet<&'static str> {
    names.iter().filter_map(|name| find(name)).map(|kind| kind.name).collect()
}

/// Who pushes, where the site file says so.
pub async fn login(site: &SiteFile) -> Result<Option<Login>, Failed> {
    let Some(login) = site.site.registry.as_ref().and_then(|registry| registry.login.as_ref()) else {
        return Ok(None);
    };
    let secrets = Secrets::new(site.folder(), Target::of(site));
    let password = secrets.get(&login.password).await?.reveal().to_owned();
    Ok(Some(Login { user: login.user.clone(), password }))
}

/// Who uploads to bkrepo, where the site has one.
pub async fn bkrepo_login(site: &SiteFile) -> Option<Result<BkrepoLogin, Failed>> {
    let section = site.site.bkrepo.as_ref()?;
    let target = Target::of(site);
    let secrets = Secrets::new(site.folder(), target.clone());
    Some(crate::bkrepo::login(section, &secrets, &Clusters::default(), &target).await)
}

/// What the bundle's images and charts will be called at the site's registry.
pub fn repositories(catalog: &Catalog, site: &SiteFile) -> Vec<String> {
    let Some(registry) = &site.site.registry else { return Vec::new() };
    let charts = &site.site.charts;
    // Names do not depend on it.
    let platform = "linux/amd64".parse().expect("it is a platform");
    let naming = Naming { registry, charts, lists: ManifestLists::Accepted, platform: &platform };
    let images = catalog.images.iter().map(|image| naming.image(image).0);
    let charts = catalog.charts.iter().filter(|_| charts.push).map(|chart| naming.chart(chart).0);
    images.chain(charts).collect()
}
