use proptest::prelude::*;

use super::*;

/// As kubeadm 1.20 writes it.
const KUBEADM: &str = ".:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
";

/// As k3s writes it.
const K3S: &str = ".:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    hosts /etc/coredns/NodeHosts {
      ttl 60
      reload 15s
      fallthrough
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
    import /etc/coredns/custom/*.override
}
import /etc/coredns/custom/*.server
";

/// As RKE2's chart writes it.
const RKE2: &str = ".:53 {
    errors
    health  {
        lameduck 5s
    }
    ready
    kubernetes   cluster.local  cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus   0.0.0.0:9153
    forward   . /etc/resolv.conf
    cache   30
    loop
    reload
    loadbalance
}";

/// After BlueKing's control_coredns.sh.
const BLUEKING: &str = ".:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
    }
    prometheus :9153
    hosts {
        10.96.7.7 bkrepo.bkce7.example.com
        10.96.7.7 docker.bkce7.example.com
        fallthrough
    }
    forward . /etc/resolv.conf
    cache 30
    reload
}
";

/// A server block of its own for `corp`, a snippet, comments that look like more.
const SEVERAL: &str = "# hosts { is no block here
(common) {
    errors
    reload 10s # not 30
}
corp:53 corp.example. {
\timport common
\tforward . 10.0.0.2 # the old one }
}
tls://.:853 {
    import common
    hosts {
        9.9.9.9 registry.corp
    }
}
. {
    import common
    kubernetes cluster.local
    forward . \"/etc/resolv.conf\"
}
";

/// Without braces there is one server block.
const PLAIN: &str = ".:53\nkubernetes cluster.local\nforward . 10.0.0.2\nreload";

fn entry(name: &str, addresses: &[&str]) -> Entry {
    (name.parse().unwrap(), addresses.iter().map(|address| address.parse().unwrap()).collect())
}

fn registry() -> Vec<Entry> {
    vec![entry("registry.corp", &["10.0.0.5", "fd00::5"])]
}

fn with(text: &str, entries: &[Entry], others: Others) -> Edited {
    Corefile::read(text).unwrap().with_names(entries, others).unwrap()
}

fn without(text: &str) -> String {
    Corefile::read(text).unwrap().without_names().unwrap()
}

/// The lines that the second text has and the first has not, with the line before them.
fn added<'a>(before: &str, after: &'a str) -> (Option<&'a str>, Vec<&'a str>) {
    let start = before.lines().zip(after.lines()).take_while(|(one, other)| one == other).count();
    let end = before.lines().rev().zip(after.lines().rev()).take_while(|(one, other)| one == other).count();
    let lines: Vec<&str> = after.lines().collect();
    let end = lines.len() - end.min(before.lines().count() - start);
    let context = start.checked_sub(1).map(|line| lines[line]);
    (context, lines[start..end].to_vec())
}

#[test]
fn names_go_where_the_cluster_is_answered() {
    let new = |indent: &str| {
        let line = |text: &str| format!("{indent}{text}");
        vec![
            line("hosts {"),
            line("    # BEGIN ferry: this hosts block too"),
            line("    10.0.0.5 registry.corp"),
            line("    fd00::5 registry.corp"),
            line("    # END ferry"),
            line("    fallthrough"),
            line("}"),
        ]
    };
    let inside = |indent: &str| {
        let lines = ["# BEGIN ferry", "10.0.0.5 registry.corp", "fd00::5 registry.corp", "# END ferry"];
        lines.iter().map(|line| format!("{indent}{line}")).collect::<Vec<_>>()
    };
    for (case, text, after, expected) in [
        ("kubeadm", KUBEADM, "    prometheus :9153", new("    ")),
        ("k3s", K3S, "    hosts /etc/coredns/NodeHosts {", inside("      ")),
        ("rke2", RKE2, "    prometheus   0.0.0.0:9153", new("    ")),
        ("blueking", BLUEKING, "    hosts {", inside("        ")),
        ("several", SEVERAL, "\timport common", new("\t")),
        ("plain", PLAIN, "kubernetes cluster.local", new("")),
    ] {
        let edited = with(text, &registry(), Others::Keep);
        assert!(edited.conflicts.is_empty(), "{case}: {:?}", edited.conflicts);
        let (before, lines) = added(text, &edited.text);
        assert_eq!((before, lines), (Some(after), expected.iter().map(String::as_str).collect()), "{case}");
        assert_eq!(with(&edited.text, &registry(), Others::Keep).text, edited.text, "{case}: twice");
        assert_eq!(without(&edited.text), text, "{case}: taken out");
        assert_eq!(with(&edited.text, &[], Others::Keep).text, text, "{case}: asked for no more");
    }
}

#[test]
fn the_block_with_the_longest_zone_answers() {
    let entries = vec![
        entry("a.other", &["10.0.0.5"]),
        entry("b.corp", &["10.0.0.6"]),
        entry("notcorp", &["10.0.0.7"]),
    ];
    let edited = with(SEVERAL, &entries, Others::Keep).text;
    let place = |text: &str| edited.find(text).unwrap();
    assert!(place("b.corp") < place("tls://"), "{edited}");
    assert!(place("10.0.0.5 a.other\n") > place("kubernetes"), "{edited}");
    assert!(place("10.0.0.7 notcorp\n") > place("kubernetes"), "{edited}");
    assert_eq!(without(&edited), SEVERAL);
}

#[test]
fn hosts_with_a_file_and_without_braces_gets_some() {
    let text = ".:53 {\n  hosts /etc/hosts example.org corp # ours\n  reload\n}\n";
    let edited = with(text, &registry(), Others::Keep).text;
    assert_eq!(
        edited,
        ".:53 {\n  hosts /etc/hosts example.org corp {\n      # BEGIN ferry: these braces too\n      10.0.0.5 registry.corp\n      fd00::5 registry.corp\n      # END ferry\n  } # ours\n  reload\n}\n"
    );
    assert_eq!(without(&edited), text);
    let other = vec![entry("registry.dmz", &["10.0.0.5"])];
    let refused = Corefile::read(text).unwrap().with_names(&other, Others::Keep).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the `hosts` of the Corefile that would answer for registry.dmz answers only for example.org, corp"
    );
}

#[test]
fn what_others_say_is_told_or_replaced() {
    let entries = vec![
        entry("bkrepo.bkce7.example.com", &["10.96.7.8"]),
        entry("docker.bkce7.example.com", &["10.96.7.7"]),
        entry("new.bkce7.example.com", &["10.96.7.7"]),
    ];
    let kept = with(BLUEKING, &entries, Others::Keep);
    let conflict = Conflict {
        name: "bkrepo.bkce7.example.com".parse().unwrap(),
        addresses: vec!["10.96.7.7".parse().unwrap()],
    };
    assert_eq!(kept.conflicts, [conflict]);
    assert!(kept.text.contains("10.96.7.7 bkrepo") && !kept.text.contains("10.96.7.8"), "{}", kept.text);
    // What is right already is left to whom it belongs.
    assert_eq!(kept.text.matches("docker.bkce7").count(), 1);

    let replaced = with(BLUEKING, &entries, Others::Replace);
    assert!(replaced.conflicts.is_empty());
    assert!(
        !replaced.text.contains("10.96.7.7 bkrepo") && replaced.text.contains("10.96.7.8 bkrepo"),
        "{}",
        replaced.text
    );
    assert_eq!(with(&replaced.text, &entries, Others::Replace).text, replaced.text);
    // Somebody else's address is replaced by another one of ours without asking.
    let moved = vec![entry("bkrepo.bkce7.example.com", &["10.96.7.9"])];
    let moved = with(&replaced.text, &moved, Others::Keep);
    assert!(moved.conflicts.is_empty() && moved.text.contains("10.96.7.9 bkrepo"), "{}", moved.text);
}

#[test]
fn one_name_leaves_a_line_and_the_others_stay() {
    let text = ".:53 {\n    hosts {\n        10.0.0.1 a.corp  Registry.corp. b.corp # the old one\n        fallthrough\n    }\n}\n";
    let edited = with(text, &registry(), Others::Replace).text;
    assert!(edited.contains("        10.0.0.1 a.corp b.corp # the old one\n"), "{edited}");
    // A further address adds to what is there.
    let more = vec![entry("a.corp", &["10.0.0.1", "10.0.0.2"])];
    let edited = with(text, &more, Others::Keep);
    assert!(edited.conflicts.is_empty() && edited.text.contains("10.0.0.2 a.corp\n"), "{}", edited.text);
    assert!(edited.text.contains("10.0.0.1 a.corp  Registry.corp. b.corp #"), "{}", edited.text);
}

#[test]
fn what_others_add_to_our_block_stays() {
    let ours = with(KUBEADM, &registry(), Others::Keep).text;
    let theirs = ours.replace("    hosts {\n", "    hosts {\n        10.0.0.9 theirs.corp\n");
    let left = without(&theirs);
    assert!(
        left.contains("    hosts {\n        10.0.0.9 theirs.corp\n        fallthrough\n    }\n"),
        "{left}"
    );
    assert!(!left.contains("ferry") && !left.contains("registry.corp"), "{left}");
}

#[test]
fn a_snippet_with_hosts_is_the_place() {
    let text = "(names) {\n  hosts {\n    fallthrough\n  }\n}\n.:53 {\n  import names\n  kubernetes cluster.local\n}\n";
    let edited = with(text, &registry(), Others::Keep).text;
    assert_eq!(edited.matches("hosts").count(), 1, "{edited}");
    assert_eq!(without(&edited), text);
}

#[test]
fn whether_it_reloads_and_where_it_forwards() {
    for (text, reloads, to) in [
        (KUBEADM, true, vec!["/etc/resolv.conf"]),
        (SEVERAL, true, vec!["/etc/resolv.conf"]),
        (".:53 {\n kubernetes cluster.local\n}\n", false, vec![]),
        (
            "cluster.local:53 {\n forward . 10.96.0.10\n}\n.:53 {\n forward . __PILLAR__UPSTREAM__SERVERS__ {\n  force_tcp\n }\n}\n",
            false,
            vec!["__PILLAR__UPSTREAM__SERVERS__"],
        ),
    ] {
        let corefile = Corefile::read(text).unwrap();
        assert_eq!(
            (corefile.reloads(), corefile.forwards_to().unwrap()),
            (reloads, to.into_iter().map(str::to_owned).collect())
        );
    }
}

#[test]
fn what_coredns_would_not_read_is_refused() {
    for (text, problem) in [
        (".:53 {\n errors\n", "line 2 of the Corefile: a server block does not end"),
        (".:53 {\n hosts {\n}\n", "a server block does not end"),
        ("}\n", "`}` without `{`"),
        (".:53 {\n forward . \"x\n}\n", "line 2 of the Corefile: a quote does not end"),
        (".:53,\n", "the name of a server block is missing"),
        (".:53 {\n errors }\n", "`}` must stand on a line of its own"),
        ("corp:53 {\n errors\n}\n", "no server block"),
        (".:53 {\n hosts {\n # BEGIN ferry\n }\n}\n", "first or last comment"),
        (".:53 {\n hosts {\n # END ferry\n }\n}\n", "first or last comment"),
    ] {
        let said = Corefile::read(text).and_then(|corefile| corefile.with_names(&registry(), Others::Keep));
        let said = said.unwrap_err().to_string();
        assert!(said.contains(problem), "{text}: {said}");
    }
}

#[test]
fn lines_end_as_they_did() {
    let text = KUBEADM.replace('\n', "\r\n");
    let edited = with(&text, &registry(), Others::Keep).text;
    assert!(edited.lines().count() > text.lines().count() && !edited.replace("\r\n", "").contains('\n'));
    assert_eq!(without(&edited), text);
}

fn statement() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "errors",
        "ready",
        "cache 30",
        "prometheus :9153",
        "forward . /etc/resolv.conf",
        "# a comment { \"",
        "",
        "loop",
        "template IN A {\n        match \"^a { b$\"\n        answer \"{{ .Name }} 60 IN A 10.0.0.1\"\n    }",
        "reload 5s",
    ]);
    plain.prop_map(str::to_owned)
}

fn hosts() -> impl Strategy<Value = Option<String>> {
    let line = prop::sample::select(vec![
        "10.1.1.1 x.corp",
        "# note",
        "ttl 60",
        "::1 y.corp z.corp",
        "",
        "no_reverse",
    ]);
    let block = (prop::sample::select(vec!["hosts", "hosts /etc/x"]), prop::collection::vec(line, 0..4));
    prop::option::of(block.prop_map(|(head, lines)| {
        let lines: String = lines.iter().map(|line| format!("        {line}\n")).collect();
        format!("{head} {{\n{lines}        fallthrough\n    }}")
    }))
}

fn body() -> impl Strategy<Value = String> {
    let body = (prop::collection::vec(statement(), 0..5), hosts(), prop::collection::vec(statement(), 0..5));
    body.prop_map(|(before, hosts, after)| {
        let all = before.into_iter().chain(hosts).chain(after);
        all.map(|statement| format!("    {statement}\n")).collect::<String>()
    })
}

fn corefile() -> impl Strategy<Value = String> {
    let blocks = (body(), prop::option::of(body()), any::<bool>());
    blocks.prop_map(|(root, other, ends)| {
        let other = other.map(|body| format!("corp:53 {{\n{body}}}\n")).unwrap_or_default();
        let text = format!("{other}.:53 {{\n{root}}}\n");
        if ends { text } else { text.trim_end().to_owned() }
    })
}

proptest! {
    #[test]
    fn names_are_put_in_once_and_taken_out_again(text in corefile(), count in 0_usize..4) {
        let names = ["registry.corp", "bkrepo.example.com", "a.b.corp", "x"];
        let entries: Vec<Entry> = names[..count].iter().map(|name| entry(name, &["10.0.0.5", "fd00::5"])).collect();
        let edited = with(&text, &entries, Others::Keep);
        prop_assert!(edited.conflicts.is_empty());
        prop_assert_eq!(&with(&edited.text, &entries, Others::Keep).text, &edited.text);
        prop_assert_eq!(without(&edited.text), text);
        for (name, _) in &entries {
            let line = format!("10.0.0.5 {name}\n");
            prop_assert!(edited.text.contains(&line));
        }
    }

    #[test]
    fn nothing_that_others_wrote_is_lost(text in corefile()) {
        let edited = with(&text, &registry(), Others::Keep).text;
        let mut lines = edited.lines();
        for line in text.lines() {
            prop_assert!(lines.any(|other| other == line), "{line} is gone from\n{edited}");
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[.{}#\" a-c\n\\\\:53]{0,60}") {
        if let Ok(corefile) = Corefile::read(&text) {
            let _ = corefile.with_names(&registry(), Others::Replace);
            let _ = corefile.without_names();
        }
    }
}
