//! Charts in the site's helm repositories.

use ferry_model::catalog::Catalog;
use ferry_model::plan::{ChartUpload, Desired, HelmApi, RepositoryFormat, Resource, ResourceId};
use ferry_model::site::{HelmPlace, RepositoryName};

use super::Desire;
use crate::Error;
use crate::site::SiteFile;

pub(super) fn desire_charts(desire: &mut Desire, catalog: &Catalog, site: &SiteFile) -> Result<(), Error> {
    for repository in &site.site.charts.repositories {
        let (url, api, needs) = match &repository.place {
            HelmPlace::ChartMuseum { url, .. } => (url.clone(), HelmApi::ChartMuseum, Vec::new()),
            HelmPlace::Bkrepo(name) => {
                let (url, needs) = of_bkrepo(desire, site, name)?;
                (url, HelmApi::Bkrepo, needs.to_vec())
            }
        };
        for chart in &catalog.charts {
            let size = catalog.blobs.iter().find(|blob| blob.digest == chart.archive);
            let upload = ChartUpload {
                repository: url.clone(),
                api,
                name: chart.name.clone(),
                version: chart.version.clone(),
                archive: chart.archive,
                size: size.map_or(0, |blob| blob.size),
                provenance: chart.provenance,
                overwrite: repository.overwrite,
            };
            let reason = "the bundle has it, and helm shall find it there";
            desire.resources.push(Resource::new(Desired::ChartUpload(upload), reason).after(needs.clone()));
        }
    }
    Ok(())
}

/// The URL of one of bkrepo's, and what must be there before charts are.
fn of_bkrepo(
    desire: &mut Desire,
    site: &SiteFile,
    name: &RepositoryName,
) -> Result<(String, [ResourceId; 2]), Error> {
    let bkrepo = site.site.bkrepo.as_ref().ok_or_else(|| Error::Usage {
        problem: format!("`charts.repositories` names {name} of bkrepo, and the site file has no `bkrepo`"),
        hint: "add `bkrepo: {url: …, login: …}` to the site file".into(),
    })?;
    let needs = super::artifacts::repository(desire, bkrepo, name, RepositoryFormat::Helm);
    Ok((format!("{}/helm/{name}", bkrepo.url), needs))
}
