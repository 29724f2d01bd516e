//! Who we are, shown the way each registry asks for: the challenge of a 401 is answered with Basic credentials or
//! with a token of the registry's token service.
//!
//! Tokens are kept by registry and scope, fetched once however many requests wait for them, and replaced when they
//! run out or are rejected. The scope is always our own: some registries (bkrepo) name a fixed one in every
//! challenge, with which their token service then gives nothing.

mod login;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ferry_model::failure::Failure as _;
use http::HeaderValue;
use url::Url;

use self::login::Login;
pub(crate) use self::login::Trial;
use crate::credentials::{Credential, Found, Keyring};
use crate::{Error, RefusedLogins};

/// What a request needs the right to.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Where credentials may be shown: scheme, host and port.
    pub(crate) origin: Url,
    /// The registry as users name it, for looking up credentials.
    pub(crate) registry: String,
    /// The repository, for credentials kept by repository.
    pub(crate) repository: String,
    /// The scopes of a token; none for web servers, which only know Basic.
    pub(crate) scopes: Vec<String>,
    /// Credentials that came with the URL.
    pub(crate) given: Option<Credential>,
}

impl Access {
    fn key(&self) -> (String, String) {
        (self.origin.as_str().to_owned(), format!("{} {}", self.repository, self.scopes.join(" ")))
    }

    /// Whether it is a registry's, which can be asked whether a login is right; not a web server's.
    pub(crate) fn is_registry(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// Whose challenge it is: a registry and a web server behind one address may want different things.
    fn server(&self) -> (String, bool) {
        (self.origin.as_str().to_owned(), self.is_registry())
    }
}

/// How a server wants to be shown who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password in each request. At a web server each realm may know other users; it is empty where none was told.
    Basic { realm: String },
    /// A token from `realm`.
    Bearer { realm: Url, service: Option<String> },
}

/// What a request carries to show who we are.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) header: HeaderValue,
    expires: Option<Instant>,
    serial: u64,
    has_worked: Arc<AtomicBool>,
    /// Of a password that goes with each request.
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Token,
    Password { login: Option<Login>, realm: String },
}

impl Grant {
    /// The server took it.
    pub(crate) fn works(&self) {
        self.has_worked.store(true, Ordering::Relaxed);
    }

    /// Whether the server ever took one like it in this run. A rejection then means that it has run out, even soon
    /// after it was given; else that we may not.
    pub(crate) fn has_worked(&self) -> bool {
        self.has_worked.load(Ordering::Relaxed)
    }

    /// Whether it is the password itself.
    pub(crate) fn is_password(&self) -> bool {
        matches!(self.kind, Kind::Password { .. })
    }

    /// Whether a 401 with this challenge speaks of the password that was shown: one that asks for a token, or for the users of
    /// another realm, does not.
    pub(crate) fn is_judged_by(&self, challenge: &Challenge) -> bool {
        match (&self.kind, challenge) {
            (Kind::Password { realm, .. }, Challenge::Basic { realm: asked }) => {
                realm.is_empty() || realm == asked
            }
            _ => false,
        }
    }

    /// Begins a trial where nobody knows yet whether the password is right; fails where it is known to be wrong.
    pub(crate) async fn trial(&self) -> Result<Option<Trial>, Error> {
        match &self.kind {
            Kind::Password { login: Some(login), .. } => login.trial().await,
            Kind::Password { login: None, .. } | Kind::Token => Ok(None),
        }
    }

    /// Whether it may go out before its server has asked for it. Which password a web server wants depends on what is asked for,
    /// so there it must have taken this one before.
    async fn may_go_unasked(&self, access: &Access) -> bool {
        match &self.kind {
            Kind::Password { login: Some(login), realm } if !access.is_registry() && !realm.is_empty() => {
                login.is_taken().await
            }
            _ => true,
        }
    }

    fn is_fresh(&self) -> bool {
        self.expires.is_none_or(|expires| Instant::now() < expires)
    }
}

