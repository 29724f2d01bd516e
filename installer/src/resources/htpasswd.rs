//! Password files. The password is compared, never kept or shown.

use std::collections::BTreeMap;
use std::fs;

use ferry_model::event::Task;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Htpasswd, State};
use ferry_model::report::Failed;

use super::file::{keep_file, local, observe_file, restore_file, write_file};
use super::{Kept, Manage, Mine, Undone, unknown, without};
use crate::context::Context;
use crate::htpasswd;

const MODE: u32 = 0o600;

impl Manage for Htpasswd {
    fn wanted(&self) -> State {
        State::present([
            ("user", self.login.user.as_str()),
            ("password", "as in the site file"),
            ("mode", "0600"),
        ])
    }

    fn summary(&self, action: Action) -> String {
        format!(
            "{action} password file {} for {} ({})",
            self.path.display(),
            self.login.user,
            self.login.password
        )
    }

    fn undo_summary(&self, before: &State) -> String {
        match before {
            State::Absent => "remove it".into(),
            _ => "put back what it was, byte for byte".into(),
        }
    }

    async fn observe(&self, context: &Context) -> State {
        // Its text is never shown. Its digest tells no password, since hashes are salted, but who else has changed it.
        let mut properties = match observe_file(&self.path, false) {
            State::Present { properties, .. } => properties,
            other => return other,
        };
        let password = match context.secrets.get(&self.login.password).await {
            Ok(password) => password,
            Err(failed) => return unknown(failed),
        };
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) => return State::Unknown { reason: local("reading", &self.path, &error).message },
        };
        let fits = lets_in(&text, &self.login.user, password.reveal());
        let found = if fits { "as in the site file" } else { "another" };
        properties.insert("user".into(), self.login.user.clone());
        properties.insert("password".into(), found.into());
        State::present(properties)
    }

    async fn observe_to_undo(&self, context: &Context) -> State {
        match self.observe(context).await {
            // The password may be nowhere by now. Whether the file is what the run left, its digest tells.
            State::Unknown { .. } => observe_file(&self.path, false),
            seen => seen,
        }
    }

    fn owned(&self, seen: &State) -> State {
        without(seen, &["user", "password"])
    }

    async fn keep(&self, _context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        keep_file(&self.path, kept)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let password = context.secrets.get(&self.login.password).await?;
        let line = htpasswd::entry(&self.login.user, password.reveal())
            .map_err(|error| local("hashing the password for", &self.path, &std::io::Error::other(error)))?;
        let before = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(local("reading", &self.path, &error)),
        };
        write_file(&self.path, &with_line(&before, &self.login.user, &line), MODE)
    }

    async fn undo(
        &self,
        _context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        restore_file(&self.path, before, kept)?;
        Ok(Undone::Restored)
    }
}

/// Whether the file has exactly one line for the user, and that has this password. Users whom somebody else has let in
/// are nobody's business here, nor how their passwords are hashed.
fn lets_in(text: &[u8], user: &str, password: &str) -> bool {
    let mut mine = text.split(|&byte| byte == b'\n').filter(|line| is_of(line, user));
    let (Some(line), None) = (mine.next(), mine.next()) else { return false };
    let file = std::str::from_utf8(line).ok().and_then(|line| htpasswd::Htpasswd::parse(line).ok());
    file.is_some_and(|file| file.verify(user, password))
}

fn is_of(line: &[u8], user: &str) -> bool {
    line.trim_ascii_start().strip_prefix(user.as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
}

/// A password file with one user's line as it shall be, where it stood or at the end. All other bytes stay.
fn with_line(text: &[u8], user: &str, line: &str) -> Vec<u8> {
    let mut new = Vec::with_capacity(text.len() + line.len() + 2);
    let mut is_there = false;
    for old in text.split_inclusive(|&byte| byte == b'\n') {
        if !is_of(old, user) {
            new.extend_from_slice(old);
        } else if !is_there {
            is_there = true;
            new.extend_from_slice(line.as_bytes());
            new.extend_from_slice(if old.ends_with(b"\r\n") { b"\r\n" } else { b"\n" });
        }
    }
    if !is_there {
        if !new.is_empty() && !new.ends_with(b"\n") {
            new.push(b'\n');
        }
        new.extend_from_slice(line.as_bytes());
        new.push(b'\n');
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_stay_byte_for_byte() {
        for (before, after) in [
            (&b""[..], &b"admin:new\n"[..]),
            (b"a:x", b"a:x\nadmin:new\n"),
            (b"admin:old", b"admin:new\n"),
            (
                b"# ours\r\n\npuller:x\r\nadmin:old\r\nadministrator:\xff\nadmin:older\nz:y",
                b"# ours\r\n\npuller:x\r\nadmin:new\r\nadministrator:\xff\nz:y",
            ),
        ] {
            assert_eq!(with_line(before, "admin", "admin:new"), after);
            assert_eq!(with_line(after, "admin", "admin:new"), after, "again");
        }
    }

    #[test]
    fn one_line_decides() {
        let mine = htpasswd::entry("admin", "secret").unwrap();
        let fits = |text: &str| lets_in(text.as_bytes(), "admin", "secret");
        assert!(fits(&format!("old:{{SHA}}x\n{mine}\r\n")));
        assert!(!fits(&format!("{mine}\n{mine}\n")), "registries differ in which of two they take");
        assert!(!fits("administrator:x\n") && !fits("admin:plain\n"));
        assert!(!lets_in(mine.as_bytes(), "admin", "another"));
    }
}
