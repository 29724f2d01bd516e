//! What bkrepo's refusals mean: status and code together, and what to do about each.

use ferry_model::failure::{Class, Failure};

use crate::SafeUrl;
use crate::error::said;

/// bkrepo says no, or what answers is no bkrepo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject} at {server}: {problem}{}{}", numbers(*status, *code), said(message))]
pub struct BkrepoError {
    /// The server.
    pub server: SafeUrl,
    /// What it was about: `project bkpaas`, `bkpaas/assets/a/b.tar`.
    pub subject: String,
    /// What is the matter.
    pub problem: BkrepoProblem,
    /// The HTTP status.
    pub status: u16,
    /// bkrepo's own code, or its gateway's.
    pub code: Option<i64>,
    /// What it said.
    pub message: String,
}

/// What bkrepo's refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BkrepoProblem {
    /// What answers does not speak as bkrepo does.
    #[error("what answers there is not bkrepo")]
    NotBkrepo,
    /// The login is not known (401).
    #[error("bkrepo does not know the user, or not with this password")]
    Unauthenticated,
    /// Its services do not believe each other, because their nodes' clocks differ.
    #[error("bkrepo's own services refuse each other")]
    ClockSkew,
    /// The login may not do this (403).
    #[error("the user may not do this")]
    Denied,
    /// No such project.
    #[error("there is no such project")]
    NoProject,
    /// No such repository.
    #[error("there is no such repository")]
    NoRepository,
    /// No such file or folder.
    #[error("there is no such file")]
    NoNode,
    /// It is there already.
    #[error("it is there already")]
    Exists,
    /// A folder lies where the file belongs, or a file where one of its folders does.
    #[error("a folder lies in the file's place, or a file in the place of one of its folders")]
    InTheWay,
    /// Files are in what shall be removed.
    #[error("files are in it")]
    NotEmpty,
    /// What arrived is not what was announced.
    #[error("what bkrepo received is not what was sent")]
    WrongDigest,
    /// The repository is full.
    #[error("the repository's quota is used up")]
    QuotaExceeded,
    /// bkrepo or its gateway takes no bodies of this size.
    #[error("it is larger than bkrepo takes at once")]
    TooLarge,
    /// A block upload that bkrepo knows nothing of, or not any more.
    #[error("bkrepo has forgotten the upload")]
    UploadForgotten,
    /// The path is none that bkrepo keeps as it is.
    #[error("its path cannot be used")]
    BadPath,
    /// Anything else; the code and bkrepo's own words say what.
    #[error("bkrepo refuses")]
    Other,
}

impl BkrepoProblem {
    /// What an answer means. `None` for what may pass by itself (408, 429, 5xx) and for what is not bkrepo's word.
    ///
    /// Rights are told by the status: 250111 is "denied" in 1.3.16 and something else in 3.x. `making`: something was to
    /// be made, and 251006 and 251008 are what very old releases say when it exists.
    pub(super) fn of(status: u16, code: Option<i64>, message: Option<&str>, making: bool) -> Option<Self> {
        if message.is_some_and(|message| message.contains("Expired token")) {
            return Some(Self::ClockSkew);
        }
        // The gateway's own errors have a status for a code.
        let own = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
        Some(match (own.unwrap_or(status), code) {
            (401, _) => Self::Unauthenticated,
            (403, _) => Self::Denied,
            (413, _) | (_, Some(251_027)) => Self::TooLarge,
            (_, Some(251_005 | 251_007 | 250_107 | 251_012)) => Self::Exists,
            (_, Some(251_006 | 251_008)) if making && status != 404 => Self::Exists,
            (_, Some(251_003)) => Self::WrongDigest,
            (_, Some(251_004)) => Self::NoProject,
            (_, Some(251_006)) => Self::NoRepository,
            (_, Some(251_008 | 251_009)) => Self::NotEmpty,
            (_, Some(251_010)) => Self::NoNode,
            (_, Some(251_011)) => Self::BadPath,
            (_, Some(251_013)) => Self::InTheWay,
            (_, Some(251_025)) => Self::QuotaExceeded,
            (_, Some(251_201)) => Self::UploadForgotten,
            (404 | 405 | 410, None) => Self::NotBkrepo,
            (408 | 425 | 429 | 500.., _) | (_, None) => return None,
            (_, Some(_)) => Self::Other,
        })
    }
}

