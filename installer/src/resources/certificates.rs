//! Certificates that Ferry makes: an authority, once for a site, and a server certificate that it signs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use ferry_model::event::Task;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Certificates, State};
use ferry_model::report::Failed;

use super::file::{foreign_owner, kept_attributes, local, mode_text, parse_owner, write_file_as};
use super::{Kept, Manage, Mine, Undone, without};
use crate::context::Context;
use crate::replace::{self, Attributes, Guise};
use crate::serve::tls;

/// The files of the folder, with their modes. The last one vouches for the others.
const FILES: [(&str, u32); 5] = [
    ("ca.crt", 0o644),
    ("ca.key", 0o600),
    ("server.crt", 0o644),
    ("server.key", 0o600),
    ("certificates.json", 0o644),
];

impl Manage for Certificates {
    fn wanted(&self) -> State {
        State::present([("names", self.names.join(" ")), ("valid", "yes".to_owned())])
    }

    fn summary(&self, action: Action) -> String {
        format!("{action} certificates in {} for {}", self.folder.display(), self.names.join(", "))
    }

    fn undo_summary(&self, before: &State) -> String {
        match before {
            State::Absent => "remove them".into(),
            _ => "put back the certificates and keys that were there".into(),
        }
    }

    async fn observe(&self, _context: &Context) -> State {
        if !self.folder.join("server.crt").exists() && !self.folder.join("ca.crt").exists() {
            return State::Absent;
        }
        match tls::state(&self.folder, &self.names, SystemTime::now()) {
            Ok(state) => {
                let names = if state.covers { self.names.join(" ") } else { state.names.join(" ") };
                let valid = if state.valid { "yes" } else { "no: near its end" };
                let own = [
                    ("names", names),
                    ("valid", valid.to_owned()),
                    ("authority", state.authority),
                    ("server", state.server),
                ];
                let odd = FILES
                    .into_iter()
                    .filter_map(|(name, mode)| Some((name, unusual(&self.folder.join(name), mode)?)));
                State::present(own.into_iter().chain(odd))
            }
            Err(error) => State::Unknown { reason: Failed::new(&error).message },
        }
    }

    fn owned(&self, seen: &State) -> State {
        without(seen, &["valid"])
    }

    async fn keep(&self, _context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let mut names = BTreeMap::new();
        for (name, _) in FILES {
            let path = self.folder.join(name);
            match fs::read(&path) {
                Ok(bytes) => {
                    names.insert(name.to_owned(), kept.save(&bytes)?);
                    let attributes =
                        Attributes::of(&path).map_err(|error| local("reading", &path, &error))?;
                    if let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) {
                        names.insert(attributes_of(name), kept.save(&attributes.to_json())?);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(local("reading", &path, &error)),
            }
        }
        Ok(names)
    }

    async fn apply(&self, _context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        tls::generate(&self.folder, &self.names, SystemTime::now())
            .map(drop)
            .map_err(|error| Failed::new(&error))
    }

    async fn undo(
        &self,
        _context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        // Cut off between a key and its certificate, nothing vouches for that pair.
        remove(&self.folder.join("certificates.json"))?;
        for (name, mode) in FILES {
            let path = self.folder.join(name);
            let Some(kept_as) = before.kept.get(name) else {
                remove(&path)?;
                continue;
            };
            let (mode, owner) = before.state.property(name).and_then(parse_unusual).unwrap_or((mode, None));
            let attributes = kept_attributes(before.kept.get(&attributes_of(name)), kept)?;
            let guise = Guise { mode, owner, attributes: Some(attributes) };
            write_file_as(&path, &kept.read(kept_as)?, &guise)?;
        }
        Ok(Undone::Restored)
    }
}

/// What a file's attributes are kept as.
fn attributes_of(name: &str) -> String {
    format!("{name} attributes")
}

fn remove(path: &Path) -> Result<(), Failed> {
    replace::remove_file(path).map_err(|error| local("removing", path, &error))
}

/// Mode and owner of a file that somebody has changed: `0640`, `0640 0:999`.
fn unusual(path: &Path, mode: u32) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let (now, owner) = (metadata.permissions().mode() & 0o7777, foreign_owner(&metadata));
    match owner {
        Some(owner) => Some(format!("{} {owner}", mode_text(now))),
        None => (now != mode).then(|| mode_text(now)),
    }
}

/// What [`unusual`] has written.
fn parse_unusual(text: &str) -> Option<(u32, Option<(u32, u32)>)> {
    let (mode, owner) = text.split_once(' ').map_or((text, None), |(mode, owner)| (mode, Some(owner)));
    let owner = match owner {
        Some(owner) => Some(parse_owner(owner)?),
        None => None,
    };
    Some((u32::from_str_radix(mode, 8).ok()?, owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_owners_are_noted_where_somebody_changed_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(unusual(&path, 0o600), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(unusual(&path, 0o600).as_deref(), Some("0640"));
        assert_eq!(parse_unusual("0640"), Some((0o640, None)));
        assert_eq!(parse_unusual("0640 0:999"), Some((0o640, Some((0, 999)))));
        assert_eq!(parse_unusual("0640 x"), None);
        // Only root can give a file away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(0), Some(999)).unwrap();
            assert_eq!(unusual(&path, 0o600).as_deref(), Some("0640 0:999"));
        }
    }

    #[test]
    fn keys_are_for_their_owner_alone() {
        for (name, mode) in FILES {
            let is_key = name.ends_with(".key");
            assert_eq!(mode_text(mode), if is_key { "0600" } else { "0644" }, "{name}");
        }
    }
}
