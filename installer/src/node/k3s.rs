//! k3s and rke2: `registries.yaml`, from which they make the configuration of their own containerd when they start.

#[cfg(test)]
mod tests;
mod yaml;

use std::path::{Path, PathBuf};

use ferry_model::node::{NodeDesired, NodeRegistry, Security, Takeup};
use ferry_model::report::Failed;
use serde_json::Value;

use self::yaml::{Registries, Tls};
use super::{Edit, Edits, Root, endpoint};

/// One of the two.
#[derive(Debug)]
struct Distribution {
    name: &'static str,
    programs: &'static [&'static str],
    units: &'static [&'static str],
    configuration: &'static str,
    data: &'static str,
}

const DISTRIBUTIONS: [Distribution; 2] = [
    Distribution {
        name: "k3s",
        programs: &["/usr/local/bin/k3s", "/usr/bin/k3s", "/opt/bin/k3s"],
        units: &["k3s.service", "k3s-agent.service"],
        configuration: "/etc/rancher/k3s",
        data: "/var/lib/rancher/k3s",
    },
    Distribution {
        name: "rke2",
        programs: &["/usr/local/bin/rke2", "/usr/bin/rke2", "/opt/rke2/bin/rke2"],
        units: &["rke2-server.service", "rke2-agent.service"],
        configuration: "/etc/rancher/rke2",
        data: "/var/lib/rancher/rke2",
    },
];

/// What the files of k3s and rke2 shall have.
pub fn edits(root: &Root, desired: &NodeDesired) -> Result<Edits, Failed> {
    let mut edits = Edits::default();
    let mut found = Vec::new();
    for distribution in DISTRIBUTIONS.iter().filter(|distribution| distribution.is_on(root)) {
        found.push(distribution.name);
        if !desired.registries.is_empty() {
            distribution.edit(root, &desired.registries, &mut edits)?;
        }
    }
    edits.found = (!found.is_empty()).then(|| found.join(" and "));
    Ok(edits)
}

impl Distribution {
    fn is_on(&self, root: &Root) -> bool {
        self.programs.iter().chain([&self.configuration, &self.data]).any(|path| root.exists(path))
            || self.units.iter().any(|unit| root.has_unit(unit))
    }

    fn edit(&self, root: &Root, registries: &[NodeRegistry], edits: &mut Edits) -> Result<(), Failed> {
        for registry in registries {
            self.authority(root, registry, edits)?;
        }
        let path = self.path(root)?;
        let before = root.read(&path)?;
        let mut file = Registries::read(&path, before.as_deref().unwrap_or_default())?;
        for registry in registries {
            let host = registry.address.to_string();
            match &registry.security {
                Security::PlainHttp => file.add_endpoints(&host, vec![endpoint::url(registry)]),
                Security::Unverified => file.trust(&host, Tls::Unverified),
                Security::Https { authority: Some(_) } => {
                    file.trust(
                        &host,
                        Tls::Authority(self.authority_path(registry).to_string_lossy().into_owned()),
                    );
                }
                Security::Https { authority: None } => {}
            }
        }
        for (upstream, mirrors) in endpoint::upstreams(registries) {
            file.add_endpoints(
                &upstream.to_string(),
                mirrors.into_iter().map(endpoint::mirror_url).collect(),
            );
        }
        let (after, notes) = file.finish()?;
        edits.notes.extend(notes);
        if before.as_ref() != Some(&after) {
            edits.files.push(Edit {
                path,
                before,
                after: Some(after),
                // Passwords stand in it.
                mode: 0o600,
                units: self.units.iter().map(|unit| (*unit).to_owned()).collect(),
                takeup: Takeup::Restart,
                reason: format!("{} reads its registries only when it starts", self.name),
            });
        }
        Ok(())
    }

    /// The file of registries, which may be said to be elsewhere.
    fn path(&self, root: &Root) -> Result<PathBuf, Failed> {
        let folder = Path::new(self.configuration);
        let config = folder.join("config.yaml");
        let said = root.read(&config)?.and_then(|bytes| {
            let config = serde_saphyr::from_str::<Value>(str::from_utf8(&bytes).ok()?).ok()?;
            config.get("private-registry")?.as_str().map(PathBuf::from)
        });
        Ok(said.filter(|path| path.is_absolute()).unwrap_or_else(|| folder.join("registries.yaml")))
    }

    fn authority_path(&self, registry: &NodeRegistry) -> PathBuf {
        Path::new(self.configuration)
            .join("ferry")
            .join(registry.address.to_string())
            .join(endpoint::AUTHORITY)
    }

    fn authority(&self, root: &Root, registry: &NodeRegistry, edits: &mut Edits) -> Result<(), Failed> {
        let Some(pem) = endpoint::authority(registry) else { return Ok(()) };
        let path = self.authority_path(registry);
        let reason = format!("the authority of {}, which is read at each pull", registry.address);
        edits.files.extend(root.edit(path, pem, reason)?);
        Ok(())
    }
}
