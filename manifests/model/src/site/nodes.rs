//! The machines that run containers: which they are, how they are reached, and what they shall be like.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::daemon_set::DaemonSet;
use super::modes::check_site_url;
use super::secret::SecretSource;
use super::virtual_nodes::VirtualNodes;
use crate::ImageReference;
use crate::host::{Host, RegistryAddress};
use crate::node::Resolver;

/// The machines that run containers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NodesMapping")]
pub struct Nodes {
    /// Each with its name; its address where the name does not resolve.
    pub hosts: Vec<Node>,
    /// An Ansible inventory (INI or YAML) that has more.
    pub inventory: Option<PathBuf>,
    /// The groups of the inventory that are meant. Empty: all.
    pub groups: Vec<String>,
    /// Nodes that the cluster's API lists.
    pub from_cluster: Option<FromCluster>,
    /// The URL of a Mesos master whose agents are meant.
    pub from_mesos: Option<String>,
    /// How commands get there.
    pub via: Via,
    /// How ssh does.
    pub ssh: Ssh,
    /// How pods do.
    pub daemon_set: Option<DaemonSet>,
    /// What they shall be like; absent: they are left as they are.
    pub configure: Option<Configure>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self::try_from(NodesMapping::default()).expect("what names nothing asks for nothing impossible")
    }
}

impl Nodes {
    /// Whether more nodes than `hosts` are named.
    pub fn are_found_elsewhere(&self) -> bool {
        self.inventory.is_some() || self.from_cluster.is_some() || self.from_mesos.is_some()
    }
}

/// What nodes shall be like, and how carefully they are made so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configure {
    /// Names that each must resolve, and their addresses.
    pub names: BTreeMap<Host, Vec<IpAddr>>,
    /// Who resolves them.
    pub resolver: Resolver,
    /// The address that BlueKing's names lead to. Absent: that of the cluster's ingress-nginx.
    pub ingress: Option<IpAddr>,
    /// Registries that the site's registry mirrors.
    pub mirrors: Vec<RegistryAddress>,
    /// Further registries.
    pub registries: Vec<FurtherRegistry>,
    /// Whether authorities are trusted by the whole host, and not by its container runtimes alone.
    pub host_trust: bool,
    /// Whether they are agents of DC/OS.
    pub dcos: bool,
    /// Nodes that are no machines.
    pub virtual_nodes: Option<VirtualNodes>,
    /// A folder of this machine for what is not done on nodes themselves.
    pub settings: Option<PathBuf>,
    /// The image of the bundle whose pull proves it. Absent: the smallest.
    pub probe: Option<ImageReference>,
    /// How many go first, alone. One that fails holds back all others.
    pub canary: usize,
    /// How many go together after that.
    pub wave: usize,
    /// How many may fail before no further wave begins.
    pub max_failures: usize,
    /// How long a node may take for one command, in seconds.
    pub time_limit: u32,
}

/// A machine that runs containers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Its name, as the cluster knows it.
    pub name: Host,
    /// Where ssh reaches it. Default: its name.
    #[serde(default)]
    pub address: Option<Host>,
}

impl Node {
    /// Where ssh reaches it.
    pub fn reached_at(&self) -> &Host {
        self.address.as_ref().unwrap_or(&self.name)
    }
}

/// Nodes that the cluster's API lists, reached at their internal addresses. Those that are no machines (virtual-kubelet) are
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FromCluster {
    /// Labels that they have: `disk=ssd,zone!=b`. Default: any.
    #[serde(default)]
    pub selector: String,
    /// Roles of which they have one: `control-plane`, `master`, or `worker` for those that are neither. Default: any.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// How commands get to nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Via {
    /// Through ssh.
    #[default]
    Ssh,
    /// Not at all: the one node is this machine.
    Local,
    /// Through a pod on each, where the cluster lists them.
    DaemonSet,
}

/// A registry that nodes pull from besides the site's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "FurtherMapping")]
pub struct FurtherRegistry {
    /// Where it is reached.
    pub address: RegistryAddress,
    /// How it is encrypted and trusted.
    pub trust: Trust,
    /// What the repositories of mirrored registries begin with there.
    pub prefix: String,
    /// Registries that it mirrors.
    pub mirrors: Vec<RegistryAddress>,
}

/// How nodes trust a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// HTTPS, trusted by the system's own authorities.
    System,
    /// Plain HTTP.
    PlainHttp,
    /// HTTPS whose certificate nobody checks.
    Unverified,
    /// HTTPS with the authority in this file.
    Authority(PathBuf),
}

/// How to reach nodes: with the system's ssh client, so the operator's own configuration, agent and known hosts count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ssh {
    /// The user. Default: what ssh's configuration says.
    #[serde(default)]
    pub user: Option<String>,
    /// The port. Default: what ssh's configuration says.
    #[serde(default)]
    pub port: Option<u16>,
    /// A private key's file, for `ssh -i`.
    #[serde(default)]
    pub identity_file: Option<PathBuf>,
    /// More options for ssh, each as `-o` takes it: `ProxyJump=bastion`.
    #[serde(default)]
    pub options: Vec<String>,
    /// Run commands on the node through `sudo`. Default: false.
    #[serde(default)]
    pub sudo: bool,
    /// Where sudo's password is. Default: it asks for none.
    #[serde(default)]
    pub sudo_password: Option<SecretSource>,
}

