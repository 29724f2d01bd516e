//! BlueKing's artifact repository: where it is, who uploads, what may be replaced.

use serde::Deserialize;

use super::modes::check_site_url;
use super::secret::{Login, SecretSource};

/// BlueKing's artifact repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BkrepoMapping")]
pub struct Bkrepo {
    /// Its URL, without `/` or `/generic` at its end: `http://bkrepo.bkce7.example.com`.
    pub url: String,
    /// Who uploads.
    pub access: Access,
    /// Make projects and repositories that are not there. False: wait for PaaS to have made them.
    pub create: bool,
    /// How long `apply` waits for repositories that PaaS makes, and for a bkrepo that stops answering, in seconds.
    pub patience: u32,
    /// Replace files that are there with other content.
    pub overwrite: bool,
    /// Remove folders that lie where a file belongs, and copies that the deployment guide's loop left at wrong paths.
    pub repair: bool,
    /// Where files of the bundle go that name no repository.
    pub files: Vec<Destination>,
}

/// Who uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody in particular: for what is readable by all.
    Anonymous,
    /// A user (Basic).
    Login(Login),
    /// A platform account (`Authorization: Platform`).
    Platform(Platform),
    /// Whom PaaS uploads as, read from its Secret on the cluster.
    PaasSecret(PaasSecret),
}

/// A platform account of bkrepo.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Platform {
    /// Where its access key is.
    pub access_key: SecretSource,
    /// Where its secret key is.
    pub secret_key: SecretSource,
    /// The user on whose behalf it acts (`X-BKREPO-UID`).
    pub user: String,
}

/// The Secret in which PaaS keeps bkrepo's address and login, written as `{PROJECT='…', ENDPOINT='…', USERNAME='…', PASSWORD='…'}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PaasSecret {
    /// Its namespace. Default: blueking.
    #[serde(default = "namespace")]
    pub namespace: String,
    /// Its name. Default: bkpaas3-apiserver-bkrepo-envs.
    #[serde(default = "secret_name")]
    pub name: String,
    /// Its key. Default: BLOBSTORE_BKREPO_CONFIG.
    #[serde(default = "secret_key")]
    pub key: String,
}

/// Where some files of the bundle go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destination {
    /// What their path in the bundle begins with: `gse2/`. Default: all that no other entry takes.
    #[serde(default)]
    pub from: String,
    /// Their repository: `blueking/bknodeman`.
    pub repository: RepositoryName,
    /// Their folder there, instead of `from`.
    #[serde(default)]
    pub to: String,
}

/// A repository of bkrepo: `project/repository`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName {
    /// The project.
    pub project: String,
    /// The repository's name in it.
    pub name: String,
}

impl std::str::FromStr for RepositoryName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Project names: `[a-zA-Z_][a-zA-Z0-9\-_]{1,31}` (bk-repo, ProjectServiceImpl.kt); the same letters in repositories.
        let is_name = |part: &str| {
            let is_fit = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
            !part.is_empty() && part.len() <= 64 && part.chars().all(is_fit)
        };
        match text.split_once('/') {
            Some((project, name)) if is_name(project) && is_name(name) => {
                Ok(Self { project: project.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!(
                "`{text}` is no repository of bkrepo; expected PROJECT/REPOSITORY, such as bkpaas/bkpaas3-platform-assets"
            )),
        }
    }
}

impl std::fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

impl RepositoryName {
    pub(crate) const EXPECTING: &'static str = "a repository of bkrepo: `project/repository`";
}

crate::serde_as_string!(RepositoryName);

/// BlueKing's artifact repository.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BkrepoMapping {
    /// Its URL: `http://bkrepo.bkce7.example.com`.
    url: String,
    /// The user that uploads.
    #[serde(default)]
    login: Option<Login>,
    /// The platform account that uploads.
    #[serde(default)]
    platform: Option<Platform>,
    /// Upload as PaaS does: its login is read from its Secret on the cluster. `{}` for the usual one.
    #[serde(default)]
    paas_secret: Option<PaasSecret>,
    /// Make projects and repositories that are not there. False: wait for PaaS to have made them. Default: true.
    #[serde(default = "yes")]
    create: bool,
    /// Seconds that `apply` waits for repositories that PaaS makes, and for a bkrepo that stops answering. One that does not answer
    /// when the plan is made is left for the next `apply`. Default: 600.
    #[serde(default = "patience")]
    patience: u32,
    /// Replace files that are there with other content. Default: false.
    #[serde(default)]
    overwrite: bool,
    /// Remove folders that lie where a file belongs, and copies that the deployment guide's loop left at wrong paths.
    /// Default: false.
    #[serde(default)]
    repair: bool,
    /// Where files of the bundle go that name no repository.
    #[serde(default)]
    files: Vec<Destination>,
}

impl TryFrom<BkrepoMapping> for Bkrepo {
    type Error = String;

    fn try_from(mapping: BkrepoMapping) -> Result<Self, String> {
        check_site_url(&mapping.url)?;
        let access = match (mapping.login, mapping.platform, mapping.paas_secret) {
            (None, None, None) => Access::Anonymous,
            (Some(login), None, None) => Access::Login(login),
            (None, Some(platform), None) => Access::Platform(platform),
            (None, None, Some(secret)) => Access::PaasSecret(secret),
            _ => return Err("`login`, `platform` and `paasSecret` exclude each other".to_owned()),
        };
        Ok(Self {
            url: gateway(&mapping.url).to_owned(),
            access,
            create: mapping.create,
            patience: mapping.patience,
            overwrite: mapping.overwrite,
            repair: mapping.repair,
            files: mapping.files,
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Bkrepo {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bkrepo".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BkrepoMapping::json_schema(generator)
    }
}

/// The URL below which all of bkrepo's services are. The deployment guide's tool wants that of the one for files.
fn gateway(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/generic").unwrap_or(url).trim_end_matches('/')
}

fn yes() -> bool {
    true
}

fn patience() -> u32 {
    600
}

fn namespace() -> String {
    "blueking".to_owned()
}

fn secret_name() -> String {
    "bkpaas3-apiserver-bkrepo-envs".to_owned()
}

fn secret_key() -> String {
    "BLOBSTORE_BKREPO_CONFIG".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bkrepo_is_one_url() {
        for (written, meant) in [
            ("http://b.corp", "http://b.corp"),
            ("http://b.corp/", "http://b.corp"),
            ("http://b.corp/generic", "http://b.corp"),
            ("http://b.corp/generic/", "http://b.corp"),
            ("https://b.corp/repo/generic//", "https://b.corp/repo"),
            ("http://b.corp/mygeneric", "http://b.corp/mygeneric"),
            ("http://b.corp/generic/more", "http://b.corp/generic/more"),
        ] {
            let bkrepo: Bkrepo = serde_json::from_value(serde_json::json!({ "url": written })).unwrap();
            assert_eq!(bkrepo.url, meant, "{written}");
        }
    }
}
