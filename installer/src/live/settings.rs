//! Where a tree of settings names an image: the values of a helm release, an operator's object. So that who owns a workload can be
//! told what to set, and not only what comes of it.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::ImageReference;
use flate2::read::GzDecoder;
use serde::Serialize;
use serde_json::{Map, Value};

/// A release's record is this large at most, unpacked.
const MAX_RELEASE: u64 = 64 << 20;
/// Settings lie this deep at most.
const DEPTH: usize = 32;
/// Names of a tag beside a repository.
const TAGS: [&str; 3] = ["tag", "imageTag", "version"];

/// A setting to be changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// Its place: `image.repository`.
    pub path: String,
    /// What it shall be.
    pub value: String,
}

/// An image and what the site calls it, in parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renaming<'a> {
    /// As the workload names it.
    pub(super) image: &'a ImageReference,
    /// The site's registry.
    pub(super) registry: &'a str,
    /// The repository there.
    pub(super) repository: &'a str,
    /// The tag there.
    pub(super) tag: Option<&'a str>,
    /// All of it, with what the workload says of digests.
    pub(super) whole: &'a str,
}

/// A release of helm, as far as images care.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Release {
    /// The chart, by name and version.
    pub(super) chart: String,
    /// Its values with those that were given.
    pub(super) values: Value,
    /// What a chart without tags falls back to.
    pub(super) app_version: Option<String>,
}

/// Reads the record that helm keeps of a release in a Secret.
pub(super) fn release(secret: &Value) -> Option<Release> {
    let outer = STANDARD.decode(secret["data"]["release"].as_str()?).ok()?;
    let packed = STANDARD.decode(outer).ok()?;
    let mut text = String::new();
    if packed.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(packed.as_slice()).take(MAX_RELEASE).read_to_string(&mut text).ok()?;
    } else {
        text = String::from_utf8(packed).ok()?;
    }
    let record: Value = serde_json::from_str(&text).ok()?;
    let chart = &record["chart"];
    let field = |name: &str| chart["metadata"][name].as_str().map(str::to_owned);
    let mut values = chart["values"].clone();
    merge(&mut values, &record["config"]);
    let version = field("version").unwrap_or_default();
    Some(Release { chart: format!("{} {version}", field("name")?), values, app_version: field("appVersion") })
}

