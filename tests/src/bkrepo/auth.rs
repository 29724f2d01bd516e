//! Who is there, and what they may do. [BKREPO BasicAuthHandler, PlatformAuthHandler, PermissionManager]

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::answer::Refusal;
use super::store::Store;
use super::{Inner, Release, lock};

/// What a user may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// Everything, as an administrator.
    Everything,
    /// Everything in this project.
    Project(String),
    /// Everything in this project's repository.
    Repository(String, String),
    /// To read what is in this project.
    Reading(String),
}

/// Somebody with a password.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// What they may do.
    pub grants: BTreeSet<Grant>,
}

impl User {
    /// A user with these rights.
    pub fn new(name: &str, password: &str, grants: &[Grant]) -> Self {
        Self { name: name.into(), password: password.into(), grants: grants.iter().cloned().collect() }
    }
}

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    Write,
}

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Anonymous,
    /// A platform that names no user.
    Platform,
    User(String),
}

/// Name and secret of this scheme, empty where they cannot be read; nothing where it is another scheme.
fn decoded(header: &str, scheme: &str) -> Option<(String, String)> {
    let encoded = header.strip_prefix(scheme)?;
    let pair = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.unwrap_or_default();
    Some(pair.split_once(':').map(|(name, secret)| (name.into(), secret.into())).unwrap_or_default())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

/// The user that a request names, known or not.
pub(super) fn claimed(headers: &HeaderMap) -> Option<String> {
    let authorization = header(headers, "authorization");
    match decoded(authorization, "Basic ") {
        Some((name, _)) => Some(name),
        None => Some(header(headers, "x-bkrepo-uid").to_owned()).filter(|name| !name.is_empty()),
    }
}

/// Finds out who it is, by Basic or Platform; wrong credentials are refused, also where none would do.
pub(super) fn identify(server: &Inner, headers: &HeaderMap) -> Result<Who, Refusal> {
    let release = server.setup.release;
    let authorization = header(headers, "authorization");
    let mut store = lock(&server.store);
    if let Some((name, password)) = decoded(authorization, "Basic ") {
        return match store.users.get(&name) {
            Some(user) if user.password == password => Ok(Who::User(name)),
            _ => Err(Refusal::unauthenticated(release, "Authorization value check failed")),
        };
    }
    if let Some(pair) = decoded(authorization, "Platform ") {
        if !server.setup.platforms.contains(&pair) {
            return Err(Refusal::unauthenticated(release, "AccessKey/SecretKey check failed."));
        }
        let name = header(headers, "x-bkrepo-uid");
        if name.is_empty() {
            return Ok(Who::Platform);
        }
        // A user that a platform names is made.
        store.users.entry(name.to_owned()).or_insert_with(|| User::new(name, "", &[]));
        return Ok(Who::User(name.to_owned()));
    }
    Ok(Who::Anonymous)
}

impl Store {
    /// Whether the repository is there and this may be done in it. That it is not there is said to anybody.
    pub(super) fn check(
        &self,
        release: Release,
        who: &Who,
        (project, repository): (&str, &str),
        action: Action,
    ) -> Result<(), Refusal> {
        let found = self.repository(project, repository)?;
        if action == Action::Read && found.public {
            return Ok(());
        }
        let grants = self.grants(release, who)?;
        let allows = |grant: &Grant| match grant {
            Grant::Everything => true,
            Grant::Project(its) => its == project,
            Grant::Repository(its, name) => its == project && name == repository,
            Grant::Reading(its) => action == Action::Read && its == project,
        };
        if grants.iter().any(allows) {
            return Ok(());
        }
        Err(Refusal::denied(release, &format!("[{who:?}] [{action:?}] [{project}/{repository}]")))
    }

    /// Whether this project is theirs to change.
    pub(super) fn check_project(&self, release: Release, who: &Who, project: &str) -> Result<(), Refusal> {
        let grants = self.grants(release, who)?;
        if grants.contains(&Grant::Everything) || grants.contains(&Grant::Project(project.to_owned())) {
            return Ok(());
        }
        Err(Refusal::denied(release, &format!("[{who:?}] [MANAGE] [{project}]")))
    }

    /// What they may do; who has not logged in is asked to.
    pub(super) fn grants(&self, release: Release, who: &Who) -> Result<BTreeSet<Grant>, Refusal> {
        match who {
            Who::Anonymous => Err(Refusal::unauthenticated(release, "Unauthorized")),
            Who::Platform => Ok(BTreeSet::new()),
            Who::User(name) => Ok(self.users.get(name).map(|user| user.grants.clone()).unwrap_or_default()),
        }
    }
}