/// A request to a token service.
#[derive(Debug)]
pub(crate) struct TokenRequest {
    pub(crate) url: Url,
    /// A form to POST; a GET where absent.
    pub(crate) form: Option<String>,
    pub(crate) authorization: Option<HeaderValue>,
}

/// Sends token requests: the client, or a fake.
pub(crate) trait TokenService: Send + Sync {
    /// The answer's body.
    fn ask(&self, request: TokenRequest) -> impl Future<Output = Result<bytes::Bytes, Error>> + Send;
}

/// The latest grant for one access, and whether any of them worked.
#[derive(Debug, Default)]
struct Slot {
    grant: tokio::sync::Mutex<Option<Grant>>,
    has_worked: Arc<AtomicBool>,
}

/// The grants of this run.
#[derive(Debug)]
pub(crate) struct Authenticator {
    keyring: Keyring,
    plain_http: Vec<String>,
    refused_logins: RefusedLogins,
    /// By where they are shown.
    logins: Mutex<HashMap<(String, Credential), Login>>,
    challenges: Mutex<HashMap<(String, bool), Challenge>>,
    slots: Mutex<HashMap<(String, String), Arc<Slot>>>,
}

impl Authenticator {
    pub(crate) fn new(keyring: Keyring, plain_http: Vec<String>, refused_logins: RefusedLogins) -> Self {
        Self {
            keyring,
            plain_http,
            refused_logins,
            logins: Mutex::default(),
            challenges: Mutex::default(),
            slots: Mutex::default(),
        }
    }

    /// What is known of a login at `place`, where that is kept.
    fn login(&self, access: &Access, place: String, credential: Option<&Credential>) -> Option<Login> {
        let credential = credential.filter(|_| self.refused_logins == RefusedLogins::Final)?;
        let key = (place, credential.clone());
        Some(locked(&self.logins).entry(key).or_insert_with(|| Login::new(access, credential)).clone())
    }

    /// What to send with a first request. `None` before the server has challenged us.
    pub(crate) async fn grant<S: TokenService>(
        &self,
        access: &Access,
        service: &S,
    ) -> Result<Option<Grant>, Error> {
        let challenge = locked(&self.challenges).get(&access.server()).cloned();
        let Some(challenge) = challenge else { return Ok(None) };
        match self.obtain(access, &challenge, None, service).await {
            Ok(grant) => Ok(if grant.may_go_unasked(access).await { Some(grant) } else { None }),
            Err(error) if error.class().is_retryable() => Err(error),
            // Asked for before anybody wanted it here: this request may do without, and if not, its 401 will say so.
            Err(error) => {
                tracing::debug!(%error, "going on without");
                locked(&self.challenges).remove(&access.server());
                Ok(None)
            }
        }
    }

    /// Shows who we are from the first request on, by user and password.
    pub(crate) fn expect_basic(&self, access: &Access) {
        locked(&self.challenges).insert(access.server(), Challenge::Basic { realm: String::new() });
    }

    /// What to send again after a 401 that answered `rejected`.
    pub(crate) async fn answer<S: TokenService>(
        &self,
        access: &Access,
        challenge: Challenge,
        rejected: Option<&Grant>,
        service: &S,
    ) -> Result<Grant, Error> {
        locked(&self.challenges).insert(access.server(), challenge.clone());
        self.obtain(access, &challenge, rejected, service).await
    }