impl Failure for BkrepoError {
    fn class(&self) -> Class {
        match self.problem {
            BkrepoProblem::Unauthenticated | BkrepoProblem::ClockSkew | BkrepoProblem::Denied => {
                Class::Denied
            }
            BkrepoProblem::NoProject | BkrepoProblem::NoRepository | BkrepoProblem::NoNode => Class::NotFound,
            BkrepoProblem::WrongDigest => Class::Verification,
            BkrepoProblem::UploadForgotten => Class::Transient,
            BkrepoProblem::BadPath => Class::Input,
            BkrepoProblem::NotBkrepo
            | BkrepoProblem::Exists
            | BkrepoProblem::InTheWay
            | BkrepoProblem::NotEmpty
            | BkrepoProblem::QuotaExceeded
            | BkrepoProblem::TooLarge
            | BkrepoProblem::Other => Class::Protocol,
        }
    }

    fn hints(&self) -> Vec<String> {
        let Self { server, subject, .. } = self;
        let hint = match self.problem {
            BkrepoProblem::NotBkrepo => format!(
                "bkrepo's URL is that of its gateway: http://bkrepo.YOUR_DOMAIN, or http://NODE:30025; check that {} resolves to the ingress that serves it",
                server.host()
            ),
            BkrepoProblem::Unauthenticated => {
                "check bkrepo's login in the site file; PaaS's own is in the Secret bkpaas3-apiserver-bkrepo-envs".to_owned()
            }
            BkrepoProblem::ClockSkew => {
                "the clocks of the cluster's nodes differ by more than 60 s: set them by NTP (chronyc makestep), then run the same command again".to_owned()
            }
            BkrepoProblem::Denied => {
                format!("give the user write access to {subject} in bkrepo, or use a login that has it (bkrepo's admin)")
            }
            BkrepoProblem::NoProject | BkrepoProblem::NoRepository => {
                "PaaS makes its repositories when it is installed: install it first, or have them made (`create: true` under `bkrepo`)".to_owned()
            }
            BkrepoProblem::Exists => {
                "to replace what is there, say `overwrite: true` under `bkrepo` in the site file".to_owned()
            }
            BkrepoProblem::InTheWay => {
                "the deployment guide's upload loop leaves folders with files' names: look there, then say `repair: true` under `bkrepo` in the site file".to_owned()
            }
            BkrepoProblem::WrongDigest => {
                "something on the way, or bkrepo's storage, changed the content: run the same command again".to_owned()
            }
            BkrepoProblem::QuotaExceeded => {
                "raise the repository's quota in bkrepo, or delete what is not needed there".to_owned()
            }
            BkrepoProblem::TooLarge => {
                "raise the limit of the ingress (nginx.ingress.kubernetes.io/proxy-body-size) or of bkrepo's gateway (client_max_body_size)".to_owned()
            }
            BkrepoProblem::UploadForgotten => "run the same command again: the upload begins anew".to_owned(),
            BkrepoProblem::NotEmpty | BkrepoProblem::NoNode | BkrepoProblem::BadPath | BkrepoProblem::Other => {
                return Vec::new();
            }
        };
        vec![hint]
    }
}

/// What was answered, in numbers, behind our own words.
fn numbers(status: u16, code: Option<i64>) -> String {
    match (status, code) {
        (0, _) => String::new(),
        (status, None) => format!(" ({status})"),
        (status, Some(code)) => format!(" ({status}, code {code})"),
    }
}
