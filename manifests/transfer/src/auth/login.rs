//! Whether a login is right. Until that is known one request alone shows it, and one that was refused is not shown again:
//! accounts are locked after a few wrong passwords.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Access;
use crate::credentials::Credential;
use crate::{Error, SafeUrl};

/// A login at one host.
#[derive(Clone, Debug)]
pub(super) struct Login {
    registry: String,
    /// What it is, without a secret.
    name: String,
    verdict: Arc<Mutex<Verdict>>,
}

#[derive(Debug)]
enum Verdict {
    Unknown,
    Taken,
    /// With what was refused, and what the host said.
    Refused(String, String),
}

/// A request that shows a login of which nobody knows yet whether it is right. Others wait until this is dropped; an end that
/// says nothing of the login leaves it to the next.
#[derive(Debug)]
pub(crate) struct Trial {
    login: Login,
    verdict: OwnedMutexGuard<Verdict>,
}

impl Login {
    pub(super) fn new(access: &Access, credential: &Credential) -> Self {
        let name = match credential {
            Credential::Password { user, .. } => format!("password of user `{user}`"),
            Credential::IdentityToken(_) => "token that `docker login` keeps".to_owned(),
        };
        Self { registry: access.registry.clone(), name, verdict: Arc::new(Mutex::new(Verdict::Unknown)) }
    }

    /// None where the login is known to be right; the refusal where it is known to be wrong.
    pub(super) async fn trial(&self) -> Result<Option<Trial>, Error> {
        let verdict = Arc::clone(&self.verdict).lock_owned().await;
        match &*verdict {
            Verdict::Taken => Ok(None),
            Verdict::Unknown => Ok(Some(Trial { login: self.clone(), verdict })),
            Verdict::Refused(what, message) => Err(self.refusal(what, message)),
        }
    }

    /// Whether it is known to be right.
    pub(super) async fn is_taken(&self) -> bool {
        matches!(*self.verdict.lock().await, Verdict::Taken)
    }

    /// The same for every request, so that many can be told as one.
    fn refusal(&self, what: &str, message: &str) -> Error {
        Error::LoginRefused {
            registry: self.registry.clone(),
            login: what.to_owned(),
            message: message.to_owned(),
        }
    }
}

impl Trial {
    /// The host took it.
    pub(crate) fn taken(mut self) {
        *self.verdict = Verdict::Taken;
    }

    /// The host refused it, and said this. Where it was shown for `right`, that may be what was refused.
    pub(crate) fn refused(mut self, message: String, right: Option<&SafeUrl>) -> Error {
        let name = &self.login.name;
        let what = right.map_or_else(|| name.clone(), |right| format!("{name}, or the right to {right}"));
        let error = self.login.refusal(&what, &message);
        *self.verdict = Verdict::Refused(what, message);
        error
    }
}
