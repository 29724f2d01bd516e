//! Credentials as docker and podman keep them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};

use crate::{Error, Login};

/// Who we are to a registry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Credential {
    /// A user and a password.
    Password { user: String, password: String },
    /// What `docker login` keeps for registries with OAuth2: exchanged for a token by the token service.
    IdentityToken(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// What was found for a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) credential: Option<Credential>,
    /// Why a place that should have known could not be asked; a hint for when access is denied.
    pub(crate) trouble: Option<String>,
}

/// The longest that a credential helper may take: some ask a person.
const HELPER_TIMEOUT: Duration = Duration::from_secs(120);

/// The files that credentials are looked up in, and what was found.
#[derive(Debug)]
pub(crate) struct Keyring {
    /// Those that were given, by host.
    logins: BTreeMap<String, Login>,
    files: Vec<AuthFile>,
    found: Mutex<HashMap<(PathBuf, Vec<String>), Found>>,
}

#[derive(Debug)]
struct AuthFile {
    path: PathBuf,
    /// Of one that the user named: a pipe can be read but once.
    text: Option<Text>,
}

/// What such a file holds, which is secret.
#[derive(Clone)]
struct Text(Vec<u8>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Text")
    }
}

impl AuthFile {
    /// What it holds; `None` if it is not there.
    fn read(&self) -> Result<Option<Text>, Error> {
        if let Some(text) = &self.text {
            return Ok(Some(text.clone()));
        }
        match std::fs::read(&self.path) {
            Ok(text) => Ok(Some(text.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(auth_file_error(&self.path, error.to_string())),
        }
    }
}

impl From<Vec<u8>> for Text {
    /// `/dev/null` and an empty file say that there are no credentials.
    fn from(text: Vec<u8>) -> Self {
        Self(if text.trim_ascii().is_empty() { b"{}".to_vec() } else { text })
    }
}

impl From<PathBuf> for AuthFile {
    fn from(path: PathBuf) -> Self {
        Self { path, text: None }
    }
}

impl Keyring {
    /// `auth_file` alone where given; else the files of docker and podman, docker's first.
    pub(crate) fn new(auth_file: Option<&Path>) -> Result<Self, Error> {
        let files = match auth_file {
            Some(path) => {
                // Named by the user, so it has to be there and to be read; the others need not.
                let text = std::fs::read(path).map_err(|source| auth_file_error(path, source.to_string()))?;
                let text = Text::from(text);
                parse(path, &text.0)?;
                vec![AuthFile { path: path.to_owned(), text: Some(text) }]
            }
            None => {
                let files = default_files(|name| std::env::var_os(name).map(PathBuf::from));
                files.into_iter().map(AuthFile::from).collect()
            }
        };
        Ok(Self { logins: BTreeMap::new(), files, found: Mutex::default() })
    }

    /// The same with given logins, which come first.
    pub(crate) fn with_logins(mut self, logins: BTreeMap<String, Login>) -> Self {
        self.logins = logins;
        self
    }

    /// The credentials for a repository of a registry.
    pub(crate) async fn find(&self, registry: &str, repository: &str) -> Result<Found, Error> {
        if let Some(Login { user, password }) = self.logins.get(registry).cloned() {
            return Ok(Found { credential: Some(Credential::Password { user, password }), trouble: None });
        }
        for file in &self.files {
            let path = &file.path;
            let Some(Text(text)) = file.read()? else { continue };
            let servers = servers(path, &text, registry, repository)?;
            let key = (path.clone(), servers.clone());
            let known = self.lock().get(&key).cloned();
            let found = if let Some(found) = known {
                found
            } else {
                let found = ask(text, servers, path).await?;
                self.lock().insert(key, found.clone());
                found
            };
            if found != Found::default() {
                return Ok(found);
            }
        }
        Ok(Found::default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(PathBuf, Vec<String>), Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn auth_file_error(path: &Path, reason: String) -> Error {
    Error::AuthFile { path: path.to_owned(), reason }
}

/// Where docker, podman and skopeo keep credentials.
fn default_files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = variable("HOME");
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    [
        variable("DOCKER_CONFIG")
            .map(|folder| folder.join("config.json"))
            .or_else(|| below_home(".docker/config.json")),
        variable("REGISTRY_AUTH_FILE"),
        variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
        below_home(".config/containers/auth.json"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn parse(path: &Path, text: &[u8]) -> Result<serde_json::Value, Error> {
    serde_json::from_slice(text).map_err(|source| auth_file_error(path, format!("it is not JSON: {source}")))
}

/// The names under which the file can have credentials for a repository, the most specific first.
///
/// podman also keeps some for `host/path`; such a name counts only if it is in the file, since helpers know hosts
/// alone.
fn servers(path: &Path, text: &[u8], registry: &str, repository: &str) -> Result<Vec<String>, Error> {
    let document = parse(path, text)?;
    let named = |name: &str| document.get("auths").and_then(|auths| auths.get(name)).is_some();
    let mut servers = Vec::new();
    let mut scope = format!("{registry}/{repository}");
    while scope.len() > registry.len() {
        if named(&scope) {
            servers.push(scope.clone());
        }
        scope.truncate(scope.rfind('/').unwrap_or_default());
    }
    if registry == "docker.io" {
        // docker's own name for Docker Hub since it had an index.
        servers.push("https://index.docker.io/v1/".to_owned());
    }
    servers.push(registry.to_owned());
    Ok(servers)
}

async fn ask(text: Vec<u8>, servers: Vec<String>, path: &Path) -> Result<Found, Error> {
    let asked = tokio::task::spawn_blocking(move || {
        let mut trouble = None;
        for server in servers {
            match docker_credential::get_credential_from_reader(text.as_slice(), &server) {
                Ok(credential) => {
                    if let Some(credential) = usable(credential) {
                        return Found { credential: Some(credential), trouble: None };
                    }
                }
                Err(CredentialRetrievalError::NoCredentialConfigured) => {}
                Err(error) => trouble = trouble.or(explain(&server, &error)),
            }
        }
        Found { credential: None, trouble }
    });
    match tokio::time::timeout(HELPER_TIMEOUT, asked).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) => Err(auth_file_error(path, "looking into it failed".to_owned())),
        Err(_) => {
            Err(auth_file_error(path, format!("its helper gave no answer in {} s", HELPER_TIMEOUT.as_secs())))
        }
    }
}

fn usable(credential: DockerCredential) -> Option<Credential> {
    match credential {
        DockerCredential::IdentityToken(token) => {
            (!token.is_empty()).then_some(Credential::IdentityToken(token))
        }
        DockerCredential::UsernamePassword(user, _) if user.is_empty() => None,
        DockerCredential::UsernamePassword(user, password) => Some(Credential::Password { user, password }),
    }
}

/// What went wrong, without the helper's standard output, which may hold a secret. `None` for a helper that simply
/// does not know the server.
fn explain(server: &str, error: &CredentialRetrievalError) -> Option<String> {
    match error {
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. }
            if stdout.contains("not found") || stderr.contains("not found") =>
        {
            None
        }
        CredentialRetrievalError::HelperFailure { helper, stderr, .. } => {
            let reason: String = stderr.lines().next().unwrap_or_default().chars().take(200).collect();
            Some(format!("{helper} failed for {server}: {reason}"))
        }
        CredentialRetrievalError::HelperCommunicationError => {
            Some(format!("the credential helper for {server} could not be run"))
        }
        other => Some(format!("the credentials for {server} cannot be read: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    fn encoded(text: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password { user: user.into(), password: password.into() }
    }

    /// docker's file comes first and podman's second; an empty first one hides nothing.
    #[tokio::test]
    async fn what_one_file_lacks_the_next_may_have() {
        let files = [tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap()];
        std::fs::write(files[0].path(), r#"{"auths": {}}"#).unwrap();
        let document = serde_json::json!({"auths": {"r:5000": {"auth": encoded("host:1")}}});
        std::fs::write(files[1].path(), document.to_string()).unwrap();
        let files = files.iter().map(|file| file.path().to_owned().into()).collect();
        let keyring = Keyring { logins: BTreeMap::new(), files, found: Mutex::default() };
        for _ in 0..2 {
            let found = keyring.find("r:5000", "team/app").await.unwrap();
            assert_eq!(found.credential, Some(password("host", "1")));
        }
    }

    #[tokio::test]
    async fn the_most_specific_entry_wins() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let document = serde_json::json!({"auths": {
            "r:5000": {"auth": encoded("host:1")},
            "r:5000/team": {"auth": encoded("team:2:with:colons")},
            "https://index.docker.io/v1/": {"auth": encoded("hub:3")},
            "https://old.example/v1/": {"auth": encoded("old:4")},
            "token.example": {"identitytoken": "abc", "auth": encoded("00000000-0000:")},
            "empty.example": {},
        }});
        std::fs::write(file.path(), document.to_string()).unwrap();
        let keyring = Keyring::new(Some(file.path())).unwrap();
        for (registry, repository, expected) in [
            ("r:5000", "team/app", Some(password("team", "2:with:colons"))),
            ("r:5000", "team", Some(password("team", "2:with:colons"))),
            ("r:5000", "teams/app", Some(password("host", "1"))),
            ("docker.io", "library/registry", Some(password("hub", "3"))),
            ("old.example", "a", Some(password("old", "4"))),
            ("token.example", "a", Some(Credential::IdentityToken("abc".into()))),
            ("empty.example", "a", None),
            ("unknown.example", "a", None),
        ] {
            let found = keyring.find(registry, repository).await.unwrap();
            assert_eq!(found.credential, expected, "{registry}/{repository}");
        }
    }

    #[tokio::test]
    async fn a_named_file_may_be_empty_or_a_pipe() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        for path in [Path::new("/dev/null"), empty.path()] {
            let found = Keyring::new(Some(path)).unwrap().find("r:5000", "app").await.unwrap();
            assert_eq!(found, Found::default());
        }
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let document = serde_json::json!({"auths": {"r:5000": {"auth": encoded("me:1")}}}).to_string();
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, document).unwrap())
        };
        let keyring = Keyring::new(Some(&pipe)).unwrap();
        writer.join().unwrap();
        for repository in ["a", "b"] {
            let found = keyring.find("r:5000", repository).await.unwrap();
            assert_eq!(found.credential, Some(password("me", "1")));
        }
    }

    #[tokio::test]
    async fn trouble_is_told_without_secrets() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let document = serde_json::json!({"credHelpers": {"r": "surely-not-installed"}});
        std::fs::write(file.path(), document.to_string()).unwrap();
        let found = Keyring::new(Some(file.path())).unwrap().find("r", "a").await.unwrap();
        assert_eq!(found.credential, None);
        assert!(found.trouble.unwrap().contains("could not be run"));

        std::fs::write(file.path(), "secret").unwrap();
        let error = Keyring::new(Some(file.path())).unwrap_err();
        assert!(error.to_string().contains("it is not JSON") && !error.to_string().contains("secret"));
        assert!(Keyring::new(Some(Path::new("/nonexistent/auth.json"))).is_err());
    }

    #[test]
    fn files_in_order() {
        let variable = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/u")),
            "XDG_RUNTIME_DIR" => Some(PathBuf::from("/run/user/1")),
            _ => None,
        };
        let expected = [
            "/home/u/.docker/config.json",
            "/run/user/1/containers/auth.json",
            "/home/u/.config/containers/auth.json",
        ];
        assert_eq!(default_files(variable), expected.map(PathBuf::from));
    }
}
