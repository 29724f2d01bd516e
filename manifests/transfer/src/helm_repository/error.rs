//! What helm repositories' refusals mean.

use ferry_model::failure::{Class, Failure};
use ferry_model::plan::HelmApi;
use serde::Deserialize;

use crate::SafeUrl;
use crate::error::said;

/// A helm repository says no, or what answers is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject} in the helm repository {repository}: {problem} ({status}){}", said(message))]
pub struct HelmRepositoryError {
    /// The repository.
    pub repository: SafeUrl,
    /// What it was about: `demo 1.2.0`, `index.yaml`.
    pub subject: String,
    /// How the repository was spoken to.
    pub api: HelmApi,
    /// What is the matter.
    pub problem: HelmRepositoryProblem,
    /// The HTTP status.
    pub status: u16,
    /// What it said.
    pub message: String,
}

/// What a helm repository's refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelmRepositoryProblem {
    /// What answers does not speak as such repositories do.
    #[error("what answers there is not such a repository")]
    NotARepository,
    /// The login is not known (401).
    #[error("the user is not known there, or not with this password")]
    Unauthenticated,
    /// The login may not do this (403).
    #[error("the user may not do this")]
    Denied,
    /// The version is there already (409).
    #[error("this version is there already")]
    Exists,
    /// It takes no archives of this size (413).
    #[error("the archive is larger than is taken there")]
    TooLarge,
    /// Anything else; its own words say what.
    #[error("it refuses")]
    Other,
}

impl HelmRepositoryProblem {
    /// What a status means. `None` for what may pass by itself.
    pub(super) fn of(status: u16, message: &str) -> Option<Self> {
        Some(match status {
            401 => Self::Unauthenticated,
            403 => Self::Denied,
            409 => Self::Exists,
            413 => Self::TooLarge,
            404 | 405 | 410 => Self::NotARepository,
            // What bkrepo says to a chart for a repository that is not there, or not for charts.
            400 if message.starts_with("Helm repository [") => Self::NotARepository,
            400 | 422 => Self::Other,
            _ => return None,
        })
    }
}

impl Failure for HelmRepositoryError {
    fn class(&self) -> Class {
        match self.problem {
            HelmRepositoryProblem::Unauthenticated | HelmRepositoryProblem::Denied => Class::Denied,
            HelmRepositoryProblem::NotARepository
            | HelmRepositoryProblem::Exists
            | HelmRepositoryProblem::TooLarge
            | HelmRepositoryProblem::Other => Class::Protocol,
        }
    }

    fn hints(&self) -> Vec<String> {
        let Self { repository, api, .. } = self;
        let hint = match (self.problem, api) {
            (HelmRepositoryProblem::NotARepository, HelmApi::ChartMuseum) => format!(
                "it must be the URL that `helm repo add` takes, of a ChartMuseum whose API is on (DISABLE_API=false) or of Harbor's …/chartrepo/PROJECT: check {repository}/index.yaml"
            ),
            (HelmRepositoryProblem::NotARepository, HelmApi::Bkrepo) => format!(
                "it must be http://helm.YOUR_DOMAIN/PROJECT/REPOSITORY, and the repository there and of the type HELM: check {repository}/index.yaml"
            ),
            (HelmRepositoryProblem::Unauthenticated, _) => {
                "check the login of this helm repository in the site file".to_owned()
            }
            (HelmRepositoryProblem::Denied, _) => {
                "give the user the right to write there, or use a login that has it".to_owned()
            }
            (HelmRepositoryProblem::Exists, HelmApi::ChartMuseum) => {
                "to replace it, say `overwrite: true` for this helm repository in the site file; ChartMuseum must allow it too (ALLOW_OVERWRITE=true)".to_owned()
            }
            (HelmRepositoryProblem::Exists, HelmApi::Bkrepo) => {
                "to replace it, say `overwrite: true` for this helm repository in the site file".to_owned()
            }
            (HelmRepositoryProblem::TooLarge, _) => {
                "raise the limit of the ingress (nginx.ingress.kubernetes.io/proxy-body-size) or of ChartMuseum (MAX_UPLOAD_SIZE)".to_owned()
            }
            (HelmRepositoryProblem::Other, _) => return Vec::new(),
        };
        vec![hint]
    }
}

/// What is said in a refusal: ChartMuseum's and Harbor's `error`, bkrepo's `message` or `error`.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        #[serde(default)]
        error: Option<String>,
        #[serde(default)]
        message: Option<String>,
    }
    let said = serde_json::from_slice::<Said>(body).ok().and_then(|said| said.error.or(said.message));
    said.unwrap_or_default().chars().filter(|letter| !letter.is_control()).take(300).collect()
}
