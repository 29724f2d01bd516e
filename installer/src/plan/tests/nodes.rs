//! A plan for a fleet: a canary, nodes with the same and with other changes, one that does not answer, one that is right.

use ferry_model::plan::{Desired, NodeSetup};

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
