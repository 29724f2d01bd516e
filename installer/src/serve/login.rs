//! Who may ask: HTTP Basic authentication against a file of users, in front of everything that is served.
//!
//! bcrypt is slow on purpose, and a pull is a hundred requests. So a pair of user and password that was right once is
//! remembered, as a tag under a key that only this process has, for as long as the file stays as it is.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ferry_model::event::Events;
use ferry_model::failure::Failure as _;
use ring::hmac;
use tokio::sync::Semaphore;

use super::content::set;
use super::error::ServeError;
use super::{registry, router};
use crate::htpasswd::{Htpasswd, HtpasswdError};

const CHALLENGE: &str = "Basic realm=\"ferry\"";
/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A file of users that is larger is none.
const MAX_FILE: u64 = 1 << 20;
/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The door: lets in who is in the file.
#[derive(Debug)]
pub(super) struct Door {
    path: PathBuf,
    key: hmac::Key,
    users: Mutex<Users>,
    /// Strangers must not take all processors with guesses.
    hashing: Semaphore,
    events: Events,
}

#[derive(Debug)]
struct Users {
    current: Arc<Loaded>,
    looked: Instant,
    /// What was last looked at, though it may not have been usable.
    stamp: Option<Stamp>,
}

/// The file's content, and who has shown to be in it.
#[derive(Debug)]
struct Loaded {
    users: Htpasswd,
    verified: Mutex<HashMap<String, hmac::Tag>>,
}

/// What tells one state of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    size: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { modified, size: metadata.size(), inode: metadata.ino() }
    }
}

impl Door {
    /// Reads the file.
    pub(super) fn open(path: &Path, events: &Events) -> Result<Self, ServeError> {
        let (stamp, users) = load(path, events)?;
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())
            .map_err(|_| ServeError::Randomness)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            path: path.to_owned(),
            key,
            users: Mutex::new(Users {
                current: Arc::new(Loaded::new(users)),
                looked: Instant::now(),
                stamp: Some(stamp),
            }),
            hashing: Semaphore::new(processors.div_ceil(2)),
            events: events.clone(),
        })
    }

    /// Whether the request comes from a user.
    async fn admits(self: &Arc<Self>, request: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(request) else { return false };
        let loaded = self.current().await;
        let message = message(&user, &password);
        if loaded.remembers(&self.key, &user, &message) {
            return true;
        }
        let _permit = self.hashing.acquire().await.expect("the semaphore is never closed");
        // Another request of the same client may have come first.
        if loaded.remembers(&self.key, &user, &message) {
            return true;
        }
        let checked = Arc::clone(&loaded);
        let name = user.clone();
        let is_right = tokio::task::spawn_blocking(move || checked.users.verify(&name, &password)).await;
        let is_right = is_right.unwrap_or(false);
        if is_right {
            lock(&loaded.verified).insert(user, hmac::sign(&self.key, &message));
        }
        is_right
    }

    /// The users as the file has them now, or had them a moment ago.
    async fn current(self: &Arc<Self>) -> Arc<Loaded> {
        {
            let mut users = lock(&self.users);
            if users.looked.elapsed() < LOOK_EVERY {
                return Arc::clone(&users.current);
            }
            users.looked = Instant::now();
        }
        let door = Arc::clone(self);
        // Another file system may take its time to answer.
        let _ = tokio::task::spawn_blocking(move || door.look()).await;
        Arc::clone(&lock(&self.users).current)
    }

    /// Reads the file again if it has changed. While it cannot be used, those who could come in before still can: a
    /// typing error must not stop a cluster from pulling.
    fn look(&self) {
        let stamp = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        if lock(&self.users).stamp == stamp {
            return;
        }
        match load(&self.path, &self.events) {
            Ok((stamp, users)) => {
                let mut state = lock(&self.users);
                state.stamp = Some(stamp);
                state.current = Arc::new(Loaded::new(users));
                drop(state);
                self.events.note(format!("read the users in {} again", self.path.display()));
            }
            Err(error) => {
                lock(&self.users).stamp = stamp;
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                self.events.warn(format!(
                    "{error}{}; the users it had before are still admitted",
                    cause.unwrap_or_default()
                ));
            }
        }
    }
}

impl Loaded {
    fn new(users: Htpasswd) -> Self {
        Self { users, verified: Mutex::default() }
    }

    fn remembers(&self, key: &hmac::Key, user: &str, message: &[u8]) -> bool {
        // `verify` compares in constant time.
        lock(&self.verified).get(user).is_some_and(|tag| hmac::verify(key, message, tag.as_ref()).is_ok())
    }
}

/// What is remembered of a pair: no other pair gives the same bytes, for a user's name has no colon.
fn message(user: &str, password: &str) -> Vec<u8> {
    format!("{user}:{password}").into_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file, and what it looked like when it was opened. Lines of others that cannot be used let nobody in; a file with nothing
/// else is none.
fn load(path: &Path, events: &Events) -> Result<(Stamp, Htpasswd), ServeError> {
    let error = |source| ServeError::File { action: "reading", path: path.to_owned(), source };
    let file = File::open(path).map_err(error)?;
    let stamp = Stamp::of(&file.metadata().map_err(error)?);
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).map_err(error)?;
    let (users, problems) = Htpasswd::parse_usable(&text);
    let shown = path.display();
    if users.is_empty()
        && let Some(source) = problems.first().cloned()
    {
        return Err(ServeError::Users { path: path.to_owned(), line: source.line, source });
    }
    for HtpasswdError { line, problem } in problems {
        let next = problem.hints().first().map(|hint| format!("; {hint}")).unwrap_or_default();
        events.warn(format!("{shown}:{line}: {problem}; it lets nobody in{next}"));
    }
    Ok((stamp, users))
}

/// As whom a request comes, whether that is so or not.
pub(super) fn user(request: &HeaderMap) -> Option<String> {
    Some(credentials(request)?.0)
}

/// The user and password of a request.
fn credentials(request: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = request.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Stands in front of all routes.
pub(super) async fn ask(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    if door.admits(request.headers()).await {
        return next.run(request).await;
    }
    let path = request.uri().path();
    let mut response = if path == "/v2" || path.starts_with("/v2/") {
        registry::unauthorized()
    } else {
        router::plain(StatusCode::UNAUTHORIZED, "user and password are needed\n")
    };
    set(response.headers_mut(), WWW_AUTHENTICATE, CHALLENGE);
    response
}

#[cfg(test)]
mod tests;
