//! What servers of helm charts need: forms, what a chart and its provenance say of themselves, an index.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// The fields of a `multipart/form-data` body; `None` where it is something else or broken.
pub(crate) fn form(content_type: &str, body: &[u8]) -> Option<BTreeMap<String, Bytes>> {
    let boundary = content_type.strip_prefix("multipart/form-data")?.split_once("boundary=")?.1;
    let boundary = format!("--{}", boundary.split(';').next()?.trim().trim_matches('"'));
    let mut fields = BTreeMap::new();
    let mut rest = &body[find(body, boundary.as_bytes())? + boundary.len()..];
    while !rest.starts_with(b"--") {
        let part = rest.strip_prefix(b"\r\n")?;
        let head_end = find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&part[..head_end]).into_owned();
        let content = &part[head_end + 4..];
        let end = find(content, format!("\r\n{boundary}").as_bytes())?;
        let name = head.split_once(" name=")?.1.trim_start_matches('"');
        let name = name.split(['"', ';', '\r']).next()?;
        fields.insert(name.to_owned(), Bytes::copy_from_slice(&content[..end]));
        rest = &content[end + 2 + boundary.len()..];
    }
    Some(fields)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A `.tgz`'s own `Chart.yaml`, with a name and a version at least.
pub(crate) fn metadata(archive: &[u8]) -> Option<Value> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        let path = entry.path().ok()?.into_owned();
        if path.components().count() == 2 && path.ends_with("Chart.yaml") {
            let mut text = String::new();
            entry.read_to_string(&mut text).ok()?;
            let metadata: Value = serde_saphyr::from_str(&text).ok()?;
            return (metadata["name"].is_string() && metadata["version"].is_string()).then_some(metadata);
        }
    }
    None
}

/// Name and version that a provenance file signs. It must be signed and say each once.
pub(crate) fn provenance(text: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(text).ok()?;
    text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----").then_some(())?;
    let only = |key: &str| {
        let mut values = text.lines().skip(1).filter_map(|line| line.strip_prefix(key));
        let value = values.next()?.trim().to_owned();
        values.next().is_none().then_some(value)
    };
    Some((only("name:")?, only("version:")?))
}

/// The charts by name, each with its versions, the newest upload first; `url` says where one lies.
pub(crate) fn entries<'a>(
    charts: impl Iterator<Item = (&'a Value, &'a str)>,
    url: impl Fn(&str, &str) -> String,
) -> BTreeMap<String, Vec<Value>> {
    let mut entries: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (metadata, sha256) in charts {
        let text = |field: &str| metadata[field].as_str().unwrap_or_default();
        let mut entry = metadata.clone();
        entry["digest"] = json!(sha256);
        entry["created"] = json!("2023-06-14T12:00:00.394Z");
        entry["urls"] = json!([url(text("name"), text("version"))]);
        entries.entry(text("name").to_owned()).or_default().insert(0, entry);
    }
    entries
}

/// These charts as an `index.yaml`.
pub(crate) fn index(entries: &BTreeMap<String, Vec<Value>>) -> String {
    let index = json!({"apiVersion": "v1", "entries": entries, "generated": "2023-06-14T12:00:00.394Z", "serverInfo": {}});
    serde_saphyr::to_string(&index).expect("JSON can be said in YAML")
}

/// All charts, the versions of one, or one version, as the path behind `charts` asks; `None` where there is none.
pub(crate) fn chosen(entries: &BTreeMap<String, Vec<Value>>, path: &str) -> Option<Value> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let (name, version) = (parts.next(), parts.next());
    let Some(name) = name else { return Some(json!(entries)) };
    let versions = entries.get(name)?;
    match version {
        None => Some(json!(versions)),
        Some(version) => versions.iter().find(|entry| entry["version"] == version).cloned(),
    }
}
