//! What a preflight of a site is asked, beyond the site file itself.

use std::collections::BTreeSet;

use ferry_model::catalog::Catalog;
use ferry_model::plan::{Action, Desired, Plan};
use ferry_model::report::Failed;
use ferry_model::site::{ManifestLists, Mode};
use ferry_transfer::{BkrepoLogin, Login};

use super::find;
use crate::cluster::{Clusters, Target};
use crate::desire::Naming;
use crate::htpasswd::Htpasswd;
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

/// Whether a plan gives a registry that Ferry brings up another password.
pub fn changes_login(plan: &Plan) -> bool {
    plan.steps.iter().filter(|step| step.action == Action::Update).any(|step| match &step.resource.desired {
        Desired::Htpasswd(_) => true,
        Desired::Object(object) => object.data_logins.contains_key("htpasswd"),
        _ => false,
    })
}

/// Whether the password file of a registry that Ferry brings up here has another password than the site file names: the next `apply`
/// changes it.
pub fn login_differs(site: &SiteFile, login: &Login) -> bool {
    let Some(registry) = &site.site.registry else { return false };
    let path = site.absolute(&registry.folder).join("htpasswd");
    let is_ours = !matches!(registry.mode, Mode::Existing(_));
    let known = if is_ours { std::fs::read(path).ok() } else { None };
    known.is_some_and(|text| !Htpasswd::parse_usable(&text).0.verify(&login.user, &login.password))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::htpasswd::entry;

    #[test]
    fn a_password_that_the_registry_does_not_know_yet_is_told_from_one_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.yaml");
        let differs = |section: &str, password: &str| {
            let text = format!(
                "apiVersion: ferry/v1\nkind: Site\nname: dc\nregistry: {{address: r:5000, {section}}}\n"
            );
            std::fs::write(&path, text).unwrap();
            let login = Login { user: "admin".into(), password: password.into() };
            login_differs(&SiteFile::read(&path).unwrap(), &login)
        };
        assert!(!differs("docker: {}, folder: kept", "old"), "nothing was set up");
        std::fs::create_dir(folder.path().join("kept")).unwrap();
        let line = entry("admin", "old").unwrap();
        std::fs::write(folder.path().join("kept/htpasswd"), format!("# ours\n{line}\n")).unwrap();
        assert!(!differs("docker: {}, folder: kept", "old"));
        assert!(differs("docker: {}, folder: kept", "new") && differs("serve: {}, folder: kept", "new"));
        assert!(!differs("existing: {}", "new"), "nobody changes the password of another's registry");
    }
}
