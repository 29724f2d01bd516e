//! What sources publish about their files: a helm repository's `index.yaml`, checksum files.

use std::collections::HashMap;

use ferry_model::Digest;
use serde::Deserialize;

use crate::Error;

/// A helm repository's index. Only what locates a chart is read; the rest is skipped.
#[derive(Debug, Deserialize)]
pub(super) struct HelmIndex {
    #[serde(default)]
    pub(super) entries: HashMap<String, Vec<ChartVersion>>,
}

/// One version of a chart.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ChartVersion {
    pub(super) version: String,
    #[serde(default)]
    pub(super) urls: Vec<String>,
    /// The sha256 of the archive, in hex.
    #[serde(default)]
    pub(super) digest: Option<String>,
}

/// Parses `index.yaml`. `url` is for the error.
pub(super) fn parse_index(text: &str, url: &str) -> Result<HelmIndex, Error> {
    // Real indexes reach tens of megabytes; the transfer has limited their size already.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_reader_input_bytes: None, max_nodes: usize::MAX, max_events: usize::MAX, max_total_scalar_bytes: usize::MAX, max_merge_keys: usize::MAX, max_documents: 1, },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        Error::input(
            format!("{url} is not a helm repository's index: {}", error.without_snippet()),
            "check the `repo` URL of the chart",
        )
    })
}

/// Picks `wanted`: that very version, or, if it is a range, the highest within it.
pub(super) fn pick<'a>(versions: impl Iterator<Item = &'a str> + Clone, wanted: &str) -> Option<&'a str> {
    let plain = wanted.strip_prefix('v').unwrap_or(wanted);
    if let Some(exact) = versions.clone().find(|version| *version == wanted) {
        return Some(exact);
    }
    if let Some(close) =
        versions.clone().find(|version| version.strip_prefix('v').unwrap_or(version) == plain)
    {
        return Some(close);
    }
    // `1.2.0` alone is that version and no other, although the semver crate reads it as `^1.2.0`.
    if semver::Version::parse(plain).is_ok() {
        return None;
    }
    let range = semver::VersionReq::parse(wanted).ok()?;
    let parse = |version: &'a str| {
        semver::Version::parse(version.strip_prefix('v').unwrap_or(version))
            .ok()
            .map(|parsed| (parsed, version))
    };
    versions.filter_map(parse).filter(|(parsed, _)| range.matches(parsed)).max().map(|(_, version)| version)
}

/// The digest in a checksum file: 64 hex digits at the start of a line, as `sha256sum` writes them. With several
/// lines, the one that names `file_name` counts.
pub(super) fn parse_checksum(text: &str, file_name: &str) -> Option<Digest> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = match lines[..] {
        [one] => one,
        _ => lines.into_iter().find(|line| {
            line.split_whitespace().nth(1).is_some_and(|name| name.trim_start_matches('*') == file_name)
        })?,
    };
    let hex = line.split_whitespace().next()?.to_ascii_lowercase();
    Digest::from_hex(hex.strip_prefix("sha256:").unwrap_or(&hex)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_picked() {
        let versions = ["1.2.0", "1.10.1", "2.0.0-beta.1", "v3.1.0"];
        for (wanted, picked) in [
            ("1.2.0", Some("1.2.0")),
            ("1.2", Some("1.10.1")),
            ("^1", Some("1.10.1")),
            ("~1.2", Some("1.2.0")),
            ("2.0.0-beta.1", Some("2.0.0-beta.1")),
            ("3.1.0", Some("v3.1.0")),
            ("1.3.0", None),
            ("nonsense", None),
        ] {
            assert_eq!(pick(versions.iter().copied(), wanted), picked, "{wanted}");
        }
    }

    #[test]
    fn checksum_files() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Digest::from_hex(hex).ok();
        assert_eq!(parse_checksum(hex, "a.tgz"), digest);
        assert_eq!(parse_checksum(&format!("{}  a.tgz\n", hex.to_uppercase()), "a.tgz"), digest);
        assert_eq!(parse_checksum(&format!("{}  b.tgz\n{hex} *a.tgz\n", "0".repeat(64)), "a.tgz"), digest);
        assert_eq!(parse_checksum("<html>", "a.tgz"), None);
        assert_eq!(parse_checksum("", "a.tgz"), None);
    }

    #[test]
    fn an_index_is_read() {
        let text = "apiVersion: v1\nentries:\n  app:\n  - version: 1.2.0\n    urls: [charts/app-1.2.0.tgz]\n    digest: abc\n    maintainers: [{name: x}]\ngenerated: now\n";
        let index = parse_index(text, "u").unwrap();
        assert_eq!(index.entries["app"][0].urls, ["charts/app-1.2.0.tgz"]);
        assert!(parse_index("<html>", "u").is_err());
    }
}
