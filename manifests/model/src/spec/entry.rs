//! The entries of a spec's lists.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::Platforms;
use crate::{Digest, ImageReference, SitePath};

pub(super) fn yes() -> bool {
    true
}

/// An image: a plain reference, or a mapping with `image` and options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Where it comes from.
    pub source: ImageSource,
    /// Its repository and tag at the site, where they differ from its own.
    pub site_name: Option<ImageReference>,
    /// Its platforms, where they differ from the spec's.
    pub platforms: Option<Platforms>,
    /// Whether its signatures and SBOMs come along, where that differs from the spec's.
    pub attachments: Option<bool>,
    /// Whether a build fails without it.
    pub required: bool,
}

/// The mapping form of an image.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImageMapping {
    /// A reference (`docker.io/library/registry:2`) or a transport as skopeo spells it (`oci:DIR:TAG`,
    /// `oci-archive:FILE`, `docker-archive:FILE`, `docker-daemon:NAME`).
    image: String,
    /// Its repository (and tag) at the site; default: its own path.
    #[serde(default, rename = "as")]
    site_name: Option<String>,
    /// Its platforms, where they differ from the spec's.
    #[serde(default)]
    platforms: Option<Platforms>,
    /// Whether its signatures and SBOMs come along.
    #[serde(default)]
    attachments: Option<bool>,
    /// Whether a build fails without it. Default: true.
    #[serde(default = "yes")]
    required: bool,
}

impl TryFrom<ImageMapping> for ImageEntry {
    type Error = String;

    fn try_from(mapping: ImageMapping) -> Result<Self, String> {
        let source: ImageSource = mapping.image.parse()?;
        let site_name = mapping.site_name.map(|name| parse_site_name(&name, &source)).transpose()?;
        if site_name.is_none() && source.reference().is_none() {
            return Err(format!("`{source}` carries no name of its own; say `as: repository:tag`"));
        }
        Ok(Self {
            source,
            site_name,
            platforms: mapping.platforms,
            attachments: mapping.attachments,
            required: mapping.required,
        })
    }
}

/// `as:` gives a repository and perhaps a tag, never a host: which registry it is, the site decides. The returned
/// reference has the source's registry, or `localhost` where it has none.
fn parse_site_name(name: &str, source: &ImageSource) -> Result<ImageReference, String> {
    let registry = source.reference().map_or("localhost", ImageReference::registry);
    let tagged = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let tag =
        source.reference().and_then(ImageReference::tag).filter(|_| !tagged).map(|tag| format!(":{tag}"));
    format!("{registry}/{name}{}", tag.unwrap_or_default()).parse::<ImageReference>().map_err(|_| {
        format!("`as: {name}` is not a repository; expected something like `library/registry:2`")
    })
}

impl<'de> Deserialize<'de> for ImageEntry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = ImageEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an image reference, or a mapping with `image`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ImageEntry, E> {
                let mapping = ImageMapping {
                    image: text.to_owned(),
                    site_name: None,
                    platforms: None,
                    attachments: None,
                    required: true,
                };
                mapping.try_into().map_err(E::custom)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<ImageEntry, A::Error> {
                let mapping = ImageMapping::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                mapping.try_into().map_err(serde::de::Error::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ImageEntry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ImageEntry".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mapping = generator.subschema_for::<ImageMapping>();
        schemars::json_schema!({
            "description": "An image reference, or a mapping with `image` and options",
            "anyOf": [{"type": "string"}, mapping]
        })
    }
}

/// Where an image comes from, spelled as skopeo spells its transports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// A registry.
    Registry(ImageReference),
    /// An OCI image layout in a folder; the name selects one image of several.
    OciLayout {
        /// The folder, relative to the spec's.
        path: String,
        /// `org.opencontainers.image.ref.name`, where given.
        name: Option<String>,
    },
    /// An OCI image layout in a tar file.
    OciArchive {
        /// The file, relative to the spec's folder.
        path: String,
        /// `org.opencontainers.image.ref.name`, where given.
        name: Option<String>,
    },
    /// What `docker save` writes, plain or gzip-compressed.
    DockerArchive {
        /// The file, relative to the spec's folder.
        path: String,
        /// Which image of several.
        reference: Option<ImageReference>,
    },
    /// An image of the local docker daemon.
    DockerDaemon(ImageReference),
}

impl ImageSource {
    /// The image's name in the world, where the source says it.
    pub fn reference(&self) -> Option<&ImageReference> {
        match self {
            Self::Registry(reference) | Self::DockerDaemon(reference) => Some(reference),
            Self::DockerArchive { reference, .. } => reference.as_ref(),
            Self::OciLayout { .. } | Self::OciArchive { .. } => None,
        }
    }
}

