//! Workloads: where each kind keeps its pods' template, and every place in it that names an image.

use std::ops::Range;

use ferry_references::{Format, Found, How, Spans};
use serde_json::{Value, json};

use crate::cluster::fields::{has_ended, text};

/// What can be listed, by API version and kind. Older clusters have the second name of a kind.
pub(super) const KINDS: [(&str, &str, Option<&str>); 7] = [
    ("apps/v1", "Deployment", None),
    ("apps/v1", "StatefulSet", None),
    ("apps/v1", "DaemonSet", None),
    ("apps/v1", "ReplicaSet", None),
    ("batch/v1", "CronJob", Some("batch/v1beta1")),
    ("batch/v1", "Job", None),
    ("v1", "Pod", None),
];

/// The lists of containers of a pod.
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
/// What of a container may name an image besides its `image`.
const MORE: [&str; 3] = ["env", "args", "command"];

/// A place in a workload that names an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// `spec.template.spec.containers[web].image`, `…env[PAAS_APP_IMAGE].value`, `…args[2]`.
    pub(super) path: String,
    /// The whole value there.
    pub(super) value: String,
    /// The image in it.
    pub(super) image: String,
    /// The bytes of the value that name it. Absent where its parts stand apart.
    pub(super) span: Option<Range<usize>>,
    /// How.
    pub(super) how: How,
}

/// The path of the pods' spec in an object of this kind.
pub(super) fn pod_spec(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &["spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &["spec", "template", "spec"],
    }
}

/// Whether it has ended, so that it pulls nothing any more.
pub(super) fn is_over(object: &Value) -> bool {
    match object["kind"].as_str() {
        Some("Job") => has_ended(object),
        Some("Pod") => matches!(text(object, "/status/phase"), "Succeeded" | "Failed"),
        _ => false,
    }
}

/// Every place in it that names an image.
pub(super) fn named(object: &Value, kind: &str) -> Vec<Named> {
    let mut path = String::new();
    let mut spec = object;
    for part in pod_spec(kind) {
        path.push_str(part);
        path.push('.');
        spec = &spec[*part];
    }
    let mut all = Vec::new();
    for list in LISTS {
        for container in spec[list].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            let path = format!("{path}{list}[{name}].");
            if let Some(image) = container["image"].as_str().filter(|image| !image.is_empty()) {
                let (path, image) = (format!("{path}image"), image.to_owned());
                let span = Some(0..image.len());
                all.push(Named { path, value: image.clone(), image, how: How::Image, span });
            }
            all.extend(more(container, &path));
        }
    }
    all
}

/// What the environment and the command line of a container name.
fn more(container: &Value, path: &str) -> Vec<Named> {
    let mut parts = json!({"name": container["name"]});
    for part in MORE {
        if container.get(part).is_some() {
            parts[part] = container[part].clone();
        }
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [parts]}});
    let text = pod.to_string();
    let found = ferry_references::find(&text, Format::Yaml);
    let mut all: Vec<Named> = Vec::new();
    for mut named in found.iter().filter_map(|found| one_more(container, path, found, &text)) {
        // Bytes can be changed once.
        let before = all.last().filter(|before| before.path == named.path);
        if let Some(other) = before.and_then(|before| before.span.as_ref()) {
            named.span.take_if(|span| span.start < other.end);
        }
        all.push(named);
    }
    all
}

fn one_more(container: &Value, path: &str, found: &Found, text: &str) -> Option<Named> {
    let inside = found.place.path.split_once("containers[0].")?.1;
    let (part, rest) = inside.split_once('[')?;
    let (index, rest) = rest.split_once(']')?;
    let index: usize = index.parse().ok()?;
    let item = &container[part][index];
    let (path, value) = match (part, rest) {
        ("env", ".value") => {
            let name = item["name"].as_str()?;
            // Of several with one name, the last one counts.
            let later = container["env"].as_array()?.iter().skip(index + 1);
            if later.clone().any(|later| later["name"] == name) {
                return None;
            }
            (format!("{path}env[{name}].value"), item["value"].as_str()?)
        }
        ("args" | "command", "") => (format!("{path}{part}[{index}]"), item.as_str()?),
        _ => return None,
    };
    let image = found.named.to_string();
    let span =
        inside_value(text, &found.spans).filter(|span| value.get(span.clone()) == Some(image.as_str()));
    Some(Named { path, value: value.to_owned(), image, how: found.how, span })
}

