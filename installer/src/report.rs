//! The report of a run: put together from what was known at its beginning, its plan and its journal, so it can be made again at
//! any time, without the bundle.

use std::collections::BTreeMap;
use std::fs;

use ferry_bundle::{Bundle, SignatureState};
use ferry_display::report_html;
use ferry_model::Digest;
use ferry_model::catalog::Catalog;
use ferry_model::plan::{Action, Desired, PLAN_VERSION, Plan, Resource, Step};
use ferry_model::report::{Change, Check, Content, Failed, Outcome, Report, Signer};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::journal::{Progress, RunFolder, StepProgress, StepState, Undo};
use crate::resources::Manage as _;

const BASIS: &str = "basis.json";

/// What was known when a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Basis {
    program: String,
    signer: Signer,
    bundle_size: u64,
    contents: Vec<Content>,
    missing: Vec<String>,
    checks: Vec<Check>,
}

impl Basis {
    /// Of this bundle, after these checks.
    pub fn new(bundle: &Bundle, checks: Vec<Check>) -> Self {
        let catalog = bundle.catalog();
        let signer = match bundle.signature() {
            SignatureState::Unsigned => Signer::Unsigned,
            SignatureState::Unchecked { key_id } => Signer::Unchecked { key: key_id.clone() },
            SignatureState::Verified { key_id, comment } => {
                Signer::Verified { key: key_id.clone(), comment: comment.clone() }
            }
        };
        let missing =
            catalog.missing.iter().map(|entry| format!("{} {}: {}", entry.kind, entry.name, entry.reason));
        Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            signer,
            bundle_size: bundle.file_size(),
            contents: contents(catalog),
            missing: missing.collect(),
            checks,
        }
    }

    /// As a file of the run.
    pub fn file(&self) -> (&'static str, Vec<u8>) {
        (BASIS, serde_json::to_vec_pretty(self).expect("a basis has only strings, numbers and lists"))
    }

    fn read(run: &RunFolder) -> Result<Option<Self>, Error> {
        let path = run.path().join(BASIS);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Error::damaged(&path, error.to_string())),
            // Somebody has taken it away.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("reading", &path)(error)),
        }
    }
}

/// What is in the bundle, the largest first.
fn contents(catalog: &Catalog) -> Vec<Content> {
    let sizes = catalog.blob_sizes();
    let size = |digests: &mut dyn Iterator<Item = Digest>| {
        let unique: std::collections::BTreeSet<_> = digests.collect();
        unique.iter().filter_map(|digest| sizes.get(digest)).sum()
    };
    let content = |kind: &str, name: String, digest: Digest, size: u64| Content {
        kind: kind.to_owned(),
        name,
        digest: digest.to_string(),
        size,
    };
    let mut contents = Vec::new();
    for image in &catalog.images {
        let mut blobs = image
            .all_manifests()
            .flat_map(|manifest| manifest.blobs.iter().copied().chain([manifest.digest]));
        contents.push(content("image", image.reference.to_string(), image.digest, size(&mut blobs)));
    }
    for chart in &catalog.charts {
        let name = format!("{} {}", chart.name, chart.version);
        contents.push(content("chart", name, chart.archive, size(&mut std::iter::once(chart.archive))));
    }
    for file in &catalog.files {
        contents.push(content(&file.kind.to_string(), file.served_path(), file.digest, file.size));
    }
    contents.sort_by(|one, other| (other.size, &one.name).cmp(&(one.size, &other.name)));
    contents
}

/// The report of a run, as it stands now.
pub fn read(run: &RunFolder) -> Result<Report, Error> {
    let (plan, progress) = (run.plan()?, run.progress()?);
    let basis = Basis::read(run)?.unwrap_or(Basis {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        signer: Signer::Unknown,
        bundle_size: 0,
        contents: Vec::new(),
        missing: Vec::new(),
        checks: Vec::new(),
    });
    let changes: Vec<Change> = plan.steps.iter().map(|step| change(step, &plan, &progress)).collect();
    Ok(Report {
        format_version: PLAN_VERSION,
        run: run.name(),
        program: basis.program,
        identity: plan.identity.clone(),
        began: progress.began,
        ended: progress.ended,
        signer: basis.signer,
        bundle_size: basis.bundle_size,
        contents: basis.contents,
        missing: basis.missing,
        checks: basis.checks,
        unchanged: plan.observed.len().saturating_sub(changes.len()),
        by_hand: by_hand(&plan, &progress, &changes),
        waiting: if progress.undo == Undo::No {
            plan.waiting.iter().map(|waiting| format!("not planned: {waiting}")).collect()
        } else {
            Vec::new()
        },
        changes,
    })
}

