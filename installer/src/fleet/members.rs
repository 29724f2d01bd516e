//! Which nodes there are: listed in the site file, an inventory, by the cluster's API or a Mesos master.

use std::path::PathBuf;

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::report::Failed;
use ferry_model::site::{Node, Via};

use super::{from_cluster, from_mesos, inventory};
use crate::cluster;
use crate::context::Context;

/// A node, as far as whoever lists it knows how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Host,
    /// Where it is reached.
    pub address: Host,
    /// The user, where that is its own.
    pub user: Option<String>,
    /// The port, where that is its own.
    pub port: Option<u16>,
    /// The private key's file, absolute, where that is its own.
    pub identity: Option<PathBuf>,
    /// More arguments for ssh.
    pub arguments: Vec<String>,
}

impl Member {
    /// One that is reached as all others are.
    pub fn new(name: Host, address: Host) -> Self {
        Self { name, address, user: None, port: None, identity: None, arguments: Vec::new() }
    }
}

impl From<&Node> for Member {
    fn from(node: &Node) -> Self {
        Self::new(node.name.clone(), node.reached_at().clone())
    }
}

/// The nodes of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Those that can be reached.
    pub machines: Vec<Member>,
    /// The names of those that are no machines (virtual-kubelet).
    pub virtual_nodes: Vec<String>,
}

/// All nodes of the site, in the order in which they are listed, each once.
pub async fn members(context: &Context) -> Result<Listed, Failed> {
    let nodes = &context.site.site.nodes;
    let mut members: Vec<Member> = nodes.hosts.iter().map(Member::from).collect();
    if nodes.via == Via::Local && members.is_empty() {
        members.push(this_machine()?);
    }
    if let Some(path) = &nodes.inventory {
        let path = context.absolute(path);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failed::because(Class::Input, format!("the inventory {} cannot be read: {error}", path.display()))
                .hint("`nodes: {inventory: FILE}` names one file, in INI or YAML; a folder or a program is none")
        })?;
        members.extend(inventory::read(&path, &text, &nodes.groups)?);
    }
    let mut virtual_nodes = Vec::new();
    if let Some(wanted) = &nodes.from_cluster {
        let cluster = context.clusters.get(&cluster::Target::of(&context.site)).await?;
        let said = nodes.configure.as_ref().and_then(|configure| configure.virtual_nodes.clone());
        let listed = from_cluster::list(&cluster, wanted, &said.unwrap_or_default()).await?;
        members.extend(listed.machines);
        virtual_nodes = listed.virtual_nodes;
        if !virtual_nodes.is_empty() {
            context.events.note(format!("no machines, and left out: {}", virtual_nodes.join(", ")));
        }
    }
    if let Some(url) = &nodes.from_mesos {
        members.extend(from_mesos::list(context, url).await?);
    }
    Ok(Listed { machines: each_once(members), virtual_nodes })
}

/// The first that has a name or an address counts: what stands further in front says more.
fn each_once(members: Vec<Member>) -> Vec<Member> {
    let mut kept: Vec<Member> = Vec::with_capacity(members.len());
    for member in members {
        let is_same = |known: &Member| {
            known.name == member.name || (known.address == member.address && known.port == member.port)
        };
        if !kept.iter().any(is_same) {
            kept.push(member);
        }
    }
    kept
}

fn this_machine() -> Result<Member, Failed> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: Host = name.parse().map_err(|error| {
        Failed::because(Class::Local, format!("this machine's name is none: {error}"))
            .hint("say what it is called: `nodes: {via: local, hosts: [{name: …}]}`")
    })?;
    Ok(Member::new(host.clone(), host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_listed_twice_is_one() {
        let member = |name: &str, address: &str| Member::new(name.parse().unwrap(), address.parse().unwrap());
        let all = vec![
            member("a", "10.0.0.1"),
            member("b", "b"),
            member("10.0.0.1", "10.0.0.1"),
            member("b", "10.0.0.2"),
        ];
        assert_eq!(each_once(all), [member("a", "10.0.0.1"), member("b", "b")]);
    }
}
