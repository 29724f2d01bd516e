//! What bkrepo and helm repositories shall have.

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::site::RepositoryName;

/// A project of bkrepo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BkrepoProject {
    /// bkrepo's URL.
    pub bkrepo: String,
    /// The project's name.
    pub name: String,
    /// Whether it is made where it is not there. False: PaaS makes it, and is waited for.
    pub create: bool,
    /// How long to wait, in seconds: for bkrepo to answer, and for PaaS.
    pub patience: u32,
}

/// A repository of bkrepo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BkrepoRepository {
    /// bkrepo's URL.
    pub bkrepo: String,
    /// Its project and name.
    pub repository: RepositoryName,
    /// What it keeps.
    pub format: RepositoryFormat,
    /// Whether all may read, when it is made. One that is there stays as it is.
    pub public: bool,
    /// Whether it is made where it is not there. False: PaaS makes it, and is waited for.
    pub create: bool,
    /// How long to wait for PaaS, in seconds.
    pub patience: u32,
}

/// What a repository of bkrepo keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RepositoryFormat {
    /// Files of any kind.
    Generic,
    /// Helm charts.
    Helm,
}

impl std::fmt::Display for RepositoryFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Generic => "GENERIC",
            Self::Helm => "HELM",
        })
    }
}

/// A file in a generic repository of bkrepo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// bkrepo's URL.
    pub bkrepo: String,
    /// The repository.
    pub repository: RepositoryName,
    /// Its path there, with `/` in front.
    pub path: String,
    /// Its content.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Whether another file there is replaced.
    pub overwrite: bool,
    /// Whether a folder in its place is removed, and the copy at `misplaced`.
    pub repair: bool,
    /// The wrong path that the deployment guide's loop gives this file: without its first folder, and with its name as a
    /// folder. Absent where no loop would take it there, and where another file belongs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misplaced: Option<String>,
}

/// A chart in a helm repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartUpload {
    /// The repository, by the URL that helm knows it by.
    pub repository: String,
    /// How it takes charts.
    pub api: HelmApi,
    /// The chart's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The archive.
    pub archive: Digest,
    /// The archive's bytes.
    pub size: u64,
    /// The provenance file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Digest>,
    /// Whether a version that is there with other content is replaced.
    pub overwrite: bool,
}

/// How a helm repository takes charts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelmApi {
    /// [ChartMuseum's](https://github.com/helm/chartmuseum#api).
    ChartMuseum,
    /// bkrepo's.
    Bkrepo,
}
