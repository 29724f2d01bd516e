//! `registry:2` out of the bundle, run by this machine's docker.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ferry_model::catalog::Image;
use ferry_model::plan::{
    Container, Content, DaemonImage, Desired, Keep, Opening, Resource, ResourceId, Space,
};
use ferry_model::site::{Docker, ManifestLists, SecretSource};
use ferry_model::{Digest, ImageReference};

use super::config::{ConfigSettings, Remote, Storage, registry_config};
use super::files::{Common, add_file, add_folder, common, push};
use super::room::bytes_to_store;
use super::{Brought, Ground, port};
use crate::Error;
use crate::desire::{Desire, Naming};
use crate::export::{choose, find_image};

/// Where the container sees its files. The image's own configuration stays where it is.
const CONFIG: &str = "/etc/ferry/config.yml";
const CERTIFICATE: &str = "/etc/ferry/tls/server.crt";
const KEY: &str = "/etc/ferry/tls/server.key";
const HTPASSWD: &str = "/etc/ferry/htpasswd";
/// A volume of the image: without a folder of the host there, docker would make one that nobody knows of.
const STORAGE: &str = "/var/lib/registry";
/// The port inside, where it has a network of its own.
const PORT: u16 = 5000;

pub(super) fn bring_up(desire: &mut Desire, ground: &Ground<'_>, mode: &Docker) -> Result<Brought, Error> {
    let storage = ground.site.absolute(&mode.storage);
    desire.space.push(Space::new(&storage, bytes_to_store(ground)));
    let registry = RegistryContainer {
        name: &mode.container,
        image: &mode.image,
        storage: &storage,
        listen: mode.listen,
        host_network: mode.host_network,
        daemon: mode.daemon.as_deref().unwrap_or_default(),
        remote: None,
        secrets: BTreeMap::new(),
    };
    let container = registry.add(desire, ground)?;
    Ok(Brought { needs: vec![container], takes_images: true })
}

/// A registry in a container.
pub(super) struct RegistryContainer<'a> {
    /// The container's name.
    pub(super) name: &'a str,
    /// Its image in the bundle.
    pub(super) image: &'a ImageReference,
    /// Where it keeps images on this machine, absolute.
    pub(super) storage: &'a Path,
    /// The address that it listens on.
    pub(super) listen: Option<IpAddr>,
    /// Whether it shares the host's network.
    pub(super) host_network: bool,
    /// The docker daemon.
    pub(super) daemon: &'a str,
    /// What it is a cache of.
    pub(super) remote: Option<Remote>,
    /// Variables of its environment that are secrets.
    pub(super) secrets: BTreeMap<String, SecretSource>,
}

