//! Where a site stands: its runs, and whether what the last one made is still so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ferry_display::printable;
use ferry_model::plan::{Action, Certificates, Desired, ResourceId, State};
use ferry_model::report::{Change, Outcome, Report};
use serde::Serialize;

use super::{done, resources};
use crate::Error;
use crate::context::Context;
use crate::journal::{Progress, RunFolder, Undo};
use crate::lock;
use crate::observe::{Observed, is_same, observe};
use crate::report;
use crate::resources::Manage as _;
use crate::serve::tls;

/// Where a site stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The site's name.
    pub site: String,
    /// Who is changing the site now: `process 123 on host`. What was made is then not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changing: Option<String>,
    /// Every run, the first one first.
    pub runs: Vec<RunStatus>,
    /// What the last standing run made and somebody has changed since.
    pub changed_since: Vec<String>,
    /// What the last standing run made and could not be looked at now.
    pub unknown: Vec<String>,
    /// Certificates near their end, and what renews them.
    pub ending: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Its name.
    pub run: String,
    /// The bundle.
    pub bundle: String,
    /// `running`, `done`, `waiting` (done, and a part of the site left for later), `failed`, `cut off`, `being undone`, `undone`,
    /// `undone in part`, `half undone`.
    pub state: &'static str,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// Steps that are done.
    pub done: usize,
    /// Steps that failed or were not tried.
    pub failed: usize,
    /// Why, one line each.
    pub failures: Vec<String>,
    /// What taking it back has left, and why, one line each.
    pub left: Vec<String>,
    /// What it has left for later, and why, one line each.
    pub waiting: Vec<String>,
}

/// Reads the journals and looks at the site.
pub async fn status(context: &Context) -> Result<Status, Error> {
    let (changing, runs) = read_runs(&context.site.state_folder())?;
    let mut status = Status {
        site: context.site.site.name.to_string(),
        changing,
        runs: Vec::new(),
        changed_since: Vec::new(),
        unknown: Vec::new(),
        ending: Vec::new(),
    };
    for (run, progress) in &runs {
        status.runs.push(run_status(&report::read(run)?, progress.undo, status.changing.is_some()));
    }
    // Meanwhile it is half one thing and half another.
    if status.changing.is_none() {
        compare(context, &runs, &mut status).await?;
    }
    Ok(status)
}

/// Runs, each with how far it has come.
type Runs = Vec<(RunFolder, Progress)>;

/// Who is changing the site, and how far its runs have come. A run that is open and whose journal stands still while nobody holds
/// the lock was cut off; one that begins or ends meanwhile was not.
fn read_runs(folder: &Path) -> Result<(Option<String>, Runs), Error> {
    let read = || -> Result<Runs, Error> {
        let runs = RunFolder::all(folder)?.into_iter();
        runs.map(|run| run.progress().map(|progress| (run, progress))).collect()
    };
    let mut runs = read()?;
    loop {
        let holder = lock::holder(folder)?;
        if holder.is_some() || !runs.iter().any(|(_, progress)| is_open(progress)) {
            return Ok((holder, runs));
        }
        let again = read()?;
        if again == runs {
            return Ok((None, runs));
        }
        runs = again;
    }
}

fn is_open(progress: &Progress) -> bool {
    progress.undo == Undo::Begun || (progress.undo == Undo::No && progress.ended.is_none())
}

/// Looks whether what the standing runs made is still so.
async fn compare(
    context: &Context,
    runs: &[(RunFolder, Progress)],
    status: &mut Status,
) -> Result<(), Error> {
    let (mut left, mut now) = (Observed::new(), Observed::new());
    let mut certificates: BTreeMap<ResourceId, Certificates> = BTreeMap::new();
    for (run, progress) in runs.iter().filter(|(_, progress)| progress.undo == Undo::No) {
        let plan = run.plan()?;
        left.extend(done(&plan, progress));
        now.extend(observe(context, &resources(context, &plan)).await);
        for step in &plan.steps {
            if let Desired::Certificates(made) = &step.resource.desired {
                certificates.insert(step.resource.id(), made.clone());
            }
        }
    }
    for (id, after) in &left {
        let made = certificates.get(id).zip(now.get(id));
        if let Some(told) = made.and_then(|(made, now)| ending(context, made, now, after)) {
            status.ending.push(told);
            continue;
        }
        match now.get(id) {
            Some(now) if is_same(now, after) => {}
            Some(State::Unknown { reason }) => status.unknown.push(format!("{id}: {reason}")),
            Some(now) => status.changed_since.push(format!("{id} was {after} and is {now}")),
            None => {}
        }
    }
    Ok(())
}

