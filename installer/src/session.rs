//! What `plan`, `apply`, `status` and `rollback` do, from end to end: the order in which the stages run, and what one run leaves
//! for the next.

mod again;
mod alone;
mod drift;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use ferry_model::journal::JournalEvent;
use ferry_model::plan::{Desired, Endpoint, Identity, Plan, Resource};
use ferry_model::report::Check;

use crate::Error;
use crate::apply::apply;
use crate::context::Context;
use crate::desire::{Desire, Facts, desire};
use crate::journal::{Progress, RunFolder, StepState, Undo};
use crate::lock::SiteLock;
use crate::observe::{Observed, observe};
use crate::plan::{PlanError, plan};
use crate::preflight::note_mounts;
use crate::report::{self, Basis};
use crate::rights;
use crate::rollback::{leave, registry_file, rollback};

pub(crate) use alone::apply_alone;
pub use status::{RunStatus, Status, status};

/// How `apply` came out.
#[derive(Debug)]
pub enum Applied {
    /// Everything is as it should be; nothing was done.
    Nothing(Box<Plan>),
    /// A run was made, or one that had been cut off was finished.
    Run(Box<ferry_model::report::Report>, RunFolder),
}

/// Looks at the site and decides what to do.
pub async fn make_plan(context: &Context, facts: &Facts) -> Result<Plan, Error> {
    let identity = identity(context)?;
    let mut desire = desire(context.bundle()?.catalog(), &context.site, facts)?;
    note_mounts(&mut desire.space).await;
    let observed = observe(context, &desire.resources).await;
    Ok(plan(identity, &desire, &observed)?)
}

/// Which bundle and site this is.
pub fn identity(context: &Context) -> Result<Identity, Error> {
    let bundle = context.bundle()?;
    let (catalog, site) = (bundle.catalog(), &context.site);
    Ok(Identity {
        bundle: catalog.name.clone(),
        version: catalog.version.clone(),
        catalog: bundle.catalog_digest(),
        site: site.site.name.clone(),
        site_file: site.digest,
    })
}

/// Makes the site as it shall be: goes on with a run that was cut off; takes exactly the steps of `reviewed` where that is given;
/// else those that are needed. `look` is the preflight, asked only when something will be changed.
pub async fn apply_site(
    context: &Context,
    facts: &Facts,
    reviewed: Option<Plan>,
    look: impl AsyncFnOnce(&Plan) -> Result<Vec<Check>, Error>,
) -> Result<Applied, Error> {
    let applied = look_and_apply(context, facts, reviewed, look).await;
    leave_nodes(context).await;
    applied
}

async fn look_and_apply(
    context: &Context,
    facts: &Facts,
    reviewed: Option<Plan>,
    look: impl AsyncFnOnce(&Plan) -> Result<Vec<Check>, Error>,
) -> Result<Applied, Error> {
    let state = context.site.state_folder();
    let _lock = SiteLock::take(&state)?;
    let mut desire = desire(context.bundle()?.catalog(), &context.site, facts)?;
    note_mounts(&mut desire.space).await;
    if let Some((run, observed)) = unfinished(context, &desire, reviewed.as_ref()).await? {
        context.events.note(format!("going on with run {}", run.name()));
        go_on(context, &run, &observed).await?;
        return Ok(Applied::Run(Box::new(report::write(&run)?), run));
    }
    // What has been set up before can be looked at in the same way. A reviewed plan was made by looking without.
    if reviewed.is_none() && has_passing_pods(context) && context.previous.is_any(context)? {
        context.fleet.begin();
    }
    let observed = observe(context, &desire.resources).await;
    let plan = plan(identity(context)?, &desire, &observed)?;
    if let Some(reviewed) = &reviewed {
        drift::check(reviewed, &plan)?;
    }
    // What waits, and that it no longer does, is noted too: `status` knows the site by its runs.
    if plan.steps.is_empty() && waits_now(&plan) == waits_since(&state)? {
        return Ok(Applied::Nothing(Box::new(plan)));
    }
    let checks = if plan.steps.is_empty() { Vec::new() } else { look(&plan).await? };
    rights::require(context, &plan).await?;
    context.fleet.begin();
    let basis = Basis::new(context.bundle()?, checks);
    let files: Vec<_> = [Some(basis.file()), registry_file(context)].into_iter().flatten().collect();
    let (run, journal) = RunFolder::begin(&state, &plan, &files)?;
    apply(context, &plan, &run, &journal, &Progress::default()).await?;
    // The report is made from what the run noted; of thousands of steps, both at once would be twice the memory.
    drop((desire, observed, plan));
    Ok(Applied::Run(Box::new(report::write(&run)?), run))
}

