//! What of the cluster shall be so that others made: the names that its DNS answers, keys of ConfigMaps and Secrets, the registry's
//! login for pods.

mod slug_app;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferry_model::ImageReference;
use ferry_model::catalog::Catalog;
use ferry_model::host::Host;
use ferry_model::plan::{
    ClusterNames, ClusterTarget, Desired, KeyPatch, NewValue, PullSecret, Resource, ResourceId, TakenUpBy,
};
use ferry_model::site::{ClusterDns, ObjectName, Patch, PatchValue, PullSecrets, Restart};

pub(super) use slug_app::desire_slug_app;

use super::naming::AtSite;
use super::{Desire, Facts};
use crate::Error;
use crate::cluster::Target;
use crate::export::find_image;
use crate::site::SiteFile;

pub(super) fn desire_cluster(
    desire: &mut Desire,
    catalog: &Catalog,
    site: &SiteFile,
    facts: &Facts,
) -> Result<(), Error> {
    let Some(cluster) = &site.site.cluster else { return Ok(()) };
    let ground = Ground { catalog, site, facts, target: target(site) };
    if let Some(dns) = &cluster.dns {
        ground.names(desire, dns);
    }
    for patch in &cluster.patches {
        let resource = ground.patch(desire, patch)?;
        desire.resources.push(refuse_twice(desire, resource)?);
    }
    for secrets in &cluster.pull_secrets {
        for resource in ground.pull_secrets(secrets)? {
            desire.resources.push(refuse_twice(desire, resource)?);
        }
    }
    Ok(())
}

/// Whether BlueKing's names lead to the cluster's ingress, and the site file does not say where that is.
pub(super) fn needs_ingress(site: &SiteFile) -> bool {
    let dns = site.site.cluster.as_ref().and_then(|cluster| cluster.dns.as_ref());
    dns.is_some_and(|dns| dns.ingress.is_none() && !blueking_names(site, dns).is_empty())
}

/// The cluster that a site names, as a plan has it.
pub(super) fn target(site: &SiteFile) -> ClusterTarget {
    let Target { kubeconfig, context } = Target::of(site);
    ClusterTarget { kubeconfig, context }
}

/// What an image of the bundle is called at the site, and the resource that it is there.
pub(super) fn name_at_site(
    desire: &Desire,
    catalog: &Catalog,
    site: &SiteFile,
    facts: &Facts,
    image: &ImageReference,
) -> Result<(String, Option<ResourceId>), Error> {
    let found = find_image(catalog, &image.to_string())?;
    let registry = site.site.registry.as_ref().ok_or_else(|| {
        let problem = format!("{image} has no name at a site without `registry`");
        Error::Usage { problem, hint: "say which `registry` has the images".into() }
    })?;
    let AtSite { name, pushed, .. } = AtSite::new(desire, site, registry, facts, found);
    Ok((name, pushed))
}

/// Two entries for one object would undo each other.
fn refuse_twice(desire: &Desire, resource: Resource) -> Result<Resource, Error> {
    let id = resource.id();
    if desire.resources.iter().any(|known| known.id() == id) {
        let problem = format!("the site file has {id} twice");
        return Err(Error::Usage { problem, hint: "say everything of it in one entry".into() });
    }
    Ok(resource)
}

struct Ground<'a> {
    catalog: &'a Catalog,
    site: &'a SiteFile,
    facts: &'a Facts,
    target: ClusterTarget,
}

impl Ground<'_> {
    fn names(&self, desire: &mut Desire, dns: &ClusterDns) {
        let mut names: BTreeMap<Host, Vec<IpAddr>> = dns.names.clone();
        let bluekings = blueking_names(self.site, dns);
        match dns.ingress.or(self.facts.ingress) {
            Some(address) => names.extend(bluekings.into_iter().map(|name| (name, vec![address]))),
            None if bluekings.is_empty() => {}
            None => {
                let count = bluekings.len();
                desire.by_hand.push(format!(
                    "the cluster's DNS must answer for {count} names of BlueKing too, and the cluster has no ingress-nginx whose address could be taken: `cluster: {{dns: {{ingress: IP}}}}`"
                ));
            }
        }
        if names.is_empty() {
            return;
        }
        let wanted = ClusterNames {
            cluster: self.target.clone(),
            config_map: dns.config_map.clone(),
            names,
            replace: dns.replace,
        };
        desire.resources.push(Resource::new(Desired::ClusterNames(wanted), "pods ask for these names"));
    }

    fn patch(&self, desire: &Desire, patch: &Patch) -> Result<Resource, Error> {
        let (mut set, mut needs) = (BTreeMap::new(), Vec::new());
        for (key, value) in &patch.set {
            let value = match value {
                PatchValue::Text(text) => NewValue::Text { text: text.clone() },
                PatchValue::From(source) => NewValue::Secret { source: source.clone() },
                PatchValue::Image(image) => {
                    let (text, pushed) = name_at_site(desire, self.catalog, self.site, self.facts, image)?;
                    needs.extend(pushed);
                    NewValue::Text { text }
                }
            };
            set.insert(key.clone(), value);
        }
        let restart = match &patch.restart {
            Restart::Readers => TakenUpBy::Readers,
            Restart::These(workloads) => TakenUpBy::These { workloads: workloads.clone() },
            Restart::Nobody => TakenUpBy::Nobody,
        };
        let (cluster, name) = (self.target.clone(), patch.object.clone());
        let wanted = KeyPatch { cluster, object: patch.kind, name, set, restart };
        Ok(Resource::new(Desired::KeyPatch(wanted), "the site file sets it").after(needs))
    }

    fn pull_secrets(&self, secrets: &PullSecrets) -> Result<Vec<Resource>, Error> {
        let registry = self.site.site.registry.as_ref();
        let login = registry.and_then(|registry| Some((registry, registry.login.clone()?)));
        let Some((registry, login)) = login else {
            let problem =
                "`cluster: {pullSecrets: …}` needs a login, and the site's registry has none".to_owned();
            return Err(Error::Usage {
                problem,
                hint: "`registry: {login: {user: …, password: …}}`, or leave them out".into(),
            });
        };
        let one = |namespace: &String| {
            let name = format!("{namespace}/{}", secrets.name);
            let name: ObjectName =
                name.parse().map_err(|error: ferry_model::site::ObjectNameError| Error::Usage {
                    problem: format!("`cluster: {{pullSecrets: …}}`: {error}"),
                    hint: "names of the cluster are lower-case letters, digits, `-` and `.`".into(),
                })?;
            let wanted = PullSecret {
                cluster: self.target.clone(),
                name,
                registry: registry.address.clone(),
                login: login.clone(),
                service_accounts: secrets.service_accounts.clone(),
            };
            let reason = format!("{} asks for a login, and pods pull from it", registry.address);
            Ok(Resource::new(Desired::PullSecret(wanted), reason))
        };
        secrets.namespaces.iter().map(one).collect()
    }
}

/// BlueKing's names that the site file does not lead elsewhere.
fn blueking_names(site: &SiteFile, dns: &ClusterDns) -> Vec<Host> {
    let Some(blueking) = &site.site.blueking else { return Vec::new() };
    let name = |label: &&str| match *label {
        "" => Some(blueking.domain.clone()),
        label => format!("{label}.{}", blueking.domain).parse().ok(),
    };
    let names = dns.blueking.labels().iter().filter_map(name);
    names.filter(|name| !dns.names.contains_key(name)).collect()
}
