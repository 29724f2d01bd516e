//! Registries as container runtimes are told of them.

use ferry_model::host::RegistryAddress;
use ferry_model::node::{NodeRegistry, Security};

/// What the file of a registry's authority is called, beside the file that names it. It is Ferry's own, so that nothing of
/// the site is overwritten.
pub(crate) const AUTHORITY: &str = "ferry-ca.crt";

/// `https://registry.corp:5000`.
pub(crate) fn url(registry: &NodeRegistry) -> String {
    let scheme = match registry.security {
        Security::PlainHttp => "http",
        Security::Unverified | Security::Https { .. } => "https",
    };
    format!("{scheme}://{}", registry.address)
}

/// What mirrored repositories begin with at the registry, without slashes around it.
pub(crate) fn prefix(registry: &NodeRegistry) -> &str {
    registry.prefix.trim_matches('/')
}

/// Where the API of mirrored repositories is: the registry itself, or `https://registry.corp:5000/v2/mirror`.
pub(crate) fn mirror_url(registry: &NodeRegistry) -> String {
    match prefix(registry) {
        "" => url(registry),
        prefix => format!("{}/v2/{prefix}", url(registry)),
    }
}

/// The certificates of a registry's authority, ending in a line end.
pub(crate) fn authority(registry: &NodeRegistry) -> Option<String> {
    let Security::Https { authority: Some(pem) } = &registry.security else { return None };
    Some(format!("{}\n", pem.trim_end()))
}

/// Registries in order, and the ones that mirror each upstream in order. A registry mirrors nothing under its own name.
pub(crate) fn upstreams(registries: &[NodeRegistry]) -> Vec<(&RegistryAddress, Vec<&NodeRegistry>)> {
    let mut upstreams: Vec<(&RegistryAddress, Vec<&NodeRegistry>)> = Vec::new();
    for registry in registries {
        for upstream in registry.mirrors.iter().filter(|upstream| **upstream != registry.address) {
            match upstreams.iter_mut().find(|(known, _)| *known == upstream) {
                Some((_, mirrors)) if mirrors.iter().any(|known| known.address == registry.address) => {}
                Some((_, mirrors)) => mirrors.push(registry),
                None => upstreams.push((upstream, vec![registry])),
            }
        }
    }
    upstreams
}

/// Where a registry that is mirrored answers itself.
pub(crate) fn upstream_url(upstream: &RegistryAddress) -> String {
    match upstream.to_string().as_str() {
        "docker.io" | "index.docker.io" => "https://registry-1.docker.io".to_owned(),
        host => format!("https://{host}"),
    }
}
