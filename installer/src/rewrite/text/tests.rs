//! What becomes of whole texts, and what is told of them.

use std::time::{Duration, Instant};

use super::*;
use crate::rewrite::Weight;
use crate::rewrite::chart::Chart;
use crate::rewrite::known::tests::known_of;

const IMAGES: [&str; 5] = [
    "nginx:1.25.3",
    "redis:7.2.4",
    "busybox:1.36",
    "bitnami/redis:7.2.4",
    "quay.io/prometheus/prometheus:v2.49.1",
];

fn seen(text: &str, format: Format) -> Seen {
    let known = known_of(&IMAGES);
    let judge = Judge { known: &known, chart: None, ways: &[] };
    rewrite(text, format, &judge, &"a.yaml".into(), 0)
}

/// The text that follows.
fn becomes(text: &str) -> String {
    seen(text, Format::Yaml).text.unwrap_or_else(|| text.to_owned())
}

/// What is told: the line, the weight, the kind, the name.
fn told(text: &str, format: Format) -> Vec<String> {
    let told = |remark: &Remark| {
        format!("{} {:?} {:?} {}", remark.spot.line, remark.weight, remark.kind, remark.name)
    };
    seen(text, format).remarks.iter().map(told).collect()
}

#[test]
fn a_registry_is_written_once_wherever_the_values_lie() {
    let values = "global:\n  imageRegistry: docker.io\nimage:\n  repository: bitnami/redis\n  tag: 7.2.4\n";
    let indented: String = values.lines().map(|line| format!("    {line}\n")).collect();
    for head in [
        "kind: HelmRelease\napiVersion: helm.toolkit.fluxcd.io/v2\nspec:\n  values:\n",
        "kind: HelmChart\napiVersion: helm.cattle.io/v1\nspec:\n  valuesContent: |-\n",
        "kind: ConfigMap\napiVersion: v1\ndata:\n  values.yaml: |\n",
        "kind: Application\napiVersion: argoproj.io/v1alpha1\nspec:\n  valuesObject:\n",
        "releases:\n- values:\n",
    ] {
        let text = format!("{head}{indented}");
        assert_eq!(becomes(&text), text.replace("docker.io", "r.corp:5000"), "{head}");
    }
    let flat = "kind: ConfigMap\napiVersion: v1\ndata:\n  values.yaml: |\n    imageRegistry: docker.io\n    image: {repository: bitnami/redis, tag: 7.2.4}\n";
    assert_eq!(becomes(flat), flat.replace("docker.io", "r.corp:5000"));
}

