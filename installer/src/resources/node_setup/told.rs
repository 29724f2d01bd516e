//! What a node said, as states, failures and lines of a plan.

use std::fmt::Write as _;

use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::node::{NodeReport, Takeup};
use ferry_model::plan::State;
use ferry_model::report::{Check, Failed, Finding, Severity};

/// What was seen of a node.
#[derive(Debug)]
pub(super) struct Seen {
    /// What it would do, in a line; empty where it is right.
    does: Vec<String>,
    runtimes: String,
    /// For the plan.
    text: String,
    unproven: Option<String>,
}

impl Seen {
    pub(super) fn of(report: &NodeReport) -> Self {
        let mut does = Vec::new();
        match report.changes.as_slice() {
            [] => {}
            [one] => does.push(one.path.display().to_string()),
            many => does.push(format!("{} files", many.len())),
        }
        for service in &report.services {
            let unit = service.unit.strip_suffix(".service").unwrap_or(&service.unit);
            match service.how {
                Takeup::Nothing => {}
                Takeup::Reload => does.push(format!("{unit} reloads")),
                Takeup::Restart => does.push(format!("{unit} restarts")),
            }
        }
        if !report.unfinished.is_empty() {
            does.push("finish what was cut off".into());
        }
        Self { does, runtimes: report.runtimes.join(", "), text: text(report), unproven: None }
    }

    pub(super) fn is_right(&self) -> bool {
        self.does.is_empty() && self.unproven.is_none()
    }

    /// The registry's authority is made by the same run.
    pub(super) fn waits_for_authority(&mut self) {
        self.does.push("the authority that this run makes".into());
    }

    pub(super) fn is_unproven(&mut self, failed: &Failed) {
        let _ = writeln!(self.text, "# {}", failed.message);
        self.unproven = Some(failed.message.clone());
    }

    /// Only what stays from look to look.
    pub(super) fn state(self) -> State {
        let right = if self.is_right() { "yes" } else { "no" };
        let mut properties =
            vec![("right", right.to_owned()), ("does", self.does.join(", ")), ("runtimes", self.runtimes)];
        if self.unproven.is_some() {
            properties.push(("proven", "no".to_owned()));
        }
        State::present(properties).with_text(self.text)
    }
}

fn text(report: &NodeReport) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    for change in &report.changes {
        match change.diff.as_str() {
            "" => {
                let _ = writeln!(text, "# {} is {:?}", change.path.display(), change.change);
            }
            diff => {
                let _ = writeln!(text, "{}", diff.trim_end());
            }
        }
    }
    for service in report.services.iter().filter(|service| service.how != Takeup::Nothing) {
        let how = if service.how == Takeup::Restart { "restarts" } else { "reloads" };
        let _ = writeln!(text, "# {} {how}: {}", service.unit, service.reason);
    }
    for left in &report.unfinished {
        let _ = writeln!(text, "# cut off: {left}");
    }
    for note in &report.notes {
        let _ = writeln!(text, "# note: {note}");
    }
    text
}

/// Fails with the first thing that went wrong, and names the others.
pub(super) fn refuse_failures(node: &Host, report: &NodeReport) -> Result<(), Failed> {
    let Some(first) = report.failures.first() else { return Ok(()) };
    let messages: Vec<&str> = report.failures.iter().map(|failed| failed.message.as_str()).collect();
    let hints = report.failures.iter().flat_map(|failed| failed.hints.clone()).collect();
    Err(Failed { class: first.class, message: format!("node {node}: {}", messages.join("; ")), hints })
}

/// Fails where something that must be so is not, or could not be found out.
pub(super) fn refuse_unproven(node: &Host, report: &NodeReport) -> Result<(), Failed> {
    refuse_failures(node, report)?;
    let is_bad = |check: &&Check| check.severity == Severity::Required && check.finding != Finding::Passed;
    let bad: Vec<&Check> = report.checks.iter().filter(is_bad).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let told: Vec<String> =
        bad.iter().map(|check| format!("{} {}: {}", check.name, check.subject, check.found)).collect();
    let mut failed =
        Failed::because(Class::Verification, format!("node {node} is not proven: {}", told.join("; ")));
    failed.hints = bad.iter().map(|check| check.remedy.clone()).filter(|remedy| !remedy.is_empty()).collect();
    Err(failed)
}

#[cfg(test)]
mod tests {
    use ferry_model::node::{Change, FileChange, ServiceChange};

    use super::*;

    #[test]
    fn a_node_in_a_line() {
        let change = |path: &str| FileChange {
            path: path.into(),
            change: Change::Changed,
            diff: format!("--- {path}\n+x\n"),
        };
        let service = |how| ServiceChange { unit: "docker.service".into(), how, reason: "because".into() };
        let report = |changes: &[&str], how: &[Takeup]| NodeReport {
            changes: changes.iter().map(|path| change(path)).collect(),
            services: how.iter().map(|how| service(*how)).collect(),
            runtimes: vec!["docker 20.10.24".into()],
            ..NodeReport::default()
        };
        for (report, does) in [
            (report(&[], &[]), ""),
            (report(&["/etc/hosts"], &[Takeup::Nothing]), "/etc/hosts"),
            (
                report(&["/etc/hosts", "/etc/docker/daemon.json"], &[Takeup::Reload]),
                "2 files, docker reloads",
            ),
            (report(&[], &[Takeup::Restart]), "docker restarts"),
        ] {
            let state = Seen::of(&report).state();
            assert_eq!(state.property("does"), Some(does));
            assert_eq!(state.property("right"), Some(if does.is_empty() { "yes" } else { "no" }));
        }
        // Its files are right, and nobody has taken them up.
        let unfinished = vec!["docker.service has to reload: because".to_owned()];
        let cut_off = Seen::of(&NodeReport { unfinished, ..report(&[], &[]) }).state();
        assert_eq!(cut_off.property("right"), Some("no"));
        assert_eq!(cut_off.text(), Some("# cut off: docker.service has to reload: because\n"));
        let text = Seen::of(&report(&["/etc/hosts"], &[Takeup::Restart])).state();
        assert_eq!(text.text(), Some("--- /etc/hosts\n+x\n# docker.service restarts: because\n"));
    }

    #[test]
    fn what_is_not_proven_is_named() {
        let node = "n1".parse().unwrap();
        let check = |name: &str, severity, finding| Check {
            name: name.into(),
            subject: "registry.corp:5000".into(),
            severity,
            finding,
            found: "no answer".into(),
            reason: String::new(),
            remedy: "start it".into(),
        };
        let mut report = NodeReport::default();
        report.checks.push(check("node-name", Severity::Required, Finding::Passed));
        report.checks.push(check("node-extra", Severity::Advised, Finding::Failed));
        refuse_unproven(&node, &report).unwrap();
        report.checks.push(check("node-pull", Severity::Required, Finding::Unknown));
        let failed = refuse_unproven(&node, &report).unwrap_err();
        assert_eq!(failed.message, "node n1 is not proven: node-pull registry.corp:5000: no answer");
        assert_eq!((failed.class, failed.hints), (Class::Verification, vec!["start it".to_owned()]));
        let mut seen = Seen::of(&NodeReport::default());
        assert!(seen.is_right());
        seen.is_unproven(&Failed::because(Class::Verification, "no pull"));
        let state = seen.state();
        assert_eq!((state.property("right"), state.property("proven")), (Some("no"), Some("no")));
    }
}
