//! What was found, for people and for programs.

use ferry_display::{Align, Table};
use ferry_model::failure::Class;
use ferry_model::report::{Check, Failed, Finding, Severity};
use serde::Serialize;

use super::nodes::{NodeChecks, fleet_table};
use super::{CHECKS, Kind};

/// Checks that an error names. Of a fleet there may be thousands.
const MOST: usize = 10;

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightReport {
    /// Each check.
    pub checks: Vec<Check>,
    /// What was found on each node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeChecks>,
    /// Those that speak against going on, as `name subject`.
    pub blocking: Vec<String>,
}

/// One word for what became of a check.
pub(super) fn word(check: &Check) -> &'static str {
    match (check.finding, check.severity) {
        (Finding::Passed, _) => "PASS",
        (Finding::Failed, Severity::Required) => "FAIL",
        (Finding::Failed, Severity::Advised) => "WARN",
        (Finding::Unknown, _) => "UNKNOWN",
    }
}

/// The checks that speak against going on: required ones that failed or could not be made.
pub fn blocking(checks: &[Check]) -> Vec<&Check> {
    let blocks = |check: &&Check| check.severity == Severity::Required && check.finding != Finding::Passed;
    checks.iter().filter(blocks).collect()
}

impl PreflightReport {
    /// Of these checks.
    pub fn new(checks: Vec<Check>) -> Self {
        let blocking = blocking(&checks);
        let blocking = blocking.iter().map(|check| format!("{} {}", check.name, check.subject)).collect();
        Self { checks, nodes: Vec::new(), blocking }
    }

    /// With what was found on nodes.
    #[must_use]
    pub fn with_nodes(mut self, nodes: Vec<NodeChecks>) -> Self {
        let blocking = nodes.iter().flat_map(|node| blocking(&node.checks));
        self.blocking.extend(blocking.map(|check| format!("{} {}", check.name, check.subject)));
        self.nodes = nodes;
        self
    }

    /// A table; below each check that did not pass, why it matters and what to do.
    pub fn text(&self) -> String {
        let mut table = Table::new([Align::Left; 4]);
        for check in &self.checks {
            table.row([word(check), &check.name, &check.subject, &check.found]);
        }
        let mut text = String::new();
        for (line, check) in table.to_string().lines().zip(&self.checks) {
            text.push_str(&format!("{line}\n"));
            if check.finding != Finding::Passed {
                text.push_str(&format!("         why: {}\n         try: {}\n", check.reason, check.remedy));
            }
        }
        let count = |wanted: &str| self.checks.iter().filter(|check| word(check) == wanted).count();
        text.push_str(&format!(
            "{} passed, {} failed, {} warned, {} unknown\n",
            count("PASS"),
            count("FAIL"),
            count("WARN"),
            count("UNKNOWN")
        ));
        if !self.nodes.is_empty() {
            text.push_str(&format!("\n{}", fleet_table(&self.nodes)));
        }
        text
    }

    /// Why not to go on; none where nothing speaks against it.
    pub fn objection(&self) -> Option<Failed> {
        let first = self.blocking.first()?;
        let message = match self.blocking.len() {
            1 => format!("a required check did not pass: {first}"),
            count if count > MOST => format!(
                "{count} required checks did not pass: {} and {} more",
                self.blocking[..MOST].join(", "),
                count - MOST
            ),
            count => format!("{count} required checks did not pass: {}", self.blocking.join(", ")),
        };
        let hint =
            "do what stands behind `try` above, or leave a check out if you know better: --skip-check NAME";
        Some(Failed::because(Class::Local, message).hint(hint))
    }
}

/// Every check that there is, as a table.
pub fn list_text() -> String {
    let severity = |kind: &Kind| match kind.severity {
        Severity::Required => "required",
        Severity::Advised => "advised",
    };
    let mut table = Table::new([Align::Left; 3]);
    for kind in CHECKS {
        table.row([kind.name, severity(kind), kind.reason]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::catalogue as kinds;
    use super::*;

    #[test]
    fn what_did_not_pass_is_explained() {
        let report = PreflightReport::new(vec![
            kinds::DISK_SPACE.passed("/", "1 GiB free"),
            kinds::HOST_SWAP.failed("node-1", "/dev/dm-1"),
            kinds::HOST_ZONE.failed("node-1", "UTC0"),
            kinds::HOST_SELINUX.unknown("node-1", "no answer"),
            kinds::HOST_CLOCK.unknown("node-1", "no\u{1b}[31m answer"),
        ]);
        let text = report.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "PASS     disk-space    /       1 GiB free");
        assert!(lines[1].starts_with("FAIL     host-swap     node-1  /dev/dm-1"));
        assert!(lines[2].trim().starts_with("why: BlueKing") && lines[3].trim().starts_with("try: swapoff"));
        assert!(lines[4].starts_with("WARN") && lines[7].starts_with("UNKNOWN") && !text.contains('\u{1b}'));
        assert_eq!(lines[lines.len() - 1], "1 passed, 1 failed, 1 warned, 2 unknown");
        assert_eq!(report.blocking, ["host-swap node-1", "host-selinux node-1"]);
        let objection = report.objection().unwrap();
        assert_eq!(
            objection.message,
            "2 required checks did not pass: host-swap node-1, host-selinux node-1"
        );
        let harmless = PreflightReport::new(vec![kinds::HOST_ZONE.failed("node-1", "UTC0")]);
        assert!(harmless.objection().is_none());
    }

    #[test]
    fn the_list_names_all() {
        let text = list_text();
        assert_eq!(text.lines().count(), CHECKS.len());
        assert!(text.contains("registry-push") && text.contains("required"));
    }
}
