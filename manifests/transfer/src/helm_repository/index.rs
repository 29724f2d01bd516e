//! What a helm repository says of its charts.

use std::collections::BTreeMap;
use std::fmt;

use ferry_model::Digest;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

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

/// The most versions that are read: the largest public repositories have some ten thousand.
const MOST_VERSIONS: usize = 1_000_000;

/// An index. Only what tells charts apart is read, and only `E` of its entries is kept.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index<E> {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default = "none")]
    entries: Option<E>,
    #[serde(default)]
    server_info: Option<ServerInfo>,
}

fn none<T>() -> Option<T> {
    None
}

/// What ChartMuseum adds for `helm cm-push`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerInfo {
    #[serde(default)]
    context_path: Option<String>,
}

/// Charts by name, read one version after the other, so that a text which has nothing but versions takes no more than its limit.
struct Entries<const MOST: usize>(Charts);

impl<'de, const MOST: usize> Deserialize<'de> for Entries<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfAll<const MOST: usize>;
        impl<'de, const MOST: usize> Visitor<'de> for OfAll<MOST> {
            type Value = Entries<MOST>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("charts, each with its versions")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut charts, mut left) = (BTreeMap::new(), MOST);
                while let Some(name) = map.next_key::<String>()? {
                    charts.insert(name, map.next_value_seed(Versions { left: &mut left })?);
                }
                Ok(Entries(Charts(charts)))
            }
        }
        deserializer.deserialize_map(OfAll)
    }
}

/// The versions of one chart; of all charts together, so many more may come.
struct Versions<'a> {
    left: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Versions<'_> {
    type Value = BTreeMap<String, Option<Digest>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Versions<'_> {
    type Value = BTreeMap<String, Option<Digest>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of versions")
    }
    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }
    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
            #[serde(default)]
            digest: Option<String>,
        }
        let mut versions = BTreeMap::new();
        while let Some(Version { version, digest }) = list.next_element()? {
            *self.left = self.left.checked_sub(1).ok_or_else(|| {
                de::Error::custom(format_args!("it lists more than {MOST_VERSIONS} versions of charts"))
            })?;
            versions.insert(version, digest.as_deref().and_then(read_digest));
        }
        Ok(versions)
    }
}

/// Reads `index.yaml`: the charts, and ChartMuseum's context path.
pub(super) fn parse(text: &[u8]) -> Result<(Charts, String), String> {
    let (entries, context) = read::<Entries<MOST_VERSIONS>>(text)?;
    Ok((entries.map(|entries| entries.0).unwrap_or_default(), context))
}

/// Reads only ChartMuseum's context path. Keeps nothing of the charts.
pub(super) fn parse_context(text: &[u8]) -> Result<String, String> {
    read::<IgnoredAny>(text).map(|(_, context)| context)
}

fn read<E: DeserializeOwned>(text: &[u8]) -> Result<(Option<E>, String), String> {
    let text = std::str::from_utf8(text).map_err(|_| "its index is not text".to_owned())?;
    // Indexes of large repositories go beyond the usual limits; the transfer has limited their size already.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_reader_input_bytes: None, max_nodes: usize::MAX, max_events: usize::MAX, max_total_scalar_bytes: usize::MAX, max_merge_keys: usize::MAX, max_documents: 1, },
    };
    let index: Index<E> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("its index cannot be read: {}", error.without_snippet()))?;
    if index.api_version.is_none() && index.entries.is_none() {
        return Err("its index is not one of a helm repository".to_owned());
    }
    let context = index.server_info.and_then(|info| info.context_path).unwrap_or_default();
    let context = context.trim_matches('/');
    let context = if context.is_empty() { String::new() } else { format!("/{context}") };
    Ok((index.entries, context))
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
        assert_eq!(parse_context(text.as_bytes()).unwrap(), "/v1");
        assert!(parse(b"apiVersion: v1\nentries: {}\n").unwrap().0.is_empty());
        for bad in [&b"<html>"[..], b"a: [", b"\xff", b"{}", b""] {
            assert!(parse(bad).is_err(), "{bad:?}");
            assert!(parse_context(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_index_of_nothing_but_versions_is_cut_short() {
        let text = |count: usize| {
            let versions: String = (0..count).map(|number| format!("  - {{version: {number}}}\n")).collect();
            format!("apiVersion: v1\nentries:\n  a:\n{versions}  b:\n{versions}")
        };
        assert_eq!(read::<Entries<6>>(text(3).as_bytes()).unwrap().0.unwrap().0.iter().count(), 6);
        let error = read::<Entries<6>>(text(4).as_bytes()).map(drop).unwrap_err();
        assert!(error.contains("versions of charts"), "{error}");
        assert_eq!(parse_context(text(9).as_bytes()).unwrap(), "");
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