/// What a plan leaves for later, without the reasons: they may be worded otherwise each time.
fn waits_now(plan: &Plan) -> Vec<(String, String)> {
    plan.waiting.iter().map(|waiting| (waiting.service.clone(), waiting.what.clone())).collect()
}

/// What the last run that stands has left for later.
fn waits_since(state: &Path) -> Result<Vec<(String, String)>, Error> {
    for run in RunFolder::all(state)?.iter().rev() {
        if run.progress()?.undo != Undo::Ended {
            return Ok(waits_now(&run.plan()?));
        }
    }
    Ok(Vec::new())
}

/// Whether nodes are reached through pods that are there for the time of the work alone. Those that stay are steps of the plan.
fn has_passing_pods(context: &Context) -> bool {
    context.site.site.nodes.daemon_set.as_ref().is_some_and(|daemon_set| !daemon_set.keep)
}

/// Removes what was made on nodes to reach them.
async fn leave_nodes(context: &Context) {
    for left in context.fleet.end().await {
        context.events.warn(left);
    }
}

/// Goes on with a run that was cut off, where `observed` is what stands there now.
async fn go_on(context: &Context, run: &RunFolder, observed: &Observed) -> Result<(), Error> {
    let (plan, journal) = (run.plan()?, run.journal()?);
    let again = again::begin_again(&plan, &run.progress()?, observed);
    if !again.is_empty() {
        let count = again.len();
        context.events.warn(format!("{count} steps that were done no longer stand, and are taken again"));
    }
    journal.append(std::iter::once(JournalEvent::Resumed).chain(again))?;
    apply(context, &plan, run, &journal, &run.progress()?).await
}

/// The last run, if it was cut off and can be gone on with, and what stands there now: made for this bundle and site, with nothing
/// changed since that it has not begun, and nothing put in the place of what it has done.
async fn unfinished(
    context: &Context,
    desire: &Desire,
    reviewed: Option<&Plan>,
) -> Result<Option<(RunFolder, Observed)>, Error> {
    let runs = RunFolder::all(&context.site.state_folder())?;
    for run in &runs {
        if run.progress()?.undo == Undo::Begun {
            return Err(Error::HalfUndone { run: run.name() });
        }
    }
    let Some(run) = runs.last().cloned() else { return Ok(None) };
    let progress = run.progress()?;
    if progress.ended.is_some() || progress.undo == Undo::Ended {
        return Ok(None);
    }
    let plan = run.plan()?;
    let is_this = !alone::is_alone(&plan)
        && plan.identity == identity(context)?
        && reviewed.is_none_or(|reviewed| drift::is_plan(reviewed, &plan));
    // What it has begun must be seen.
    if has_passing_pods(context) && !progress.steps.is_empty() {
        context.fleet.begin();
    }
    let observed = observe(context, &desire.resources).await;
    let is_begun = |step| progress.steps.get(&step).is_some_and(|known| known.before.is_some());
    let unseen = drift::unseen(&plan, &desire.resources, &observed, is_begun);
    if is_this && !unseen.is_empty() {
        return Err(Error::CannotGoOn { run: run.name(), source: PlanError::Unknown { resources: unseen } });
    }
    let mut changed = drift::since(&plan, &observed, is_begun);
    changed.extend(again::replaced(&plan, &progress, &observed));
    if is_this && changed.is_empty() {
        return Ok(Some((run, observed)));
    }
    let why = changed
        .first()
        .map_or_else(|| "it was for another bundle, site file or plan".to_owned(), Clone::clone);
    context.events.warn(format!("run {} was cut off and is not gone on with: {why}", run.name()));
    run.journal()?.append([JournalEvent::Ended])?;
    Ok(None)
}