impl RegistryContainer<'_> {
    /// Adds it, with all that it needs. Gives the container.
    pub(super) fn add(self, desire: &mut Desire, ground: &Ground<'_>) -> Result<ResourceId, Error> {
        check_name(self.name)?;
        let image = self.daemon_image(ground)?;
        let common = common(desire, ground)?;
        let reason = "the registry keeps images there";
        let storage = add_folder(desire, self.storage, None, Keep::ForeignImages, reason);
        let binds = self.binds(&common)?;
        let (opening, listen) = self.opening(port(&ground.registry.address, ground.registry));
        let text = registry_config(&ConfigSettings {
            listen,
            storage: Storage::Folder(STORAGE.into()),
            certificate: common.certificate.as_ref().map(|_| (CERTIFICATE.into(), KEY.into())),
            htpasswd: common.htpasswd.as_ref().map(|_| HTPASSWD.into()),
            proxy: self.remote,
        });
        let path = common.folder.join("config.yml");
        let reason = "it says where the registry listens and keeps images";
        let content = Content::Text { text };
        let config = add_file(desire, &path, 0o644, content, reason, common.ids.iter().cloned());
        let container = Container {
            daemon: self.daemon.to_owned(),
            name: self.name.to_owned(),
            image: image.tag.clone(),
            config: image.config,
            manifests: image.manifests.clone(),
            // Images begin with the program itself or with a script before it; this suits both.
            command: vec!["serve".to_owned(), CONFIG.to_owned()],
            // registry:3 looks for a collector of traces unless it is told that there is none.
            environment: BTreeMap::from([("OTEL_TRACES_EXPORTER".to_owned(), "none".to_owned())]),
            secrets: self.secrets,
            binds,
            opening,
        };
        let reason = "the registry's container runs it";
        let image = push(desire, Resource::new(Desired::DaemonImage(image), reason));
        let reason = "the registry runs now and after each boot of this machine";
        let container = Resource::new(Desired::Container(container), reason)
            .after([storage])
            .following(common.ids)
            .following([config, image]);
        Ok(push(desire, container))
    }

    /// The registry's own image, under the name that it has at the site: whatever else docker knows as `registry:2` stays.
    fn daemon_image(&self, ground: &Ground<'_>) -> Result<DaemonImage, Error> {
        let image = find_image(ground.catalog, &self.image.to_string())?;
        let manifest = choose(image, Some(&ground.facts.platform)).or_else(|error| {
            // An image for a single platform need not say which.
            image.root().filter(|root| !root.blobs.is_empty() && root.platform.is_none()).ok_or(error)
        })?;
        let Some(&config) = manifest.blobs.first() else {
            return Err(Error::Usage {
                problem: format!("{} is no image of a container", image.reference),
                hint: "name the registry's image by `image` in the site file".into(),
            });
        };
        let size = |digest: &Digest| {
            let blob = ground.catalog.blobs.iter().find(|blob| blob.digest == *digest);
            blob.map_or(0, |blob| blob.size)
        };
        // Loaded it is known by its manifest; pulled, by what its name led to.
        let mut manifests = vec![manifest.digest, image.digest];
        manifests.dedup();
        Ok(DaemonImage {
            daemon: self.daemon.to_owned(),
            image: image.reference.clone(),
            config,
            manifests,
            size: manifest.blobs.iter().map(size).sum(),
            tag: site_name(ground, image, &config),
        })
    }

    fn binds(&self, common: &Common) -> Result<Vec<String>, Error> {
        let mut binds = vec![format!("{}:{STORAGE}", host_path(self.storage)?)];
        // Single files: the folders also hold the authority's key, which no container needs.
        let mut read_only = |path: &Path, inside: &str| -> Result<(), Error> {
            binds.push(format!("{}:{inside}:ro", host_path(path)?));
            Ok(())
        };
        read_only(&common.folder.join("config.yml"), CONFIG)?;
        if let Some((certificate, key)) = &common.certificate {
            read_only(certificate, CERTIFICATE)?;
            read_only(key, KEY)?;
        }
        if let Some(path) = &common.htpasswd {
            read_only(path, HTPASSWD)?;
        }
        Ok(binds)
    }

    /// What docker opens on the host, and where the program listens.
    fn opening(&self, port: u16) -> (Opening, String) {
        if self.host_network {
            let listen =
                self.listen.map_or_else(|| format!(":{port}"), |ip| SocketAddr::new(ip, port).to_string());
            return (Opening::Host, listen);
        }
        (Opening::Published { address: self.listen, port, to: PORT }, format!(":{PORT}"))
    }
}

/// What the image is called at the site.
fn site_name(ground: &Ground<'_>, image: &Image, config: &Digest) -> String {
    let (registry, charts) = (ground.registry, &ground.site.site.charts);
    let lists = ManifestLists::Accepted;
    let (repository, tag) = Naming { registry, charts, lists, platform: &ground.facts.platform }.image(image);
    let tag = tag.unwrap_or_else(|| config.hex().chars().take(12).collect());
    format!("{}/{repository}:{tag}", registry.address)
}

fn host_path(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::Usage {
        problem: format!("docker cannot be told of the path {}", path.display()),
        hint: "choose one that is valid UTF-8".into(),
    })
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_good = (2..=100).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if is_good {
        return Ok(());
    }
    Err(Error::Usage {
        problem: format!("`container: {}` is no name of a container", name.escape_debug()),
        hint: "use letters, digits, `-`, `_` and `.`: ferry-registry".into(),
    })
}

#[cfg(test)]
mod tests;
