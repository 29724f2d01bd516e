//! The client: its options, and what all requests share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use url::Url;

use crate::auth::{Access, Authenticator};
use crate::credentials::{Credential, Keyring};
use crate::exchange::Call;
use crate::limits::{Host, Hosts};
use crate::retry::Attempts;
use crate::url::host_and_port;
use crate::{Error, Repository, RetryPolicy, trust};

/// A certificate authority to trust besides the system's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFile {
    /// For this host alone (a port is ignored); for all where absent.
    pub host: Option<String>,
    /// A PEM file with one certificate or several. A server's own self-signed certificate will do.
    pub path: PathBuf,
}

/// A user and a password. The password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// How to talk to other hosts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hosts (`host` or `host:port`) to talk plain HTTP to. Never a fall-back: only where spelled out.
    pub plain_http: Vec<String>,
    /// Certificate authorities to trust besides the system's.
    pub ca_files: Vec<CaFile>,
    /// The file with credentials, instead of docker's and podman's own.
    pub auth_file: Option<PathBuf>,
    /// Users and passwords for registries, by `host` or `host:port`; they come before those of any file.
    pub logins: BTreeMap<String, Login>,
    /// Requests at once to one host; fewer while it is overloaded.
    pub connections_per_host: usize,
    /// How long a connection may be silent. There is no limit on a whole request.
    pub stall_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a registry may take to commit an upload after its last byte, at most; less for small ones.
    pub commit_timeout: Duration,
    /// When and how often to try again.
    pub retry: RetryPolicy,
    /// Whether a login that was refused is shown again.
    pub refused_logins: RefusedLogins,
}

/// Whether a login that a host refused is shown to it again. Accounts are locked after a few wrong ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefusedLogins {
    /// It is, since it may become right while we run: a registry may get a new password from us.
    #[default]
    ShownAgain,
    /// It is not; and until a host has taken it, one request alone shows it.
    Final,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            ca_files: Vec::new(),
            auth_file: None,
            logins: BTreeMap::new(),
            connections_per_host: 8,
            stall_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(15),
            commit_timeout: Duration::from_secs(300),
            retry: RetryPolicy::default(),
            refused_logins: RefusedLogins::default(),
        }
    }
}

/// The one way out to other hosts. A clone is the same client: connections, tokens and limits are shared.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    options: Options,
    hosts: Hosts,
    authenticator: Authenticator,
}

/// What a server says about a file before it is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Its bytes, where the server says so.
    pub size: Option<u64>,
    /// Whether the server says that it serves ranges.
    pub ranges: bool,
}

impl Client {
    /// A client; reads the trust store and the certificate files. Proxies come from the environment, as curl reads
    /// them.
    pub fn new(options: Options) -> Result<Self, Error> {
        Self::build(options, None)
    }

    /// A client all of whose connections go to a socket of this machine.
    pub(crate) fn on_socket(socket: &Path, options: Options) -> Result<Self, Error> {
        Self::build(options, Some(socket))
    }

    fn build(options: Options, socket: Option<&Path>) -> Result<Self, Error> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("ferry/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(trust::client_config(&options.ca_files)?)
            // Throughput comes from many connections; HTTP/2 would put all blobs of a host on one, behind one
            // window, and one lost packet would stop them all.
            .http1_only()
            // Whoever takes a look wants to know until when the certificate is valid.
            .tls_info(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect_timeout)
            .pool_max_idle_per_host(options.connections_per_host);
        let builder = match socket {
            Some(socket) => builder.unix_socket(socket.to_owned()),
            None => builder,
        };
        let http = builder.build().map_err(|source| Error::Setup(source.into()))?;
        let keyring = Keyring::new(options.auth_file.as_deref())?.with_logins(options.logins.clone());
        Ok(Self(Arc::new(Shared {
            http,
            hosts: Hosts::new(options.connections_per_host),
            authenticator: Authenticator::new(keyring, options.plain_http.clone(), options.refused_logins),
            options,
        })))
    }