    async fn obtain<S: TokenService>(
        &self,
        access: &Access,
        challenge: &Challenge,
        rejected: Option<&Grant>,
        service: &S,
    ) -> Result<Grant, Error> {
        let (realm, service_name) = match challenge {
            Challenge::Basic { realm } => return self.obtain_password(access, realm).await,
            Challenge::Bearer { realm, service } => (realm, service.as_deref()),
        };
        let slot = Arc::clone(locked(&self.slots).entry(access.key()).or_default());
        // Held while the token comes: others that need it wait here and then find it.
        let mut latest = slot.grant.lock().await;
        if let Some(grant) = latest.as_ref()
            && grant.is_fresh()
            && rejected.is_none_or(|rejected| rejected.serial != grant.serial)
        {
            return Ok(grant.clone());
        }
        let found = self.find(access).await?;
        let wrap = |source| Error::Token {
            registry: access.registry.clone(),
            scope: access.scopes.join(" "),
            source: Box::new(source),
        };
        self.check_realm(access, realm)?;
        let trial = match self.login(access, realm.to_string(), found.credential.as_ref()) {
            Some(login) => login.trial().await?,
            None => None,
        };
        let request = token_request(access, realm, service_name, found.credential.as_ref());
        let body = match (service.ask(request).await, trial) {
            (Ok(body), trial) => {
                if let Some(trial) = trial {
                    trial.taken();
                }
                body
            }
            (Err(Error::Denied { status: 401, message, .. }), Some(trial)) => {
                return Err(trial.refused(message, None));
            }
            (Err(error), _) => return Err(wrap(with_help(error, access, found.trouble))),
        };
        let (header, expires) = read_token(&body, realm)?;
        let serial = latest.as_ref().map_or(0, |grant| grant.serial) + 1;
        let has_worked = Arc::clone(&slot.has_worked);
        let grant = Grant { header, expires, serial, has_worked, kind: Kind::Token };
        *latest = Some(grant.clone());
        Ok(grant)
    }

    /// The password itself. It costs nobody a request, so it is not kept for others.
    async fn obtain_password(&self, access: &Access, realm: &str) -> Result<Grant, Error> {
        let found = self.find(access).await?;
        // A registry has one set of users.
        let realm = if access.is_registry() { String::new() } else { realm.to_owned() };
        let login = self.login(access, format!("{} {realm}", access.origin), found.credential.as_ref());
        let header = basic_grant(access, found)?;
        let kind = Kind::Password { login, realm };
        Ok(Grant { header, expires: None, serial: 0, has_worked: Arc::default(), kind })
    }

    async fn find(&self, access: &Access) -> Result<Found, Error> {
        match &access.given {
            Some(credential) => Ok(Found { credential: Some(credential.clone()), trouble: None }),
            None => self.keyring.find(&access.registry, &access.repository).await,
        }
    }

    /// A password must not go out in the clear because a server says so.
    fn check_realm(&self, access: &Access, realm: &Url) -> Result<(), Error> {
        let host = crate::url::host_and_port(realm);
        let allowed = realm.scheme() == "https"
            || access.origin.scheme() == "http"
            || self.plain_http.iter().any(|plain| *plain == host || Some(plain.as_str()) == realm.host_str());
        if allowed {
            Ok(())
        } else {
            Err(Error::Insecure { from: (&access.origin).into(), to: realm.into() })
        }
    }
}

/// What to try when a registry says no.
pub(crate) fn help(access: &Access, trouble: Option<String>) -> Vec<String> {
    let registry = &access.registry;
    let mut help = vec![format!(
        "check that `{}` exists there and that you may use it; log in with `docker login {registry}`, or name a file with credentials: --authfile FILE",
        if access.repository.is_empty() { registry } else { &access.repository },
    )];
    help.extend(trouble);
    help
}

fn with_help(error: Error, access: &Access, trouble: Option<String>) -> Error {
    match error {
        Error::Denied { url, status, message, .. } => {
            Error::Denied { url, status, message, help: help(access, trouble) }
        }
        other => other,
    }
}

fn basic_grant(access: &Access, found: Found) -> Result<HeaderValue, Error> {
    match found.credential {
        Some(Credential::Password { user, password }) => Ok(basic_header(&user, &password)),
        Some(Credential::IdentityToken(_)) | None => Err(Error::Denied {
            url: (&access.origin).into(),
            status: 401,
            message: "it wants a user and a password, and none are known".to_owned(),
            help: help(access, found.trouble),
        }),
    }
}