fn merge(values: &mut Value, over: &Value) {
    match (values, over) {
        (Value::Object(values), Value::Object(over)) => {
            for (key, value) in over {
                merge(values.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (values, over) => *values = over.clone(),
    }
}

/// The settings of `tree` that name the image, with what each shall be.
pub(super) fn settings(tree: &Value, app_version: Option<&str>, renaming: Renaming<'_>) -> Vec<Setting> {
    let mut found = Vec::new();
    walk(tree, "", DEPTH, &mut |path, value| match value {
        Value::String(text) if is_it(text, renaming.image) => {
            found.push(Setting { path: path.to_owned(), value: renaming.whole.to_owned() });
        }
        Value::Object(parts) => found.extend(in_parts(path, parts, app_version, renaming)),
        _ => {}
    });
    found.sort();
    found.dedup();
    found
}

fn is_it(text: &str, image: &ImageReference) -> bool {
    // A bare word is more likely anything else.
    text.contains(['/', ':'])
        && text.parse::<ImageReference>().is_ok_and(|other| other.to_string() == image.to_string())
}

/// `registry`, `repository` and `tag` beside each other, in any of the usual spellings.
fn in_parts(
    path: &str,
    parts: &Map<String, Value>,
    app_version: Option<&str>,
    renaming: Renaming<'_>,
) -> Vec<Setting> {
    let text = |key: &str| parts.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let named = ["repository", "name", "image"].into_iter().find_map(|key| Some((key, text(key)?)));
    let Some((key, repository)) = named else { return Vec::new() };
    let tag_key = TAGS.into_iter().find(|key| parts.contains_key(*key));
    if key != "repository" && tag_key.is_none() {
        return Vec::new();
    }
    let registry = text("registry");
    let name = registry.map_or_else(|| repository.to_owned(), |registry| format!("{registry}/{repository}"));
    let image = renaming.image;
    let is_same = name
        .parse::<ImageReference>()
        .is_ok_and(|other| other.name() == image.name() && other.digest().is_none());
    let tag = tag_key.and_then(text).or(app_version);
    let tag_fits = match (tag, image.tag()) {
        (Some(tag), Some(own)) => tag == own || own.strip_prefix('v') == Some(tag),
        _ => true,
    };
    if !is_same || !tag_fits {
        return Vec::new();
    }
    let setting = |key: &str, value: &str| Setting {
        path: if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") },
        value: value.to_owned(),
    };
    let mut found = match registry {
        Some(_) => vec![setting("registry", renaming.registry)],
        None => vec![setting(key, &format!("{}/{}", renaming.registry, renaming.repository))],
    };
    if registry.is_some() && image.repository() != renaming.repository {
        found.push(setting(key, renaming.repository));
    }
    if let (Some(tag_key), Some(tag)) = (tag_key, renaming.tag)
        && image.tag() != Some(tag)
    {
        found.push(setting(tag_key, tag));
    }
    found
}

fn walk<'a>(value: &'a Value, path: &str, depth: usize, take: &mut impl FnMut(&str, &'a Value)) {
    take(path, value);
    if depth == 0 {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('.', "\\.");
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                walk(value, &path, depth - 1, take);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                walk(value, &format!("{path}[{index}]"), depth - 1, take);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    use super::*;

    fn found(tree: &Value, image: &str, app_version: Option<&str>) -> Vec<(String, String)> {
        let image: ImageReference = image.parse().unwrap();
        let whole = format!("registry.corp:5000/mirror/{}:{}", image.repository(), image.tag().unwrap());
        let repository = format!("mirror/{}", image.repository());
        let renaming = Renaming {
            image: &image,
            registry: "registry.corp:5000",
            repository: &repository,
            tag: image.tag(),
            whole: &whole,
        };
        settings(tree, app_version, renaming)
            .into_iter()
            .map(|setting| (setting.path, setting.value))
            .collect()
    }

    #[test]
    fn every_usual_spelling_is_told() {
        let pair = |path: &str, value: &str| (path.to_owned(), value.to_owned());
        let redis = "docker.io/bitnami/redis:7.0";
        for (tree, image, expected) in [
            (
                json!({"image": {"registry": "docker.io", "repository": "bitnami/redis", "tag": "7.0"}}),
                redis,
                vec![
                    pair("image.registry", "registry.corp:5000"),
                    pair("image.repository", "mirror/bitnami/redis"),
                ],
            ),
            (
                json!({"image": {"repository": "bitnami/redis", "tag": "7.0"}}),
                redis,
                vec![pair("image.repository", "registry.corp:5000/mirror/bitnami/redis")],
            ),
            (
                json!({"master": {"image": "bitnami/redis:7.0"}, "replica": {"image": "docker.io/bitnami/redis:7.0"}}),
                redis,
                vec![
                    pair("master.image", "registry.corp:5000/mirror/bitnami/redis:7.0"),
                    pair("replica.image", "registry.corp:5000/mirror/bitnami/redis:7.0"),
                ],
            ),
            (
                json!({"image": "bitnami/redis", "tag": "7.0"}),
                redis,
                vec![pair("image", "registry.corp:5000/mirror/bitnami/redis")],
            ),
            (
                json!({"images": [{"name": "bitnami/redis", "tag": "7.0"}]}),
                redis,
                vec![pair("images[0].name", "registry.corp:5000/mirror/bitnami/redis")],
            ),
            (
                json!({"image": {"repository": "bitnami/redis", "tag": ""}}),
                redis,
                vec![pair("image.repository", "registry.corp:5000/mirror/bitnami/redis")],
            ),
            (json!({"image": {"repository": "bitnami/redis", "tag": "6.2"}}), redis, vec![]),
            (json!({"image": {"repository": "bitnami/redis-cluster", "tag": "7.0"}}), redis, vec![]),
            (json!({"name": "nginx", "port": 80}), "nginx:latest", vec![]),
            (
                json!({"a.b": {"image": "quay.io/a/b:1"}}),
                "quay.io/a/b:1",
                vec![pair("a\\.b.image", "registry.corp:5000/mirror/a/b:1")],
            ),
        ] {
            assert_eq!(found(&tree, image, Some("7.0")), expected, "{tree}");
        }
    }

    #[test]
    fn a_release_is_read_as_helm_keeps_it() {
        let record = json!({"name": "redis", "chart": {"metadata": {"name": "redis", "version": "17.1.0", "appVersion": "7.0"},
            "values": {"image": {"registry": "docker.io", "tag": "6.2"}, "auth": true}}, "config": {"image": {"tag": "7.0"}, "auth": null}});
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(record.to_string().as_bytes()).unwrap();
        let data = STANDARD.encode(STANDARD.encode(packed.finish().unwrap()));
        let release = release(&json!({"data": {"release": data}})).unwrap();
        assert_eq!((release.chart.as_str(), release.app_version.as_deref()), ("redis 17.1.0", Some("7.0")));
        assert_eq!(release.values, json!({"image": {"registry": "docker.io", "tag": "7.0"}, "auth": true}));
        assert_eq!(super::release(&json!({"data": {"release": "!"}})), None);
        assert_eq!(super::release(&json!({})), None);
    }
}
