//! Where a site stands: its runs, and whether what the last one made is still so.

use std::fmt::Write as _;

use ferry_display::printable;
use ferry_model::plan::{Action, State};
use ferry_model::report::{Outcome, Report};
use serde::Serialize;

use super::{done, resources};
use crate::Error;
use crate::context::Context;
use crate::journal::{RunFolder, Undo};
use crate::observe::{Observed, is_same, observe};
use crate::report;

/// Where a site stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The site's name.
    pub site: String,
    /// Every run, the first one first.
    pub runs: Vec<RunStatus>,
    /// What the last standing run made and somebody has changed since.
    pub changed_since: Vec<String>,
    /// What the last standing run made and could not be looked at now.
    pub unknown: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Its name.
    pub run: String,
    /// The bundle.
    pub bundle: String,
    /// `done`, `failed`, `cut off`, `undone`, `half undone`.
    pub state: &'static str,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// Steps that are done.
    pub done: usize,
    /// Steps that failed or were not tried.
    pub failed: usize,
    /// Why, one line each.
    pub failures: Vec<String>,
}

/// Reads the journals and looks at the site.
pub async fn status(context: &Context) -> Result<Status, Error> {
    let folder = context.site.state_folder();
    let runs = RunFolder::all(&folder)?;
    let mut status = Status {
        site: context.site.site.name.to_string(),
        runs: Vec::new(),
        changed_since: Vec::new(),
        unknown: Vec::new(),
    };
    let mut left = Observed::new();
    let mut now = Observed::new();
    for run in runs {
        let (progress, report) = (run.progress()?, report::read(&run)?);
        if progress.undo == Undo::No {
            let plan = run.plan()?;
            left.extend(done(&plan, &progress));
            now.extend(observe(context, &resources(context, &plan)).await);
        }
        status.runs.push(run_status(&run, &report, progress.undo));
    }
    for (id, after) in &left {
        match now.get(id) {
            Some(now) if is_same(now, after) => {}
            Some(State::Unknown { reason }) => status.unknown.push(format!("{id}: {reason}")),
            Some(now) => status.changed_since.push(format!("{id} was {after} and is {now}")),
            None => {}
        }
    }
    Ok(status)
}

fn run_status(run: &RunFolder, report: &Report, undo: Undo) -> RunStatus {
    let failed = report.with(Outcome::Failed).count() + report.with(Outcome::NotTried).count();
    let state = match (undo, report.ended, failed) {
        (Undo::Ended, ..) => "undone",
        (Undo::Begun, ..) => "half undone",
        (Undo::No, None, _) => "cut off",
        (Undo::No, Some(_), 0) => "done",
        (Undo::No, Some(_), _) => "failed",
    };
    let failures = report.changes.iter().filter_map(|change| {
        change.failure.as_ref().map(|failure| format!("{}: {}", change.resource, failure.message))
    });
    RunStatus {
        run: run.name(),
        bundle: format!("{} {}", report.identity.bundle, report.identity.version),
        state,
        began: report.began,
        done: report.with(Outcome::Done).filter(|change| change.action != Action::Check).count(),
        failed,
        failures: failures.collect(),
    }
}

impl Status {
    /// Whether everything that was made is still so, and nothing is left half done.
    pub fn is_good(&self) -> bool {
        let last = self.runs.last().is_none_or(|run| matches!(run.state, "done" | "undone"));
        last && self.changed_since.is_empty() && self.unknown.is_empty()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.runs.is_empty() {
            let _ = writeln!(text, "{}: no run yet", self.site);
        }
        for run in &self.runs {
            let _ = writeln!(
                text,
                "run {} {}: {}, {} steps done, {} failed or not tried",
                run.run, run.bundle, run.state, run.done, run.failed
            );
            for failure in &run.failures {
                let _ = writeln!(text, "  {}", printable(failure));
            }
        }
        for line in &self.changed_since {
            let _ = writeln!(text, "changed since: {}", printable(line));
        }
        for line in &self.unknown {
            let _ = writeln!(text, "cannot be looked at: {}", printable(line));
        }
        if let Some(hint) = self.next() {
            let _ = writeln!(text, "next: {hint}");
        }
        text
    }

    fn next(&self) -> Option<&'static str> {
        match self.runs.last()?.state {
            "cut off" => Some("`apply` goes on where the run stopped; `rollback` takes it back"),
            "half undone" => Some("`rollback` goes on taking it back"),
            "failed" => Some("mend what the failures say and `apply` again"),
            _ if !self.changed_since.is_empty() => Some("`plan` shows how to bring it back"),
            _ => None,
        }
    }
}