impl FromStr for ImageSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let file_and_name = |rest: &str| {
            let (path, name) = match rest.split_once(':') {
                Some((path, name)) => (path.to_owned(), Some(name.to_owned())),
                None => (rest.to_owned(), None),
            };
            if path.is_empty() { Err(format!("`{text}` names no file")) } else { Ok((path, name)) }
        };
        let image = |name: &str| name.parse::<ImageReference>().map_err(|error| error.to_string());
        if let Some(rest) = text.strip_prefix("docker://") {
            return image(rest).map(Self::Registry);
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, name) = file_and_name(rest)?;
            return Ok(Self::OciLayout { path, name });
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (path, name) = file_and_name(rest)?;
            return Ok(Self::OciArchive { path, name });
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (path, name) = file_and_name(rest)?;
            return Ok(Self::DockerArchive { path, reference: name.map(|name| image(&name)).transpose()? });
        }
        if let Some(rest) = text.strip_prefix("docker-daemon:") {
            return image(rest).map(Self::DockerDaemon);
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Err(format!(
                "`{text}` is a URL; an image is written without a scheme, and plain HTTP is chosen under `registries`"
            ));
        }
        image(text).map(Self::Registry)
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, transport: &str, path: &str, name: Option<String>| match name
        {
            Some(name) => write!(f, "{transport}:{path}:{name}"),
            None => write!(f, "{transport}:{path}"),
        };
        match self {
            Self::Registry(reference) => f.write_str(reference.raw()),
            Self::OciLayout { path, name } => named(f, "oci", path, name.clone()),
            Self::OciArchive { path, name } => named(f, "oci-archive", path, name.clone()),
            Self::DockerArchive { path, reference } => named(
                f,
                "docker-archive",
                path,
                reference.as_ref().map(|reference| reference.raw().to_owned()),
            ),
            Self::DockerDaemon(reference) => write!(f, "docker-daemon:{}", reference.raw()),
        }
    }
}

/// A chart: from a helm repository (`repo`, `name`), a registry (`chart: oci://…`) or this machine (`chart: FILE.tgz`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, try_from = "ChartMapping")]
pub struct ChartEntry {
    /// Where it comes from.
    pub source: ChartSource,
    /// The exact version, or a SemVer range. Of a local archive, what it must say; empty where nobody minds.
    pub version: String,
    /// Values files that `check` renders the chart with.
    pub values: Vec<String>,
    /// Whether a build fails without it.
    pub required: bool,
}

impl ChartEntry {
    /// The chart's name; of a local archive the file's, without its ending.
    pub fn name(&self) -> &str {
        match &self.source {
            ChartSource::Repository { name, .. } => name,
            ChartSource::Oci(reference) => reference.repository().rsplit('/').next().unwrap_or_default(),
            ChartSource::File(path) => {
                path.rsplit('/').next().unwrap_or_default().trim_end_matches(CHART_ENDING)
            }
        }
    }

    /// Whether it asks for this version of this chart. Of a local archive its name alone can tell, as helm gives it.
    pub fn is(&self, name: &str, version: &str) -> bool {
        match self.source {
            ChartSource::File(_) => self.name() == format!("{name}-{version}"),
            _ => self.name() == name && self.version == version,
        }
    }
}

/// Where a chart comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ChartSource {
    /// A helm repository over HTTP(S).
    Repository {
        /// Its URL, without `index.yaml`.
        url: String,
        /// The chart's name.
        name: String,
    },
    /// A registry; the reference has no tag.
    Oci(ImageReference),
    /// An archive on this machine, relative to the spec's folder.
    File(String),
}

/// How archives of charts are called.
const CHART_ENDING: &str = ".tgz";

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChartMapping {
    /// A helm repository's URL.
    #[serde(default)]
    repo: Option<String>,
    /// The chart's name in that repository.
    #[serde(default)]
    name: Option<String>,
    /// A chart in a registry, `oci://registry.example.com/charts/app`, or an archive relative to the spec's folder,
    /// `charts/app-1.2.0.tgz`.
    #[serde(default)]
    chart: Option<String>,
    /// The exact version, such as 1.2.0. Not needed for an archive.
    #[serde(default)]
    version: Option<String>,
    /// Values files that `check` renders the chart with.
    #[serde(default)]
    values: Vec<String>,
    /// Whether a build fails without it. Default: true.
    #[serde(default = "yes")]
    required: bool,
}

