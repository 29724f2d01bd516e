//! `registry:2` as a pull-through cache of a remote registry, while there is still a way out.

use std::collections::BTreeMap;

use ferry_model::host::RegistryAddress;
use ferry_model::site::Proxy;

use super::config::Remote;
use super::docker::RegistryContainer;
use super::{Brought, Ground};
use crate::Error;
use crate::desire::Desire;

/// Comes in place of `proxy.password` of the configuration, which anybody may read.
const PASSWORD: &str = "REGISTRY_PROXY_PASSWORD";
/// What Docker Hub is called, by whom.
const DOCKER_HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.docker.io"];

pub(super) fn bring_up(desire: &mut Desire, ground: &Ground<'_>, mode: &Proxy) -> Result<Brought, Error> {
    let host = remote_host(&mode.remote)?;
    let storage = ground.site.absolute(&mode.storage);
    let login = mode.remote_login.as_ref();
    let registry = RegistryContainer {
        name: &mode.container,
        image: &mode.image,
        storage: &storage,
        listen: mode.listen,
        host_network: mode.host_network,
        daemon: mode.daemon.as_deref().unwrap_or_default(),
        remote: Some(Remote { url: mode.remote.clone(), user: login.map(|login| login.user.clone()) }),
        secrets: login
            .map(|login| BTreeMap::from([(PASSWORD.to_owned(), login.password.clone())]))
            .unwrap_or_default(),
    };
    let container = registry.add(desire, ground)?;
    desire.by_hand.push(for_clients(ground, mode.remote.trim_end_matches('/'), host));
    // A cache takes no pushes.
    Ok(Brought { needs: vec![container], takes_images: false })
}

/// What lets clients use the cache: dockerd asks mirrors for Docker Hub's images only, containerd for any registry's.
fn for_clients(ground: &Ground<'_>, server: &str, remote: &str) -> String {
    let address = &ground.registry.address;
    let url = format!("{}://{address}", ground.registry.tls.scheme());
    let trust = match ground.site.authority() {
        Some(path) => format!(" Both must trust {} for {address}.", path.display()),
        None if url.starts_with("http:") => {
            format!(" docker also needs {{\"insecure-registries\": [\"{address}\"]}} there.")
        }
        None => String::new(),
    };
    let is_hub = DOCKER_HUB.contains(&remote);
    let folder = if is_hub { "docker.io" } else { remote };
    let docker = if is_hub {
        format!(
            "for docker, put {{\"registry-mirrors\": [\"{url}\"]}} into /etc/docker/daemon.json and reload it"
        )
    } else {
        format!(
            "docker uses mirrors for docker.io alone ({{\"registry-mirrors\": [\"{url}\"]}} in /etc/docker/daemon.json would do nothing for {remote}): let it pull {address}/NAME:TAG in place of {remote}/NAME:TAG"
        )
    };
    format!(
        "nodes do not use the cache by themselves: {docker}; for containerd, write `server = \"{server}\"` and, below it, `[host.\"{url}\"]` with `capabilities = [\"pull\", \"resolve\"]` into /etc/containerd/certs.d/{folder}/hosts.toml.{trust}"
    )
}

/// The host of a remote, which is a URL without a path.
fn remote_host(remote: &str) -> Result<&str, Error> {
    let host = remote.strip_prefix("https://").or_else(|| remote.strip_prefix("http://"));
    let host = host.map(|host| host.trim_end_matches('/'));
    match host.filter(|host| host.parse::<RegistryAddress>().is_ok()) {
        Some(host) => Ok(host),
        None => Err(Error::Usage {
            problem: format!("`proxy.remote: {}` is no address of a registry", shown(remote)),
            hint: "write its URL without a path, and who logs in there as `remoteLogin`: https://hub.bktencent.com"
                .into(),
        }),
    }
}

/// Somebody may have written a password into the URL.
fn shown(remote: &str) -> &str {
    remote.rsplit_once('@').map_or(remote, |(_, host)| host)
}
