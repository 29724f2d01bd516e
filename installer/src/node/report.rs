//! What came of a run on a node, for people.

use ferry_model::node::{Change, NodeReport, Takeup};

use crate::preflight::{PreflightReport, blocking};

/// How a report is read: as what was done, or as what would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tense {
    /// It was done.
    Done,
    /// It would be done.
    Planned,
}

/// Whether nothing failed, and all that had to be checked passed.
pub fn is_good(report: &NodeReport) -> bool {
    report.failures.is_empty() && blocking(&report.checks).is_empty()
}

/// Diffs, services, checks, notes and failures.
pub fn text(report: &NodeReport, tense: Tense) -> String {
    let would = if tense == Tense::Planned { "would be " } else { "" };
    let mut text = match report.runtimes.as_slice() {
        [] => format!("{}\n", report.node),
        runtimes => format!("{}: {}\n", report.node, runtimes.join(", ")),
    };
    for change in &report.changes {
        let verb = match change.change {
            Change::Made => "made",
            Change::Changed => "changed",
            Change::Removed => "removed",
        };
        text.push_str(&format!("{would}{verb} {}\n", change.path.display()));
        change.diff.lines().for_each(|line| text.push_str(&format!("  | {line}\n")));
    }
    for service in &report.services {
        let verb = match service.how {
            Takeup::Nothing => continue,
            Takeup::Reload => "told to reload",
            Takeup::Restart => "restarted",
        };
        text.push_str(&format!("{would}{verb}: {} ({})\n", service.unit, service.reason));
    }
    report.unfinished.iter().for_each(|left| text.push_str(&format!("cut off before: {left}\n")));
    if !report.checks.is_empty() {
        text.push_str(&PreflightReport::new(report.checks.clone()).text());
    }
    report.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    for failed in &report.failures {
        text.push_str(&format!("failed: {}\n", failed.message));
        failed.hints.iter().for_each(|hint| text.push_str(&format!("  try: {hint}\n")));
    }
    let does_nothing =
        report.changes.is_empty() && report.services.is_empty() && report.unfinished.is_empty();
    if does_nothing && report.checks.is_empty() && is_good(report) {
        text.push_str("nothing to do\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferry_model::failure::Class;
    use ferry_model::node::{FileChange, ServiceChange};
    use ferry_model::report::Failed;

    #[test]
    fn people_read_what_was_done_and_what_was_not() {
        let mut report = NodeReport { node: "n1".into(), ..NodeReport::default() };
        assert_eq!(text(&report, Tense::Done), "n1\nnothing to do\n");
        report.runtimes.push("docker".into());
        let diff = "--- /dev/null\n+++ /etc/f\n@@ -0,0 +1 @@\n+x\n".to_owned();
        report.changes.push(FileChange { path: "/etc/f".into(), change: Change::Made, diff });
        let how = Takeup::Reload;
        report.services.push(ServiceChange { unit: "docker.service".into(), how, reason: "why".into() });
        report.unfinished.push("k3s.service has to restart: why".into());
        report.notes.push("mind".into());
        assert_eq!(
            text(&report, Tense::Planned),
            "n1: docker\nwould be made /etc/f\n  | --- /dev/null\n  | +++ /etc/f\n  | @@ -0,0 +1 @@\n  | +x\n\
             would be told to reload: docker.service (why)\ncut off before: k3s.service has to restart: why\nnote: mind\n"
        );
        assert!(is_good(&report));
        report.failures.push(Failed::because(Class::Local, "no").hint("do"));
        assert!(text(&report, Tense::Done).ends_with("failed: no\n  try: do\n") && !is_good(&report));
    }
}