/// Writes `report.json` and `report.html` into the run's folder.
pub fn write(run: &RunFolder) -> Result<Report, Error> {
    let report = read(run)?;
    // One after the other: of thousands of changes, each is megabytes.
    let text =
        |report| serde_json::to_vec_pretty(report).expect("a report has only strings, numbers and lists");
    run.write("report.json", &text(&report))?;
    run.write("report.html", report_html(&report).as_bytes())?;
    Ok(report)
}

fn change(step: &Step, plan: &Plan, progress: &Progress) -> Change {
    let begun = progress.steps.get(&step.id);
    let (outcome, after, failure) = outcome(step, plan, begun);
    Change {
        step: step.id,
        action: step.action,
        resource: step.resource.id(),
        summary: step.summary.clone(),
        reason: step.resource.reason.clone(),
        outcome,
        before: step.before.clone(),
        after,
        diff: step.diff.clone(),
        bytes: if outcome == Outcome::Done { step.bytes } else { 0 },
        duration_ms: begun.and_then(|begun| Some(begun.ended?.saturating_sub(begun.began))),
        failure,
    }
}

fn outcome(
    step: &Step,
    plan: &Plan,
    begun: Option<&StepProgress>,
) -> (Outcome, Option<ferry_model::plan::State>, Option<Failed>) {
    let because = |message: String| Some(Failed::because(ferry_model::failure::Class::Local, message));
    match begun.map(|begun| &begun.state) {
        None => (Outcome::NotTried, None, None),
        Some(StepState::Started) => (Outcome::NotTried, None, because("it was begun and cut off".into())),
        Some(StepState::Done(after)) => (Outcome::Done, Some(after.clone()), None),
        Some(StepState::Failed(failed)) => (Outcome::Failed, None, Some(failed.clone())),
        Some(StepState::NotTried(root)) => {
            let root = plan.steps.iter().find(|step| step.id == *root).map(|step| &step.resource);
            (Outcome::NotTried, None, because(held_back(&step.resource, root)))
        }
        Some(StepState::Undone) => (Outcome::Undone, Some(step.before.clone()), None),
        Some(StepState::Left(reason)) => (Outcome::Left, None, because(reason.clone())),
    }
}

/// Why a step was not tried.
fn held_back(resource: &Resource, root: Option<&Resource>) -> String {
    match (&resource.desired, root.map(|root| &root.desired)) {
        (Desired::NodeSetup(_), Some(Desired::NodeSetup(failed))) => {
            format!("no further nodes are begun, since node {} failed", failed.node)
        }
        _ => format!("it needs {}, which failed", root.map(|root| root.id().to_string()).unwrap_or_default()),
    }
}

fn by_hand(plan: &Plan, progress: &Progress, changes: &[Change]) -> Vec<String> {
    if progress.undo != Undo::No {
        let left = changes.iter().filter(|change| change.outcome == Outcome::Left);
        let left = left.filter_map(|change| Some(change.failure.as_ref()?.message.clone()));
        return left.chain(layers_left(plan, progress)).collect();
    }
    plan.by_hand.clone()
}

/// What images that were taken back leave in their registry. One that the run itself brought up has gone with its storage.
fn layers_left(plan: &Plan, progress: &Progress) -> Option<String> {
    let registry = plan.steps.iter().find_map(|step| match &step.resource.desired {
        Desired::Image(image) => {
            let begun = progress.steps.get(&step.id)?;
            let was_there = begun.before.as_ref()?.state.meets(&image.wanted());
            (begun.state == StepState::Undone && !was_there).then_some(&image.registry)
        }
        _ => None,
    })?;
    let is_own = plan.steps.iter().any(|step| step.resource.id().is_endpoint());
    (!is_own).then(|| {
        format!(
            "{registry} still holds the layers of the images that were taken back: only its own garbage collection frees \
             their room"
        )
    })
}

