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

use super::file::{foreign_owner, kept_attributes, local, mode_text, parse_owner, set_mode, write_file_as};
use super::{Kept, Manage, Mine, Undone, without};
use crate::context::Context;
use crate::replace::{self, Attributes, Guise};
use crate::serve::tls;

const PUBLIC: u32 = 0o644;
/// Keys are their owner's alone.
const SECRET: u32 = 0o600;
/// The files of the folder, with their modes. The last one vouches for the others.
const FILES: [(&str, u32); 5] = [
    ("ca.crt", PUBLIC),
    ("ca.key", SECRET),
    ("server.crt", PUBLIC),
    ("server.key", SECRET),
    ("certificates.json", PUBLIC),
];

impl Manage for Certificates {
    fn wanted(&self) -> State {
        let own = [("names", self.names.join(" ")), ("valid", "yes".to_owned())];
        State::present(own.into_iter().chain(keys().map(|key| (key, mode_text(SECRET)))))
    }

    fn summary(&self, action: Action) -> String {
        format!("{action} certificates in {} for {}", self.folder.display(), self.names.join(", "))
    }

    fn summary_from(&self, action: Action, before: &State) -> String {
        let wanted = self.wanted();
        let is_right = |name: &str| before.property(name) == wanted.property(name);
        let open: Vec<String> = keys()
            .filter(|key| !is_right(key))
            .filter_map(|key| Some(format!("{key}, which has mode {}", before.property(key)?)))
            .collect();
        if !is_right("names") || !is_right("valid") || open.is_empty() {
            return self.summary(action);
        }
        let (folder, mode) = (self.folder.display(), mode_text(SECRET));
        format!("{action} in {folder} the mode of {}: {mode}", open.join(", and of "))
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
                let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
                State::present(
                    own.chain(FILES.into_iter().flat_map(|(name, mode)| rights(&self.folder, name, mode))),
                )
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
        tls::generate(&self.folder, &self.names, SystemTime::now()).map_err(|error| Failed::new(&error))?;
        for key in keys() {
            let path = self.folder.join(key);
            set_mode(&path, SECRET).map_err(|error| local("changing the mode of", &path, &error))?;
        }
        Ok(())
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
            let mode_then = before.state.property(name).and_then(|mode| u32::from_str_radix(mode, 8).ok());
            let owner = before.state.property(&owner_of(name)).and_then(parse_owner);
            let attributes = kept_attributes(before.kept.get(&attributes_of(name)), kept)?;
            let guise = Guise { mode: mode_then.unwrap_or(mode), owner, attributes: Some(attributes) };
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

/// What a foreign owner of a file is told as.
fn owner_of(name: &str) -> String {
    format!("{name} owner")
}

fn keys() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().filter(|(_, mode)| *mode == SECRET).map(|(name, _)| name)
}

/// The mode of a key; of other files only one that somebody has changed, and of each the owner where that is somebody else.
fn rights(folder: &Path, name: &str, mode: u32) -> Vec<(String, String)> {
    let Ok(metadata) = fs::metadata(folder.join(name)) else { return Vec::new() };
    let now = metadata.permissions().mode() & 0o7777;
    let told = (mode == SECRET || now != mode).then(|| (name.to_owned(), mode_text(now)));
    let owner = foreign_owner(&metadata).map(|owner| (owner_of(name), owner));
    told.into_iter().chain(owner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificates(folder: &Path) -> Certificates {
        tls::generate(folder, &["registry.corp".to_owned()], SystemTime::now()).unwrap();
        Certificates { folder: folder.to_owned(), names: vec!["registry.corp".into()] }
    }

    #[test]
    fn modes_and_owners_are_noted_where_they_matter() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            set_mode(&path, mode).unwrap();
            let usual = FILES.into_iter().find(|(file, _)| *file == name).unwrap().1;
            rights(folder.path(), name, usual)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(told("server.key", 0o600), [pair("server.key", "0600")]);
        assert_eq!(told("server.key", 0o640), [pair("server.key", "0640")]);
        assert_eq!(told("server.crt", 0o644), []);
        assert_eq!(told("server.crt", 0o600), [pair("server.crt", "0600")]);
        // Only root can give a file away.
        if rustix::process::geteuid().is_root() {
            let path = folder.path().join("server.key");
            std::os::unix::fs::chown(&path, Some(0), Some(999)).unwrap();
            let expected = [pair("server.key", "0600"), pair("server.key owner", "0:999")];
            assert_eq!(told("server.key", 0o600), expected);
        }
    }

    #[test]
    fn keys_are_for_their_owner_alone() {
        assert_eq!(keys().collect::<Vec<_>>(), ["ca.key", "server.key"]);
        for (name, mode) in FILES {
            assert_eq!(mode_text(mode), if name.ends_with(".key") { "0600" } else { "0644" }, "{name}");
        }
    }

    #[test]
    fn a_plan_tells_of_a_key_that_others_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = certificates(folder.path());
        let told = |properties: &[(&str, &str)]| {
            let right =
                [("names", "registry.corp"), ("valid", "yes"), ("ca.key", "0600"), ("server.key", "0600")];
            let before = State::present(right.into_iter().chain(properties.iter().copied()));
            certificates.summary_from(Action::Update, &before)
        };
        let within = folder.path().display();
        assert_eq!(
            told(&[("ca.key", "0644")]),
            format!("update in {within} the mode of ca.key, which has mode 0644: 0600")
        );
        assert_eq!(
            told(&[("valid", "no: near its end"), ("ca.key", "0644")]),
            format!("update certificates in {within} for registry.corp")
        );
    }
}
