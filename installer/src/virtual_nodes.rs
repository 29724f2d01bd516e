//! What nodes shall be like, for those that are no machines: a virtual-kubelet starts each pod as an instance of its own (KCI),
//! whose host nobody can set up. Instances are told by annotations of their pods, and all of one virtual-kubelet's by its
//! environment; a pod's annotation counts before that. Pure.
//!
//! Names and forms are those of "使用自建仓库" in the cloud's documentation of its container instances.

mod scheduled;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ferry_model::host::Host;
use ferry_model::node::{NodeDesired, NodeRegistry, Resolver, Security};
use ferry_model::site::{InstanceDns, VirtualNodes};
use serde::Serialize;

pub use scheduled::is_scheduled_there;

/// Registries that talk plain HTTP.
const HTTP: &str = "k8s.ksyun.com/kci-http-registry";
/// Registries whose certificates nobody checks.
const INSECURE: &str = "k8s.ksyun.com/kci-insecure-registry";
/// Names, and the addresses that they have for the instance's system.
const HOST_ALIASES: &str = "k8s.ksyun.com/kci-host-aliases";
/// What the instance's system resolves names with.
const DNS_CONFIG: &str = "k8s.ksyun.com/kci-dns-config";
/// What all of them begin with.
const PREFIX: &str = "k8s.ksyun.com/kci-";

/// What virtual nodes are told, ready for use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Annotations of pods that run there.
    pub annotations: BTreeMap<String, String>,
    /// Environment of the virtual-kubelet.
    pub environment: BTreeMap<String, String>,
    /// What instances cannot be told, one sentence each.
    pub notes: Vec<String>,
}

impl Settings {
    /// What nodes shall be like, as far as instances can be.
    pub fn new(desired: &NodeDesired, virtual_nodes: &VirtualNodes) -> Self {
        Self {
            annotations: annotations(desired, virtual_nodes),
            environment: environment(desired, virtual_nodes),
            notes: notes(desired, virtual_nodes),
        }
    }

    /// A patch for workloads that run there.
    pub fn patch(&self) -> String {
        let mut text = "# For workloads whose pods run on virtual nodes:\n# kubectl patch deployment NAME --patch \"$(cat THIS-FILE)\"\nspec:\n  template:\n    metadata:\n      annotations:\n".to_owned();
        for (name, value) in &self.annotations {
            text.push_str(&format!("        {name}: '{}'\n", value.replace('\'', "''")));
        }
        text
    }

    /// The environment, a line each, as `kubectl set env` reads it.
    pub fn variables(&self) -> String {
        let mut text = "# For the virtual-kubelet, so that each pod need not say it:\n# kubectl set env --namespace NAMESPACE deployment/NAME - < THIS-FILE\n".to_owned();
        for (name, value) in &self.environment {
            text.push_str(&format!("{name}={value}\n"));
        }
        text
    }

    /// For people.
    pub fn text(&self) -> String {
        if self.annotations.is_empty() {
            return "virtual nodes need not be told anything\n".to_owned();
        }
        let mut text = self.patch();
        if !self.environment.is_empty() {
            text.push_str(&format!("\n{}", self.variables()));
        }
        for note in &self.notes {
            text.push_str(&format!("\n# {note}\n"));
        }
        text
    }
}

/// The annotations that a pod needs to pull from the site's registries on a virtual node.
pub fn annotations(desired: &NodeDesired, virtual_nodes: &VirtualNodes) -> BTreeMap<String, String> {
    let registries = |is: &dyn Fn(&NodeRegistry) -> bool| {
        let addresses = desired.registries.iter().filter(|registry| is(registry));
        let addresses: Vec<String> = addresses.map(|registry| registry.address.to_string()).collect();
        (!addresses.is_empty()).then(|| addresses.join(","))
    };
    let is_unchecked = |registry: &NodeRegistry| match registry.security {
        Security::Unverified => true,
        Security::Https { authority: Some(_) } => virtual_nodes.unverified,
        Security::Https { authority: None } | Security::PlainHttp => false,
    };
    let values = [
        (HTTP, registries(&|registry| registry.security == Security::PlainHttp)),
        (INSECURE, registries(&is_unchecked)),
        (HOST_ALIASES, host_aliases(desired)),
        (DNS_CONFIG, dns_config(virtual_nodes.dns.as_ref())),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The environment of a virtual-kubelet that spares its pods the annotations for names. There is none for registries.
pub fn environment(desired: &NodeDesired, virtual_nodes: &VirtualNodes) -> BTreeMap<String, String> {
    let values = [
        ("KCI_HOST_ALIASES", host_aliases(desired)),
        ("KCI_DNS_CONFIG", dns_config(virtual_nodes.dns.as_ref())),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A line of `/etc/hosts`, as in a pod's `hostAliases`.
#[derive(Debug, Serialize)]
struct HostAlias<'a> {
    ip: IpAddr,
    hostnames: Vec<&'a Host>,
}

fn host_aliases(desired: &NodeDesired) -> Option<String> {
    if desired.resolver == Resolver::Dns {
        return None;
    }
    let mut by_address: BTreeMap<IpAddr, Vec<&Host>> = BTreeMap::new();
    for name in &desired.names {
        for address in &name.addresses {
            by_address.entry(*address).or_default().push(&name.name);
        }
    }
    let aliases: Vec<HostAlias<'_>> =
        by_address.into_iter().map(|(ip, hostnames)| HostAlias { ip, hostnames }).collect();
    (!aliases.is_empty()).then(|| as_json(&aliases))
}

fn dns_config(dns: Option<&InstanceDns>) -> Option<String> {
    dns.filter(|dns| **dns != InstanceDns::default()).map(as_json)
}

fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has only strings and lists")
}

fn notes(desired: &NodeDesired, virtual_nodes: &VirtualNodes) -> Vec<String> {
    let mut notes = Vec::new();
    for registry in &desired.registries {
        let address = &registry.address;
        let has_authority = matches!(registry.security, Security::Https { authority: Some(_) });
        if has_authority && virtual_nodes.unverified {
            notes.push(format!(
                "instances of virtual nodes do not check the certificate of {address}: whoever is in between can give them any image"
            ));
        } else if has_authority {
            notes.push(format!(
                "instances of virtual nodes cannot be told of the authority of {address}, and refuse its certificate: give it one that the system's authorities vouch for, or have it go unchecked with `nodes: {{virtual: {{unverified: true}}}}`"
            ));
        }
    }
    let mirrored: Vec<String> =
        desired.registries.iter().flat_map(|registry| &registry.mirrors).map(ToString::to_string).collect();
    if !mirrored.is_empty() {
        notes.push(format!(
            "virtual nodes know no mirrors: what runs there must name images where they are, and not at {}",
            mirrored.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
mod tests;
