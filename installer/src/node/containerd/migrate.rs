//! The old tables of registries, `mirrors` and `configs`: what they say moves into `hosts.toml`, because containerd's CRI
//! plug-in does not start where they stand beside a `config_path`. Logins stay where they are: they have no place in
//! `hosts.toml`, and are read from `configs` with a `config_path`, too.

use ferry_model::failure::Class;
use ferry_model::host::RegistryAddress;
use ferry_model::report::Failed;
use toml_edit::{Item, Table, TableLike};

use super::hosts::{Hosts, ITSELF, MIRROR, Place, Trust};
use crate::node::endpoint::upstream_url;
use crate::node::text;

/// What the old tables said.
#[derive(Debug, Default)]
pub(super) struct Old {
    /// Registries and where their images are looked for, in order.
    mirrors: Vec<(String, Vec<String>)>,
    /// Hosts and how they are trusted.
    trust: Vec<(String, Trust)>,
}

impl Old {
    /// Reads them; what a later file says of the same registry counts.
    pub(super) fn read<'a>(registries: impl Iterator<Item = &'a dyn TableLike>) -> Result<Self, Failed> {
        let mut old = Self::default();
        for registry in registries {
            for (name, mirror) in entries(registry, "mirrors") {
                if name == "*" {
                    let message =
                        "containerd's configuration has a mirror for all registries (`mirrors.\"*\"`)";
                    return Err(Failed::because(Class::Input, message).hint(
                        "move it by hand to `_default/hosts.toml` in /etc/containerd/certs.d, and try again: \
                         containerd allows no `mirrors` beside the `config_path` that is needed here, and Ferry leaves `_default` alone",
                    ));
                }
                let endpoints = text::texts(mirror.get("endpoint"));
                old.mirrors.retain(|(known, _)| known != name);
                old.mirrors.push((name.to_owned(), endpoints.into_iter().map(with_scheme).collect()));
            }
            for (host, config) in entries(registry, "configs") {
                if let Some(tls) = config.get("tls").and_then(Item::as_table_like) {
                    old.trust.retain(|(known, _)| known != host);
                    old.trust.push((host.to_owned(), trust(tls)));
                }
            }
        }
        Ok(old)
    }

    /// Whether they said nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.mirrors.is_empty() && self.trust.is_empty()
    }

    /// The registries that they spoke of, and what `hosts.toml` says for each instead.
    pub(super) fn hosts(&self) -> Vec<(String, Hosts)> {
        let mut all = Vec::new();
        for (name, endpoints) in &self.mirrors {
            let server = match name.parse::<RegistryAddress>() {
                Ok(address) => upstream_url(&address),
                Err(_) => format!("https://{name}"),
            };
            // The registry itself is asked last anyway.
            let (last, rest) =
                endpoints.split_last().map_or((None, [].as_slice()), |(last, rest)| (Some(last), rest));
            let asked = rest.iter().chain(last.filter(|last| **last != server));
            let places = asked.map(|url| self.place(url, &MIRROR)).collect();
            all.push((name.clone(), Hosts { trust: self.trust_of(&server), server, places }));
        }
        for (host, trust) in &self.trust {
            if !self.mirrors.iter().any(|(name, _)| name == host) {
                let server = format!("https://{host}");
                let places = vec![self.place(&server, &ITSELF)];
                all.push((host.clone(), Hosts { server, trust: trust.clone(), places }));
            }
        }
        all
    }

    fn place(&self, url: &str, capabilities: &[&'static str]) -> Place {
        Place { url: url.to_owned(), capabilities: capabilities.to_vec(), trust: self.trust_of(url) }
    }

    fn trust_of(&self, url: &str) -> Trust {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
        let known = self.trust.iter().find(|(known, _)| known == host);
        known.map(|(_, trust)| trust.clone()).unwrap_or_default()
    }
}

/// Takes them out, but for logins. Says whether logins stay.
pub(super) fn take_out(registry: &mut Table) -> bool {
    if registry.get("mirrors").is_some_and(|mirrors| !text::is_empty(mirrors)) {
        registry.remove("mirrors");
    }
    let Some(configs) = registry.get_mut("configs").and_then(Item::as_table_like_mut) else { return false };
    let mut emptied = Vec::new();
    for (host, config) in configs.iter_mut() {
        let Some(config) = config.as_table_like_mut() else { continue };
        if config.remove("tls").is_some() && config.is_empty() {
            emptied.push(host.get().to_owned());
        }
    }
    for host in &emptied {
        configs.remove(host);
    }
    let (stays, is_empty) = (!configs.is_empty(), configs.is_empty() && !emptied.is_empty());
    if is_empty {
        registry.remove("configs");
    }
    stays
}

fn entries<'a>(registry: &'a dyn TableLike, key: &str) -> impl Iterator<Item = (&'a str, &'a dyn TableLike)> {
    let table = registry.get(key).and_then(Item::as_table_like);
    table
        .into_iter()
        .flat_map(|table| table.iter().filter_map(|(key, item)| Some((key, item.as_table_like()?))))
}

fn trust(tls: &dyn TableLike) -> Trust {
    let file =
        |key: &str| tls.get(key).and_then(Item::as_str).filter(|file| !file.is_empty()).map(str::to_owned);
    let client = file("cert_file").map(|certificate| (certificate, file("key_file").unwrap_or_default()));
    Trust {
        authorities: file("ca_file").into_iter().collect(),
        clients: client.into_iter().collect(),
        is_unverified: tls.get("insecure_skip_verify").and_then(Item::as_bool).unwrap_or(false),
    }
}

/// containerd takes an endpoint without scheme for one with HTTPS.
fn with_scheme(endpoint: String) -> String {
    if endpoint.contains("://") { endpoint } else { format!("https://{endpoint}") }
}
