//! A Kubernetes API server with etcd, and nothing else: no controllers, no nodes. What `cargo xtask test --cluster` built.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::Value;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::{free_port, kubectl, wait_until};

/// Names the program, where the cluster tests shall run.
const PROGRAM: &str = "FERRY_TEST_APISERVER";
/// The token of an administrator.
const ADMINISTRATOR: &str = "the-administrators-token";
/// The token of somebody who may do nothing.
const NOBODY: &str = "the-token-of-nobody";

/// A running API server.
#[derive(Debug)]
pub struct ApiServer {
    folder: TempDir,
    server: String,
    program: Daemon,
    _etcd: Daemon,
}

impl ApiServer {
    /// Starts one and waits until it is ready, which takes some seconds. `None`, and said so, where none was built.
    pub fn start() -> Result<Option<Self>> {
        let Some(executable) = std::env::var_os(PROGRAM) else {
            #[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
            {
                eprintln!("SKIPPED: no real API server; `cargo xtask test --cluster` builds one");
            }
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        certificates(path)?;
        let tokens = format!("{ADMINISTRATOR},administrator,1,system:masters\n{NOBODY},nobody,2\n");
        fs::write(path.join("tokens.csv"), tokens)?;

        let port = || free_port(Ipv4Addr::LOCALHOST.into());
        let (client, peer, secure) = (port()?, port()?, port()?);
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(path.join("etcd")).args(["--unsafe-no-fsync", "--log-level", "warn"]);
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.args(["--initial-cluster", &format!("default={peer}")]);
        let etcd = Daemon::start(etcd, &path.join("etcd.log"))?;

        let mut command = Command::new(executable);
        let file = |flag: &str, name: &str| format!("--{flag}={}", path.join(name).display());
        command.arg(format!("--etcd-servers={client}")).arg(format!("--secure-port={secure}"));
        command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
        command.args(["--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none"]);
        command.args(["--authorization-mode=Node,RBAC", "--disable-admission-plugins=ServiceAccount"]);
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        // As kubeadm and all distributions have it: the pods of networks and volumes need it.
        command.arg("--allow-privileged=true");
        command.args([
            file("cert-dir", "."),
            file("tls-cert-file", "server.crt"),
            file("tls-private-key-file", "server.key"),
            file("client-ca-file", "ca.crt"),
            file("token-auth-file", "tokens.csv"),
            file("service-account-key-file", "accounts.pub"),
            file("service-account-signing-key-file", "accounts.key"),
        ]);
        let program = Daemon::start(command, &path.join("api-server.log"))?;
        let server = format!("https://127.0.0.1:{secure}");
        let started = Self { folder, server, program, _etcd: etcd };
        started.kubeconfig()?;
        let is_ready = || started.kubectl(&["get", "--raw", "/readyz"], "").is_ok_and(|said| said == "ok");
        wait_until(Duration::from_secs(120), "the API server is not ready", is_ready)
            .with_context(|| started.program.said())?;
        Ok(Some(started))
    }

    /// The kubeconfig of an administrator with a client certificate.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let user = format!("client-certificate: {}, client-key: {}", at("admin.crt"), at("admin.key"));
        self.write_kubeconfig("kubeconfig", &user)
    }

    /// The kubeconfig of an administrator with a token.
    pub fn kubeconfig_with_token(&self) -> Result<PathBuf> {
        self.write_kubeconfig("kubeconfig-token", &format!("token: {ADMINISTRATOR}"))
    }

    /// The kubeconfig of the user `nobody`, who may do nothing that no binding allows.
    pub fn kubeconfig_of_nobody(&self) -> Result<PathBuf> {
        self.write_kubeconfig("kubeconfig-nobody", &format!("token: {NOBODY}"))
    }

    fn write_kubeconfig(&self, name: &str, user: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        let (server, authority) = (&self.server, self.folder.path().join("ca.crt"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: real\n\
             clusters: [{{name: real, cluster: {{server: \"{server}\", certificate-authority: {}}}}}]\n\
             users: [{{name: tester, user: {{{user}}}}}]\n\
             contexts: [{{name: real, context: {{cluster: real, user: tester}}}}]\n",
            authority.display()
        );
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The object at an API path, if there is one.
    pub fn object(&self, path: &str) -> Result<Option<Value>> {
        match self.kubectl(&["get", "--raw", path], "") {
            Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
            Err(error) if error.to_string().contains("NotFound") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies a manifest with force, as `manager`.
    pub fn apply_as(&self, manager: &str, manifest: &Value) -> Result<()> {
        let manager = format!("--field-manager={manager}");
        let arguments =
            ["apply", "--server-side", "--force-conflicts", "--validate=false", &manager, "-f", "-"];
        self.kubectl(&arguments, &manifest.to_string()).map(drop)
    }

    /// Replaces what is at an API path: a status, or a namespace's finalizers, which are a controller's to set.
    pub fn replace(&self, path: &str, object: &Value) -> Result<()> {
        self.kubectl(&["replace", "--raw", path, "-f", "-"], &object.to_string()).map(drop)
    }

    /// What kubectl prints.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String> {
        use std::io::Write as _;
        let mut child = Command::new(kubectl())
            .arg("--kubeconfig")
            .arg(self.folder.path().join("kubeconfig"))
            .args(arguments)
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("kubectl")?;
        child.stdin.take().context("a pipe was asked for")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// An authority, the server's certificate, an administrator's, and the key that signs accounts' tokens.
fn certificates(folder: &Path) -> Result<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "ferry tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority_key = KeyPair::generate()?;
    fs::write(folder.join("ca.crt"), authority.self_signed(&authority_key)?.pem())?;
    let issuer = Issuer::new(authority, authority_key);

    let server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let mut administrator = CertificateParams::new(Vec::new())?;
    administrator.distinguished_name.push(DnType::OrganizationName, "system:masters");
    administrator.distinguished_name.push(DnType::CommonName, "administrator");
    administrator.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (name, parameters) in [("server", server), ("admin", administrator)] {
        let key = KeyPair::generate()?;
        fs::write(folder.join(format!("{name}.crt")), parameters.signed_by(&key, &issuer)?.pem())?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    }
    let accounts = KeyPair::generate()?;
    fs::write(folder.join("accounts.key"), accounts.serialize_pem())?;
    fs::write(folder.join("accounts.pub"), accounts.public_key_pem())?;
    Ok(())
}
