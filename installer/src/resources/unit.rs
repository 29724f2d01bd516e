//! Units of systemd: through `systemctl`, as version 219 (CentOS 7) and its successors have it.
//!
//! A unit is there if it runs or will run after a boot; one that does neither is absent, whether or not it has a file, since
//! that is a resource of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, State, Unit};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone, unknown, without};
use crate::context::Context;

/// For how long a unit must run before it is taken for running: one with bad settings ends at once.
const TRIAL: Duration = Duration::from_millis(600);
/// How often it is looked at meanwhile.
const LOOKS: u32 = 6;
/// Lines of its log that a failure shows.
const LINES: &str = "10";

impl Manage for Unit {
    fn wanted(&self) -> State {
        State::present([("enabled", "yes"), ("active", "yes")])
    }

    fn summary(&self, action: Action) -> String {
        match action {
            Action::Create => format!("start unit {} now and with each boot", self.name),
            Action::Restart => format!("restart unit {}", self.name),
            _ => format!("enable and restart unit {}", self.name),
        }
    }

    fn undo_summary(&self, before: &State) -> String {
        match before {
            State::Present { .. } if is_yes(before, "active") => {
                "restart it with the settings that it had".into()
            }
            State::Present { .. } => "stop it".into(),
            _ => "stop it and start it no more".into(),
        }
    }

    async fn observe(&self, _context: &Context) -> State {
        look(&self.name).await.unwrap_or_else(unknown)
    }

    /// It may have crashed, or somebody has stopped it to take it back. Whether it starts with each boot goes with it.
    fn owned(&self, seen: &State) -> State {
        match seen.property("enabled") {
            Some("yes" | "no") => without(seen, &["enabled", "active"]),
            _ => without(seen, &["active"]),
        }
    }

    async fn apply(&self, _context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        systemctl(&["daemon-reload"]).await?;
        systemctl(&["enable", &self.name]).await?;
        // Also where it was not running: it may be on its way up with the settings from before.
        let started = systemctl(&["restart", &self.name]).await;
        let outcome = match started {
            Ok(_) => runs_on(&self.name).await,
            Err(failed) => Err(failed),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(failed) => Err(with_log(failed, &self.name).await),
        }
    }

    async fn undo(
        &self,
        _context: &Context,
        before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        systemctl(&["daemon-reload"]).await?;
        if !is_yes(&before.state, "enabled") && is_yes(&look(&self.name).await?, "enabled") {
            systemctl(&["disable", &self.name]).await?;
        }
        if is_yes(&before.state, "active") {
            systemctl(&["restart", &self.name]).await?;
            return Ok(Undone::Restored);
        }
        if show(&self.name).await?.loaded {
            systemctl(&["stop", &self.name]).await?;
            // Nothing to forget is no failure.
            let _ = systemctl(&["reset-failed", &self.name]).await;
        }
        Ok(Undone::Restored)
    }
}

/// Lets systemd read a unit file that has changed.
pub(super) async fn reload_if_unit(path: &Path) -> Result<(), Failed> {
    if path.starts_with("/etc/systemd/system") && has_systemd() {
        systemctl(&["daemon-reload"]).await?;
    }
    Ok(())
}

fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn is_yes(state: &State, property: &str) -> bool {
    state.property(property) == Some("yes")
}

/// What `systemctl show` says of a unit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    loaded: bool,
    enabled: String,
    active: String,
}

impl Shown {
    fn parse(text: &str) -> Self {
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let value = |name: &str| values.get(name).copied().unwrap_or_default();
        Self {
            loaded: !matches!(value("LoadState"), "not-found" | ""),
            enabled: value("UnitFileState").to_owned(),
            active: value("ActiveState").to_owned(),
        }
    }

    fn state(&self) -> State {
        let enabled = match self.enabled.as_str() {
            "enabled" => "yes",
            "" | "disabled" | "static" | "indirect" | "generated" => "no",
            other => other,
        };
        let active = match self.active.as_str() {
            "active" => "yes",
            "" | "inactive" | "failed" | "deactivating" => "no",
            other => other,
        };
        if (enabled, active) == ("no", "no") {
            return State::Absent;
        }
        State::present([("enabled", enabled), ("active", active)])
    }
}

