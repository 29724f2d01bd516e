//! What holds for any text, and for any reference planted in one.

use std::collections::BTreeMap;

use ferry_references::{Format, Found, Named, Target, edit, find, survey};
use proptest::prelude::*;

const FORMATS: [Format; 7] = [
    Format::Yaml,
    Format::Template,
    Format::Kustomization,
    Format::Compose,
    Format::Dockerfile,
    Format::Environment,
    Format::List,
];

/// Pieces that texts of all formats are made of, well or badly put together.
const PIECES: [&str; 58] = [
    "image",
    "repository",
    "registry",
    "tag",
    "name",
    "value",
    "newName",
    "newTag",
    "images",
    "args",
    "env",
    "data",
    "kind: ConfigMap",
    "apiVersion: v1",
    "annotations",
    ": ",
    ":",
    "- ",
    "-",
    "? ",
    "\n",
    "\r\n",
    "\n  ",
    "\n    ",
    "  ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "'",
    "|",
    ">-",
    "|2",
    "&a ",
    "*a",
    "!t ",
    "# ",
    "{{ ",
    " }}",
    "{{- if .a }}",
    "{{ .r }}",
    "${A:-",
    "${A}",
    "$",
    "\\",
    "\\n",
    "\\u00",
    "---\n",
    "FROM ",
    "COPY --from=",
    "\u{feff}",
    "é",
    "<<EOF",
    "hub.example.com/a/b:v1",
    "redis",
];

fn noise() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60).prop_map(|pieces| pieces.concat())
}

fn check_spans(text: &str, found: &[Found]) {
    let mut last = 0;
    for found in found {
        assert!(found.spans.first() >= last, "in order: {found:?}");
        last = found.spans.first();
        let spans = &found.spans;
        let parts =
            [&spans.whole, &spans.registry, &Some(spans.repository.clone()), &spans.tag, &spans.digest];
        for span in parts.into_iter().flatten() {
            assert!(text.get(span.clone()).is_some(), "{found:?}");
        }
        assert!(found.place.line > 0 && found.place.column > 0);
    }
}

/// Calls everything what a site would.
fn site(found: &Found) -> Option<Target> {
    let Named { registry, repository, .. } = &found.named;
    (registry.as_deref() != Some("site.example.com:5000")).then(|| Target {
        registry: "site.example.com:5000".to_owned(),
        repository: format!("mirror/{}", repository.rsplit('/').next().expect("there is a last part")),
        ..Target::default()
    })
}

/// The text without what an edit may touch.
fn outside(text: &str, found: &[Found]) -> String {
    let mut out = String::new();
    let mut at = 0;
    let mut spans: Vec<_> = found
        .iter()
        .flat_map(|found| {
            [found.spans.registry.clone(), Some(found.spans.repository.clone()), found.spans.tag.clone()]
        })
        .flatten()
        .collect();
    spans.sort_by_key(|span| (span.start, span.end));
    for span in spans {
        out.push_str(&text[at.min(span.start)..span.start]);
        at = at.max(span.end);
    }
    out.push_str(&text[at..]);
    out
}

/// A way to name an image in a map, and the name that stands there then.
fn plant(way: usize, name: &Named) -> (Vec<String>, Named) {
    let registry = name.registry.clone().expect("it has one");
    let tag = name.tag.clone().expect("it has one");
    let lines: Vec<String> = match way {
        0 => vec![format!("image: {name}")],
        1 => vec![format!("sidecarImage: \"{name}\" # image: no/no:1")],
        2 => vec![
            "image:".into(),
            format!("  tag: '{tag}'"),
            format!("  repository: {}", name.repository),
            format!("  registry: {registry}"),
        ],
        3 => vec![format!("image: {{repository: {registry}/{}, tag: \"{tag}\"}}", name.repository)],
        4 => vec!["env:".into(), "- name: ANY".into(), format!("  value: {name}")],
        5 => vec!["args: [--v=1,".into(), format!("  \"--x-image={name}\", '--y=a:b']")],
        6 => vec![
            "command:".into(),
            "- sh".into(),
            "- -c".into(),
            "- |".into(),
            format!("  pull {name} && true"),
        ],
        7 => vec!["images:".into(), format!("- {name}")],
        8 => vec![
            "images:".into(),
            "- name: any/thing".into(),
            format!("  newName: {registry}/{}", name.repository),
            format!("  newTag: \"{tag}\""),
        ],
        9 => vec![
            "annotations:".into(),
            "  artifacthub.io/images: |".into(),
            "    - name: x".into(),
            format!("      image: {name}"),
        ],
        10 => vec![format!("image: &any {name}"), "imageAgain: *any".into()],
        11 => vec![format!("any: {name}")],
        12 => vec![
            "object:".into(),
            "  apiVersion: v1".into(),
            "  kind: ConfigMap".into(),
            "  data:".into(),
            "    any.yaml: |".into(),
            "      a:".into(),
            format!("        image: {name}"),
            "    any.env: |".into(),
            "      A=b".into(),
        ],
        _ => vec![format!("image: ${{ANY:-{name}}}")],
    };
    (lines, name.clone())
}