/// The bytes of a reference in the value that a string of this JSON stands for.
fn inside_value(text: &str, spans: &Spans) -> Option<Range<usize>> {
    let whole = spans.whole.clone()?;
    let is_quote = |at: usize| {
        let escapes = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        escapes.is_multiple_of(2)
    };
    let (quote, _) = text[..whole.start].rmatch_indices('"').find(|(at, _)| is_quote(*at))?;
    // Before it there may be escapes, which are longer than what they stand for.
    let value = |range: Range<usize>| serde_json::from_str::<String>(&format!("\"{}\"", &text[range])).ok();
    let start = value(quote + 1..whole.start)?.len();
    Some(start..start + value(whole)?.len())
}

/// A value with other names in it, by their bytes.
pub(super) fn renamed(value: &str, names: &[(Range<usize>, String)]) -> String {
    let mut order: Vec<_> = names.iter().collect();
    order.sort_by_key(|(span, _)| span.start);
    let mut renamed = value.to_owned();
    // From the last to the first, so that the bytes of those before stay where they are.
    for (span, name) in order.into_iter().rev() {
        renamed.replace_range(span.clone(), name);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_in_every_list_of_every_kind() {
        let spec = json!({"initContainers": [{"name": "a", "image": "one:1"}], "containers": [{"name": "b", "image": "two:2"}],
            "ephemeralContainers": [{"name": "c", "image": "three:3"}]});
        for (kind, object, begin) in [
            ("Pod", json!({"spec": spec}), "spec."),
            ("Deployment", json!({"spec": {"template": {"spec": spec}}}), "spec.template.spec."),
            (
                "CronJob",
                json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
                "spec.jobTemplate.spec.template.spec.",
            ),
        ] {
            let found: Vec<_> =
                named(&object, kind).into_iter().map(|named| (named.path, named.value)).collect();
            let expected = [
                ("initContainers[a]", "one:1"),
                ("containers[b]", "two:2"),
                ("ephemeralContainers[c]", "three:3"),
            ];
            let expected: Vec<_> = expected
                .iter()
                .map(|(path, image)| (format!("{begin}{path}.image"), (*image).to_owned()))
                .collect();
            assert_eq!(found, expected);
        }
    }

    /// An argument in which every image that is found is called otherwise.
    fn with_other_names(argument: &str) -> String {
        let pod = json!({"spec": {"containers": [{"name": "a", "args": ["run", argument]}]}});
        let names: Vec<_> = named(&pod, "Pod")
            .into_iter()
            .map(|named| {
                assert_eq!(
                    (named.path.as_str(), named.value.as_str()),
                    ("spec.containers[a].args[1]", argument)
                );
                let span = named.span.expect("it stands in one piece");
                (span, format!("REG/{}", &named.image[named.image.rfind('/').map_or(0, |at| at + 1)..]))
            })
            .collect();
        renamed(argument, &names)
    }

    #[test]
    fn each_image_in_an_argument_is_renamed_where_it_stands() {
        for (argument, expected) in [
            (
                "--a-image=docker.io/library/busybox:1.36 --image=busybox:1.36",
                "--a-image=REG/busybox:1.36 --image=REG/busybox:1.36",
            ),
            ("--b-image=nginx:1.19 --image=nginx:1", "--b-image=REG/nginx:1.19 --image=REG/nginx:1"),
            ("h.io/a:1 h.io/a:1-old h.io/a:1", "REG/a:1 REG/a:1-old REG/a:1"),
            (
                "echo \"ü\\\" \u{1}\";\n\tpull \"h.io/a:1\"\npull h.io/b:2",
                "echo \"ü\\\" \u{1}\";\n\tpull \"REG/a:1\"\npull REG/b:2",
            ),
            (r#"--set={"image": "h.io/a:1"}"#, r#"--set={"image": "REG/a:1"}"#),
        ] {
            assert_eq!(with_other_names(argument), expected);
        }
    }

    #[test]
    fn what_has_ended_pulls_nothing() {
        let over = |kind: &str, status: Value| is_over(&json!({"kind": kind, "status": status}));
        assert!(over("Pod", json!({"phase": "Succeeded"})) && over("Pod", json!({"phase": "Failed"})));
        assert!(!over("Pod", json!({"phase": "Pending"})));
        assert!(over("Job", json!({"conditions": [{"type": "Complete", "status": "True"}]})));
        assert!(!over("Job", json!({"conditions": [{"type": "Failed", "status": "False"}]})));
        assert!(!over("Deployment", json!({"conditions": [{"type": "Failed", "status": "True"}]})));
    }
}
