//! `bkdl`: what BlueKing's own download script (`bkdl-7.1-stable.sh`) would fetch, from the same index.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::check_url;
use super::entry::yes;

/// Packages and groups of a release of a channel of BlueKing's download site.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, try_from = "BkdlMapping")]
pub struct Bkdl {
    /// The site, ending in `/`.
    pub base: String,
    /// The channel, without a `/` at either end: `ce7/7.1-stable`.
    pub channel: String,
    /// The release, or `latest`.
    pub release: String,
    /// What to take of it.
    pub items: Vec<BkdlItem>,
    /// Whether the images that its package `chart-images` lists are carried.
    pub chart_images: bool,
    /// The registry of images that are listed without one.
    pub registry: String,
    /// Whether a build fails without any of it.
    pub required: bool,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BkdlMapping {
    /// The download site. Default: https://bkopen-1252002024.file.myqcloud.com/.
    #[serde(default)]
    base: Option<String>,
    /// The channel, as the script's `-C` takes it: `ce7/7.1-stable`, `ce7/paas-runtimes`.
    channel: String,
    /// The release, as `-r` takes it: a version, or `latest` (the default).
    #[serde(default)]
    release: Option<String>,
    /// Names of packages and groups, as the script takes them: `base`, `gse_agent`, `python=3.10.5`.
    #[serde(default)]
    items: Vec<BkdlItem>,
    /// Carry the images that the release's package `chart-images` lists.
    #[serde(default)]
    chart_images: bool,
    /// The registry of images that are listed without one. Default: hub.bktencent.com.
    #[serde(default)]
    registry: Option<String>,
    /// Whether a build fails without any of it. Default: true.
    #[serde(default = "yes")]
    required: bool,
}

impl Bkdl {
    /// The script's default.
    pub const DEFAULT_BASE: &str = "https://bkopen-1252002024.file.myqcloud.com/";
    /// Where BlueKing's own images are.
    pub const DEFAULT_REGISTRY: &str = "hub.bktencent.com";
    /// The release that is the last of the channel's list.
    pub const LATEST: &str = "latest";
}

impl TryFrom<BkdlMapping> for Bkdl {
    type Error = String;

    fn try_from(mapping: BkdlMapping) -> Result<Self, String> {
        let mut base = mapping.base.unwrap_or_else(|| Self::DEFAULT_BASE.to_owned());
        check_url(&base)?;
        if base.contains(['?', '#']) {
            return Err(format!("`base: {base}` has a query; paths are put behind it"));
        }
        if !base.ends_with('/') {
            base.push('/');
        }
        let channel = mapping.channel.trim_matches('/').to_owned();
        if channel.is_empty() || !channel.split('/').all(is_word) {
            return Err(format!(
                "`channel: {}` is not a channel; expected something like `ce7/7.1-stable`",
                mapping.channel
            ));
        }
        let release = mapping.release.unwrap_or_else(|| Self::LATEST.to_owned());
        if !is_word(&release) {
            return Err(format!(
                "`release: {release}` is not a release; expected a version such as `7.1.3`, or `latest`"
            ));
        }
        if mapping.items.is_empty() && !mapping.chart_images {
            return Err("neither `items` nor `chartImages: true`: nothing to take".to_owned());
        }
        let registry = mapping.registry.unwrap_or_else(|| Self::DEFAULT_REGISTRY.to_owned());
        crate::ImageReference::new(&registry, "a", None, None)
            .map_err(|_| format!("`registry: {registry}` is not a registry's host"))?;
        Ok(Self {
            base,
            channel,
            release,
            items: mapping.items,
            chart_images: mapping.chart_images,
            registry,
            required: mapping.required,
        })
    }
}

/// `NAME` or `NAME=VERSION`: a package or a group, as the script takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BkdlItem {
    /// The package or group.
    pub name: String,
    /// Its version, where it is not the release's own.
    pub version: Option<String>,
}

impl BkdlItem {
    pub(crate) const EXPECTING: &'static str = "NAME or NAME=VERSION, such as `python=3.10.5`";
}

impl FromStr for BkdlItem {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        if !is_word(name) || !version.is_none_or(is_word) {
            return Err(format!("`{text}` is not {}", Self::EXPECTING));
        }
        Ok(Self { name: name.to_owned(), version: version.map(str::to_owned) })
    }
}

impl fmt::Display for BkdlItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}={version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

crate::serde_as_string!(BkdlItem);

/// What becomes a part of a URL: letters, digits, `.`, `_`, `-`, `+` and `~`, and not dots alone.
fn is_word(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+~".contains(c))
        && !text.chars().all(|c| c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure as _;
    use crate::spec::Spec;

    const HEAD: &str = "apiVersion: ferry/v1\nkind: Bundle\nname: demo\nversion: 1.0.0\nbkdl:\n";

    fn parse(entry: &str) -> Result<Bkdl, crate::document::DocumentError> {
        Spec::parse(&format!("{HEAD}  - {entry}\n")).map(|mut spec| spec.bkdl.remove(0))
    }

    #[test]
    fn what_is_left_out_is_as_the_script_has_it() {
        let bkdl = parse("{channel: /ce7/7.1-stable/, items: [base, gse_agent=2.1.5-beta.7]}").unwrap();
        assert_eq!((bkdl.base.as_str(), bkdl.channel.as_str()), (Bkdl::DEFAULT_BASE, "ce7/7.1-stable"));
        assert_eq!((bkdl.release.as_str(), bkdl.registry.as_str()), ("latest", "hub.bktencent.com"));
        assert!(bkdl.required && !bkdl.chart_images);
        assert_eq!(bkdl.items[1].version.as_deref(), Some("2.1.5-beta.7"));
        assert_eq!(
            bkdl.items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            "base gse_agent=2.1.5-beta.7"
        );
    }

    #[test]
    fn versions_stay_text_and_a_base_gets_its_slash() {
        let bkdl = parse(
            "{base: \"http://mirror.corp:8080/bk\", channel: c, release: 7.10, items: [\"go=1.10\"], chartImages: true}",
        );
        let bkdl = bkdl.unwrap();
        assert_eq!((bkdl.base.as_str(), bkdl.release.as_str()), ("http://mirror.corp:8080/bk/", "7.10"));
        assert_eq!(bkdl.items[0].version.as_deref(), Some("1.10"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (entry, expect) in [
            ("{channel: c}", "nothing to take"),
            ("{channel: c, items: []}", "nothing to take"),
            ("{channel: ../c, items: [a]}", "not a channel"),
            ("{channel: \"\", items: [a]}", "not a channel"),
            ("{channel: c, release: a/b, items: [a]}", "not a release"),
            ("{channel: c, items: [\"a b\"]}", "NAME=VERSION"),
            ("{channel: c, items: [\"a=\"]}", "NAME=VERSION"),
            ("{channel: c, items: [\"a=../x\"]}", "NAME=VERSION"),
            ("{channel: c, items: [\"a=1,b\"]}", "NAME=VERSION"),
            ("{base: \"ftp://h/\", channel: c, items: [a]}", "http"),
            ("{base: \"https://u:p@h/\", channel: c, items: [a]}", "credentials"),
            ("{base: \"https://h/?x=\", channel: c, items: [a]}", "query"),
            ("{channel: c, items: [a], registry: \"a b\"}", "registry"),
        ] {
            let error = parse(entry).unwrap_err();
            assert!(error.to_string().contains(expect), "{entry}: {error}");
        }
        let error = parse("{channel: c, item: [a]}").unwrap_err();
        assert_eq!(error.hints(), ["did you mean `items`?"]);
    }
}
