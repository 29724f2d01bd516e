//! What the command line can say about serving.

use std::net::SocketAddr;
use std::path::PathBuf;

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where to listen. With port 0 the system chooses one; [`Server::address`](super::Server::address) tells which.
    pub listen: SocketAddr,
    /// Plain HTTP or HTTPS.
    pub tls: Tls,
    /// Users and passwords, as `htpasswd -B` writes them: only they are answered. All are, where absent.
    pub htpasswd: Option<PathBuf>,
    /// Large bodies under way at once; others wait for their turn. Each takes about 2 MiB.
    pub max_streams: usize,
    /// Connections open at once; others wait in the system's queue.
    pub max_connections: usize,
    /// Whether each request is noted.
    pub access_log: AccessLog,
}

impl ServeOptions {
    /// Plain HTTP on `listen`, with limits that keep the process below 64 MiB.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: Tls::None,
            htpasswd: None,
            max_streams: 16,
            max_connections: 1024,
            access_log: AccessLog::Off,
        }
    }
}

/// Plain HTTP or HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain HTTP.
    None,
    /// HTTPS with a certificate (and its chain) and key, in PEM.
    Files {
        /// The certificate, and those between it and the authority.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// HTTPS with a certificate of an authority that Ferry makes, once, in `directory`.
    Generated {
        /// Host names and addresses that clients use.
        names: Vec<String>,
        /// Where authority, certificate and keys are kept for the next start.
        directory: PathBuf,
    },
}

/// Whether each request is noted as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// No.
    Off,
    /// Yes: client, user, time, request, status, bytes.
    On,
}
