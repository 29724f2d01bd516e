//! The proof that a node is as it shall be: its resolver gives the right addresses, a registry answers there, each runtime
//! sees what it shall see and pulls. What could not be checked is not passed.

pub mod cri;
mod pull;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use ferry_model::node::{Name, NodeDesired, NodeRegistry, NodeReport, Security};
use ferry_model::report::{Check, Failed, Finding, Severity};
use ferry_transfer::{CaFile, Client, Daemon, Options, RetryPolicy};

use super::gather::{self, Gathered};
use super::state::State;
use super::{Root, endpoint};
use crate::resources::is_registry;

/// How long a registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a check is about.
struct Kind {
    name: &'static str,
    reason: &'static str,
    remedy: &'static str,
}

const NAME: Kind = Kind {
    name: "node-name",
    reason: "images are pulled from the address that the node's own resolver gives",
    remedy: "apply the node's settings again, or correct the site's DNS or the line of /etc/hosts that is named",
};
const REGISTRY: Kind = Kind {
    name: "node-registry",
    reason: "nothing can be pulled from a server that is no registry, or that the node does not trust",
    remedy: "look at the address with a browser or curl from the node; see to firewalls, certificates and the registry itself",
};
const RUNTIME: Kind = Kind {
    name: "node-runtime",
    reason: "a runtime that has not taken its settings up goes on as before",
    remedy: "apply the node's settings; where the files are right, reload or restart the runtime",
};
const PULL: Kind = Kind {
    name: "node-pull",
    reason: "only an image that was pulled proves that images can be pulled",
    remedy: "see what the runtime says, and what the other checks of this node found",
};

impl Kind {
    fn check(&self, subject: impl Into<String>, finding: Finding, found: impl Into<String>) -> Check {
        Check {
            name: self.name.into(),
            subject: subject.into(),
            severity: Severity::Required,
            finding,
            found: found.into(),
            reason: self.reason.into(),
            remedy: self.remedy.into(),
        }
    }

    fn judge(&self, subject: impl Into<String>, outcome: Result<String, String>) -> Check {
        match outcome {
            Ok(found) => self.check(subject, Finding::Passed, found),
            Err(found) => self.check(subject, Finding::Failed, found),
        }
    }
}

/// Checks this node. Nothing is changed but for the image that is pulled, which goes again if it was not there before.
pub async fn check_node(root: &Root, desired: &NodeDesired) -> NodeReport {
    let gathered = Gathered::ask(root, desired);
    let runtimes: Vec<String> = gathered.groups.iter().filter_map(|group| group.found.clone()).collect();
    let mut checks = Vec::new();
    for name in desired.names.iter().filter(|name| name.name.ip().is_none()) {
        checks.push(NAME.judge(name.name.as_str(), resolved(name).await));
    }
    for registry in &desired.registries {
        let (finding, found) = answers(registry).await;
        checks.push(REGISTRY.check(registry.address.to_string(), finding, found));
    }
    checks.extend(files(&gathered));
    checks.extend(taken_up(root));
    if runtimes.iter().any(|runtime| runtime == "docker") {
        checks.push(daemon_sees(desired).await);
    }
    if let Some(probe) = &desired.probe {
        for runtime in &runtimes {
            let (finding, found) = pull::prove(root, runtime, probe).await;
            checks.push(PULL.check(format!("{runtime} {probe}"), finding, found));
        }
    }
    NodeReport { node: gather::node_name(root), runtimes, checks, ..NodeReport::default() }
}

