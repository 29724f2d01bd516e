use super::*;

use ferry_model::site::Site;

use crate::desire::registry::tests::desire_of;

const DOMAIN: &str = "blueking: {domain: bkce7.example.com}\n";

fn site(text: &str) -> SiteFile {
    let text = format!("apiVersion: ferry/v1\nkind: Site\nname: dc1\n{text}");
    let site = Site::parse(&text).unwrap();
    SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(&text) }
}

fn names(sections: &str) -> BTreeMap<String, String> {
    let desire = desire_of(sections).unwrap();
    let names = desire.resources.into_iter().find_map(|resource| match resource.desired {
        Desired::ClusterNames(names) => Some(names.names),
        _ => None,
    });
    let shown =
        |addresses: Vec<IpAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    names.unwrap_or_default().into_iter().map(|(name, all)| (name.to_string(), shown(all))).collect()
}

#[test]
fn bluekings_names_lead_to_the_ingress_unless_they_are_said() {
    let found = names(&format!(
        "{DOMAIN}cluster: {{dns: {{names: {{docker.bkce7.example.com: [10.0.0.5]}}, ingress: 10.96.0.9}}}}\n"
    ));
    assert_eq!(found.len(), 12);
    assert_eq!(found["bkce7.example.com"], "10.96.0.9");
    assert_eq!(found["bkrepo.bkce7.example.com"], "10.96.0.9");
    assert_eq!(found["docker.bkce7.example.com"], "10.0.0.5");
    let all = names(&format!("{DOMAIN}cluster: {{dns: {{blueking: all, ingress: 10.96.0.9}}}}\n"));
    assert_eq!((all.len(), all["bscp-api.bkce7.example.com"].as_str()), (28, "10.96.0.9"));
    let none = format!(
        "{DOMAIN}cluster: {{dns: {{blueking: none, names: {{registry.corp: [10.0.0.5, 'fd00::5']}}}}}}\n"
    );
    assert_eq!(names(&none), BTreeMap::from([("registry.corp".into(), "10.0.0.5 fd00::5".into())]));
}

#[test]
fn an_address_that_nobody_knows_is_left_by_hand() {
    let sections = format!("{DOMAIN}cluster: {{dns: {{}}}}\n");
    assert!(needs_ingress(&site(&sections)) && !needs_ingress(&site(DOMAIN)));
    let desire = desire_of(&sections).unwrap();
    assert!(desire.by_hand.iter().any(|line| line.contains("12 names of BlueKing")), "{:?}", desire.by_hand);
    assert!(names(&sections).is_empty());
}

#[test]
fn images_are_called_as_at_the_site() {
    let patch = |image: &str| {
        format!(
            "registry: {{address: 'registry.corp:5000', plainHttp: true, existing: {{product: registry}}, prefix: mirror}}\ncluster:\n  patches:\n  - configMap: a/b\n    set: {{IMAGE: {{image: '{image}'}}}}\n"
        )
    };
    let desire = desire_of(&patch("registry:2")).unwrap();
    let (value, needs) = desire
        .resources
        .iter()
        .find_map(|resource| match &resource.desired {
            Desired::KeyPatch(patch) => Some((patch.set["IMAGE"].clone(), resource.needs.clone())),
            _ => None,
        })
        .unwrap();
    assert_eq!(value, NewValue::Text { text: "registry.corp:5000/mirror/library/registry:2".into() });
    assert_eq!(needs, [ResourceId::new("image", "registry.corp:5000/mirror/library/registry:2")]);
    let missing = desire_of(&patch("busybox:1")).unwrap_err();
    assert!(missing.to_string().contains("busybox"), "{missing}");
}

#[test]
fn what_cannot_be_is_refused() {
    for (sections, expected) in [
        ("cluster: {pullSecrets: [{name: a, namespaces: [b]}]}\n", "needs a login"),
        (
            "registry: {address: r.corp, existing: {}, login: {user: u, password: {env: P}}}\ncluster: {pullSecrets: [{name: A, namespaces: [b]}]}\n",
            "lower-case",
        ),
        (
            "cluster:\n  patches:\n  - configMap: a/b\n    set: {A: x}\n  - configMap: a/b\n    set: {B: x}\n",
            "twice",
        ),
        (
            "cluster:\n  patches:\n  - configMap: a/b\n    set: {A: {image: 'registry:2'}}\n",
            "without `registry`",
        ),
    ] {
        let error = desire_of(sections).unwrap_err();
        let said = format!("{error} {:?}", ferry_model::failure::Failure::hints(&error));
        assert!(said.contains(expected), "{sections}: {said}");
    }
}