/// Takes back a run, or the last one that is not taken back yet. Of a run that was, what could not be undone is tried again.
pub async fn rollback_site(
    context: &Context,
    name: Option<&str>,
) -> Result<(ferry_model::report::Report, RunFolder), Error> {
    let state = context.site.state_folder();
    let _lock = SiteLock::take(&state)?;
    let run = to_take_back(&state, name)?;
    refuse_below(&state, &run)?;
    let (plan, progress) = (run.plan()?, run.progress()?);
    context.fleet.begin();
    let undone = Box::pin(rollback(context, &plan, &run, &run.journal()?, &progress)).await;
    leave_nodes(context).await;
    undone?;
    Ok((report::write(&run)?, run))
}

/// Gives up taking back a run that is half taken back: what is not, stays as it is. Of one that is over, tells what it has left.
pub fn leave_site(
    context: &Context,
    name: Option<&str>,
) -> Result<(ferry_model::report::Report, RunFolder), Error> {
    let state = context.site.state_folder();
    let _lock = SiteLock::take(&state)?;
    let run = to_take_back(&state, name)?;
    let progress = run.progress()?;
    match progress.undo {
        Undo::No => {
            let problem = format!("run {0} stands, and nothing of it was to be taken back", run.name());
            let hint = format!("without `--leave`, `rollback {}` takes it back", run.name());
            return Err(Error::State { problem, hint });
        }
        Undo::Begun => leave(&run.plan()?, &run, &run.journal()?, &progress)?,
        Undo::Ended => {}
    }
    Ok((report::write(&run)?, run))
}

/// The run of this name, or the last one that is not taken back yet.
fn to_take_back(state: &Path, name: Option<&str>) -> Result<RunFolder, Error> {
    let mut chosen = None;
    for run in RunFolder::all(state)? {
        let is_open = run.progress()?.undo != Undo::Ended;
        let is_meant = match name {
            Some(name) => RunFolder::find(state, Some(name))?.as_ref() == Some(&run),
            None => is_open,
        };
        if is_meant {
            chosen = Some(run);
        }
    }
    if let Some(run) = chosen {
        return Ok(run);
    }
    let runs = RunFolder::all(state)?.iter().map(RunFolder::name).collect::<Vec<_>>().join(", ");
    let problem = name.map_or_else(
        || "there is no run to take back".to_owned(),
        |name| format!("there is no run {name}; there are: {runs}"),
    );
    let hint = "`status` lists the runs of a site; `rollback RUN` tries again what a run has left";
    Err(Error::State { problem, hint: hint.into() })
}

/// A run on which a later one stands cannot be taken back: what it made is the later one's ground.
fn refuse_below(state: &Path, run: &RunFolder) -> Result<(), Error> {
    let runs = RunFolder::all(state)?;
    for later in runs.iter().rev().take_while(|later| *later != run) {
        if later.progress()?.undo != Undo::Ended {
            let problem = format!("run {} stands on run {}", later.name(), run.name());
            return Err(Error::State {
                problem,
                hint: "take the later one back first: `rollback` without a number does".into(),
            });
        }
    }
    Ok(())
}

/// The resources of a plan, for a second look; with the site's registry before its images, so that one that is down is asked once.
pub(crate) fn resources(context: &Context, plan: &Plan) -> Vec<Resource> {
    let mut resources: Vec<Resource> = endpoint(context).into_iter().collect();
    let known = |step: &&ferry_model::plan::Step| !step.resource.id().is_endpoint();
    resources.extend(plan.steps.iter().filter(known).map(|step| step.resource.clone()));
    resources
}

/// The site's registry, to be asked whether it answers.
pub(crate) fn endpoint(context: &Context) -> Option<Resource> {
    let registry = context.site.site.registry.as_ref()?;
    let (address, scheme) = (registry.address.clone(), registry.tls.scheme().to_owned());
    let endpoint = Endpoint { registry: address, scheme, patience: 0 };
    Some(Resource::new(Desired::Endpoint(endpoint), "its images are seen through it"))
}

/// Steps that are done, with what stood there then.
pub(crate) fn done(plan: &Plan, progress: &Progress) -> Observed {
    let state = |step: &ferry_model::plan::Step| match progress.state(step.id) {
        Some(StepState::Done(after)) => Some((step.resource.id(), after.clone())),
        _ => None,
    };
    plan.steps.iter().filter_map(state).collect::<BTreeMap<_, _>>()
}
