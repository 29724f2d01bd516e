//! dockerd: `daemon.json` and `certs.d`.
//!
//! dockerd refuses to start when an option stands both in `daemon.json` and on its command line, so that is looked for before
//! anything is written. It takes both lists of registries up on SIGHUP, and reads `certs.d` at each pull.

mod flags;
#[cfg(test)]
mod tests;

use std::path::Path;

use ferry_model::failure::Class;
use ferry_model::node::{NodeDesired, NodeRegistry, Security, Takeup};
use ferry_model::report::Failed;

use self::flags::Dockerd;
use super::json::Object;
use super::{Edit, Edits, Root, endpoint};

/// The units that dockerd has been seen to have.
pub(crate) const UNITS: [&str; 3] = ["docker.service", "dockerd.service", "snap.docker.dockerd.service"];
const CERTIFICATES: &str = "/etc/docker/certs.d";
/// What Docker Hub is called.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What dockerd needs to pull from the registries; nothing where there is no dockerd.
pub fn edits(root: &Root, desired: &NodeDesired) -> Result<Edits, Failed> {
    let Some(dockerd) = Dockerd::look(root)? else { return Ok(Edits::default()) };
    let mut edits = Edits { found: Some("docker".into()), ..Edits::default() };
    // First, since whoever is told to speak TLS with a registry needs them.
    for registry in &desired.registries {
        edits.files.extend(certificate(root, registry)?);
    }
    let mirrors = mirrors(desired, &mut edits.notes);
    let insecure = insecure(desired);
    let path = dockerd.configuration();
    let before = root.read(&path)?;
    let object = Object::read(&path, before.as_deref().unwrap_or_default());
    // A broken file is nobody's business who has nothing to write there.
    let mut object = match object {
        Err(_) if insecure.is_empty() && mirrors.is_empty() => return Ok(edits),
        object => object?,
    };
    let untouched = object.bytes();
    for list in [
        List { key: "insecure-registries", flag: "insecure-registry", wanted: insecure },
        List { key: "registry-mirrors", flag: "registry-mirror", wanted: mirrors },
    ] {
        list.put_into(&mut object, &path, &dockerd, &mut edits)?;
    }
    edits.notes.extend(needless(&object, &path, desired)?);
    if object.bytes() != untouched {
        edits.files.push(Edit {
            path,
            before,
            after: Some(object.bytes()),
            mode: 0o644,
            units: UNITS.map(str::to_owned).to_vec(),
            takeup: Takeup::Reload,
            reason: "dockerd reads its lists of registries anew".into(),
        });
    }
    Ok(edits)
}

/// A list of `daemon.json` and the flag that says the same.
struct List {
    key: &'static str,
    flag: &'static str,
    wanted: Vec<String>,
}

impl List {
    fn put_into(
        &self,
        object: &mut Object,
        path: &Path,
        dockerd: &Dockerd,
        edits: &mut Edits,
    ) -> Result<(), Failed> {
        let has = object.strings(path, self.key)?;
        let flags: Vec<_> = dockerd.flags(self.flag).collect();
        let is = |has: &str, wanted: &str| has.trim_end_matches('/').eq_ignore_ascii_case(wanted);
        let mut missing = self.wanted.clone();
        missing.retain(|wanted| !has.iter().any(|has| is(has, wanted)));
        if let Some(flag) = flags.first() {
            missing.retain(|wanted| !flags.iter().any(|flag| is(&flag.value, wanted)));
            if object.has(self.key) || !missing.is_empty() {
                edits.failures.push(self.conflict(object.has(self.key), path, &flag.place, &missing));
            }
            return Ok(());
        }
        if self.key == "registry-mirrors" && !missing.is_empty() && !has.is_empty() {
            edits.notes.push(format!("dockerd asks the mirrors that {} had first", path.display()));
        }
        object.add(self.key, &missing);
        Ok(())
    }

    fn conflict(&self, is_there: bool, path: &Path, place: &str, missing: &[String]) -> Failed {
        let (Self { key, flag, .. }, path) = (self, path.display());
        let message = if is_there {
            format!("`{key}` of {path} and `--{flag}` in {place}: dockerd does not start with both")
        } else {
            format!(
                "`{key}` cannot go to {path}: `--{flag}` is in {place}, and dockerd does not start with both"
            )
        };
        let lacks = match missing {
            [] => String::new(),
            missing => format!(" and add {}", missing.join(", ")),
        };
        Failed::because(Class::Input, message).hint(format!(
            "move what `--{flag}` in {place} says to `{key}` in {path}{lacks}, restart docker, then run this again"
        ))
    }
}

