use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use ferry_model::Digest;
use ferry_model::event::Task;

use crate::{Error, Expected, Probe, Repository, Resume, RetryPolicy, Sink};

/// A certificate authority to trust besides the system's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFile {
    /// For this host alone (a port is ignored); for all where absent.
    pub host: Option<String>,
    /// A PEM file with one certificate or several.
    pub path: PathBuf,
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
    /// Requests at once to one host; fewer while it is overloaded.
    pub connections_per_host: usize,
    /// How long a connection may be silent. There is no limit on a whole request.
    pub stall_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a registry may take to commit an upload after its last byte.
    pub commit_timeout: Duration,
    /// When and how often to try again.
    pub retry: RetryPolicy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: Vec::new(),
            ca_files: Vec::new(),
            auth_file: None,
            connections_per_host: 8,
            stall_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(15),
            commit_timeout: Duration::from_secs(300),
            retry: RetryPolicy::default(),
        }
    }
}

/// The one way out to other hosts. A clone is the same client: connections, tokens and limits are shared.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// A client; reads the trust store and the certificate files.
    pub fn new(options: Options) -> Result<Self, Error> {
        todo!()
    }
    /// A repository of a registry: `docker.io`, `library/registry`. Asks nothing yet.
    pub fn repository(&self, registry: &str, repository: &str) -> Repository {
        todo!()
    }
    /// Streams what `url` holds into `sink`, going on from `resume`.
    pub async fn fetch_url(
        &self,
        url: &str,
        expected: Expected,
        resume: Resume,
        sink: &mut dyn Sink,
        task: &Task,
    ) -> Result<(Digest, u64), Error> {
        todo!()
    }
    /// What `url` holds, if it is no more than `limit` bytes.
    pub async fn get_small(&self, url: &str, limit: u64) -> Result<Bytes, Error> {
        todo!()
    }
    /// Asks for the size of what `url` holds, without fetching it.
    pub async fn probe(&self, url: &str) -> Result<Probe, Error> {
        todo!()
    }
}
