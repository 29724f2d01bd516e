//! The registry's own image on the nodes, before there is any registry.

use ferry_model::catalog::Image;
use ferry_model::host::Host;
use ferry_model::plan::{Desired, NodeImage, Resource, ResourceId};
use ferry_model::site::{Kubernetes, Node};

use super::super::Ground;
use super::super::files::push;
use super::pod::image_name;
use super::wrong;
use crate::Error;
use crate::desire::Desire;
use crate::desire::nodes::ssh_arguments;
use crate::export::{choose, find_image};
use crate::fleet::Member;

/// Adds the image to each node that shall have it.
pub(super) fn add(
    desire: &mut Desire,
    ground: &Ground<'_>,
    mode: &Kubernetes,
) -> Result<Vec<ResourceId>, Error> {
    let site = &ground.site.site;
    let nodes = chosen(&site.nodes.hosts, mode.preload.as_deref())?;
    let name = image_name(&mode.image);
    if nodes.is_empty() {
        desire.by_hand.push(format!(
            "bring the registry's own image to each node that may run it, since no registry is there yet: `ferry-installer export BUNDLE {} -o - --name {name} | ssh NODE ctr -n k8s.io images import -`; or list them under `nodes: {{hosts: …}}`",
            mode.image
        ));
        return Ok(Vec::new());
    }
    let image = find_image(ground.catalog, &mode.image.to_string())?;
    let size = bytes_to_send(ground, image);
    let node_image = |node: &&Node| {
        let node_image = NodeImage {
            node: node.name.clone(),
            ssh: ssh_arguments(ground.site, &site.nodes.ssh, &Member::from(*node)),
            sudo: site.nodes.ssh.sudo,
            image: image.reference.clone(),
            name: name.clone(),
            size,
        };
        Resource::new(
            Desired::NodeImage(node_image),
            "no registry is there yet that the node could pull it from",
        )
    };
    Ok(nodes.iter().map(node_image).map(|resource| push(desire, resource)).collect())
}

/// Bytes of the image for a machine like this one. What a node of another kind gets is about as large.
fn bytes_to_send(ground: &Ground<'_>, image: &Image) -> u64 {
    let manifest = choose(image, Some(&ground.facts.platform)).ok().or_else(|| image.root());
    let blobs = manifest.map(|manifest| manifest.blobs.as_slice()).unwrap_or_default();
    ground.catalog.blobs.iter().filter(|blob| blobs.contains(&blob.digest)).map(|blob| blob.size).sum()
}

/// The nodes that are meant.
fn chosen<'a>(hosts: &'a [Node], preload: Option<&[Host]>) -> Result<Vec<&'a Node>, Error> {
    let Some(names) = preload else { return Ok(hosts.iter().collect()) };
    let find = |name: &Host| {
        hosts.iter().find(|node| node.name == *name).ok_or_else(|| {
            wrong(
                &format!("`preload` names {name}, and `nodes: {{hosts: …}}` has no such node"),
                "list it there, with the address at which ssh reaches it",
            )
        })
    };
    names.iter().map(find).collect()
}
