use super::*;
use crate::failure::Failure as _;
use crate::site::Site;

fn parse(body: &str) -> Result<Nodes, crate::document::DocumentError> {
    let text = format!("apiVersion: ferry/v1\nkind: Site\nname: dc1\nnodes:\n{body}");
    Site::parse(&text).map(|site| site.nodes)
}

#[test]
fn what_is_not_said_is_left_alone() {
    assert_eq!(Nodes::default().configure, None);
    let nodes = parse("  hosts: [{name: n1}]\n").unwrap();
    assert_eq!((nodes.hosts.len(), nodes.via, nodes.configure), (1, Via::Ssh, None));
    let configure = parse("  configure: true\n").unwrap().configure.unwrap();
    assert_eq!((configure.canary, configure.wave, configure.max_failures), (1, 10, 0));
    assert_eq!((configure.resolver, configure.host_trust), (Resolver::HostsFile, false));
    let nodes = parse("  via: daemonSet\n  daemonSet: {image: busybox}\n").unwrap();
    assert_eq!(nodes.from_cluster, Some(FromCluster::default()));
    let pods = nodes.daemon_set.unwrap();
    assert_eq!((pods.namespace.as_str(), pods.on_nodes, pods.keep), ("ferry-system", false, false));
}

#[test]
fn every_word_is_understood() {
    let nodes = parse(
        "  inventory: hosts.ini\n  groups: [k8s_nodes]\n  fromCluster: {selector: disk=ssd, roles: [worker]}\n  \
         fromMesos: http://leader.mesos:5050\n  ssh: {sudo: true, sudoPassword: {env: PW}}\n  configure: true\n  \
         names: {registry.corp: [10.0.0.5, 'fd00::5']}\n  resolver: dns\n  ingress: 10.96.0.9\n  mirrors: [docker.io]\n  \
         registries:\n    - {address: 'a:5000', plainHttp: true}\n    - {address: 'b:5000', unverified: true}\n    \
         - {address: 'c:5000', authority: ca.pem, prefix: /mirror/, mirrors: [k8s.gcr.io]}\n    - {address: d.corp}\n  \
         hostTrust: true\n  probe: busybox:1\n  dcos: false\n  \
         settings: out\n  virtual: {dns: {nameservers: [10.0.0.2], options: [{name: ndots, value: '2'}]}, names: [kci]}\n  \
         canary: 2\n  wave: 20\n  maxFailures: 3\n  timeLimit: 60\n",
    )
    .unwrap();
    assert!(nodes.are_found_elsewhere());
    let configure = nodes.configure.unwrap();
    let trust: Vec<&Trust> = configure.registries.iter().map(|registry| &registry.trust).collect();
    let authority = Trust::Authority("ca.pem".into());
    assert_eq!(trust, [&Trust::PlainHttp, &Trust::Unverified, &authority, &Trust::System]);
    assert_eq!(configure.registries[2].prefix, "mirror");
    assert_eq!(configure.names.values().next().unwrap().len(), 2);
    assert_eq!((configure.resolver, configure.max_failures), (Resolver::Dns, 3));
    let virtual_nodes = configure.virtual_nodes.unwrap();
    assert_eq!(virtual_nodes.selector["type"], "virtual-kubelet");
    assert_eq!(
        (virtual_nodes.names.as_slice(), virtual_nodes.unverified),
        (["kci".to_owned()].as_slice(), false)
    );
    assert!(!configure.dcos);
    let from_mesos = parse("  fromMesos: http://leader.mesos:5050\n  configure: true\n").unwrap();
    assert!(from_mesos.configure.unwrap().dcos);
}

#[test]
fn slips_are_named() {
    for (body, expected) in [
        ("  mirrors: [docker.io]\n", "`mirrors` says what nodes shall be like, and needs `configure: true`"),
        ("  canary: 1\n", "`canary`"),
        ("  virtual: {}\n", "`virtual` says what nodes"),
        ("  configure: true\n  virtual: {dns: {nameservers: [dns.corp]}}\n", "IP address"),
        ("  groups: [a]\n", "inventory"),
        ("  configure: true\n  wave: 0\n", "would never end"),
        ("  via: local\n  hosts: [{name: a}, {name: b}]\n", "this machine"),
        ("  via: local\n  inventory: x\n", "this machine"),
        ("  via: daemonSet\n", "needs `daemonSet: {image: NAME}`"),
        ("  daemonSet: {image: busybox}\n", "`via: daemonSet` beside it"),
        ("  via: daemonSet\n  daemonSet: {}\n", "image"),
        ("  via: daemonSet\n  daemonSet: {image: 'a b'}\n", "no name of an image"),
        ("  via: daemonSet\n  daemonSet: {image: busybox, namespace: Ops_1}\n", "no name of a namespace"),
        ("  via: daemonSet\n  daemonSet: {image: busybox}\n  hosts: [{name: a}]\n", "the cluster lists"),
        ("  ssh: {sudoPassword: {env: PW}}\n", "`sudo: true`"),
        ("  ssh: {sudo: true, sudoPassword: hunter2}\n", "`{env: NAME}`"),
        ("  fromMesos: 'http://me:hunter2@m:5050'\n", "credentials"),
        (
            "  configure: true\n  registries: [{address: 'a:1', plainHttp: true, unverified: true}]\n",
            "exclude",
        ),
        ("  configure: true\n  names: {registry.corp: [registry]}\n", "IP address"),
        ("  configure: true\n  resolver: none\n", "hosts-file"),
        ("  configure: true\n  miror: [docker.io]\n", "miror"),
    ] {
        let error = parse(body).unwrap_err();
        let shown = format!("{error} {:?}", error.hints());
        assert!(shown.contains(expected), "{body}: {shown}");
        assert!(!shown.contains("hunter2"), "{body}: {shown}");
    }
    let error = parse("  configure: true\n  miror: [docker.io]\n").unwrap_err();
    assert_eq!(error.hints(), ["did you mean `mirrors`?"]);
}
