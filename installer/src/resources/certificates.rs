//! Certificates that Ferry makes: an authority, once for a site, and a server certificate that it signs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::SystemTime;

use ferry_model::event::Task;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Certificates, State};
use ferry_model::report::Failed;

use super::file::{local, write_file};
use super::{Kept, Manage, Mine, Undone};
use crate::context::Context;
use crate::serve::tls;

/// The files of the folder, with their modes.
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
                State::present([
                    ("names", names.as_str()),
                    ("valid", valid),
                    ("authority", state.authority.as_str()),
                ])
            }
            Err(error) => State::Unknown { reason: Failed::new(&error).message },
        }
    }

    async fn keep(&self, _context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let mut names = BTreeMap::new();
        for (name, _) in FILES {
            let path = self.folder.join(name);
            match fs::read(&path) {
                Ok(bytes) => {
                    names.insert(name.to_owned(), kept.save(&bytes)?);
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
        for (name, mode) in FILES {
            let path = self.folder.join(name);
            match before.kept.get(name) {
                Some(kept_as) => write_file(&path, &kept.read(kept_as)?, mode)?,
                None => match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(local("removing", &path, &error));
                    }
                    _ => {}
                },
            }
        }
        Ok(Undone::Restored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::file::mode_text;

    #[test]
    fn keys_are_for_their_owner_alone() {
        for (name, mode) in FILES {
            let is_key = name.ends_with(".key");
            assert_eq!(mode_text(mode), if is_key { "0600" } else { "0644" }, "{name}");
        }
    }
}