/// What dockerd has to read before `then`, so that it forgets lists that are gone from its configuration: on SIGHUP it keeps the
/// last value of a key that is not there any more. `None` where it has nothing to forget.
pub(crate) fn forgetting(now: Option<&[u8]>, then: Option<&[u8]>) -> Option<Vec<u8>> {
    let read = |bytes: Option<&[u8]>| -> Option<serde_json::Map<String, serde_json::Value>> {
        let bytes = bytes.unwrap_or_default();
        if bytes.trim_ascii().is_empty() {
            Some(serde_json::Map::new())
        } else {
            serde_json::from_slice(bytes).ok()
        }
    };
    let (now, mut then) = (read(now)?, read(then)?);
    let lists = ["insecure-registries", "registry-mirrors"];
    let gone: Vec<&str> =
        lists.into_iter().filter(|key| now.contains_key(*key) && !then.contains_key(*key)).collect();
    then.extend(gone.iter().map(|key| ((*key).to_owned(), serde_json::json!([]))));
    (!gone.is_empty()).then(|| serde_json::Value::Object(then).to_string().into_bytes())
}

/// Registries whose certificates dockerd shall not ask for.
fn insecure(desired: &NodeDesired) -> Vec<String> {
    let is_insecure =
        |registry: &&NodeRegistry| matches!(registry.security, Security::PlainHttp | Security::Unverified);
    let mut addresses: Vec<String> =
        desired.registries.iter().filter(is_insecure).map(|registry| registry.address.to_string()).collect();
    addresses.dedup();
    addresses
}

/// Mirrors of Docker Hub. That others cannot be mirrored is noted.
fn mirrors(desired: &NodeDesired, notes: &mut Vec<String>) -> Vec<String> {
    let mut mirrors = Vec::new();
    for (upstream, registries) in endpoint::upstreams(&desired.registries) {
        let name = upstream.to_string();
        for registry in registries {
            let prefix = endpoint::prefix(registry);
            let instead = [registry.address.to_string(), prefix.to_owned()].join("/");
            let instead = instead.trim_end_matches('/');
            if !HUB.contains(&name.as_str()) {
                notes.push(format!(
                    "dockerd mirrors docker.io alone: references to images of {name} must be rewritten to {instead}/…"
                ));
            } else if !prefix.is_empty() {
                notes.push(format!(
                    "dockerd's mirrors cannot have a path: references to images of {name} must be rewritten to {instead}/…"
                ));
            } else if !mirrors.contains(&endpoint::url(registry)) {
                mirrors.push(endpoint::url(registry));
            }
        }
    }
    mirrors
}

/// The authority of a registry, where no file in its folder has it yet.
fn certificate(root: &Root, registry: &NodeRegistry) -> Result<Option<Edit>, Failed> {
    let Some(authority) = endpoint::authority(registry) else { return Ok(None) };
    let folder = Path::new(CERTIFICATES).join(registry.address.to_string());
    let mut path = folder.join("ca.crt");
    for name in root.list(&folder)?.iter().filter(|name| name.ends_with(".crt")) {
        let has = root.read(folder.join(name))?.unwrap_or_default();
        let has = certificates(&String::from_utf8_lossy(&has));
        if certificates(&authority).iter().all(|wanted| has.contains(wanted)) {
            return Ok(None);
        }
    }
    if root.exists(&path) {
        // Somebody's own. dockerd reads all of a folder's `.crt` files.
        path = folder.join(endpoint::AUTHORITY);
    }
    root.edit(path, authority, "dockerd reads certificates at each pull")
}

/// The certificates of a PEM file, without what their lines differ in.
fn certificates(pem: &str) -> Vec<String> {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks
        .map(|block| block.split("-----END").next().unwrap_or_default().split_whitespace().collect())
        .collect()
}

/// That dockerd does not verify a registry though it could.
fn needless(object: &Object, path: &Path, desired: &NodeDesired) -> Result<Vec<String>, Failed> {
    let insecure = object.strings(path, "insecure-registries")?;
    let verified =
        desired.registries.iter().filter(|registry| matches!(registry.security, Security::Https { .. }));
    let verified = verified.map(|registry| registry.address.to_string());
    let notes = verified.filter(|address| insecure.contains(address)).map(|address| {
        format!(
            "dockerd does not check who {address} is: it stands in `insecure-registries` of {}",
            path.display()
        )
    });
    Ok(notes.collect())
}
