//! Why moving something failed: one enum, whose class alone decides about retries and exit codes.

use std::path::PathBuf;
use std::time::Duration;

use ferry_model::Digest;
use ferry_model::failure::{Class, Failure};

use crate::{BkrepoError, HelmRepositoryError, SafeUrl, SourceError};

/// Why moving something failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of certificates cannot be used.
    #[error("cannot use the certificates in {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file with credentials cannot be read.
    #[error("cannot use the credentials in {}: {reason}", path.display())]
    AuthFile {
        /// The file.
        path: PathBuf,
        /// Why, without its content.
        reason: String,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What should be a URL is none that can be fetched.
    #[error("`{url}` is no URL that can be fetched: {reason}")]
    Url {
        /// The text, clipped and without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// The other side has no such thing.
    #[error("{url} does not exist{}", said(message))]
    NotFound {
        /// What was asked for.
        url: SafeUrl,
        /// What the other side said.
        message: String,
    },
    /// The other side refuses for want of the right credentials.
    #[error("access to {url} is denied ({status}){}", said(message))]
    Denied {
        /// What was asked for.
        url: SafeUrl,
        /// 401 or 403.
        status: u16,
        /// What the other side said.
        message: String,
        /// What to try.
        help: Vec<String>,
    },
    /// The other side refuses a login, and will whatever is asked for.
    #[error("{registry} refused the {login}{}", said(message))]
    LoginRefused {
        /// The registry, or the host.
        registry: String,
        /// What was shown to it: `password of user ferry`; where what was asked for may be the reason, with that.
        login: String,
        /// What the other side said.
        message: String,
    },
    /// The other side asks to slow down or to come back later.
    #[error("{url} is overloaded or limits requests ({status}){}", said(message))]
    Overloaded {
        /// What was asked for.
        url: SafeUrl,
        /// 429 or 503.
        status: u16,
        /// What the other side said.
        message: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The other side failed.
    #[error("{url} failed with status {status}{}", said(message))]
    Server {
        /// What was asked for.
        url: SafeUrl,
        /// 5xx, 408 or 425.
        status: u16,
        /// What the other side said.
        message: String,
    },
    /// The other side does not take the request.
    #[error("{url} refused the request with status {status}{}", said(message))]
    Refused {
        /// What was asked for.
        url: SafeUrl,
        /// The status.
        status: u16,
        /// What the other side said.
        message: String,
    },
    /// No connection came about.
    #[error("cannot connect to {host}")]
    Connect {
        /// The host.
        host: String,
        /// Whether a connection to it came about earlier in this run.
        reached_before: bool,
        /// Why.
        source: reqwest::Error,
    },
    /// The TLS handshake failed.
    #[error("no TLS connection to {host}: {problem}")]
    Tls {
        /// The host.
        host: String,
        /// What went wrong.
        problem: TlsProblem,
    },
    /// Nothing came or went for too long.
    #[error("{url} was silent for {} s", after.as_secs_f32())]
    Stalled {
        /// What was asked for.
        url: SafeUrl,
        /// How long.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection to {url} broke")]
    Interrupted {
        /// What was asked for.
        url: SafeUrl,
        /// Why.
        source: reqwest::Error,
    },
    /// The content ended early.
    #[error("{url} ended after {actual} of {expected} bytes")]
    Truncated {
        /// What was asked for.
        url: SafeUrl,
        /// Bytes that there should be.
        expected: u64,
        /// Bytes that there were.
        actual: u64,
    },
    /// The content has another size than it must have.
    #[error("{url} has {}{actual} bytes, not {expected}", if *at_least { "at least " } else { "" })]
    WrongSize {
        /// What was asked for.
        url: SafeUrl,
        /// Bytes that there should be.
        expected: u64,
        /// Bytes that there are.
        actual: u64,
        /// Whether reading stopped there.
        at_least: bool,
    },
    /// The content is not what its digest says.
    #[error("{url} has the digest {actual}, not {expected}")]
    WrongDigest {
        /// What was asked for.
        url: SafeUrl,
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// A document is larger than such documents may be.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: SafeUrl,
        /// The most that is read.
        limit: u64,
    },
    /// An answer that its protocol does not allow.
    #[error("{url} answered in a way that cannot be used: {reason}")]
    Protocol {
        /// What was asked for.
        url: SafeUrl,
        /// What is wrong with it.
        reason: String,
    },
    /// A manifest that cannot be read.
    #[error("the manifest is malformed: {0}")]
    Manifest(String),
    /// An image in the format that docker gave up in 2017.
    #[error("{reference} is a schema 1 image, which has no verifiable layers")]
    Schema1 {
        /// The image.
        reference: String,
    },
    /// The registry would send us, or what we hold, from TLS to plain HTTP.
    #[error("{from} points to {to}, which is not protected by TLS")]
    Insecure {
        /// Who points there.
        from: SafeUrl,
        /// Where.
        to: SafeUrl,
    },
    /// No token could be had from a registry's token service.
    #[error("no token for {scope} of {registry}")]
    Token {
        /// The registry.
        registry: String,
        /// What the token is for.
        scope: String,
        /// Why.
        source: Box<Error>,
    },
    /// The registry will not take an upload in pieces as small as we can make them.
    #[error("{url} refuses uploads of {size} bytes as too large (413)")]
    UploadTooLarge {
        /// The upload.
        url: SafeUrl,
        /// The smallest piece that was tried.
        size: u64,
    },
    /// The target of a download cannot be written.
    #[error("cannot write what comes from {url}")]
    Sink {
        /// What was being fetched.
        url: SafeUrl,
        /// Why.
        source: std::io::Error,
    },
    /// The source of an upload cannot be read.
    #[error("cannot read what goes to {url}")]
    Source {
        /// Where it was going.
        url: SafeUrl,
        /// Why.
        source: SourceError,
    },
    /// The docker daemon says no.
    #[error("docker cannot {action}{}", said(message))]
    Engine {
        /// What was asked of it: `start the container x`.
        action: String,
        /// Its status; 200 where it noticed later.
        status: u16,
        /// What it said.
        message: String,
    },
    /// bkrepo says no.
    #[error(transparent)]
    Bkrepo(Box<BkrepoError>),
    /// A helm repository says no.
    #[error(transparent)]
    HelmRepository(Box<HelmRepositoryError>),
    /// No docker daemon can be used.
    #[error("cannot use the docker daemon at {host}: {reason}")]
    Daemon {
        /// Its address.
        host: String,
        /// Why.
        reason: String,
    },
}

/// What went wrong with a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// Nobody we trust signed the certificate.
    #[error("its certificate is signed by an unknown authority")]
    UnknownAuthority,
    /// The other side does not speak TLS.
    #[error("it speaks plain HTTP")]
    PlainHttp,
    /// The certificate is for another name.
    #[error("its certificate is for another name")]
    WrongName,
    /// The certificate's time has passed or not come.
    #[error("its certificate has expired or is not valid yet")]
    Expired,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// What the other side said, ready to stand behind our own words.
pub(crate) fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl Error {
    /// The HTTP status that the other side answered with, where it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NotFound { .. } => Some(404),
            Self::LoginRefused { .. } => Some(401),
            Self::UploadTooLarge { .. } => Some(413),
            Self::Bkrepo(error) => Some(error.status),
            Self::HelmRepository(error) => Some(error.status),
            Self::Denied { status, .. }
            | Self::Overloaded { status, .. }
            | Self::Server { status, .. }
            | Self::Refused { status, .. }
            | Self::Engine { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether it tells of a host that has more to do than it can: a sign to send it fewer requests at once.
    pub(crate) fn is_overload(&self) -> bool {
        matches!(
            self,
            Self::Overloaded { .. }
                | Self::Stalled { .. }
                | Self::Interrupted { .. }
                | Self::Truncated { .. }
                | Self::Connect { reached_before: true, .. }
        )
    }

    /// How long the other side asks us to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after, .. } => *retry_after,
            Self::Token { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Setup(_) => Class::Internal,
            Self::Url { .. } => Class::Input,
            Self::NotFound { .. } | Self::Engine { status: 404, .. } => Class::NotFound,
            Self::CaFile { .. }
            | Self::AuthFile { .. }
            | Self::Sink { .. }
            | Self::Daemon { .. }
            | Self::Engine { .. } => Class::Local,
            Self::Denied { .. } | Self::LoginRefused { .. } => Class::Denied,
            Self::Overloaded { .. } => Class::RateLimited,
            Self::Server { .. }
            | Self::Connect { .. }
            | Self::Stalled { .. }
            | Self::Interrupted { .. }
            | Self::Truncated { .. } => Class::Transient,
            Self::WrongSize { .. } | Self::WrongDigest { .. } => Class::Verification,
            Self::Refused { message, .. } if message.contains("DIGEST_INVALID") => Class::Verification,
            Self::Refused { .. }
            | Self::Tls { .. }
            | Self::TooLarge { .. }
            | Self::Protocol { .. }
            | Self::Manifest(_)
            | Self::Schema1 { .. }
            | Self::Insecure { .. }
            | Self::UploadTooLarge { .. } => Class::Protocol,
            Self::Bkrepo(error) => error.class(),
            Self::HelmRepository(error) => error.class(),
            Self::Token { source, .. } => source.class(),
            Self::Source { source, .. } => source.class(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Denied { help, .. } => return help.clone(),
            Self::Source { source, .. } => return source.hints(),
            Self::LoginRefused { registry, .. } => {
                format!("correct it with `docker login {registry}`, or name a file with the right one: --authfile FILE")
            }
            Self::AuthFile { .. } => "it must be what `docker login` writes: {\"auths\": {\"HOST\": {\"auth\": …}}}".into(),
            Self::Bkrepo(error) => return error.hints(),
            Self::HelmRepository(error) => return error.hints(),
            Self::Token { source, .. } => {
                let mut hints = source.hints();
                if let Self::Connect { host, .. } = source.as_ref() {
                    hints.push(format!("{host} is the registry's token service: it must be reachable from here too"));
                }
                return hints;
            }
            Self::Tls { host, problem: TlsProblem::UnknownAuthority } => {
                format!("if you trust it, name the authority's certificate: --ca-file FILE (for {host})")
            }
            Self::Tls { host, problem: TlsProblem::PlainHttp } => {
                format!("if that is what you want, say so: --plain-http {host}")
            }
            Self::Tls { problem: TlsProblem::Expired, .. } => "check this machine's clock, then the certificate".into(),
            Self::Connect { host, .. } => {
                format!("check that {host} resolves and answers from here, and HTTPS_PROXY and NO_PROXY")
            }
            Self::Schema1 { .. } => {
                "push the image again with docker 1.10 or later, or copy it with `skopeo copy --format v2s2`".into()
            }
            Self::Insecure { to, .. } => {
                format!("if that host may be spoken to in plain HTTP, say so: --plain-http {}", to.host())
            }
            Self::UploadTooLarge { .. } => {
                "raise the limit of the proxy in front of the registry (nginx: client_max_body_size)".into()
            }
            // What TLS servers answer to plain HTTP; to HEAD they cannot say so in words.
            Self::Refused { url, status: 400, message }
                if url.is_plain() && (message.is_empty() || message.contains("HTTPS")) =>
            {
                format!("{} may speak TLS: leave out --plain-http for it", url.host())
            }
            Self::Refused { status: 507, .. } => {
                "free space on the registry's disk, then run the same command again".into()
            }
            Self::WrongDigest { .. } | Self::WrongSize { .. } => {
                "the other side, or something on the way, changed the content: fetch it by another way and compare".into()
            }
            Self::Overloaded { status: 429, .. } => {
                "log in (`docker login`), lower --jobs, or run the same command again later: finished work is kept".into()
            }
            Self::CaFile { .. } => "it must be a PEM file with at least one certificate".into(),
            Self::Daemon { .. } => "start the daemon, or set DOCKER_HOST=unix:///path/to/docker.sock".into(),
            Self::Stalled { .. } | Self::Interrupted { .. } | Self::Truncated { .. } | Self::Server { .. } => {
                "run the same command again: it goes on where it stopped".into()
            }
            _ => return Vec::new(),
        };
        vec![hint]
    }
}
