use super::scan;
use crate::mapped::Mapped;
use crate::tree::Kind;

/// Every scalar as `path=value`.
fn scalars(text: &str, templated: bool) -> Vec<String> {
    let tree = scan(text, templated);
    let source = Mapped::new(text, 0);
    (0..tree.nodes.len())
        .filter_map(|node| {
            let scalar = tree.scalar(node)?;
            Some(format!("{}={}", tree.path(node), tree.content(scalar, &source).text))
        })
        .chain(
            tree.nodes
                .iter()
                .filter(|node| node.kind == Kind::Alias(None))
                .map(|_| "unknown alias".to_owned()),
        )
        .collect()
}

#[test]
fn block_and_flow() {
    for (text, expected) in [
        ("a: 1\nb:\n  c: x y # no\n  d:\n  - e\n  -  f\ng: h", "a=1 b.c=x y b.d[0]=e b.d[1]=f g=h"),
        ("- a: 1\n  b: 2\n- - c\n  - d\n-\n  e: f\n", "[0].a=1 [0].b=2 [1][0]=c [1][1]=d [2].e=f"),
        ("a:\n- b: c\n  d: e\nf: g\n", "a[0].b=c a[0].d=e f=g"),
        ("{\"a\":{\"b\":[1,{\"c\":\"d\"}]},\n\"e\":\n\"f\"}", "a.b[0]=1 a.b[1].c=d e=f"),
        ("a: [b, 'c', {d: e, f: }, [g]]\nh: {i: j}\n", "a[0]=b a[1]=c a[2].d=e a[3][0]=g h.i=j"),
        ("a: [\n  b,\n  c # x\n]\nd: {e: f,\n}\ng: h\n", "a[0]=b a[1]=c d.e=f g=h"),
        ("a: [b: c, d]\n", "a[0].b=c a[1]=d"),
        ("a: 'it''s'\nb: \"x\\\"y\"\nc: \"two\n  lines\"\nd: e", "a=it's b=x\"y c=two\n  lines d=e"),
        ("a: one\n  two\n\n  three\nb: c", "a=one\n  two\n\n  three b=c"),
        (
            "a: |\n  x: y\n   z\n\n  # no comment\nb: >-\n  c\n# comment\nd: e",
            "a=  x: y\n   z\n\n  # no comment b=  c d=e",
        ),
        ("- |\n a\n- |2\n   b\n- c", "[0]= a [1]=   b [2]=c"),
        ("\u{feff}a: 1\r\nb: 'c'\r\nd:\r\n  - e\r\n", "a=1 b=c d[0]=e"),
        ("a: &x b\nc: *x\nd: &y !!str 'e'\nf: *y\n*x : g\n", "a=b c=b d=e f=e [\"*x\"]=g"),
        ("a: http://b:80/c#d\ne:f: g\nh: i:j", "a=http://b:80/c#d [\"e:f\"]=g h=i:j"),
        ("%YAML 1.2\n---\na: b\n...\n", "a=b"),
        ("--- {a: b}\n", "a=b"),
        ("--- a\n", "=a"),
        ("? a\n: b\n? 'c'\n: - d\n", "a=b c[0]=d"),
        ("\"a\": b\n'c' : d\n", "a=b c=d"),
        ("a:\tb\nc: \td\n", "a=b c=d"),
        ("a: [b, c\nd: e\n", "a[0]=b a[1]=c d=e"),
        ("a: \"b\nc: d\n", "c=d"),
        ("a: *none\n", "unknown alias"),
    ] {
        assert_eq!(scalars(text, false).join(" "), expected, "{text}");
        assert_eq!(scalars(text, true).join(" "), expected, "as a template: {text}");
    }
}

#[test]
fn templates() {
    for (text, expected) in [
        ("a: {{ .x }}\nb: \"{{ .y | default \"z\" }}\"\nc: d", "a={{ .x }} b={{ .y | default \"z\" }} c=d"),
        ("{{- if .a }}\nb: c\n{{- else }}\nb: d\n{{- end }}\n", "b=c b=d"),
        ("a:\n  {{- range .x }}\n  - b\n  {{- end }}\n  - c\n", "a[0]=b a[1]=c"),
        ("a:\n{{ toYaml .x | indent 2 }}\n  b: c\n", "a.b=c"),
        ("{{ .k }}: v\n{{ .l }}/x: w\n", "[\"{{ .k }}\"]=v [\"{{ .l }}/x\"]=w"),
        ("{{- if .x }}a: b{{ end }}\nc: d\n", "a=b c=d"),
        ("a: b {{- if .x }}\nc: d\n", "a=b c=d"),
        ("a: |\n  x\n{{- if .b }}\n  y\n{{- end }}\nc: d\n", "a=  x\n{{- if .b }}\n  y c=d"),
        ("{{/* a: b\nc: d */}}\ne: f\n", "e=f"),
        ("a: {{ .x }}\n  b: c\n", "a={{ .x }} a.b=c"),
        (
            "a:\n  {{ .r }}/b:1\nc: {{ include \"x\"\n  (dict \"a\" .) }}\nd: e",
            "a={{ .r }}/b:1 c={{ include \"x\"\n  (dict \"a\" .) }} d=e",
        ),
        ("a: [{{ .x }}, \"b\"]\nc: {d: {{ .y }}}\n", "a[0]={{ .x }} a[1]=b c.d={{ .y }}"),
        ("a: {{ never\nb: c\n", "a={{ never b=c"),
    ] {
        assert_eq!(scalars(text, true).join(" "), expected, "{text}");
    }
}
