//! Where charts go.

use serde::Deserialize;

use super::bkrepo::RepositoryName;
use super::modes::check_site_url;
use super::secret::Login;

/// Where charts go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Charts {
    /// Push charts into the registry, as OCI artifacts. Default: true.
    #[serde(default = "yes")]
    pub push: bool,
    /// What their repositories begin with. Default: charts.
    #[serde(default = "charts")]
    pub prefix: String,
    /// Helm repositories that charts are uploaded to.
    #[serde(default)]
    pub repositories: Vec<HelmRepository>,
}

impl Default for Charts {
    fn default() -> Self {
        Self { push: true, prefix: charts(), repositories: Vec::new() }
    }
}

/// A helm repository that charts are uploaded to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "HelmRepositoryMapping")]
pub struct HelmRepository {
    /// Which one.
    pub place: HelmPlace,
    /// Replace a version that is there with other content.
    pub overwrite: bool,
}

/// Which helm repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelmPlace {
    /// One that speaks ChartMuseum's API, by the URL that helm knows it by: ChartMuseum itself, and Harbor's `…/chartrepo/PROJECT`.
    ChartMuseum {
        /// The URL, without `/` at its end.
        url: String,
        /// Who uploads.
        login: Option<Login>,
    },
    /// One of the site's bkrepo.
    Bkrepo(RepositoryName),
}

/// A helm repository that charts are uploaded to: `url` or `bkrepo`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HelmRepositoryMapping {
    /// The URL of one with ChartMuseum's API, as `helm repo add` takes it.
    #[serde(default)]
    url: Option<String>,
    /// Who uploads there.
    #[serde(default)]
    login: Option<Login>,
    /// A helm repository of the site's bkrepo: `blueking/charts`. Made where it is not there.
    #[serde(default)]
    bkrepo: Option<RepositoryName>,
    /// Replace a version that is there with other content. Default: false.
    #[serde(default)]
    overwrite: bool,
}

impl TryFrom<HelmRepositoryMapping> for HelmRepository {
    type Error = String;

    fn try_from(mapping: HelmRepositoryMapping) -> Result<Self, String> {
        let place = match (mapping.url, mapping.bkrepo, mapping.login) {
            (Some(url), None, login) => {
                check_site_url(&url)?;
                HelmPlace::ChartMuseum { url: url.trim_end_matches('/').to_owned(), login }
            }
            (None, Some(repository), None) => HelmPlace::Bkrepo(repository),
            (None, Some(_), Some(_)) => {
                return Err("bkrepo's login is said once, under `bkrepo` of the site".to_owned());
            }
            _ => return Err("a helm repository has either `url` or `bkrepo`".to_owned()),
        };
        Ok(Self { place, overwrite: mapping.overwrite })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for HelmRepository {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HelmRepository".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        HelmRepositoryMapping::json_schema(generator)
    }
}

fn yes() -> bool {
    true
}

fn charts() -> String {
    "charts".to_owned()
}
