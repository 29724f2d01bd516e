//! Why serving failed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use ferry_model::failure::{Class, Failure};

use crate::htpasswd::HtpasswdError;

/// A failure to start or to go on serving. What goes wrong with one request is answered to its client, and is no error
/// here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No bundle was given.
    #[error("there is no bundle to serve")]
    NoBundle,
    /// The address cannot be used.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file of the TLS set-up cannot be read or written.
    #[error("{action} {}", path.display())]
    File {
        /// `reading`, `writing`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key is not in the form that it should be in.
    #[error("{} cannot be used for TLS: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A name cannot stand in a certificate.
    #[error("`{name}` can be no name in a certificate")]
    CertificateName {
        /// The name.
        name: String,
    },
    /// A file of users has a line that cannot be used.
    #[error("{}:{line}", path.display())]
    Users {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: HtpasswdError,
    },
    /// The system has no randomness to give.
    #[error("the system gives no random numbers")]
    Randomness,
    /// Making a certificate failed.
    #[error("making the certificate")]
    Certificate(#[from] rcgen::Error),
}

impl Failure for ServeError {
    fn class(&self) -> Class {
        match self {
            Self::NoBundle | Self::CertificateName { .. } => Class::Usage,
            Self::Listen { .. } | Self::File { .. } | Self::Randomness => Class::Local,
            Self::Pem { .. } => Class::Input,
            Self::Users { source, .. } => source.problem.class(),
            Self::Certificate(_) => Class::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Users { source, .. } => return source.problem.hints(),
            Self::Listen { address, source } if source.kind() == io::ErrorKind::AddrInUse => format!(
                "another program listens there already; `ss -ltnp 'sport = :{}'` names it; or choose another port",
                address.port()
            ),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
                "the address is none of this host's; `ip address` lists them, and 0.0.0.0 means all"
                    .to_owned()
            }
            Self::Listen { address, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                format!("port {} is for root; run as root, or choose one from 1024 up", address.port())
            }
            Self::Pem { .. } => {
                "the certificate and its key are PEM files, `-----BEGIN CERTIFICATE-----` and \
                 `-----BEGIN PRIVATE KEY-----`, that belong to each other"
                    .to_owned()
            }
            Self::CertificateName { .. } => {
                "a name is a DNS name such as registry.corp, or an IP address".to_owned()
            }
            _ => return Vec::new(),
        };
        vec![hint]
    }
}
