use super::*;

use ferry_model::site::Site;

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