/// The end of a run for people: what was done, and everything that failed with what to do next.
pub fn text(report: &Report, run: &RunFolder) -> String {
    use std::fmt::Write as _;
    let count =
        |outcome: Outcome| report.with(outcome).filter(|change| change.action != Action::Check).count();
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "run {}: {} done, {} failed",
        report.run,
        count(Outcome::Done),
        report.with(Outcome::Failed).count()
    );
    for (outcome, words) in
        [(Outcome::NotTried, "not tried"), (Outcome::Undone, "undone"), (Outcome::Left, "left as they are")]
    {
        let number = count(outcome);
        if number > 0 {
            let _ = write!(text, ", {number} {words}");
        }
    }
    let were = if report.unchanged == 1 { "was" } else { "were" };
    let _ = writeln!(text, ", {} {were} right already", report.unchanged);
    for change in
        report.changes.iter().filter(|change| matches!(change.outcome, Outcome::Failed | Outcome::Left))
    {
        let Some(failure) = &change.failure else { continue };
        let word = if change.outcome == Outcome::Left { "left" } else { "failed" };
        let _ = writeln!(text, "{word}: {}: {}", change.resource, ferry_display::printable(&failure.message));
        for hint in &failure.hints {
            let _ = writeln!(text, "  next: {hint}");
        }
    }
    for (reason, number) in nodes_left_alone(report) {
        let nodes = if number == 1 { "node" } else { "nodes" };
        let _ = writeln!(text, "not tried: {number} {nodes}: {}", ferry_display::printable(&reason));
        let _ = writeln!(
            text,
            "  next: mend it, or let more fail: `nodes: {{maxFailures: N}}`; then `apply` again"
        );
    }
    if count(Outcome::Left) > 0 {
        let _ = writeln!(text, "  next: mend that by hand, or try it again: `rollback {}`", report.run);
    }
    if run.progress().is_ok_and(|progress| progress.undo == Undo::Begun) {
        let _ = writeln!(
            text,
            "  or: `rollback {} --leave` leaves it as it is; until then the run is half taken back, and `apply` is refused",
            report.run
        );
    }
    for sentence in &report.waiting {
        let _ = writeln!(text, "{}", ferry_display::printable(sentence));
    }
    let is_said = |sentence: &&String| {
        let mut left = report.with(Outcome::Left).filter_map(|change| change.failure.as_ref());
        left.any(|failure| failure.message == **sentence)
    };
    for sentence in report.by_hand.iter().filter(|sentence| !is_said(sentence)) {
        let _ = writeln!(text, "by hand: {}", ferry_display::printable(sentence));
    }
    let _ = writeln!(text, "report: {}", run.path().join("report.html").display());
    text
}

/// Nodes that were not tried, by why.
fn nodes_left_alone(report: &Report) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for change in report.with(Outcome::NotTried) {
        let reason = change.failure.as_ref().map(|failure| &failure.message);
        let is_node = change.resource.as_str().starts_with("node-setup ");
        if let Some(reason) = reason.filter(|reason| is_node && reason.starts_with("no further nodes")) {
            *reasons.entry(reason.clone()).or_default() += 1;
        }
    }
    reasons
}

/// How a program ends that did this. A site of which a part waits is not as its file says.
pub fn exit_code(report: &Report) -> ferry_model::failure::ExitCode {
    use ferry_model::failure::ExitCode;
    let failures =
        report.changes.iter().filter(|change| !matches!(change.outcome, Outcome::Done | Outcome::Undone));
    let begin = if report.waiting.is_empty() { ExitCode::Done } else { ExitCode::Failed };
    failures.fold(begin, |code, change| {
        let class = change.failure.as_ref().map(|failure| failure.class.exit_code());
        if class == Some(ExitCode::Verification) || code == ExitCode::Verification {
            ExitCode::Verification
        } else {
            ExitCode::Failed
        }
    })
}