#[test]
fn many_documents_cost_no_more_than_each_of_them() {
    let one = "global: {imageRegistry: docker.io}\nimage: {repository: bitnami/redis, tag: 7.2.4}\n---\n";
    let begun = Instant::now();
    let seen = seen(&one.repeat(5_000), Format::Yaml);
    assert_eq!(seen.edits.len(), 5_000);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn registries_of_other_things_are_no_problem() {
    let environment = "SCHEMA_REGISTRY=schema.kafka:8081\nNPM_REGISTRY=registry.npmjs.org\nREGISTRY=h.c\n";
    assert_eq!(
        told(environment, Format::Environment),
        ["1 Note Registry schema.kafka:8081", "2 Note Registry registry.npmjs.org", "3 Problem Registry h.c",]
    );
    // They are not those of images below them either.
    let values = "nacosRegistryAddress: nacos.svc:8848\nschemaRegistryHost: s.k:81\nimage: {registry: docker.io, repository: bitnami/redis, tag: 7.2.4}\n";
    assert_eq!(told(values, Format::Yaml), ["1 Note Registry nacos.svc:8848", "2 Note Registry s.k:81"]);
    assert_eq!(becomes(values), values.replace("docker.io", "r.corp:5000"));
    assert_eq!(told("global: {imageRegistry: h.c}\n", Format::Yaml), ["1 Problem Registry h.c"]);
}

#[test]
fn documents_of_ferry_stay_as_they_are() {
    let spec =
        "apiVersion: ferry/v1\nkind: Bundle\nimages:\n  - nginx:1.25.3\n  - {image: \"redis:7.2.4\"}\n";
    let pod = "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: \"redis:7.2.4\"}]}\n";
    assert_eq!(
        becomes(&format!("{spec}---\n{pod}---\n{spec}")),
        format!("{spec}---\n{}---\n{spec}", pod.replace("redis", "r.corp:5000/library/redis"))
    );
    let json = "{\n  \"apiVersion\": \"ferry/v1\",\n  \"images\": [\"nginx:1.25.3\"]\n}\n";
    assert_eq!(becomes(json), json);
    let other =
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    apiVersion: ferry/v1\n  image: nginx:1.25.3\n";
    assert_ne!(becomes(other), other);
}

#[test]
fn a_repository_that_lies_over_a_charts_own_stays() {
    let values = "image:\n  repository: bitnami/redis\n  tag: 7.2.4\n";
    let indented = |by: &str| values.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    for (text, line) in [
        (values.to_owned(), 2),
        (format!("releases:\n- values:\n  -\n{}", indented("    ")), 5),
        (
            format!(
                "kind: HelmRelease\napiVersion: helm.toolkit.fluxcd.io/v2\nspec:\n  values:\n{}",
                indented("    ")
            ),
            6,
        ),
        (
            format!(
                "kind: HelmChart\napiVersion: helm.cattle.io/v1\nspec:\n  valuesContent: |\n{}",
                indented("    ")
            ),
            6,
        ),
    ] {
        assert_eq!(becomes(&text), text);
        let expected = format!("{line} Problem RegistryElsewhere bitnami/redis:7.2.4");
        assert_eq!(told(&text, Format::Yaml), [expected], "{text}");
    }
    let kustomization = format!("helmCharts:\n- name: redis\n  valuesInline:\n{}", indented("    "));
    assert_eq!(told(&kustomization, Format::Kustomization).len(), 1);
    // With a registry that is said, and in objects that no chart is behind, nothing comes before it.
    for (text, expected) in [
        (format!("{values}  registry: docker.io\n"), format!("{values}  registry: r.corp:5000\n")),
        (
            "image: {repository: quay.io/prometheus/prometheus, tag: v2.49.1}\n".to_owned(),
            "image: {repository: r.corp:5000/prometheus/prometheus, tag: v2.49.1}\n".to_owned(),
        ),
        (
            format!("kind: Redis\napiVersion: a.b/v1\nspec:\n{}", indented("  ")),
            format!(
                "kind: Redis\napiVersion: a.b/v1\nspec:\n{}",
                indented("  ").replace("bitnami", "r.corp:5000/bitnami")
            ),
        ),
    ] {
        assert_eq!(becomes(&text), expected);
    }
    // What the chart itself says is all that there is.
    let known = known_of(&IMAGES);
    let chart = Chart::read("name: a\ndependencies: [{name: redis}]\n");
    let judge = Judge { known: &known, chart: Some(&chart), ways: &[] };
    let text = format!("{values}redis:\n{}", indented("  "));
    let seen = rewrite(&text, Format::Yaml, &judge, &"values.yaml".into(), 0);
    let own = values.replace("bitnami", "r.corp:5000/bitnami");
    assert_eq!(seen.text, Some(format!("{own}redis:\n{}", indented("  "))));
    assert_eq!(seen.remarks.len(), 1);
}

#[test]
fn what_kustomizations_look_for_keeps_its_name() {
    let known = known_of(&IMAGES);
    let pod = "kind: Pod\nspec:\n  containers:\n  - image: busybox:1.36\n  - image: controller:latest\n  - image: nginx:1.25.3\n";
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let both = names(&["busybox", "controller"]);
    let rewritten = |ways: &[Vec<String>]| {
        let judge = Judge { known: &known, chart: None, ways };
        let seen = rewrite(pod, Format::Yaml, &judge, &"a.yaml".into(), 0);
        let weights: Vec<Weight> = seen.remarks.iter().map(|remark| remark.weight).collect();
        (seen.text.unwrap_or_default(), weights)
    };
    let nginx = pod.replace("nginx", "r.corp:5000/library/nginx");
    assert_eq!(rewritten(std::slice::from_ref(&both)), (nginx.clone(), vec![Weight::Note; 2]));
    assert_eq!(rewritten(&[both, names(&["busybox"])]), (nginx, vec![Weight::Note, Weight::Problem]));
    let all =
        pod.replace("nginx", "r.corp:5000/library/nginx").replace("busybox", "r.corp:5000/library/busybox");
    assert_eq!(rewritten(&[Vec::new()]), (all, vec![Weight::Problem]));
}
