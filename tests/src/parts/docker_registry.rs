//! Debian's docker-registry: the registry that sites run as `registry:2`.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::{Certificates, free_port, tool, wait_for_port};
use crate::corpus::Image;
use crate::http::request;

/// What kind of registry to start.
#[derive(Clone, Debug)]
pub struct RegistrySetup {
    /// Where it listens.
    pub address: IpAddr,
    /// Where it keeps its content; several registries may share it. Default: a folder of its own.
    pub storage: Option<PathBuf>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The user and password that it asks for.
    pub login: Option<(String, String)>,
}

impl Default for RegistrySetup {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), storage: None, tls: false, login: None }
    }
}

/// A running docker-registry.
#[derive(Debug)]
pub struct DockerRegistry {
    host: String,
    certificates: Option<Certificates>,
    storage: PathBuf,
    _daemon: Daemon,
    _folder: TempDir,
}

impl DockerRegistry {
    /// Starts one and waits until it listens.
    pub fn start(setup: &RegistrySetup) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let host = format!("{}:{}", setup.address, free_port(setup.address)?);
        let storage = setup.storage.clone().unwrap_or_else(|| folder.path().join("storage"));
        let certificates =
            setup.tls.then(|| Certificates::for_address(setup.address, folder.path())).transpose()?;
        let configuration = folder.path().join("config.yml");
        let mut text = format!(
            "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp:\n  addr: {host}\n",
            storage.display()
        );
        if let Some(certificates) = &certificates {
            let (certificate, key) = (certificates.certificate.display(), certificates.key.display());
            writeln!(text, "  tls: {{certificate: {certificate}, key: {key}}}")?;
        }
        if let Some((user, password)) = &setup.login {
            let users = folder.path().join("htpasswd");
            htpasswd(&users, user, password)?;
            writeln!(text, "auth: {{htpasswd: {{realm: tests, path: {}}}}}", users.display())?;
        }
        fs::write(&configuration, text)?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&configuration);
        let daemon = Daemon::start(command, &folder.path().join("log"))?;
        wait_for_port(&host, Duration::from_secs(20)).with_context(|| daemon.said())?;
        Ok(Self { host, certificates, storage, _daemon: daemon, _folder: folder })
    }

    /// `address:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same where this host goes by another name.
    pub fn named(&self, name: &str) -> String {
        let port = self.host.rsplit(':').next().unwrap_or_default();
        format!("{name}:{port}")
    }

    /// Where it keeps its content.
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// The authority to trust.
    ///
    /// # Panics
    /// For a registry without TLS.
    pub fn authority(&self) -> &Path {
        &self.certificates.as_ref().expect("asked of a registry with TLS").authority
    }

    /// Pushes an image over plain HTTP, without auth.
    pub fn push(&self, image: &Image) -> Result<()> {
        push(&format!("http://{}", self.host), image)
    }
}

/// Writes a file of one user, as administrators do.
pub fn htpasswd(file: &Path, user: &str, password: &str) -> Result<()> {
    tool("htpasswd", &["-cbB", "-C", "4", &file.display().to_string(), user, password])
}

/// Pushes an image in the simplest way that the distribution spec knows.
pub(crate) fn push(base: &str, image: &Image) -> Result<()> {
    let repository = format!("{base}/v2/{}", image.repository);
    for (digest, bytes) in &image.blobs {
        if request(&Method::HEAD, &format!("{repository}/blobs/{digest}"), &[], "")?.status == 200 {
            continue;
        }
        let begun = request(&Method::POST, &format!("{repository}/blobs/uploads/"), &[], "")?;
        ensure!(begun.status == 202, "upload: {} {}", begun.status, begun.text());
        let location = begun.header("location");
        let location =
            if location.starts_with('/') { format!("{base}{location}") } else { location.to_owned() };
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest={digest}");
        let headers = [("content-type", "application/octet-stream")];
        let reply = request(&Method::PUT, &url, &headers, bytes.clone())?;
        ensure!(reply.status == 201, "blob {digest}: {} {}", reply.status, reply.text());
    }
    let last = image.documents.len().saturating_sub(1);
    for (number, document) in image.documents.iter().enumerate() {
        let reference = if number == last && !image.tag.is_empty() {
            image.tag.clone()
        } else {
            document.digest.to_string()
        };
        let url = format!("{repository}/manifests/{reference}");
        let headers = [("content-type", document.media_type)];
        let reply = request(&Method::PUT, &url, &headers, Bytes::clone(&document.bytes))?;
        ensure!(reply.status == 201, "manifest {reference}: {} {}", reply.status, reply.text());
    }
    Ok(())
}