/// What the node's own resolver says.
async fn resolved(name: &Name) -> Result<String, String> {
    let wanted: BTreeSet<IpAddr> = name.addresses.iter().copied().collect();
    let text = |addresses: &BTreeSet<IpAddr>| {
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let found = tokio::net::lookup_host((name.name.as_str(), 0)).await;
    let found: BTreeSet<IpAddr> = match found {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(error) => return Err(format!("not resolved: {error}; it shall be {}", text(&wanted))),
    };
    // A resolver may leave out the family that the node has no address of.
    if !found.is_empty() && found.is_subset(&wanted) {
        Ok(text(&found))
    } else {
        Err(format!("{}; it shall be {}", text(&found), text(&wanted)))
    }
}

/// Whether a registry answers, in the way and with the trust that runtimes shall have.
async fn answers(registry: &NodeRegistry) -> (Finding, String) {
    let address = &registry.address;
    let client = match client(registry) {
        Ok(client) => client,
        Err(failed) => return (Finding::Failed, failed.message),
    };
    let schemes: &[&str] = match registry.security {
        Security::PlainHttp => &["http"],
        Security::Unverified => &["https", "http"],
        Security::Https { .. } => &["https"],
    };
    let mut said = Vec::new();
    for scheme in schemes {
        let url = format!("{scheme}://{address}/v2/");
        match client.look(&url).await {
            Ok(look) if is_registry(&look) => {
                return (Finding::Passed, format!("{url} answers {} as a registry", look.status));
            }
            Ok(look) => said.push(format!("{url} answers {}, and not as a registry does", look.status)),
            Err(error) => said.push(Failed::new(&error).message),
        }
    }
    let said = said.join("; ");
    match registry.security {
        // Ferry itself speaks with nobody whom it cannot verify; the pull shows what the runtime does.
        Security::Unverified => (Finding::Unknown, format!("not verified, as the site wants it: {said}")),
        _ => (Finding::Failed, said),
    }
}

fn client(registry: &NodeRegistry) -> Result<Client, Failed> {
    let mut options = Options {
        connect_timeout: PATIENCE,
        stall_timeout: PATIENCE,
        retry: RetryPolicy { retries: 0, ..RetryPolicy::default() },
        ..Options::default()
    };
    let file = endpoint::authority(registry).map(|pem| PemFile::write(&pem)).transpose();
    let file = file.map_err(|error| {
        Failed::because(
            ferry_model::failure::Class::Local,
            format!("the authority cannot be written: {error}"),
        )
    })?;
    options.ca_files.extend(file.iter().map(|file| CaFile { host: None, path: file.0.clone() }));
    Client::new(options).map_err(|error| Failed::new(&error))
}

/// Certificates in a file, for as long as it takes to read them.
struct PemFile(PathBuf);

impl PemFile {
    fn write(pem: &str) -> io::Result<Self> {
        let mut random = [0; 12];
        let generator = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&generator, &mut random)
            .map_err(|_| io::Error::other("no randomness"))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = Self(std::env::temp_dir().join(format!("ferry-{name}.crt")));
        let mut opened =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file.0)?;
        io::Write::write_all(&mut opened, pem.as_bytes())?;
        Ok(file)
    }
}

impl Drop for PemFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether the files of each runtime say what they shall, in the words of what would be changed.
fn files(gathered: &Gathered) -> Vec<Check> {
    let mut checks = Vec::new();
    for group in &gathered.groups {
        let subject = group.found.clone().unwrap_or_else(|| "host".to_owned());
        let mut wrong: Vec<String> = group.failures.iter().map(|failed| failed.message.clone()).collect();
        wrong.extend(group.files.iter().map(|edit| format!("{} is not as it shall be", edit.path.display())));
        if group.found.is_some() || !wrong.is_empty() {
            let outcome = if wrong.is_empty() {
                Ok("its files are as they shall be".into())
            } else {
                Err(wrong.join("; "))
            };
            checks.push(RUNTIME.judge(subject, outcome));
        }
    }
    checks.extend(
        gathered.failures.iter().map(|failed| RUNTIME.check("host", Finding::Failed, &failed.message)),
    );
    checks
}

/// Whether a run that was cut off has left something to be taken up. Files do not show that.
fn taken_up(root: &Root) -> Option<Check> {
    let left = match State::of(root).journal() {
        Ok(journal) => journal.unfinished(),
        Err(failed) => vec![failed.message],
    };
    (!left.is_empty()).then(|| RUNTIME.check("host", Finding::Failed, left.join("; ")))
}

/// Whether dockerd itself says that it has what its files say.
async fn daemon_sees(desired: &NodeDesired) -> Check {
    let seen = match daemon() {
        Ok(daemon) => daemon.registries().await,
        Err(error) => Err(error),
    };
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => return RUNTIME.check("dockerd", Finding::Unknown, Failed::new(&error).message),
    };
    let mut wrong = Vec::new();
    for registry in &desired.registries {
        let address = registry.address.to_string();
        let is_insecure = seen.insecure.contains(&address);
        if !matches!(registry.security, Security::Https { .. }) && !is_insecure {
            wrong.push(format!("dockerd insists on certificates of {address}"));
        }
        let is_hub = |upstream: &&_| ToString::to_string(*upstream) == "docker.io";
        let mirrors = registry.mirrors.iter().any(|upstream| is_hub(&upstream));
        let url = endpoint::url(registry);
        if mirrors
            && endpoint::prefix(registry).is_empty()
            && !seen.mirrors.iter().any(|mirror| mirror.trim_end_matches('/') == url)
        {
            wrong.push(format!("dockerd does not ask {url} for images of docker.io"));
        }
    }
    let outcome = if wrong.is_empty() {
        Ok("it has taken its lists of registries up".into())
    } else {
        Err(wrong.join("; "))
    };
    RUNTIME.judge("dockerd", outcome)
}

/// The dockerd of this node.
fn daemon() -> Result<Daemon, ferry_transfer::Error> {
    let retry = RetryPolicy { retries: 0, ..RetryPolicy::default() };
    Daemon::at("", &Options { connect_timeout: PATIENCE, retry, ..Options::default() })
}
