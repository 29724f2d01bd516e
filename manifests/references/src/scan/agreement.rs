//! The scanner against a real reader of YAML: the same scalars by the same paths, however they are written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::Value;

use crate::mapped::Mapped;
use crate::tree::{Kind, Style};

/// Something to be written, and how.
#[derive(Clone, Debug)]
enum Sample {
    Scalar { text: String, style: u8 },
    List { items: Vec<Sample>, style: u8 },
    Map { entries: BTreeMap<String, Sample>, style: u8 },
}

fn sample() -> impl Strategy<Value = Sample> {
    let text = prop_oneof![
        "[a-z]{1,6}",
        "[a-z]{1,4}\\.[a-z]{2}/[a-z]{1,4}:v[0-9]",
        "[a-z]{1,3} [a-z#:]{1,3} [a-z]",
        "x['\"\\\\#:{}\\[\\],&*!|> é日]{0,6}y",
        "[a-z]{1,4}\n[a-z]{1,4}",
    ];
    let leaf = (text, any::<u8>()).prop_map(|(text, style)| Sample::Scalar { text, style });
    leaf.prop_recursive(4, 40, 4, |inner| {
        let key = prop_oneof!["[a-z]{1,5}", "[a-z]{1,3}[./ -][a-z]{1,3}", "[a-z]:[a-z]"];
        prop_oneof![
            (prop::collection::vec(inner.clone(), 1..4), any::<u8>())
                .prop_map(|(items, style)| Sample::List { items, style }),
            (prop::collection::btree_map(key, inner, 1..4), any::<u8>())
                .prop_map(|(entries, style)| Sample::Map { entries, style }),
        ]
    })
}

/// Whether a text is the same without quotes.
fn is_plain(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '/' | '.' | '-');
    text.split(':').all(|part| !part.is_empty() && part.chars().all(is_word))
        && !text.contains(": ")
        && !text.ends_with(' ')
        && !matches!(text, "y" | "n" | "no" | "yes" | "on" | "off" | "true" | "false" | "null")
}

fn scalar(text: &str, style: u8, in_flow: bool) -> String {
    match style % 4 {
        0 if is_plain(text) && !(in_flow && text.contains(':')) => text.to_owned(),
        1 if !text.contains('\n') => format!("'{}'", text.replace('\'', "''")),
        2 => {
            let escaped =
                text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('/', "\\/");
            format!("\"{escaped}\"")
        }
        _ => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")),
    }
}

