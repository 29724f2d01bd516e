use super::*;

use ferry_model::Digest;
use ferry_model::catalog::Manifest;
use ferry_model::site::Site;

use crate::desire::registry::tests::{catalog, desire_with};

fn site(text: &str) -> SiteFile {
    let text = format!("apiVersion: ferry/v1\nkind: Site\nname: dc1\n{text}");
    let site = Site::parse(&text).unwrap();
    SiteFile { path: "/site/site.yaml".into(), site, digest: Site::digest(&text) }
}

#[test]
fn waves_follow_the_canaries() {
    let configure =
        |text: &str| site(&format!("nodes: {{configure: true{text}}}\n")).site.nodes.configure.unwrap();
    let waves = |text: &str| (0..6).map(|index| wave(&configure(text), index)).collect::<Vec<_>>();
    assert_eq!(waves(", canary: 1, wave: 2"), [0, 1, 1, 2, 2, 3]);
    assert_eq!(waves(", canary: 0, wave: 3"), [1, 1, 1, 2, 2, 2]);
    assert_eq!(waves(", canary: 9"), [0; 6]);
}

#[test]
fn what_a_node_says_of_itself_counts_before_what_is_said_of_all() {
    let site = site(
        "nodes: {ssh: {user: root, port: 22, identityFile: key, options: [ProxyJump=b], sudo: true, sudoPassword: {env: PW}}}\n",
    );
    let member = Member {
        user: Some("kube".into()),
        port: Some(2222),
        arguments: vec!["-J".into(), "jump".into()],
        ..Member::new("n1".parse().unwrap(), "10.0.0.1".parse().unwrap())
    };
    let Reach::Ssh { arguments, sudo } = reach(&site, &member, None) else { panic!("not ssh") };
    let expected = "-o ProxyJump=b -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 -l kube -p 2222 -i /site/key -J jump -- 10.0.0.1";
    assert_eq!(arguments.join(" "), expected);
    assert!(matches!(sudo, Sudo::WithPassword { .. }));
}

#[test]
fn bluekings_names_are_the_registrys_and_its_tokens() {
    let site = site("blueking: {domain: bkce7.example.com}\n");
    let names: Vec<String> = blueking_names(&site).iter().map(Host::to_string).collect();
    assert_eq!(names, ["docker.bkce7.example.com", "bkrepo.bkce7.example.com"]);
}

#[test]
fn an_image_without_a_tag_is_called_by_the_digest_that_is_pushed() {
    let (mut catalog, index) = (catalog(), Digest::of(b"index"));
    let image = &mut catalog.images[0];
    let single = image.manifests[0].clone();
    let other = Manifest {
        digest: Digest::of(b"other"),
        platform: Some("linux/arm64".parse().unwrap()),
        ..single.clone()
    };
    let whole = Manifest {
        digest: index,
        media_type: "application/vnd.oci.image.index.v1+json".into(),
        platform: None,
        blobs: Vec::new(),
        ..single.clone()
    };
    (image.digest, image.tag, image.manifests) = (index, None, vec![other, single.clone(), whole]);
    image.reference = format!("docker.io/library/registry@{index}").parse().unwrap();
    for (lists, pushed) in [("accepted", index), ("refused", single.digest)] {
        let desire = desire_with(
            &catalog,
            &format!(
                "registry: {{address: r.corp, existing: {{product: registry, manifestLists: {lists}}}}}\n\
                 cluster:\n  patches:\n  - {{configMap: a/b, set: {{IMAGE: {{image: 'registry@{index}'}}}}}}\n\
                 nodes: {{configure: true, via: daemonSet, daemonSet: {{image: 'registry@{index}', keep: true}}, fromCluster: {{}}}}\n"
            ),
        )
        .unwrap();
        let name = format!("r.corp/library/registry@{pushed}");
        let step = ResourceId::new("image", &name);
        assert!(desire.resources.iter().any(|resource| resource.id() == step), "{lists}");
        let those = |is_meant: &dyn Fn(&Resource) -> bool| {
            let meant = desire.resources.iter().filter(|resource| is_meant(resource));
            meant.map(|resource| resource.id().to_string()).collect::<Vec<_>>()
        };
        let named =
            those(&|resource| serde_json::to_string(&resource.desired).unwrap().contains(name.as_str()));
        assert_eq!(named, ["patch ConfigMap a/b", "object DaemonSet ferry-system/ferry-nodes"], "{lists}");
        assert_eq!(
            those(&|resource| resource.needs.contains(&step)),
            ["patch ConfigMap a/b", "object Namespace ferry-system"],
            "{lists}"
        );
    }
}
