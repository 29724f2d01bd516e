//! What nodes shall be like, from the site's registry, BlueKing's names and what the site file says of nodes.

mod dcos;
mod pods;
mod settings;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ferry_model::catalog::{Catalog, Image};
use ferry_model::host::{Host, RegistryAddress};
use ferry_model::node::{Name, NodeDesired, NodeRegistry, Security};
use ferry_model::plan::{Desired, NodePods, NodeSetup, Reach, Resource, ResourceId, Sudo};
use ferry_model::site::{Configure, Mode, Paths, Registry, Ssh, Tls, Trust, Via};

use super::naming::AtSite;
use super::{Desire, Facts};
use crate::Error;
use crate::export::find_image;
use crate::fleet::Member;
use crate::site::SiteFile;

pub(crate) use settings::virtual_settings;

/// Adds each node that shall be set up.
pub(super) fn desire_nodes(
    desire: &mut Desire,
    catalog: &Catalog,
    site: &SiteFile,
    facts: &Facts,
) -> Result<(), Error> {
    let nodes = &site.site.nodes;
    let Some(configure) = &nodes.configure else {
        if let (Some(registry), false) =
            (&site.site.registry, nodes.hosts.is_empty() && !nodes.are_found_elsewhere())
        {
            desire.by_hand.push(format!(
                "nodes are not made to resolve, trust and pull from {}: `nodes: {{configure: true}}` does it",
                registry.address
            ));
        }
        return Ok(());
    };
    let mut wanted = Wanted::new(site, configure, facts.ingress)?;
    desire.by_hand.append(&mut wanted.notes);
    if let Some(registry) = &site.site.registry {
        wanted.wait_for(desire, site, registry);
        wanted.add_probe(desire, catalog, site, registry, configure, facts)?;
    }
    settings::desire_settings(desire, site, configure, &wanted, facts);
    let pods = pods::desire_pods(desire, catalog, site, facts)?;
    wanted.after.extend(pods.iter().flat_map(|(_, needs)| needs.iter().cloned()));
    let pods = pods.map(|(pods, _)| pods);
    let reason = pods.as_ref().map_or_else(|| "containers are pulled there".to_owned(), pods::told);
    for (index, member) in facts.nodes.iter().enumerate() {
        let setup = NodeSetup {
            node: member.name.clone(),
            reach: reach(site, member, pods.as_ref()),
            desired: wanted.desired.clone(),
            authorities: wanted.authorities.clone(),
            wave: wave(configure, index),
            time_limit: configure.time_limit,
        };
        let resource = Resource::new(Desired::NodeSetup(Box::new(setup)), reason.clone())
            .after(wanted.after.iter().cloned())
            .following(wanted.follows.iter().cloned());
        desire.resources.push(resource);
    }
    if facts.nodes.is_empty() && configure.virtual_nodes.is_none() {
        desire.by_hand.push("`nodes: {configure: true}` names no nodes".into());
    }
    Ok(())
}

/// The same for all nodes.
struct Wanted {
    desired: NodeDesired,
    authorities: BTreeMap<RegistryAddress, PathBuf>,
    after: Vec<ResourceId>,
    follows: Vec<ResourceId>,
    /// What is left to the operator.
    notes: Vec<String>,
}

impl Wanted {
    /// What the site file says of all nodes.
    fn new(site: &SiteFile, configure: &Configure, ingress: Option<IpAddr>) -> Result<Self, Error> {
        let mut wanted = Self {
            desired: NodeDesired::default(),
            authorities: BTreeMap::new(),
            after: Vec::new(),
            follows: Vec::new(),
            notes: Vec::new(),
        };
        wanted.desired.resolver = configure.resolver;
        wanted.desired.host_trust = configure.host_trust;
        wanted.desired.dcos = configure.dcos;
        wanted.add_names(site, configure, ingress);
        if let Some(registry) = &site.site.registry {
            wanted.add_own(site, registry, configure)?;
        } else if !configure.mirrors.is_empty() || configure.probe.is_some() {
            return Err(wrong(
                "`nodes` has `mirrors` or `probe`, and the site has no `registry`",
                "say which `registry` they pull from",
            ));
        }
        wanted.add_further(configure)?;
        wanted.add_docker_of_blueking(site);
        Ok(wanted)
    }

