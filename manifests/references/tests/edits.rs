//! What an edit makes of each way to name an image: the name is another, and everything else is as it was.

use ferry_references::{Format, Found, Left, Target, edit, find};

/// Every repository under one registry, as a site has them; what stands there already stays.
fn site(found: &Found) -> Option<Target> {
    let named = &found.named;
    if named.repository == "unknown" {
        return None;
    }
    let prefix = match (&named.registry, named.repository.contains('/')) {
        (None, false) => "library/",
        _ => "",
    };
    let is_there = named.registry.as_deref() == Some("site:5000");
    Some(Target {
        registry: "site:5000".to_owned(),
        repository: if is_there { named.repository.clone() } else { format!("{prefix}{}", named.repository) },
        tag: (named.repository == "retagged").then(|| "new".to_owned()),
        digest: None,
    })
}

fn check(format: Format, table: &[(&str, &str)]) {
    for (before, after) in table {
        for feed in ["\n", "\r\n"] {
            let (before, after) = (before.replace('\n', feed), after.replace('\n', feed));
            let edited = edit(&before, &find(&before, format), &site);
            assert_eq!(edited.text, after);
            let again = edit(&after, &find(&after, format), &site);
            assert_eq!(again.text, after, "twice is once");
        }
    }
}

#[test]
fn yaml() {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    check(
        Format::Yaml,
        &[
            ("image:   'redis'   # why\n", "image:   'site:5000/library/redis'   # why\n"),
            ("image: &a quay.io/x/y:1\nimage2: *a\n", "image: &a site:5000/x/y:1\nimage2: *a\n"),
            ("{\"image\":\"quay.io\\/x\\/y:1\"}", "{\"image\":\"site:5000\\/x/y:1\"}"),
            (&format!("image: x/y:1@{digest}\n"), &format!("image: site:5000/x/y:1@{digest}\n")),
            (
                "image:\n  tag: \"1\" # t\n  repository: x/y\n\n  registry: docker.io\n",
                "image:\n  tag: \"1\" # t\n  repository: x/y\n\n  registry: site:5000\n",
            ),
            ("image: {repository: x/y, tag: 1.10}\n", "image: {repository: site:5000/x/y, tag: 1.10}\n"),
            (
                "image:\n  registry: \"\"\n  repository: x/y\n",
                "image:\n  registry: \"site:5000\"\n  repository: x/y\n",
            ),
            ("image: retagged:old\n", "image: site:5000/library/retagged:new\n"),
            (
                &format!("image: retagged@{digest}\n"),
                &format!("image: site:5000/library/retagged:new@{digest}\n"),
            ),
            ("args: [--a-image=x/y:1, '--b']\n", "args: [--a-image=site:5000/x/y:1, '--b']\n"),
            (
                "kind: ConfigMap\napiVersion: v1\ndata:\n  a: |\n    # image: no/no:1\n    image: x/y:1\n    n = 1\n",
                "kind: ConfigMap\napiVersion: v1\ndata:\n  a: |\n    # image: no/no:1\n    image: site:5000/x/y:1\n    n = 1\n",
            ),
            ("image: unknown\n", "image: unknown\n"),
        ],
    );
}

#[test]
fn a_config_map_in_json_keeps_its_escapes() {
    let before =
        r#"{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"x: \"\u00e9\"\nimage: quay.io/x/y:1\n"}}"#;
    let edited = edit(before, &find(before, Format::Yaml), &site);
    assert_eq!(edited.text, before.replace("quay.io", "site:5000"));
}

#[test]
fn other_formats() {
    check(
        Format::Kustomization,
        &[
            (
                "images:\n- name: redis # r\n  newTag: 7\n",
                "images:\n- name: redis\n  newName: site:5000/library/redis # r\n  newTag: 7\n",
            ),
            (
                "images:\n  - newName: x/y\n    name: 'a'\n",
                "images:\n  - newName: site:5000/x/y\n    name: 'a'\n",
            ),
            (
                "images: [{name: \"x/y\", newTag: v1}]\n",
                "images: [{name: \"x/y\", newName: site:5000/x/y, newTag: v1}]\n",
            ),
        ],
    );
    check(
        Format::Compose,
        &[(
            "services:\n  a:\n    image: ${REG:-docker.io}/x/y:${TAG:-1}\n  b: {image: redis}\n",
            "services:\n  a:\n    image: ${REG:-site:5000}/x/y:${TAG:-1}\n  b: {image: site:5000/library/redis}\n",
        )],
    );
    check(
        Format::Dockerfile,
        &[(
            "ARG REG=docker.io\nARG V=3.9\nFROM ${REG}/x/y:1 AS a # no\nFROM python:${V}-slim\nCOPY --from=a / /\n",
            "ARG REG=site:5000\nARG V=3.9\nFROM ${REG}/x/y:1 AS a # no\nFROM site:5000/library/python:${V}-slim\nCOPY --from=a / /\n",
        )],
    );
    check(Format::Environment, &[("A_IMAGE=\"x/y:1\" # a\n", "A_IMAGE=\"site:5000/x/y:1\" # a\n")]);
    check(Format::List, &[("# all\nredis:7  # one\n", "# all\nsite:5000/library/redis:7  # one\n")]);
    check(
        Format::Template,
        &[(
            "{{- if .a }}\nimage: busybox\n{{- end }}\nwebImage: {{ .b | default \"x/y:1\" }}\n",
            "{{- if .a }}\nimage: site:5000/library/busybox\n{{- end }}\nwebImage: {{ .b | default \"site:5000/x/y:1\" }}\n",
        )],
    );
}

#[test]
fn what_stays_says_why() {
    for (format, text, why) in [
        (Format::Yaml, "image: unknown\n", Left::Unknown),
        (Format::Template, "image: {{ .Values.r }}/x/y:1\n", Left::Template),
        (Format::Dockerfile, "ARG A=hub\nFROM ${A}.io/x/y:1\n", Left::Template),
        (Format::Dockerfile, "ARG B=x\nFROM ${B}/y:1\nFROM ${B}/z:1\n", Left::Template),
    ] {
        let edited = edit(text, &find(text, format), &site);
        assert_eq!(edited.text, text);
        assert!(
            !edited.left.is_empty() && edited.left.iter().all(|(_, left)| *left == why),
            "{text} {:?}",
            edited.left
        );
        assert!(!why.to_string().is_empty());
    }
    // Two stages of one argument that become different things.
    let text = "ARG R=a.io\nFROM ${R}/x:1\nFROM ${R}/y:1\n";
    let found = find(text, Format::Dockerfile);
    let edited = edit(text, &found, &|found| {
        let repository = found.named.repository.clone();
        Some(Target { registry: format!("{repository}.site"), repository, ..Target::default() })
    });
    assert_eq!(edited.text, text.replace("a.io", "x.site"));
    assert_eq!(edited.left.iter().map(|(_, left)| *left).collect::<Vec<_>>(), [Left::Shared]);
}
