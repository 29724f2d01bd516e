//! What is not done on nodes themselves, as files for whoever does it: annotations of pods and environment for virtual nodes,
//! instructions for containers on DC/OS.

use std::net::IpAddr;
use std::path::Path;

use ferry_model::node::{NodeDesired, Security};
use ferry_model::plan::{Content, Keep};
use ferry_model::site::{Configure, VirtualNodes};

use super::{Wanted, dcos};
use crate::Error;
use crate::desire::registry::{add_file, add_folder};
use crate::desire::{Desire, Facts};
use crate::site::SiteFile;
use crate::virtual_nodes::Settings;

/// A patch with the annotations that pods need on virtual nodes.
const ANNOTATIONS: &str = "virtual-node-pods.yaml";
/// The environment of the virtual-kubelet.
const ENVIRONMENT: &str = "virtual-kubelet.env";
/// What containers on DC/OS need.
const CONTAINERS: &str = "dcos-containers.md";

/// What virtual nodes are told; nothing where the site has none. `ingress` is the cluster's, where the site file does not say it.
pub(crate) fn virtual_settings(site: &SiteFile, ingress: Option<IpAddr>) -> Result<Option<Settings>, Error> {
    let configure = site.site.nodes.configure.as_ref();
    let Some((configure, virtual_nodes)) =
        configure.and_then(|configure| Some((configure, configure.virtual_nodes.as_ref()?)))
    else {
        return Ok(None);
    };
    Ok(Some(told(&Wanted::new(site, configure, ingress)?, virtual_nodes)))
}

fn told(wanted: &Wanted, virtual_nodes: &VirtualNodes) -> Settings {
    let mut desired: NodeDesired = wanted.desired.clone();
    for registry in &mut desired.registries {
        if let (Security::Https { authority }, true) =
            (&mut registry.security, wanted.authorities.contains_key(&registry.address))
        {
            // It may not have been made yet. That there is one is what counts here.
            *authority = Some(String::new());
        }
    }
    Settings::new(&desired, virtual_nodes)
}

pub(super) fn desire_settings(
    desire: &mut Desire,
    site: &SiteFile,
    configure: &Configure,
    wanted: &Wanted,
    facts: &Facts,
) {
    let folder = configure.settings.as_ref().map(|folder| site.absolute(folder));
    if configure.dcos {
        add_dcos(desire, folder.as_deref(), wanted);
    }
    match &configure.virtual_nodes {
        Some(virtual_nodes) => add_virtual(desire, folder.as_deref(), &told(wanted, virtual_nodes)),
        None if facts.virtual_nodes.is_empty() => {}
        None => desire.by_hand.push(format!(
            "{} left out, being no machine: `nodes: {{virtual: {{}}}}` gives what the virtual-kubelet and its pods need instead",
            facts.virtual_nodes.join(", ")
        )),
    }
}

fn add_dcos(desire: &mut Desire, folder: Option<&Path>, wanted: &Wanted) {
    let who = "containers of DC/OS with a docker of their own, and Jenkins' agents,";
    let Some(folder) = folder else {
        desire.by_hand.push(format!(
            "{who} need volumes and arguments: `nodes: {{settings: FOLDER}}` has instructions written"
        ));
        return;
    };
    let home = add_folder(desire, folder, None, Keep::Everything, "instructions for DC/OS lie there");
    let (path, text) = (folder.join(CONTAINERS), dcos::instructions(wanted));
    let reason = "containers with a docker of their own need it";
    add_file(desire, &path, 0o644, Content::Text { text }, reason, [home]);
    desire.by_hand.push(format!("{who} need what {} says", path.display()));
}

fn add_virtual(desire: &mut Desire, folder: Option<&Path>, settings: &Settings) {
    let Settings { annotations, environment, notes } = settings;
    desire.by_hand.extend(notes.iter().cloned());
    if annotations.is_empty() {
        return;
    }
    let Some(folder) = folder else {
        desire.by_hand.push("virtual nodes are told by annotations of pods and the environment of the virtual-kubelet: `ferry-installer virtual-nodes` shows them, `nodes: {settings: FOLDER}` has them written".into());
        return;
    };
    let home = add_folder(desire, folder, None, Keep::Everything, "what virtual nodes are told lies there");
    let mut add = |name: &str, text: String, reason: &str| {
        add_file(desire, &folder.join(name), 0o644, Content::Text { text }, reason, [home.clone()]);
    };
    add(ANNOTATIONS, settings.patch(), "pods on virtual nodes need these annotations");
    if !environment.is_empty() {
        add(ENVIRONMENT, settings.variables(), "the virtual-kubelet needs this environment");
        desire.by_hand.push(format!(
            "the virtual-kubelet is given its environment by `kubectl set env --namespace NAMESPACE deployment/NAME - < {}`",
            folder.join(ENVIRONMENT).display()
        ));
    }
}