    /// A repository of a registry: `docker.io`, `library/registry`. Asks nothing yet.
    pub fn repository(&self, registry: &str, repository: &str) -> Repository {
        Repository::new(self.clone(), registry, repository)
    }

    /// What `url` holds, if it is no more than `limit` bytes.
    pub async fn get_small(&self, url: &str, limit: u64) -> Result<Bytes, Error> {
        let (url, access) = web_access(url)?;
        let call = Call::new(Method::GET, url, &access);
        Ok(self.request_bytes(&call, limit).await?.1)
    }

    /// Asks for the size of what `url` holds, without fetching it.
    pub async fn probe(&self, url: &str) -> Result<Probe, Error> {
        let (url, access) = web_access(url)?;
        match self.request(&Call::new(Method::HEAD, url.clone(), &access)).await {
            Ok(reply) => {
                let size = reply.header(header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
                let ranges = reply.header(header::ACCEPT_RANGES).is_some_and(|units| units.contains("bytes"));
                Ok(Probe { size, ranges })
            }
            // Signed URLs are for one method; some servers do not know HEAD.
            Err(error) if matches!(error.status(), Some(400 | 403 | 405 | 501)) => {
                let first = HeaderValue::from_static("bytes=0-0");
                let reply =
                    self.request(&Call::new(Method::GET, url, &access).header(header::RANGE, first)).await?;
                let ranges = reply.response.status() == StatusCode::PARTIAL_CONTENT;
                let size = if ranges {
                    reply
                        .header(header::CONTENT_RANGE)
                        .and_then(|range| range.rsplit_once('/')?.1.parse().ok())
                } else {
                    reply.response.content_length()
                };
                Ok(Probe { size, ranges })
            }
            Err(error) => Err(error),
        }
    }

    /// Where a registry answers: scheme, host and port.
    pub(crate) fn registry_origin(&self, registry: &str) -> Result<Url, Error> {
        // Docker Hub's name is not its registry's.
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let scheme = if self.is_plain_http(registry) { "http" } else { "https" };
        crate::url::parse(&format!("{scheme}://{host}/"))
    }

    fn is_plain_http(&self, registry: &str) -> bool {
        let without_port = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        self.options().plain_http.iter().any(|plain| plain == registry || plain == without_port)
    }

    pub(crate) fn host(&self, url: &Url) -> Arc<Host> {
        self.0.hosts.get(&host_and_port(url))
    }

    pub(crate) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.0.options.retry)
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }
}

/// A file's URL without its user and password, and those as the right to it.
pub(crate) fn web_access(url: &str) -> Result<(Url, Access), Error> {
    let mut url = crate::url::parse(url)?;
    let decoded = |text: &str| {
        url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let given = (!url.username().is_empty()).then(|| Credential::Password {
        user: decoded(url.username()),
        password: decoded(url.password().unwrap_or_default()),
    });
    // Neither fails: the URL has a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin.set_fragment(None);
    let registry = host_and_port(&url);
    Ok((url, Access { origin, registry, repository: String::new(), scopes: Vec::new(), given }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_registries_answer() {
        let options = Options { plain_http: vec!["r:5000".into(), "plain".into()], ..Options::default() };
        let client = Client::new(options).unwrap();
        for (registry, origin) in [
            ("docker.io", "https://registry-1.docker.io/"),
            ("r:5000", "http://r:5000/"),
            ("r:5001", "https://r:5001/"),
            ("plain:80", "http://plain/"),
            ("[::1]:5000", "https://[::1]:5000/"),
        ] {
            assert_eq!(client.registry_origin(registry).unwrap().as_str(), origin);
        }
    }

    #[test]
    fn credentials_in_urls() {
        let (url, access) = web_access("https://me:p%40ss+%26@host:1/charts/index.yaml?x=1").unwrap();
        assert_eq!(url.as_str(), "https://host:1/charts/index.yaml?x=1");
        assert_eq!(access.origin.as_str(), "https://host:1/");
        assert_eq!(access.given, Some(Credential::Password { user: "me".into(), password: "p@ss+&".into() }));
        assert_eq!(web_access("https://host/x").unwrap().1.given, None);
    }
}