async fn show(name: &str) -> Result<Shown, Failed> {
    let properties = ["LoadState", "UnitFileState", "ActiveState"].map(|name| format!("--property={name}"));
    let [load, file, active] = properties.each_ref().map(String::as_str);
    Ok(Shown::parse(&systemctl(&["show", load, file, active, name]).await?))
}

async fn look(name: &str) -> Result<State, Failed> {
    Ok(show(name).await?.state())
}

/// Waits whether a unit that was started stays.
async fn runs_on(name: &str) -> Result<(), Failed> {
    for _ in 0..LOOKS {
        tokio::time::sleep(TRIAL / LOOKS).await;
        let shown = show(name).await?;
        if shown.active != "active" {
            let message = format!("unit {name} is {} a moment after its start", shown.active);
            return Err(Failed::because(Class::Local, message));
        }
    }
    Ok(())
}

/// Adds the last lines of the unit's log.
async fn with_log(mut failed: Failed, name: &str) -> Failed {
    let arguments = ["--unit", name, "--no-pager", "--output=cat", "--lines", LINES];
    let log = run("journalctl", &arguments).await.map(|ran| ran.stdout).unwrap_or_default();
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if !lines.is_empty() {
        failed.message = format!("{}; its log ends with: {}", failed.message, lines.join(" | "));
    }
    failed.hint(format!("`journalctl --unit {name}` has all of its log"))
}

async fn systemctl(arguments: &[&str]) -> Result<String, Failed> {
    if !has_systemd() {
        return Err(Failed::because(Class::Local, "this machine is not run by systemd")
            .hint("choose another way to have a registry: `docker`, `kubernetes` or `existing`"));
    }
    let ran = run("systemctl", arguments).await?;
    if ran.succeeded {
        return Ok(ran.stdout);
    }
    let said = ran.stderr.trim().replace('\n', " ");
    let failed = Failed::because(Class::Local, format!("systemctl {}: {said}", arguments.join(" ")));
    if said.contains("authentication required") || said.contains("Access denied") {
        return Err(failed.hint("run it as root"));
    }
    Err(failed)
}

struct Ran {
    succeeded: bool,
    stdout: String,
    stderr: String,
}

async fn run(program: &'static str, arguments: &[&str]) -> Result<Ran, Failed> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new(program)
            .args(arguments)
            // What ordinary users and cron run may lack the folders of the administrator's programs.
            .env("PATH", format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin"))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
    });
    let failed =
        |error: &dyn std::fmt::Display| Failed::because(Class::Local, format!("running {program}: {error}"));
    let output = ran.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    Ok(Ran {
        succeeded: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_a_state() {
        let state = |load: &str, enabled: &str, active: &str| {
            let text = format!("LoadState={load}\nActiveState={active}\nUnitFileState={enabled}\n");
            Shown::parse(&text).state()
        };
        let present = |enabled, active| State::present([("enabled", enabled), ("active", active)]);
        assert_eq!(state("loaded", "enabled", "active"), present("yes", "yes"));
        assert_eq!(state("loaded", "enabled", "failed"), present("yes", "no"));
        assert_eq!(state("loaded", "disabled", "active"), present("no", "yes"));
        assert_eq!(state("loaded", "enabled", "activating"), present("yes", "activating"));
        assert_eq!(state("masked", "masked", "inactive"), present("masked", "no"));
        // Its file is there, and neither now nor after a boot does it run.
        assert_eq!(state("loaded", "disabled", "inactive"), State::Absent);
        assert_eq!(state("not-found", "", "inactive"), State::Absent);
        // It was started from a file that is gone.
        assert_eq!(state("not-found", "", "active"), present("no", "yes"));
    }

    #[test]
    fn a_unit_is_whose_it_was_whether_or_not_it_runs() {
        let unit = Unit { name: "ferry-registry.service".into() };
        let owned = |enabled, active| unit.owned(&State::present([("enabled", enabled), ("active", active)]));
        let left = owned("yes", "yes");
        for (enabled, active) in [("yes", "no"), ("yes", "activating"), ("no", "yes")] {
            assert_eq!(owned(enabled, active), left, "{enabled} {active}");
        }
        assert_ne!(owned("masked", "no"), left, "somebody wants it never to run");
        assert_ne!(unit.owned(&State::Absent), left);
    }
}
