//! A plan for nodes that are reached through pods, which come from an image of the bundle.

use ferry_model::plan::{Desired, Reach, Resource};

use super::*;
use crate::fleet::Member;

fn desired(keep: bool) -> (SiteFile, Desire) {
    let mut site = site("nodes/pods");
    site.site.nodes.daemon_set.as_mut().unwrap().keep = keep;
    let member = |name: &str| Member::new(name.parse().unwrap(), "10.0.0.1".parse().unwrap());
    let (nodes, virtual_nodes) = (vec![member("n1"), member("n2")], vec!["kci-1".to_owned()]);
    let desire = desire(&catalog(), &site, &Facts { nodes, virtual_nodes, ..facts() }).unwrap();
    (site, desire)
}

#[test]
fn a_plan_says_what_will_be_made() {
    let mut shown = String::new();
    for keep in [false, true] {
        let (site, desire) = desired(keep);
        let mut observed = finished(&desire);
        for resource in &desire.resources {
            let reason = "nodes are reached through pods, and there are none now".to_owned();
            match resource.desired {
                Desired::NodeSetup(_) => drop(observed.insert(resource.id(), State::Unknown { reason })),
                Desired::Object(_) => drop(observed.insert(resource.id(), State::Absent)),
                _ => {}
            }
        }
        let plan = plan(identity(site.digest), &desire, &observed).unwrap();
        shown.push_str(&format!("# keep: {keep}\n{}\n", plan_text(&plan)));
        let document = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&document).unwrap(), plan);
    }
    let file = folder().join("nodes/pods.txt");
    if std::env::var_os("FERRY_UPDATE_GOLDEN").is_some() {
        fs::write(&file, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&file).unwrap_or_default());
}

#[test]
fn pods_wait_for_their_image() {
    for keep in [false, true] {
        let (_, desire) = desired(keep);
        let node = |resource: &&Resource| matches!(resource.desired, Desired::NodeSetup(_));
        let setup = desire.resources.iter().find(node).unwrap();
        let Desired::NodeSetup(desired) = &setup.desired else { panic!("no node") };
        let Reach::Pod { node, pods } = &desired.reach else { panic!("not a pod") };
        assert_eq!((node.as_str(), pods.image.as_str()), ("n1", "registry.corp:5000/mirror/library/multi:3"));
        assert!(pods.nodes.iter().all(|term| term.not_named[0].as_str() == "kci-1"));
        let image = ResourceId::new("image", "registry.corp:5000/mirror/library/multi:3");
        let daemon_set = ResourceId::new("object", "DaemonSet ferry-system/ferry-nodes");
        let object = desire.resources.iter().find(|resource| resource.id() == daemon_set);
        assert_eq!((object.is_some(), setup.needs.contains(&daemon_set)), (keep, keep));
        let needs = match object {
            Some(_) => desire
                .resources
                .iter()
                .find(|resource| resource.id() == ResourceId::new("object", "Namespace ferry-system")),
            None => Some(setup),
        };
        assert!(needs.unwrap().needs.contains(&image), "{:?}", needs.unwrap().needs);
    }
}
