//! What a helm repository says of its charts.

use std::collections::BTreeMap;

use ferry_model::Digest;
use serde::Deserialize;

/// The charts of a repository: by name, by version, the archive's digest where the index says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charts(BTreeMap<String, BTreeMap<String, Option<Digest>>>);

impl Charts {
    /// A version of a chart, if it is there: its digest, if the index says it.
    pub fn find(&self, name: &str, version: &str) -> Option<Option<Digest>> {
        self.0.get(name)?.get(version).copied()
    }

    /// All: name, version, digest.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Option<&Digest>)> {
        self.0.iter().flat_map(|(name, versions)| {
            versions.iter().map(move |(version, digest)| (name.as_str(), version.as_str(), digest.as_ref()))
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An index. Only what tells charts apart is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    entries: Option<BTreeMap<String, Option<Vec<Version>>>>,
    #[serde(default)]
    server_info: Option<ServerInfo>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    digest: Option<String>,
}

/// What ChartMuseum adds for `helm cm-push`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerInfo {
    #[serde(default)]
    context_path: Option<String>,
}

/// Reads `index.yaml`: the charts, and ChartMuseum's context path.
pub(super) fn parse(text: &[u8]) -> Result<(Charts, String), String> {
    let text = std::str::from_utf8(text).map_err(|_| "its index is not text".to_owned())?;
    // Indexes of large repositories go beyond the usual limits; the transfer has limited their size already.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_reader_input_bytes: None, max_nodes: usize::MAX, max_events: usize::MAX, max_total_scalar_bytes: usize::MAX, max_merge_keys: usize::MAX, max_documents: 1, },
    };
    let index: Index = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("its index cannot be read: {}", error.without_snippet()))?;
    if index.api_version.is_none() && index.entries.is_none() {
        return Err("its index is not one of a helm repository".to_owned());
    }
    let charts = index.entries.unwrap_or_default().into_iter().map(|(name, versions)| {
        let versions = versions.unwrap_or_default().into_iter();
        (
            name,
            versions
                .map(|Version { version, digest }| (version, digest.as_deref().and_then(read_digest)))
                .collect(),
        )
    });
    let context = index.server_info.and_then(|info| info.context_path).unwrap_or_default();
    let context = context.trim_matches('/');
    let context = if context.is_empty() { String::new() } else { format!("/{context}") };
    Ok((Charts(charts.collect()), context))
}

/// The digest in the description of one version. Harbor wraps it in `metadata`.
pub(super) fn read_version(answer: &[u8]) -> Option<Digest> {
    #[derive(Deserialize)]
    struct Described {
        #[serde(default)]
        digest: Option<String>,
        #[serde(default)]
        metadata: Option<Box<Described>>,
    }
    let described: Described = serde_json::from_slice(answer).ok()?;
    let digest = described.digest.or_else(|| described.metadata?.digest)?;
    read_digest(&digest)
}

fn read_digest(text: &str) -> Option<Digest> {
    let text = text.trim().to_ascii_lowercase();
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(&text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes() {
        let digest = Digest::of(b"x");
        let text = format!(
            "apiVersion: v1\nentries:\n  demo:\n  - name: demo\n    version: 1.2.0\n    digest: {}\n    urls: [charts/demo-1.2.0.tgz]\n  - {{version: 1.1.0}}\n  empty: null\ngenerated: x\nserverInfo: {{contextPath: /v1/}}\n",
            digest.hex()
        );
        let (charts, context) = parse(text.as_bytes()).unwrap();
        assert_eq!(charts.find("demo", "1.2.0"), Some(Some(digest)));
        assert_eq!(charts.find("demo", "1.1.0"), Some(None));
        assert_eq!(charts.find("demo", "1.0.0"), None);
        assert_eq!(charts.find("other", "1.0.0"), None);
        assert_eq!(charts.iter().count(), 2);
        assert_eq!(context, "/v1");
        assert!(parse(b"apiVersion: v1\nentries: {}\n").unwrap().0.is_empty());
        for bad in [&b"<html>"[..], b"a: [", b"\xff", b"{}", b""] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn versions() {
        let digest = Digest::of(b"x");
        for text in [
            format!(r#"{{"name":"demo","digest":"{}"}}"#, digest.hex()),
            format!(r#"{{"metadata":{{"digest":"{digest}"}},"security":{{}}}}"#),
        ] {
            assert_eq!(read_version(text.as_bytes()), Some(digest));
        }
        assert_eq!(read_version(b"{}"), None);
        assert_eq!(read_version(b"[]"), None);
    }
}