/// What is said of certificates that nobody has changed, and whose end has come near.
fn ending(context: &Context, made: &Certificates, now: &State, then: &State) -> Option<String> {
    if !is_same(&made.owned(now), &made.owned(then)) || now.meets(&made.wanted()) {
        return None;
    }
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    let ends = httpdate::fmt_http_date(tls::server_ends(&made.folder)?);
    let registry = context.site.site.registry.as_ref();
    let whose = registry.map(|registry| format!(" of registry {}", registry.address)).unwrap_or_default();
    let (folder, date) = (made.folder.display(), ends.get(5..16)?);
    Some(format!("the certificate{whose} in {folder} ends on {date}; `apply` renews it"))
}

fn run_status(report: &Report, undo: Undo, is_changing: bool) -> RunStatus {
    let failed = report.with(Outcome::Failed).count() + report.with(Outcome::NotTried).count();
    let lines = |is_meant: &dyn Fn(Outcome) -> bool| {
        let meant = report.changes.iter().filter(|change| is_meant(change.outcome));
        let line = |change: &Change| {
            change.failure.as_ref().map(|failure| format!("{}: {}", change.resource, failure.message))
        };
        meant.filter_map(line).collect::<Vec<_>>()
    };
    let left = lines(&|outcome| outcome == Outcome::Left);
    let state = match (undo, report.ended, failed) {
        (Undo::Ended, ..) if left.is_empty() => "undone",
        (Undo::Ended, ..) => "undone in part",
        (Undo::Begun, ..) if is_changing => "being undone",
        (Undo::Begun, ..) => "half undone",
        (Undo::No, None, _) if is_changing => "running",
        (Undo::No, None, _) => "cut off",
        (Undo::No, Some(_), 0) if report.waiting.is_empty() => "done",
        (Undo::No, Some(_), 0) => "waiting",
        (Undo::No, Some(_), _) => "failed",
    };
    RunStatus {
        run: report.run.clone(),
        bundle: format!("{} {}", report.identity.bundle, report.identity.version),
        state,
        began: report.began,
        done: report.with(Outcome::Done).filter(|change| change.action != Action::Check).count(),
        failed,
        // What is being done is not cut off.
        failures: lines(&|outcome| {
            outcome == Outcome::Failed || (outcome == Outcome::NotTried && state != "running")
        }),
        left,
        waiting: report.waiting.clone(),
    }
}

impl Status {
    /// Whether everything that was made is still so, and nothing is left half done.
    pub fn is_good(&self) -> bool {
        self.standing().is_none_or(|run| run.state == "done")
            && self.half_undone().is_none()
            && self.changing.is_none()
            && self.changed_since.is_empty()
            && self.unknown.is_empty()
            && self.ending.is_empty()
    }

    /// The newest run of which anything stands.
    fn standing(&self) -> Option<&RunStatus> {
        self.runs.iter().rev().find(|run| run.state != "undone")
    }

    /// A run that is half undone, which holds up all others.
    fn half_undone(&self) -> Option<&RunStatus> {
        self.runs.iter().rev().find(|run| run.state == "half undone")
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
                "run {} {}: {}, {} steps done, {} {}",
                run.run,
                run.bundle,
                run.state,
                run.done,
                run.failed,
                if run.state == "running" { "failed or still to do" } else { "failed or not tried" }
            );
            for failure in &run.failures {
                let _ = writeln!(text, "  {}", printable(failure));
            }
            for waiting in &run.waiting {
                let _ = writeln!(text, "  {}", printable(waiting));
            }
            for left in &run.left {
                let _ = writeln!(text, "  left: {}", printable(left));
            }
        }
        if let Some(holder) = &self.changing {
            let _ = writeln!(text, "{} is changing this site now", printable(holder));
        }
        for line in &self.changed_since {
            let _ = writeln!(text, "changed since: {}", printable(line));
        }
        for line in &self.ending {
            let _ = writeln!(text, "near its end: {}", printable(line));
        }
        for line in &self.unknown {
            let _ = writeln!(text, "cannot be looked at: {}", printable(line));
        }
        if let Some(hint) = self.next() {
            let _ = writeln!(text, "next: {hint}");
        }
        text
    }

    fn next(&self) -> Option<String> {
        if self.changing.is_some() {
            return Some("wait for it to end; `status` then tells what it has come to".into());
        }
        let last = self.half_undone().or_else(|| self.standing())?;
        let hint = match last.state {
            "cut off" => "`apply` goes on where the run stopped; `rollback` takes it back",
            "half undone" => {
                return Some(format!(
                    "`rollback` goes on taking it back; `rollback {} --leave` gives that up",
                    last.run
                ));
            }
            "undone in part" => {
                return Some(format!("mend what was left by hand, or try it again: `rollback {}`", last.run));
            }
            "waiting" => "`apply` again when what is not planned yet can be looked at",
            "failed" => "mend what the failures say and `apply` again",
            _ if !self.changed_since.is_empty() => "`plan` shows how to bring it back",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
