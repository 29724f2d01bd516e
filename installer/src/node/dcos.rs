//! Agents of DC/OS: their load balancer's virtual addresses must reach the registry, and what fetches images there besides docker
//! must trust it.
//!
//! A virtual address (VIP) is translated on the way, and the tracking of connections then takes answers for strays and drops
//! them, unless it is told to be liberal. dockerd's own trust (`certs.d`) is dockerd's editor's.

mod subject;

use std::path::Path;

use ferry_model::failure::Class;
use ferry_model::node::{NodeDesired, NodeRegistry};
use ferry_model::report::Failed;

use super::{Edits, Root, endpoint};

/// Where each node of DC/OS has its programs.
const DCOS: &str = "/opt/mesosphere";
/// What Mesos' fetcher and its own runtime (UCR) trust: a file for each authority, by the hash of its name.
const TRUSTED: &str = "/var/lib/dcos/pki/tls/certs";
/// The value that counts now.
const LIVE: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";
/// The value after a start. What comes last counts, and 99-sysctl.conf is /etc/sysctl.conf.
const LASTING: &str = "/etc/sysctl.d/99-zz-ferry-dcos.conf";
/// Settings of modules that are not loaded yet are passed over at a start. This alias is that of the module that has this one:
/// `nf_conntrack_ipv4` before Linux 4.19 (CentOS 7), `nf_conntrack` from then on.
const MODULES: &str = "/etc/modules-load.d/ferry-dcos.conf";

/// What an agent needs besides what all nodes do.
pub fn edits(root: &Root, desired: &NodeDesired) -> Result<Edits, Failed> {
    let mut edits = Edits::default();
    if !desired.dcos {
        return Ok(edits);
    }
    let why = "# The VIPs of DC/OS: connections through them are taken for strays otherwise.\n";
    for (path, text) in [
        (MODULES, format!("{why}ip_conntrack\n")),
        (LASTING, format!("{why}net.netfilter.nf_conntrack_tcp_be_liberal = 1\n")),
    ] {
        edits.files.extend(root.edit(path, text, "the next start reads it")?);
    }
    match root.read(LIVE)? {
        None => edits.notes.push(format!(
            "the kernel does not track connections yet, so {LIVE} is not there: it is set at the next start, or by another run once docker or DC/OS has loaded nf_conntrack"
        )),
        Some(value) if value.trim_ascii() == b"1" => {}
        Some(_) => {
            let reason = "the kernel takes it up at once";
            edits.files.extend(root.edit(LIVE, "1\n".into(), reason)?);
        }
    }
    if !root.exists(DCOS) {
        edits.notes.push(format!(
            "{DCOS} is not there: this node is no agent of DC/OS, and nothing of its own is told of authorities"
        ));
        return Ok(edits);
    }
    for registry in &desired.registries {
        trust(root, registry, &mut edits)?;
    }
    Ok(edits)
}

/// The authority of a registry, where the folder does not have it yet.
fn trust(root: &Root, registry: &NodeRegistry, edits: &mut Edits) -> Result<(), Failed> {
    let Some(authority) = endpoint::authority(registry) else { return Ok(()) };
    let certificates = subject::certificates(&authority).map_err(|problem| {
        let message = format!("the authority of {} cannot be read: {problem}", registry.address);
        Failed::because(Class::Input, message).hint("name a file with certificates in PEM in the site file")
    })?;
    for certificate in certificates {
        for number in 0.. {
            let path = Path::new(TRUSTED).join(format!("{}.{number}", certificate.hash));
            let planned =
                edits.files.iter().find(|edit| edit.path == path).and_then(|edit| edit.after.clone());
            let Some(there) = planned.or(root.read(&path)?) else {
                let reason = "programs of DC/OS look it up by this name";
                edits.files.extend(root.edit(path, certificate.pem(), reason)?);
                break;
            };
            let there = subject::certificates(&String::from_utf8_lossy(&there)).unwrap_or_default();
            if there.iter().any(|there| there.der == certificate.der) {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