/// The machines that run containers.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodesMapping {
    /// Each with its name; its address where the name does not resolve.
    #[serde(default)]
    hosts: Vec<Node>,
    /// An Ansible inventory (INI or YAML) that has more.
    #[serde(default)]
    inventory: Option<PathBuf>,
    /// The groups of the inventory that are meant: `[k8s_nodes]`. Default: all.
    #[serde(default)]
    groups: Vec<String>,
    /// Nodes that the cluster's API lists.
    #[serde(default)]
    from_cluster: Option<FromCluster>,
    /// The URL of a Mesos master whose agents are meant: `http://leader.mesos:5050`.
    #[serde(default)]
    from_mesos: Option<String>,
    /// How commands get there: `ssh`, `daemonSet` for a pod on each, or `local` where the one node is this machine. Default: ssh.
    #[serde(default)]
    via: Via,
    /// How ssh reaches them.
    #[serde(default)]
    ssh: Ssh,
    /// Which pods reach them, with `via: daemonSet`.
    #[serde(default)]
    daemon_set: Option<DaemonSet>,
    /// Make them resolve the registry's name, trust it and pull from it. The keys that follow need it. Default: false.
    #[serde(default)]
    configure: bool,
    /// Names that each must resolve, and their addresses: `registry.corp: [10.0.0.5]`. BlueKing's are added where the site has it.
    #[serde(default)]
    names: BTreeMap<Host, Vec<IpAddr>>,
    /// `hosts-file`, or `dns` where that does it and it is only checked. Default: hosts-file.
    #[serde(default)]
    resolver: Option<Resolver>,
    /// The address that BlueKing's names lead to. Default: that of the cluster's ingress-nginx.
    #[serde(default)]
    ingress: Option<IpAddr>,
    /// Registries that the site's registry mirrors: `[docker.io, hub.bktencent.com]`.
    #[serde(default)]
    mirrors: Vec<RegistryAddress>,
    /// Further registries that they pull from.
    #[serde(default)]
    registries: Vec<FurtherRegistry>,
    /// Have authorities trusted by the whole host, and not by its container runtimes alone. Default: false.
    #[serde(default)]
    host_trust: bool,
    /// They are agents of DC/OS: its virtual addresses reach the registry from all of them. Default: true with `fromMesos`.
    #[serde(default)]
    dcos: Option<bool>,
    /// There are nodes that are no machines too (virtual-kubelet, KCI): `{}` says so.
    #[serde(default, rename = "virtual")]
    virtual_nodes: Option<VirtualNodes>,
    /// A folder of this machine for what is not done on nodes themselves: annotations and environment for virtual nodes,
    /// instructions for DC/OS. Absent: none are written.
    #[serde(default)]
    settings: Option<PathBuf>,
    /// The image of the bundle whose pull proves it. Default: the smallest.
    #[serde(default)]
    probe: Option<ImageReference>,
    /// How many go first, alone; one that fails holds back all others. Default: 1.
    #[serde(default)]
    canary: Option<usize>,
    /// How many go together after that; no more than `limits.steps` at once. Default: 10.
    #[serde(default)]
    wave: Option<usize>,
    /// How many may fail before no further wave begins. Default: 0.
    #[serde(default)]
    max_failures: Option<usize>,
    /// How long a node may take for one command, in seconds. Default: 300.
    #[serde(default)]
    time_limit: Option<u32>,
}

