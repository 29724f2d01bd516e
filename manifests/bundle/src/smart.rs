//! S-Mart packages: what a SaaS package says of itself, read from its stream in bounded memory.
//!
//! The rules are those of PaaS itself ([blueking-paas], `paasng/platform/smart_app`): the first `app_desc.yaml` (or
//! `.yml`) in the order of names describes the application; a file `.Version` marks a package of image layers, and its
//! content says of which kind; without it the package is source code.
//!
//! [blueking-paas]: https://github.com/TencentBlueKing/blueking-paas

mod description;

use std::fmt;
use std::io::Read;

use ferry_model::failure::{Class, Failure};
use serde::{Deserialize, Serialize};

use crate::tarball::{self, Limits, Member, MemberKind, TarballError};

/// The largest `app_desc.yaml`.
const MAX_DESCRIPTION: u64 = 1 << 20;
/// The largest `.Version`; it holds one word.
const MAX_MARK: u64 = 4096;

/// A SaaS package, as far as installing it needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// The application's code: `bk_itsm`.
    pub app_code: String,
    /// Its version: `2.6.6`.
    pub version: String,
    /// The version of the description's form: 1, 2 or 3.
    pub spec_version: u8,
    /// What it is made of.
    pub kind: PackageKind,
    /// Its modules, sorted by name.
    pub modules: Vec<Module>,
}

/// What a package is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PackageKind {
    /// Layers for the image that PaaS makes of each module (`.Version` says `slug-layers`).
    SlugImage,
    /// Images of cloud-native buildpacks (`cnb-image-layers`).
    CnbImage,
    /// Source code, which PaaS builds with runtimes.
    Source,
}

/// One module of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Module {
    /// Its name: `default`.
    pub name: String,
    /// Where its code or its layers lie, below the folder of the description.
    pub source_dir: String,
    /// Its language, where the description says it.
    pub language: Option<String>,
}

/// An image that PaaS puts a package's layers on, and that must be at the site before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseImage {
    /// `blueking/slug-app`, which PaaS keeps as `slug-pilot` in its own registry.
    SlugApp,
    /// `blueking/run-heroku-bionic`, or the runner of a later stack.
    HerokuRunner,
}

impl Package {
    /// Whether it installs without runtimes: `image` in the words of `deploy_bkapp --revision`, else `package`.
    pub fn revision_kind(&self) -> &'static str {
        match self.kind {
            PackageKind::SlugImage | PackageKind::CnbImage => "image",
            PackageKind::Source => "package",
        }
    }

    /// The image that it needs.
    pub fn base_image(&self) -> Option<BaseImage> {
        match self.kind {
            PackageKind::SlugImage => Some(BaseImage::SlugApp),
            PackageKind::CnbImage => Some(BaseImage::HerokuRunner),
            PackageKind::Source => None,
        }
    }
}

impl BaseImage {
    /// Whether an image of this repository is it: `blueking/slug-app`.
    pub fn is(self, repository: &str) -> bool {
        let name = repository.rsplit('/').next().unwrap_or(repository);
        match self {
            Self::SlugApp => matches!(name, "slug-app" | "slug-pilot"),
            Self::HerokuRunner => name.starts_with("run-heroku-"),
        }
    }
}

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SlugApp => "blueking/slug-app",
            Self::HerokuRunner => "blueking/run-heroku-bionic",
        })
    }
}

impl fmt::Display for PackageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SlugImage => "image layers (slug)",
            Self::CnbImage => "image layers (CNB)",
            Self::Source => "source code",
        })
    }
}

/// Why a file is no S-Mart package.
#[derive(Debug, thiserror::Error)]
pub enum SmartError {
    /// No tar archive, or not a whole one.
    #[error("no S-Mart package: {0}")]
    Archive(#[from] TarballError),
    /// An archive of something else.
    #[error("no S-Mart package: it has no app_desc.yaml")]
    NoDescription,
    /// A description that PaaS would refuse.
    #[error("{name}: {reason}")]
    Description {
        /// The file in the package.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Failure for SmartError {
    fn class(&self) -> Class {
        Class::Verification
    }

    fn hints(&self) -> Vec<String> {
        vec!["look at what the URL really gives: an error page, a login page and a cut-off download look like this"
            .into()]
    }
}

/// Reads a package's stream to its end.
pub fn read(stream: impl Read) -> Result<Package, SmartError> {
    read_within(stream, Limits::default())
}

fn read_within(stream: impl Read, limits: Limits) -> Result<Package, SmartError> {
    let mut found = Found::default();
    tarball::walk(stream, limits, |member| found.take(member))?;
    let (name, text) = found.description.ok_or(SmartError::NoDescription)?;
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mark = found.marks.iter().find(|(place, _)| place.is_empty() || place == folder);
    let kind = match mark.map(|(_, word)| word.as_str()) {
        None | Some("source") => PackageKind::Source,
        Some("cnb-image-layers") => PackageKind::CnbImage,
        // PaaS takes every other word for this, too.
        Some(_) => PackageKind::SlugImage,
    };
    let described = description::parse(&text).map_err(|reason| SmartError::Description { name, reason })?;
    Ok(Package {
        app_code: described.app_code,
        version: described.version,
        spec_version: described.spec_version,
        kind,
        modules: described.modules,
    })
}

/// What of a package is kept while it flows past.
#[derive(Default)]
struct Found {
    /// The name and the text of the description that stands first in the order of names.
    description: Option<(String, String)>,
    /// The folder and the word of each `.Version` at the root or one folder below it.
    marks: Vec<(String, String)>,
}

impl Found {
    fn take(&mut self, member: Member<'_>) -> Result<(), SmartError> {
        if member.kind != MemberKind::File {
            return Ok(());
        }
        let (folder, file) = member.name.rsplit_once('/').unwrap_or(("", &member.name));
        match file {
            "app_desc.yaml" | "app_desc.yml"
                if self.description.as_ref().is_none_or(|(first, _)| member.name < *first) =>
            {
                let text = text(member.content, MAX_DESCRIPTION, "bytes in app_desc.yaml")?;
                self.description = Some((member.name, text));
            }
            ".Version" if !folder.contains('/') && self.marks.len() < 64 => {
                let word = text(member.content, MAX_MARK, "bytes in .Version")?.trim().to_owned();
                self.marks.push((folder.to_owned(), word));
            }
            _ => {}
        }
        Ok(())
    }
}

fn text(content: &mut dyn Read, limit: u64, what: &'static str) -> Result<String, SmartError> {
    let mut bytes = Vec::new();
    content.take(limit + 1).read_to_end(&mut bytes).map_err(TarballError::from)?;
    if bytes.len() as u64 > limit {
        return Err(TarballError::Limit { what, limit }.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