impl TryFrom<ChartMapping> for ChartEntry {
    type Error = String;

    fn try_from(mapping: ChartMapping) -> Result<Self, String> {
        let source = match (mapping.repo, mapping.name, mapping.chart) {
            (Some(url), Some(name), None) => {
                check_url(&url)?;
                ChartSource::Repository { url: url.trim_end_matches('/').to_owned(), name }
            }
            (None, None, Some(chart)) if chart.ends_with(CHART_ENDING) && !chart.contains("://") => {
                ChartSource::File(chart)
            }
            (None, None, Some(chart)) => {
                let rest = chart.strip_prefix("oci://").ok_or_else(|| {
                    format!("`chart: {chart}` is neither `oci://…` nor an archive (`*.tgz`); `helm package` makes one of a folder, and for a helm repository write `repo:` and `name:`")
                })?;
                if rest.rsplit('/').next().is_some_and(|last| last.contains([':', '@'])) {
                    return Err(format!("`{chart}` has a tag; the version goes into `version:`"));
                }
                ChartSource::Oci(
                    rest.parse().map_err(|error: crate::reference::ReferenceError| error.to_string())?,
                )
            }
            _ => {
                return Err("a chart has either `repo` and `name`, or `chart: oci://…` or `chart: FILE.tgz`"
                    .to_owned());
            }
        };
        let version = match (mapping.version, &source) {
            (Some(version), _) if version.is_empty() => return Err("`version` is empty".to_owned()),
            (Some(version), _) => version,
            (None, ChartSource::File(_)) => String::new(),
            (None, _) => return Err("missing field `version`".to_owned()),
        };
        Ok(Self { source, version, values: mapping.values, required: mapping.required })
    }
}

/// PaaS runtimes below one URL, for one repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Runtimes {
    /// The URL that the items' `url` is relative to, ending in `/`.
    #[serde(default)]
    pub base: Option<String>,
    /// Where they lie at the site, as `project/repository`.
    pub repository: String,
    /// The runtimes.
    pub items: Vec<RuntimeItem>,
}

/// A runtime, or one per version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeItem {
    /// A URL, absolute or relative to `base`; `{version}` is replaced by each of `versions`.
    pub url: String,
    /// Its path in the repository; `{version}` likewise.
    pub to: String,
    /// The versions; without any, `url` and `to` stand as they are.
    #[serde(default)]
    pub versions: Vec<String>,
    /// The expected digest, for an item with at most one version.
    #[serde(default)]
    pub sha256: Option<Sha256>,
    /// Whether a build fails without it. Default: true.
    #[serde(default = "yes")]
    pub required: bool,
}

/// A SaaS package (S-Mart).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SaasEntry {
    /// The application's code: `bk_itsm`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where to fetch it.
    pub url: String,
    /// The expected digest.
    #[serde(default)]
    pub sha256: Option<Sha256>,
    /// Its path at the site. Default: `saas/` and the URL's last part.
    #[serde(default)]
    pub to: Option<SitePath>,
    /// Whether a build fails without it. Default: true.
    #[serde(default = "yes")]
    pub required: bool,
}

/// A file from a URL, or local files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileEntry {
    /// Where to fetch it.
    #[serde(default)]
    pub url: Option<String>,
    /// A local file, folder or glob, relative to the spec's folder.
    #[serde(default)]
    pub path: Option<String>,
    /// Its path at the site; for a folder or a glob, or when it ends in `/`, the folder that they go to.
    pub to: String,
    /// The artifact repository that it belongs to.
    #[serde(default)]
    pub repository: Option<String>,
    /// The expected digest, for a single file.
    #[serde(default)]
    pub sha256: Option<Sha256>,
    /// Whether a build fails without it. Default: true.
    #[serde(default = "yes")]
    pub required: bool,
}

/// A sha256 as people paste it: 64 hex digits of either case, with or without `sha256:` in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256(pub Digest);

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let lower = text.trim().to_ascii_lowercase();
        let hex = lower.strip_prefix("sha256:").unwrap_or(&lower);
        Digest::from_hex(hex).map(Self).map_err(|_| serde::de::Error::custom("sha256 is not 64 hex digits"))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Sha256 {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sha256".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^(sha256:)?[0-9a-fA-F]{64}$"})
    }
}

/// An http(s) URL without credentials, which would end up in the lock.
pub(crate) fn check_url(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("`{text}` is not an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL has credentials, which would end up in the lock; put them into docker's config.json under the host".to_owned());
    }
    Ok(())
}