fn flow(sample: &Sample) -> String {
    match sample {
        Sample::Scalar { text, style } => scalar(text, *style, true),
        Sample::List { items, style } => {
            let comma = if style % 2 == 0 { ", " } else { ",\n          " };
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(comma))
        }
        Sample::Map { entries, style } => {
            let colon = if style % 2 == 0 { ": " } else { ":   " };
            let entry = |(key, value): (&String, &Sample)| format!("\"{key}\"{colon}{}", flow(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// What a node stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Colon,
    Dash,
    /// A dash, on the same line.
    DashItself,
}

/// Writes what stands behind a dash or a colon, and the line's end.
fn block(out: &mut String, sample: &Sample, indent: usize, behind: Behind) {
    let dashed = behind == Behind::DashItself;
    match sample {
        Sample::Scalar { text, style } if style % 8 == 5 && !text.contains(' ') => {
            let chomp = ["|", "|-", "|+"][usize::from(style / 8) % 3];
            write!(out, " {chomp}").unwrap();
            for line in text.lines() {
                write!(out, "\n{:indent$}  {line}", "").unwrap();
            }
            out.push('\n');
        }
        Sample::Scalar { text, style } => {
            let anchor = if style % 16 == 7 { "&a " } else { "" };
            let comment = if style / 32 == 1 { " # 'it \"{[" } else { "" };
            writeln!(out, " {anchor}{}{comment}", scalar(text, *style, false)).unwrap();
        }
        Sample::List { style, .. } | Sample::Map { style, .. } if style % 4 == 0 => {
            writeln!(out, " {}", flow(sample)).unwrap();
        }
        Sample::List { items, style } => {
            // Dashes may stand as far left as the key that leads to them.
            let least = usize::from(behind == Behind::Dash);
            let indent = if dashed { indent + 2 } else { indent + least + usize::from(style / 4) % 3 };
            begin(out, *style, dashed);
            for (number, item) in items.iter().enumerate() {
                let width = if number == 0 && dashed { 0 } else { indent };
                write!(out, "{:width$}-", "").unwrap();
                block(out, item, indent, if is_compact(item) { Behind::DashItself } else { Behind::Dash });
            }
        }
        Sample::Map { entries, style } => {
            let indent = if dashed { indent + 2 } else { indent + 1 + usize::from(style / 4) % 3 };
            begin(out, *style, dashed);
            for (number, (key, value)) in entries.iter().enumerate() {
                let width = if number == 0 && dashed { 0 } else { indent };
                let quote = if style / 16 % 2 == 0 { "" } else { "'" };
                write!(out, "{:width$}{quote}{key}{quote}:", "").unwrap();
                block(out, value, indent, Behind::Colon);
            }
        }
    }
}

fn is_compact(sample: &Sample) -> bool {
    match sample {
        Sample::Scalar { .. } => false,
        Sample::List { style, .. } | Sample::Map { style, .. } => style % 2 == 1,
    }
}

fn begin(out: &mut String, style: u8, dashed: bool) {
    out.push_str(match (dashed, style / 32 % 3) {
        (true, _) => " ",
        (_, 0) => "\n",
        (_, 1) => " # a: b\n",
        _ => "\n\n# - c\n",
    });
}

fn document(sample: &Sample) -> String {
    let mut out = String::new();
    match sample {
        Sample::Scalar { text, style } => return format!("--- {}\n", scalar(text, *style, false)),
        _ => block(&mut out, sample, 0, Behind::Colon),
    }
    format!("---{out}")
}

fn theirs(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                theirs(item, &format!("{path}/{index}"), out);
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                theirs(value, &format!("{path}/{key}"), out);
            }
        }
        Value::String(text) => out.push(format!("{path}={}", text.trim_end())),
        other => out.push(format!("{path}={other}")),
    }
}

fn ours(text: &str, templated: bool) -> Vec<String> {
    let tree = super::scan(text, templated);
    let source = Mapped::new(text, 0);
    let path = |node: usize| {
        let mut steps: Vec<usize> = tree.ancestors(node).collect();
        steps.reverse();
        steps.push(node);
        let step = |&step: &usize| match &tree.nodes[step].key {
            crate::tree::Key::Root => String::new(),
            crate::tree::Key::Index(index) => format!("/{index}"),
            crate::tree::Key::Name(span) => format!("/{}", &text[span.clone()]),
        };
        steps.iter().map(step).collect::<String>()
    };
    let mut out: Vec<String> = (0..tree.nodes.len())
        .filter_map(|node| {
            let Kind::Scalar(style) = tree.nodes[node].kind else { return None };
            let content = tree.content(node, &source).text.replace('\r', "");
            let content = match style {
                Style::Block => content.lines().map(str::trim).collect::<Vec<_>>().join("\n"),
                _ => content,
            };
            Some(format!("{}={}", path(node), content.trim_end()))
        })
        .collect();
    out.sort();
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_real_reader(sample in sample(), returns in any::<bool>()) {
        let text = document(&sample);
        let text = if returns { text.replace('\n', "\r\n") } else { text };
        let value: Value = match serde_saphyr::from_str(&text) {
            Ok(value) => value,
            Err(error) => return Err(TestCaseError::fail(format!("the sample is no YAML: {error}\n{text}"))),
        };
        let mut expected = Vec::new();
        theirs(&value, "", &mut expected);
        expected.sort();
        prop_assert_eq!(ours(&text, false), expected.clone(), "{}", text);
        if !text.contains("{{") {
            prop_assert_eq!(ours(&text, true), expected, "as a template: {}", text);
        }
    }

    #[test]
    fn json_is_read_too(sample in sample(), pretty in any::<bool>()) {
        let value: Value = serde_saphyr::from_str(&document(&sample)).unwrap();
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut expected = Vec::new();
        theirs(&value, "", &mut expected);
        expected.sort();
        prop_assert_eq!(ours(&text, false), expected, "{}", text);
    }
}
