use super::*;

const INI: &str = "# comment
bastion ansible_host=203.0.113.9   # not a node
[masters]
m[1:2].corp ansible_user=admin

[workers] # the rest
w[01:03] ansible_host=10.0.0.5
w02 ansible_host='10.0.0.6' ansible_port=2222 ansible_become_password=hunter2
w03:2200 ansible_ssh_private_key_file=\"keys/w 03\"
10.0.0.7
[fd00::5]:22 
[k8s_nodes:children]
masters
workers
[workers:vars]
ansible_user=work
ansible_password=hunter2
[k8s_nodes:vars]
ansible_user = kube
ansible_ssh_common_args='-o ProxyCommand=\"ssh -W %h:%p jump\" -J b'
[all:vars]
ansible_port=22
";

const YAML: &str = "
all:
  vars: {ansible_user: everyone, ansible_password: hunter2}
  hosts: {lone: }
  children:
    k8s_nodes:
      vars: {ansible_port: 2022}
      children:
        masters: {hosts: {'m[1:2].corp': {ansible_user: admin}}}
        workers:
          hosts:
            w1: {ansible_host: 10.0.0.5}
            w2: {ansible_host: 10.0.0.6, ansible_port: 2222}
";

fn shown(file: &str, text: &str, groups: &[&str]) -> Vec<String> {
    let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
    let members = read(Path::new(file), text, &groups).unwrap();
    let line = |node: &Member| {
        let port = node.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{} = {}@{}{port}", node.name, node.user.as_deref().unwrap_or("-"), node.address)
    };
    members.iter().map(line).collect()
}

#[test]
fn ini_as_ansible_reads_it() {
    assert_eq!(
        shown("hosts", INI, &["k8s_nodes"]),
        [
            "m1.corp = admin@m1.corp:22",
            "m2.corp = admin@m2.corp:22",
            "w01 = work@10.0.0.5:22",
            "w02 = work@10.0.0.6:2222",
            "w03 = work@10.0.0.5:2200",
            "10.0.0.7 = work@10.0.0.7:22",
            "fd00::5 = work@fd00::5:22",
        ]
    );
    assert_eq!(shown("hosts", INI, &["masters"]).len(), 2);
    let all = shown("hosts", INI, &[]);
    assert_eq!((all.len(), all[0].as_str()), (8, "bastion = -@203.0.113.9:22"));
    assert_eq!(shown("hosts", INI, &["all"]), all);
    let members = read(Path::new("/inv/hosts"), INI, &["workers".to_owned()]).unwrap();
    assert_eq!(members[2].identity.as_deref(), Some(Path::new("/inv/keys/w 03")));
    assert_eq!(members[0].arguments, ["-o", "ProxyCommand=ssh -W %h:%p jump", "-J", "b"]);
}

#[test]
fn yaml_as_ansible_reads_it() {
    let nodes = [
        "m1.corp = admin@m1.corp:2022",
        "m2.corp = admin@m2.corp:2022",
        "w1 = everyone@10.0.0.5:2022",
        "w2 = everyone@10.0.0.6:2222",
    ];
    assert_eq!(shown("hosts.yml", YAML, &["k8s_nodes"]), nodes);
    let all = shown("hosts.yaml", YAML, &[]);
    assert_eq!(all.len(), 5);
    assert!(all.contains(&"lone = everyone@lone".to_owned()), "{all:?}");
}

#[test]
fn slips_are_named_and_passwords_are_not() {
    for (file, text, expected) in [
        ("hosts", "[a]\nn1 ansible_password=hunter2 hunter2\n", "line 2: behind n1: expected `name=value`"),
        ("hosts", "[a]\nn1 x='hunter2\n", "line 2: a quote has no end"),
        ("hosts", "[a:hosts]\n", "`:hosts` is no kind of section"),
        ("hosts", "[a]\nn[1:x]\n", "no range"),
        ("hosts", "[a]\nn[1:999999999]\n", "no range"),
        ("hosts", "[a]\nn[1:999]x[1:999]\n", "more than 10000"),
        ("hosts", "[a]\nn1 ansible_host='{{ ip }}'\n", "ansible_host of n1 is a template"),
        ("hosts", "[a]\nn1 ansible_port=ssh\n", "ansible_port of n1"),
        ("hosts", "[a]\n", "no hosts"),
        ("hosts", "[b]\nn1\n", "it has no group `a`; it has: all, b"),
        ("hosts.yml", "a:\n  hosts: [n1, n2]\n", "expected names with a colon"),
        ("hosts.yml", "a:\n  host: {n1: }\n", "expected `hosts`"),
        ("hosts.yml", "a: {vars: {p: 'hunter2}\n", "not YAML"),
    ] {
        let failed = read(Path::new(file), text, &["a".to_owned()]).unwrap_err();
        assert!(failed.message.contains(expected), "{text}: {failed}");
        assert!(!format!("{failed:?}").contains("hunter2"), "{text}: {failed:?}");
    }
}

#[test]
fn groups_in_a_circle_end() {
    let text = "[a:children]\nb\n[b:children]\na\n[a]\nn1\n[b]\nn2\n";
    assert_eq!(shown("hosts", text, &["a"]), ["n1 = -@n1", "n2 = -@n2"]);
}

#[test]
fn ranges() {
    for (pattern, expected) in [
        ("n[8:11]", "n8 n9 n10 n11"),
        ("n[08:11]", "n08 n09 n10 n11"),
        ("n[1:9:4]", "n1 n5 n9"),
        ("n[:2]", "n0 n1 n2"),
        ("[a:c].[1:2]", "a.1 a.2 b.1 b.2 c.1 c.2"),
        ("plain", "plain"),
        ("[fd00::5]", "[fd00::5]"),
    ] {
        assert_eq!(range::expand(pattern).unwrap().join(" "), expected);
    }
}
