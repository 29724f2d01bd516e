//! A registry on the cluster whose image goes to nodes first, one of which cannot be reached.

use ferry_model::plan::{Desired, Step};

use super::*;

#[test]
fn a_node_that_cannot_be_reached_holds_up_nobody() {
    let text = fs::read_to_string(folder().join("kubernetes.yaml")).unwrap();
    let text = text.replace("hosts: [", "hosts: [{name: node2, address: 10.0.0.12}, ");
    let site = Site::parse(&text).unwrap();
    let site = SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(&text) };
    let desire = desire(&catalog(), &site, &facts()).unwrap();
    let ids: Vec<ResourceId> = desire
        .resources
        .iter()
        .filter(|resource| matches!(resource.desired, Desired::NodeImage(_)))
        .map(ferry_model::plan::Resource::id)
        .collect();
    assert!(ids.len() > 1, "{ids:?}");
    let mut observed = bare(&desire);
    observed.insert(ids[0].clone(), State::Unknown { reason: "no route to host".into() });
    let plan = planned("kubernetes", &desire, &observed).unwrap();
    let step = |id: &ResourceId| plan.steps.iter().find(|step| step.resource.id() == *id).unwrap();
    assert_eq!(step(&ids[0]).action, Action::Create);
    assert!(plan_text(&plan).contains("now: no route to host"), "{}", plan_text(&plan));
    let waits = |step: &&Step| !step.one_of.is_empty();
    let deployment = plan.steps.iter().find(waits).expect("the Deployment waits for its image");
    assert!(deployment.resource.id().as_str().contains("Deployment"), "{}", deployment.resource.id());
    assert_eq!(deployment.one_of, ids.iter().map(|id| step(id).id).collect::<Vec<_>>());
    assert!(deployment.lacks_all(|_| true) && !deployment.lacks_all(|id| id == step(&ids[0]).id));

    // Where one has it already, the others are waited for and hold nothing up.
    observed.insert(ids[1].clone(), right(&desire, &ids[1]));
    let plan = planned("kubernetes", &desire, &observed).unwrap();
    let deployment = plan.steps.iter().find(waits).unwrap();
    assert!(deployment.one_of.len() == ids.len() - 1 && !deployment.lacks_all(|_| true));
}

fn right(desire: &Desire, id: &ResourceId) -> State {
    desire.resources.iter().find(|resource| resource.id() == *id).unwrap().desired.wanted()
}