impl NodesMapping {
    /// The first key that says what nodes shall be like.
    fn asks_for(&self) -> Option<&'static str> {
        let given = [
            ("names", !self.names.is_empty()),
            ("resolver", self.resolver.is_some()),
            ("ingress", self.ingress.is_some()),
            ("mirrors", !self.mirrors.is_empty()),
            ("registries", !self.registries.is_empty()),
            ("hostTrust", self.host_trust),
            ("dcos", self.dcos.is_some()),
            ("virtual", self.virtual_nodes.is_some()),
            ("settings", self.settings.is_some()),
            ("probe", self.probe.is_some()),
            ("canary", self.canary.is_some()),
            ("wave", self.wave.is_some()),
            ("maxFailures", self.max_failures.is_some()),
            ("timeLimit", self.time_limit.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Pods come only to nodes that the cluster lists.
    fn check_daemon_set(&self) -> Result<(), String> {
        match (self.via, &self.daemon_set) {
            (Via::DaemonSet, None) => {
                Err("`via: daemonSet` needs `daemonSet: {image: NAME}`, which its pods run".to_owned())
            }
            (Via::DaemonSet, Some(_))
                if self.inventory.is_some() || self.from_mesos.is_some() || !self.hosts.is_empty() =>
            {
                Err("with `via: daemonSet` nodes are those that the cluster lists: choose them with \
                     `fromCluster: {selector: …, roles: […]}`"
                    .to_owned())
            }
            (Via::DaemonSet, Some(daemon_set)) => daemon_set.check(),
            (_, Some(_)) => Err("`daemonSet` needs `via: daemonSet` beside it".to_owned()),
            (_, None) => Ok(()),
        }
    }
}

impl TryFrom<NodesMapping> for Nodes {
    type Error = String;

    fn try_from(mapping: NodesMapping) -> Result<Self, String> {
        if let (false, Some(key)) = (mapping.configure, mapping.asks_for()) {
            return Err(format!("`{key}` says what nodes shall be like, and needs `configure: true`"));
        }
        if mapping.inventory.is_none() && !mapping.groups.is_empty() {
            return Err("`groups` are those of an `inventory`".to_owned());
        }
        if let Some(url) = &mapping.from_mesos {
            check_site_url(url)?;
        }
        if mapping.wave == Some(0) {
            return Err("a `wave` of no nodes would never end".to_owned());
        }
        let elsewhere =
            mapping.inventory.is_some() || mapping.from_cluster.is_some() || mapping.from_mesos.is_some();
        if mapping.via == Via::Local && (elsewhere || mapping.hosts.len() > 1) {
            return Err("with `via: local` the one node is this machine".to_owned());
        }
        if mapping.ssh.sudo_password.is_some() && !mapping.ssh.sudo {
            return Err("a password for nothing, expected `sudo: true` beside it".to_owned());
        }
        mapping.check_daemon_set()?;
        let configure = mapping.configure.then(|| Configure {
            names: mapping.names,
            resolver: mapping.resolver.unwrap_or_default(),
            ingress: mapping.ingress,
            mirrors: mapping.mirrors,
            registries: mapping.registries,
            host_trust: mapping.host_trust,
            dcos: mapping.dcos.unwrap_or(mapping.from_mesos.is_some()),
            virtual_nodes: mapping.virtual_nodes,
            settings: mapping.settings,
            probe: mapping.probe,
            canary: mapping.canary.unwrap_or(1),
            wave: mapping.wave.unwrap_or(10),
            max_failures: mapping.max_failures.unwrap_or(0),
            time_limit: mapping.time_limit.unwrap_or(300).max(1),
        });
        Ok(Self {
            hosts: mapping.hosts,
            inventory: mapping.inventory,
            groups: mapping.groups,
            from_cluster: match mapping.via {
                Via::DaemonSet => Some(mapping.from_cluster.unwrap_or_default()),
                Via::Ssh | Via::Local => mapping.from_cluster,
            },
            from_mesos: mapping.from_mesos,
            via: mapping.via,
            ssh: mapping.ssh,
            daemon_set: mapping.daemon_set,
            configure,
        })
    }
}

/// A registry that nodes pull from besides the site's own: `plainHttp`, `unverified` or `authority`, or none of them for HTTPS that
/// the system's own authorities vouch for.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FurtherMapping {
    /// HOST or HOST:PORT, as image references begin.
    address: RegistryAddress,
    /// It talks plain HTTP.
    #[serde(default)]
    plain_http: bool,
    /// Nobody checks its certificate: whoever is in between can give nodes any image.
    #[serde(default)]
    unverified: bool,
    /// PEM file of the authority that its certificate is from.
    #[serde(default)]
    authority: Option<PathBuf>,
    /// What the repositories of mirrored registries begin with there: `mirror`.
    #[serde(default)]
    prefix: String,
    /// Registries that it mirrors.
    #[serde(default)]
    mirrors: Vec<RegistryAddress>,
}

impl TryFrom<FurtherMapping> for FurtherRegistry {
    type Error = String;

    fn try_from(mapping: FurtherMapping) -> Result<Self, String> {
        let trust = match (mapping.plain_http, mapping.unverified, mapping.authority) {
            (false, false, None) => Trust::System,
            (true, false, None) => Trust::PlainHttp,
            (false, true, None) => Trust::Unverified,
            (false, false, Some(path)) => Trust::Authority(path),
            _ => return Err("`plainHttp`, `unverified` and `authority` exclude each other".to_owned()),
        };
        let prefix = mapping.prefix.trim_matches('/').to_owned();
        Ok(Self { address: mapping.address, trust, prefix, mirrors: mapping.mirrors })
    }
}

#[cfg(feature = "schema")]
mod schema {
    use schemars::{JsonSchema, Schema, SchemaGenerator};

    use super::{FurtherMapping, FurtherRegistry, Nodes, NodesMapping};

    impl JsonSchema for Nodes {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Nodes".into()
        }
        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            NodesMapping::json_schema(generator)
        }
    }

    impl JsonSchema for FurtherRegistry {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "FurtherRegistry".into()
        }
        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            FurtherMapping::json_schema(generator)
        }
    }
}

#[cfg(test)]
mod tests;
