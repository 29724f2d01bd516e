//! Nodes that are no machines: a virtual-kubelet starts each pod as an instance of its own (KCI).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Nodes that are no machines: a virtual-kubelet starts each pod as an instance of its own (KCI). There is no host to set up, so
/// what nodes shall be like is said in the annotations of pods, and in the environment of the virtual-kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualNodes {
    /// Labels that tell them from machines: what asks for a node with all of them runs there. Default: `{type: virtual-kubelet}`.
    #[serde(default = "selector")]
    pub selector: BTreeMap<String, String>,
    /// Keys of the taints that keep others away: what tolerates one may run there. Default: `[virtual-kubelet.io/provider,
    /// rbkci-virtual-kubelet.io/provider]`.
    #[serde(default = "taints")]
    pub taints: Vec<String>,
    /// Their names, for pods that name their node.
    #[serde(default)]
    pub names: Vec<String>,
    /// What instances resolve names with. Default: what they have.
    #[serde(default)]
    pub dns: Option<InstanceDns>,
    /// Have instances not check the certificates of registries whose authority is none of the system's, since they cannot be told
    /// of one: whoever is in between can give them any image. Default: false.
    #[serde(default)]
    pub unverified: bool,
}

impl Default for VirtualNodes {
    fn default() -> Self {
        Self { selector: selector(), taints: taints(), names: Vec::new(), dns: None, unverified: false }
    }
}

/// What an instance resolves names with, as in a pod's `dnsConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceDns {
    /// Name servers, in the order in which they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,
    /// Options: `[{name: ndots, value: '2'}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<DnsOption>,
    /// Domains that short names are looked up in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<String>,
}

/// An option of a resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsOption {
    /// Its name: `ndots`.
    pub name: String,
    /// Its value, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

fn selector() -> BTreeMap<String, String> {
    BTreeMap::from([("type".to_owned(), "virtual-kubelet".to_owned())])
}

/// That of virtual-kubelet itself, and what KCI calls it.
fn taints() -> Vec<String> {
    ["virtual-kubelet.io/provider", "rbkci-virtual-kubelet.io/provider"].map(str::to_owned).to_vec()
}
