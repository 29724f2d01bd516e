//! A plan for a fleet: a canary, nodes with the same and with other changes, one that does not answer, one that is right.

use ferry_model::plan::{Content, Desired, NodeSetup, Resource};
use ferry_model::site::VirtualNodes;

use super::*;
use crate::fleet::Member;

const DIFF: &str = "--- /etc/docker/daemon.json\n+++ /etc/docker/daemon.json\n@@ -1 +1 @@\n-{}\n+{\"registry-mirrors\": []}\n# docker.service reloads: its mirrors change\n";

fn desired() -> (SiteFile, Desire) {
    let site = site("nodes/fleet");
    let nodes = site.site.nodes.hosts.iter().map(Member::from).collect();
    let desire = desire(&catalog(), &site, &Facts { nodes, ..facts() }).unwrap();
    (site, desire)
}

fn setups(desire: &Desire) -> Vec<&NodeSetup> {
    desire
        .resources
        .iter()
        .filter_map(|resource| match &resource.desired {
            Desired::NodeSetup(setup) => Some(&**setup),
            _ => None,
        })
        .collect()
}

#[test]
fn a_fleet_as_people_read_it() {
    let (site, desire) = desired();
    let mut observed = finished(&desire);
    let seen = |does: &str, text: &str| State::present([("right", "no"), ("does", does)]).with_text(text);
    let node = |name: &str| ResourceId::new("node-setup", name);
    observed.insert(node("n1"), seen("2 files, docker reloads", DIFF));
    observed.insert(node("n2"), seen("2 files, docker reloads", DIFF));
    observed.insert(node("n3"), State::Unknown { reason: "node n3: no route to it".into() });
    observed.insert(node("n4"), seen("/etc/hosts", "--- /etc/hosts\n+x\n"));
    let plan = plan(identity(site.digest), &desire, &observed).unwrap();
    let (text, file) = (plan_text(&plan), folder().join("nodes/fleet.txt"));
    if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
        fs::write(&file, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&file).unwrap_or_default());
    let document = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&document).unwrap(), plan);
    let kept = plan.steps.iter().all(|step| step.before.text().is_none());
    assert!(kept, "the diff is enough");

    // Nothing is right for ever: new certificates are taken up.
    let again = super::plan(identity(site.digest), &desire, &finished(&desire)).unwrap();
    assert!(again.steps.is_empty());
}

#[test]
fn all_nodes_are_asked_for_the_same() {
    let (_, desire) = desired();
    let setups = setups(&desire);
    assert_eq!(setups.iter().map(|setup| setup.wave).collect::<Vec<_>>(), [0, 1, 1, 2]);
    assert!(setups.iter().all(|setup| setup.desired == setups[0].desired));
    let text = serde_json::to_string_pretty(&setups[0].desired).unwrap();
    let file = folder().join("nodes/desired.json");
    if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
        fs::write(&file, format!("{text}\n")).unwrap();
    }
    assert_eq!(format!("{text}\n"), fs::read_to_string(&file).unwrap_or_default());
    let authorities: Vec<String> = setups[0]
        .authorities
        .iter()
        .map(|(registry, path)| format!("{registry} {}", path.display()))
        .collect();
    assert_eq!(authorities, ["registry.corp:5000 /site/ca.pem"]);
    let node =
        desire.resources.iter().find(|resource| matches!(resource.desired, Desired::NodeSetup(_))).unwrap();
    let needs: Vec<&str> = node.needs.iter().map(ResourceId::as_str).collect();
    assert_eq!(needs, ["endpoint registry.corp:5000", "image registry.corp:5000/mirror/library/multi:3"]);
}

#[test]
fn virtual_nodes_are_told_the_same_as_files() {
    let mut site = site("nodes/fleet");
    let settings = |site: &SiteFile, virtual_nodes: &[&str]| {
        let virtual_nodes = virtual_nodes.iter().map(|&name| name.to_owned()).collect();
        let desire = desire(&catalog(), site, &Facts { virtual_nodes, ..facts() }).unwrap();
        let text = |resource: &Resource| match &resource.desired {
            Desired::File(file) if file.path.starts_with("/site/out") => match &file.content {
                Content::Text { text } => Some(text.clone()),
                _ => None,
            },
            _ => None,
        };
        (desire.resources.iter().filter_map(text).collect::<Vec<_>>(), desire.by_hand.join("\n"))
    };
    let (files, by_hand) = settings(&site, &["kci-1", "kci-2"]);
    assert!(files.is_empty() && by_hand.contains("kci-1, kci-2 left out"), "{by_hand}");

    let configure = site.site.nodes.configure.as_mut().unwrap();
    configure.virtual_nodes = Some(VirtualNodes::default());
    let (files, by_hand) = settings(&site, &["kci-1"]);
    assert!(files.is_empty() && by_hand.contains("`ferry-installer virtual-nodes` shows them"), "{by_hand}");
    assert!(by_hand.contains("cannot be told of the authority of registry.corp:5000"), "{by_hand}");

    let configure = site.site.nodes.configure.as_mut().unwrap();
    configure.settings = Some("out".into());
    configure.virtual_nodes = Some(VirtualNodes { unverified: true, ..VirtualNodes::default() });
    let (files, by_hand) = settings(&site, &[]);
    let [annotations, environment] = files.as_slice() else { panic!("{files:?}") };
    assert!(annotations.contains("kci-insecure-registry: 'registry.corp:5000'"), "{annotations}");
    assert!(
        annotations.contains("kci-http-registry: 'old.corp:5000,docker.bkce7.example.com'"),
        "{annotations}"
    );
    assert!(environment.contains(r#"KCI_HOST_ALIASES=[{"ip":"10.0.0.5","hostnames":["registry.corp"]}"#));
    assert!(by_hand.contains("< /site/out/virtual-kubelet.env"), "{by_hand}");
}

#[test]
fn containers_on_dcos_are_written_about() {
    let mut site = site("nodes/fleet");
    site.site.nodes.configure.as_mut().unwrap().dcos = true;
    let by_hand = desire(&catalog(), &site, &facts()).unwrap().by_hand;
    assert!(by_hand.iter().any(|line| line.contains("has instructions written")), "{by_hand:?}");
    let configure = site.site.nodes.configure.as_mut().unwrap();
    configure.settings = Some("out".into());
    configure.virtual_nodes = Some(VirtualNodes::default());
    let nodes = site.site.nodes.hosts.iter().map(Member::from).collect();
    let desire = desire(&catalog(), &site, &Facts { nodes, ..facts() }).unwrap();
    assert!(setups(&desire).iter().all(|setup| setup.desired.dcos));
    let written = desire.resources.iter().find_map(|resource| match &resource.desired {
        Desired::File(file) if file.path.ends_with("dcos-containers.md") => match &file.content {
            Content::Text { text } => Some(text),
            _ => None,
        },
        _ => None,
    });
    let (text, file) = (written.unwrap(), folder().join("nodes/dcos-containers.md"));
    if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
        fs::write(&file, text).unwrap();
    }
    assert_eq!(*text, fs::read_to_string(&file).unwrap_or_default());
    for block in text.split("```json").skip(1) {
        serde_json::from_str::<serde_json::Value>(block.split("```").next().unwrap()).unwrap();
    }
    // Two write into one folder, which is made once.
    let folders = desire.resources.iter().filter(|resource| resource.id().as_str() == "folder /site/out");
    assert_eq!(folders.count(), 1);
}
