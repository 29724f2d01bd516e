//! Password files. The password is compared, never kept or shown.

use std::collections::BTreeMap;
use std::fs;

use ferry_model::event::Task;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Htpasswd, State};
use ferry_model::report::Failed;

use super::file::{keep_file, local, observe_file, restore_file, write_file};
use super::{Kept, Manage, Mine, Undone};
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
        // Its text is never shown, and its digest would tell whether two sites share a password.
        let mode = match observe_file(&self.path, false) {
            State::Present { properties, .. } => properties.get("mode").cloned().unwrap_or_default(),
            other => return other,
        };
        let password = match context.secrets.get(&self.login.password).await {
            Ok(password) => password,
            Err(failed) => return State::Unknown { reason: failed.message },
        };
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let login = &self.login;
        // Users whom somebody else has let in are nobody's business here.
        let fits =
            htpasswd::Htpasswd::parse(&text).is_ok_and(|file| file.verify(&login.user, password.reveal()));
        let found = if fits { "as in the site file" } else { "another" };
        State::present([("user", login.user.as_str()), ("password", found), ("mode", mode.as_str())])
    }

    async fn keep(&self, _context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        keep_file(&self.path, kept)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let password = context.secrets.get(&self.login.password).await?;
        let line = htpasswd::entry(&self.login.user, password.reveal())
            .map_err(|error| local("hashing the password for", &self.path, &std::io::Error::other(error)))?;
        let before = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(local("reading", &self.path, &error)),
        };
        write_file(&self.path, with_line(&before, &self.login.user, &line).as_bytes(), MODE)
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

/// A password file with one user's line as it shall be. All other lines stay.
fn with_line(text: &str, user: &str, line: &str) -> String {
    let front = format!("{user}:");
    let others = text.lines().filter(|other| !other.starts_with(&front));
    others.chain([line]).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_stay() {
        assert_eq!(with_line("", "admin", "admin:new"), "admin:new\n");
        let text = "# ours\npuller:x\nadmin:old\nadministrator:y\n";
        assert_eq!(with_line(text, "admin", "admin:new"), "# ours\npuller:x\nadministrator:y\nadmin:new\n");
    }
}