pub(crate) fn basic_header(user: &str, password: &str) -> HeaderValue {
    let text = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
    secret_header(&text).expect("base64 is fit for a header")
}

pub(crate) fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Reads the challenges of a 401: Bearer where offered, else Basic.
pub(crate) fn read_challenge<'a>(
    headers: impl Iterator<Item = &'a HeaderValue>,
    url: &Url,
) -> Result<Challenge, Error> {
    let bad = |reason: String| Error::Protocol { url: url.into(), reason };
    let mut schemes = Vec::new();
    let mut basic = None;
    for header in headers {
        let text = header.to_str().map_err(|_| bad("its WWW-Authenticate header is not text".into()))?;
        let challenges = http_auth::parse_challenges(text)
            .map_err(|_| bad(format!("its WWW-Authenticate header is malformed: {}", clip(text))))?;
        for challenge in challenges {
            let parameter = |name: &str| {
                let mut found = challenge.params.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
                found.next().map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let realm =
                    parameter("realm").ok_or_else(|| bad("its Bearer challenge has no realm".into()))?;
                let realm = url.join(&realm).ok().filter(|realm| matches!(realm.scheme(), "http" | "https"));
                let realm = realm.ok_or_else(|| bad("the realm of its Bearer challenge is no URL".into()))?;
                return Ok(Challenge::Bearer { realm, service: parameter("service") });
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = basic.or_else(|| Some(parameter("realm").unwrap_or_default()));
            }
            schemes.push(clip(challenge.scheme));
        }
    }
    if let Some(realm) = basic {
        return Ok(Challenge::Basic { realm });
    }
    Err(bad(match schemes.as_slice() {
        [] => "it answered 401 without saying how to log in".to_owned(),
        _ => format!("it wants {}; only Basic and Bearer are supported", schemes.join(", ")),
    }))
}

fn clip(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Builds the request to a token service: the
/// [token spec](https://distribution.github.io/distribution/spec/auth/token/) and, for identity tokens, its
/// [OAuth2 form](https://distribution.github.io/distribution/spec/auth/oauth/).
fn token_request(
    access: &Access,
    realm: &Url,
    service: Option<&str>,
    credential: Option<&Credential>,
) -> TokenRequest {
    let mut url = realm.clone();
    if let Some(Credential::IdentityToken(token)) = credential {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", "ferry");
        if let Some(service) = service {
            form.append_pair("service", service);
        }
        form.append_pair("scope", &access.scopes.join(" ")).append_pair("refresh_token", token);
        return TokenRequest { url, form: Some(form.finish()), authorization: None };
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in &access.scopes {
            query.append_pair("scope", scope);
        }
    }
    let authorization = match credential {
        Some(Credential::Password { user, password }) => {
            url.query_pairs_mut().append_pair("account", user);
            Some(basic_header(user, password))
        }
        _ => None,
    };
    TokenRequest { url, form: None, authorization }
}

#[derive(serde::Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// The header to show, and when it has to be renewed.
fn read_token(body: &[u8], realm: &Url) -> Result<(HeaderValue, Option<Instant>), Error> {
    let bad = |reason: &str| Error::Protocol { url: realm.into(), reason: reason.to_owned() };
    let answer: TokenAnswer =
        serde_json::from_slice(body).map_err(|_| bad("its answer is not a token in JSON"))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| bad("its answer holds no token"))?;
    let header =
        secret_header(&format!("Bearer {token}")).ok_or_else(|| bad("its token is not fit for a header"))?;
    // Without `expires_in` a token lives for 60 s (token spec); one that lives longer after all is simply renewed.
    let lifetime = Duration::from_secs(answer.expires_in.unwrap_or(60).clamp(1, 86_400));
    // Renewed a little early, so that it does not run out on the way.
    let margin = (lifetime / 4).min(Duration::from_secs(10));
    Ok((header, Some(Instant::now() + lifetime.saturating_sub(margin))))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