    fn add_names(&mut self, site: &SiteFile, configure: &Configure, found: Option<IpAddr>) {
        let mut names = configure.names.clone();
        let bluekings: Vec<Host> =
            blueking_names(site).into_iter().filter(|name| !names.contains_key(name)).collect();
        match configure.ingress.or(found) {
            Some(address) => names.extend(bluekings.into_iter().map(|name| (name, vec![address]))),
            None if bluekings.is_empty() => {}
            None => {
                let names: Vec<String> = bluekings.iter().map(Host::to_string).collect();
                self.notes.push(format!(
                    "nodes must resolve {} too, and the cluster has no ingress-nginx whose address could be taken: `nodes: {{ingress: IP}}`",
                    names.join(" and ")
                ));
            }
        }
        self.desired.names = names.into_iter().map(|(name, addresses)| Name { name, addresses }).collect();
    }

    /// The site's own registry.
    fn add_own(&mut self, site: &SiteFile, registry: &Registry, configure: &Configure) -> Result<(), Error> {
        let prefix = match &registry.paths {
            Paths::Keep => String::new(),
            Paths::Prefix(prefix) => prefix.trim_matches('/').to_owned(),
            Paths::Flatten(_) if configure.mirrors.is_empty() => String::new(),
            Paths::Flatten(_) => {
                return Err(wrong(
                    "a registry with `flatten: true` mirrors nothing: its repositories have other paths than those they mirror",
                    "leave out `nodes: {mirrors: …}`, or keep the paths",
                ));
            }
        };
        let security = match registry.tls {
            Tls::PlainHttp => Security::PlainHttp,
            _ => Security::Https { authority: None },
        };
        if let Some(path) = site.authority() {
            self.authorities.insert(registry.address.clone(), path);
        }
        let mirrors = configure.mirrors.clone();
        self.desired.registries.push(NodeRegistry {
            address: registry.address.clone(),
            security,
            prefix,
            mirrors,
        });
        Ok(())
    }

    /// The site's own registry is up before nodes pull from it, and its certificates are as they shall be.
    fn wait_for(&mut self, desire: &Desire, site: &SiteFile, registry: &Registry) {
        let is_there = |id: &ResourceId| desire.resources.iter().any(|resource| resource.id() == *id);
        self.after.extend(Some(ResourceId::new("endpoint", &registry.address)).filter(is_there));
        let certificates =
            ResourceId::new("certificates", site.absolute(&registry.folder).join("tls").display());
        self.follows.extend(Some(certificates).filter(is_there));
    }

    /// The image whose pull proves it.
    fn add_probe(
        &mut self,
        desire: &mut Desire,
        catalog: &Catalog,
        site: &SiteFile,
        registry: &Registry,
        configure: &Configure,
        facts: &Facts,
    ) -> Result<(), Error> {
        let image = match &configure.probe {
            Some(name) => Some(find_image(catalog, &name.to_string())?),
            // What asks for a login, or has nothing of the bundle until somebody asks, proves nothing by itself.
            None if registry.login.is_some() => {
                desire.by_hand.push(format!(
                    "no pull proves the nodes, since {} asks for a login: `nodes: {{probe: IMAGE}}` names an image that anybody may pull",
                    registry.address
                ));
                None
            }
            None if matches!(registry.mode, Mode::Proxy(_)) => None,
            None => smallest(catalog, facts),
        };
        let Some(image) = image else { return Ok(()) };
        let AtSite { pinned, pushed, .. } = AtSite::new(desire, site, registry, facts, image);
        self.after.extend(pushed);
        self.desired.probe = Some(pinned);
        Ok(())
    }

    fn add_further(&mut self, configure: &Configure) -> Result<(), Error> {
        for further in &configure.registries {
            if self.desired.registries.iter().any(|known| known.address == further.address) {
                return Err(wrong(
                    &format!(
                        "`nodes: {{registries: …}}` has {} twice, or the site's own registry",
                        further.address
                    ),
                    "say it once",
                ));
            }
            let security = match &further.trust {
                Trust::PlainHttp => Security::PlainHttp,
                Trust::Unverified => Security::Unverified,
                Trust::System => Security::Https { authority: None },
                Trust::Authority(path) => {
                    self.authorities.insert(further.address.clone(), path.clone());
                    Security::Https { authority: None }
                }
            };
            self.desired.registries.push(NodeRegistry {
                address: further.address.clone(),
                security,
                prefix: further.prefix.clone(),
                mirrors: further.mirrors.clone(),
            });
        }
        Ok(())
    }

