//! A run that is not for the whole site: of resources that the site file does not ask for, and somebody at the command line does.

use ferry_model::journal::JournalEvent;
use ferry_model::plan::{Desired, Plan};

use super::{Applied, identity};
use crate::Error;
use crate::apply::apply;
use crate::context::Context;
use crate::desire::Desire;
use crate::journal::{Progress, RunFolder, Undo};
use crate::lock::SiteLock;
use crate::observe::observe;
use crate::plan::plan;
use crate::report::{self, Basis};

/// Makes these resources as they shall be, as a run that `rollback` takes back. A run for the whole site that was cut off comes first.
pub(crate) async fn apply_alone(context: &Context, desire: &Desire) -> Result<Applied, Error> {
    let state = context.site.state_folder();
    let _lock = SiteLock::take(&state)?;
    end_what_was_cut_off(&state)?;
    let observed = observe(context, &desire.resources).await;
    let plan = plan(identity(context)?, desire, &observed)?;
    if plan.steps.is_empty() {
        return Ok(Applied::Nothing(Box::new(plan)));
    }
    let basis = Basis::new(context.bundle()?, Vec::new());
    let (run, journal) = RunFolder::begin(&state, &plan, &[basis.file()])?;
    apply(context, &plan, &run, &journal, &Progress::default()).await?;
    Ok(Applied::Run(Box::new(report::write(&run)?), run))
}

/// Whether a plan is of such a run. What it has left undone is found again by looking, and not gone on with.
pub(super) fn is_alone(plan: &Plan) -> bool {
    let mut steps = plan.steps.iter().peekable();
    steps.peek().is_some() && steps.all(|step| matches!(step.resource.desired, Desired::WorkloadImages(_)))
}

fn end_what_was_cut_off(state: &std::path::Path) -> Result<(), Error> {
    for run in RunFolder::all(state)? {
        let progress = run.progress()?;
        match progress.undo {
            Undo::Begun => return Err(Error::HalfUndone { run: run.name() }),
            Undo::No if progress.ended.is_none() => {
                if !is_alone(&run.plan()?) {
                    let problem = format!("run {} was cut off", run.name());
                    let hint = "`apply` goes on where it stopped; `rollback` takes it back".into();
                    return Err(Error::State { problem, hint });
                }
                run.journal()?.append([JournalEvent::Ended])?;
            }
            _ => {}
        }
    }
    Ok(())
}