/// Lines of a map that names nothing, with the planted lines somewhere in it.
fn document(noise: &BTreeMap<String, String>, nesting: &[bool], planted: &[String], at: usize) -> String {
    let mut lines: Vec<String> = planted.to_vec();
    for (depth, &in_list) in nesting.iter().enumerate() {
        let (first, rest) = if in_list { ("- ", "  ") } else { ("  ", "  ") };
        let put =
            |(number, line): (usize, &String)| format!("{}{line}", if number == 0 { first } else { rest });
        let mut outer: Vec<String> = vec![format!("level{depth}:")];
        outer.extend(lines.iter().enumerate().map(put));
        for (number, (key, value)) in noise.iter().enumerate() {
            let line = format!("{key}{depth}: {value}");
            if number < at % (noise.len() + 1) { outer.insert(0, line) } else { outer.push(line) }
        }
        lines = outer;
    }
    lines.join("\n") + "\n"
}

fn names() -> impl Strategy<Value = Named> {
    (
        "[a-z]{2,6}\\.example\\.com(:[0-9]{2,4})?",
        "[a-z][a-z0-9]{0,5}(/[a-z][a-z0-9]{0,5}){0,2}",
        "v?[0-9]\\.[0-9]{1,2}(-rc[0-9])?",
    )
        .prop_map(|(registry, repository, tag)| Named {
            registry: Some(registry),
            repository,
            tag: Some(tag),
            digest: None,
        })
}

fn values() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = prop::sample::select(vec![
        "1",
        "true",
        "redis",
        "https://a.example.com/b:1",
        "host.example.com:8080",
        "/etc/a.conf",
        "apps/v1",
        "12:30:00",
        "\"quoted: {\"",
        "'it''s'",
        "|\n  text\n  more",
        "[a, b, {c: d}]",
        "{}",
        "",
        "application/json",
        "a/b:c # d:e/f:1",
        ">-\n  folded",
        "fe80::1",
        "kubernetes.io/arch",
    ]);
    prop::collection::btree_map("[a-h]{2,4}", value.prop_map(str::to_owned), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_taken(text in noise(), any in "\\PC{0,60}") {
        for text in [&text, &any] {
            for format in FORMATS {
                let found = find(text, format);
                check_spans(text, &found);
                survey(text, format);
                let _ = ferry_references::format_of(text, text);
            }
        }
    }

    /// No other byte changes, and what was edited needs no more.
    #[test]
    fn only_references_change(text in noise()) {
        for format in FORMATS {
            let found = find(&text, format);
            let nothing = edit(&text, &found, &|found| Some(Target { repository: found.named.repository.clone(), ..Target::default() }));
            prop_assert_eq!(&nothing.text, &text);
            let edited = edit(&text, &found, &site);
            let expected = outside(&text, &found);
            let mut rest = edited.text.as_str();
            // What is outside stands there still, in the same order.
            for character in expected.chars() {
                let at = rest.find(character);
                prop_assert!(at.is_some(), "{} became {}", text, edited.text);
                rest = &rest[at.unwrap() + character.len_utf8()..];
            }
        }
    }

    #[test]
    fn what_is_planted_is_found(
        name in names(),
        way in 0_usize..14,
        noise in values(),
        nesting in prop::collection::vec(any::<bool>(), 1..5),
        at in any::<usize>(),
        returns in any::<bool>(),
    ) {
        let (lines, expected) = plant(way, &name);
        let mut text = document(&noise, &nesting, &lines, at);
        if returns {
            text = text.replace('\n', "\r\n");
        }
        for format in [Format::Yaml, Format::Template] {
            let found = find(&text, format);
            check_spans(&text, &found);
            let names: Vec<&Named> = found.iter().map(|found| &found.named).collect();
            prop_assert_eq!(&names, &[&expected], "{:?} {}", format, text);
            let edited = edit(&text, &found, &site);
            prop_assert_eq!(edited.edits.len(), 1, "{}", text);
            let again = find(&edited.text, format);
            prop_assert_eq!(again.len(), 1, "{}", edited.text);
            prop_assert_eq!(again[0].named.to_string(), edited.edits[0].after.clone());
            prop_assert_eq!(again[0].place.line, found[0].place.line);
            prop_assert_eq!(outside(&text, &found), outside(&edited.text, &again));
            prop_assert_eq!(edit(&edited.text, &again, &site).text, edited.text);
        }
    }
}