    /// BlueKing builds images of SaaS into bkrepo's docker service, which talks plain HTTP behind the ingress.
    fn add_docker_of_blueking(&mut self, site: &SiteFile) {
        let address = site
            .site
            .blueking
            .as_ref()
            .and_then(|blueking| format!("docker.{}", blueking.domain).parse().ok());
        let Some(address): Option<RegistryAddress> = address else { return };
        if !self.desired.registries.iter().any(|known| known.address.host() == address.host()) {
            let (security, prefix, mirrors) = (Security::PlainHttp, String::new(), Vec::new());
            self.desired.registries.push(NodeRegistry { address, security, prefix, mirrors });
        }
    }
}

/// The registry, and where its tokens are from.
fn blueking_names(site: &SiteFile) -> Vec<Host> {
    let domain = site.site.blueking.as_ref().map(|blueking| &blueking.domain);
    let names =
        domain.into_iter().flat_map(|domain| ["docker", "bkrepo"].map(|name| format!("{name}.{domain}")));
    names.filter_map(|name| name.parse().ok()).collect()
}

/// The smallest image that nodes like this machine can run.
fn smallest<'a>(catalog: &'a Catalog, facts: &Facts) -> Option<&'a Image> {
    let sizes = catalog.blob_sizes();
    let size = |image: &Image| {
        let manifest = crate::export::choose(image, Some(&facts.platform)).ok()?;
        Some(manifest.blobs.iter().filter_map(|blob| sizes.get(blob)).sum::<u64>())
    };
    let sized = catalog.images.iter().filter_map(|image| Some((size(image)?, image)));
    sized
        .min_by(|one, other| (one.0, &one.1.reference).cmp(&(other.0, &other.1.reference)))
        .map(|(_, image)| image)
}

/// The canaries go with wave 0.
fn wave(configure: &Configure, index: usize) -> u32 {
    let behind = index.checked_sub(configure.canary);
    behind.map_or(0, |behind| u32::try_from(1 + behind / configure.wave).unwrap_or(u32::MAX))
}

/// How a node is reached before anything is made for that; not at all where only pods get there.
pub(crate) fn reach_before(site: &SiteFile, member: &Member) -> Option<Reach> {
    (site.site.nodes.via != Via::DaemonSet).then(|| reach(site, member, None))
}

fn reach(site: &SiteFile, member: &Member, pods: Option<&NodePods>) -> Reach {
    if let Some(pods) = pods {
        return Reach::Pod { node: member.name.clone(), pods: pods.clone() };
    }
    let ssh = &site.site.nodes.ssh;
    let sudo = match (&ssh.sudo_password, ssh.sudo) {
        (Some(password), true) => Sudo::WithPassword { password: password.clone() },
        (None, true) => Sudo::WithoutPassword,
        (_, false) => Sudo::No,
    };
    match site.site.nodes.via {
        Via::Local => Reach::Local { sudo },
        Via::Ssh | Via::DaemonSet => Reach::Ssh { arguments: ssh_arguments(site, ssh, member), sudo },
    }
}

/// What ssh is started with before the command. Nobody can answer a question, and host keys are checked as always.
pub(super) fn ssh_arguments(site: &SiteFile, ssh: &Ssh, member: &Member) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut option = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    for given in &ssh.options {
        // Of an option that is said twice, ssh takes the first.
        option("-o", given.clone());
    }
    option("-o", "BatchMode=yes".into());
    option("-o", "ConnectTimeout=10".into());
    option("-o", "ServerAliveInterval=15".into());
    if let Some(user) = member.user.as_ref().or(ssh.user.as_ref()) {
        option("-l", user.clone());
    }
    if let Some(port) = member.port.or(ssh.port) {
        option("-p", port.to_string());
    }
    let identity =
        member.identity.clone().or_else(|| ssh.identity_file.as_ref().map(|file| site.absolute(file)));
    if let Some(file) = identity {
        option("-i", file.display().to_string());
    }
    arguments.extend(member.arguments.iter().cloned());
    arguments.extend(["--".to_owned(), member.address.to_string()]);
    arguments
}

fn wrong(problem: &str, hint: &str) -> Error {
    Error::Usage { problem: problem.to_owned(), hint: hint.to_owned() }
}

#[cfg(test)]
mod tests;
