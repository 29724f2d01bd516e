//! Undoing a run: its steps in reverse, only those that are its own, each noted before and after.

use std::collections::BTreeSet;

use ferry_model::journal::{Before, JournalEvent};
use ferry_model::plan::{Desired, Plan, State, Step};

use crate::Error;
use crate::context::Context;
use crate::journal::{Journal, Progress, RunFolder, StepProgress, StepState, Undo};
use crate::observe::is_same;
use crate::resources::{Kept, Manage as _, Mine, Undone};

/// Undoes what `progress` knows as begun. Fails only if the journal cannot be written; what could not be undone is noted
/// there, with why.
pub async fn rollback(
    context: &Context,
    plan: &Plan,
    run: &RunFolder,
    journal: &Journal,
    progress: &Progress,
) -> Result<(), Error> {
    if progress.undo == Undo::No {
        journal.append([JournalEvent::UndoBegan])?;
    }
    let steps = undo_order(plan, progress);
    context.events.stage("undo", None, Some(steps.len() as u64));
    let undoing = Undoing { context, kept: run.kept(), mine: mine(plan, progress) };
    for (step, begun) in steps {
        let task = context.events.start(format!("undo: {}", step.summary), None);
        journal.append([JournalEvent::Undoing { step: step.id }])?;
        match undoing.undo(step, begun).await {
            Undone::Restored => {
                journal.append([JournalEvent::Undone { step: step.id }])?;
                task.finish();
            }
            Undone::Left(reason) => {
                task.fail(&reason);
                journal.append([JournalEvent::Left { step: step.id, reason }])?;
            }
        }
    }
    journal.append([JournalEvent::UndoEnded])
}

/// The steps to undo, the last one first. What ran before and takes up others' changes comes last, when those are back.
fn undo_order<'a>(plan: &'a Plan, progress: &'a Progress) -> Vec<(&'a Step, &'a StepProgress)> {
    let is_open = |begun: &StepProgress| {
        begun.before.is_some()
            && matches!(
                begun.state,
                StepState::Started | StepState::Done(_) | StepState::Failed(_) | StepState::Left(_)
            )
    };
    let open = plan.steps.iter().rev().filter(|step| !step.resource.desired.is_check());
    let open =
        open.filter_map(|step| Some((step, progress.steps.get(&step.id).filter(|begun| is_open(begun))?)));
    let takes_up = |step: &Step, begun: &StepProgress| {
        let ran = begun.before.as_ref().is_some_and(|before| matches!(before.state, State::Present { .. }));
        ran && !step.resource.follows.is_empty()
    };
    let (last, first): (Vec<_>, Vec<_>) = open.partition(|(step, begun)| takes_up(step, begun));
    first.into_iter().chain(last.into_iter().rev()).collect()
}

/// Images that the run brought.
fn mine(plan: &Plan, progress: &Progress) -> Mine {
    let images: BTreeSet<String> = plan
        .steps
        .iter()
        .filter(|step| progress.steps.contains_key(&step.id))
        .filter_map(|step| match &step.resource.desired {
            Desired::Image(image) => {
                Some(format!("{}:{}", image.repository, image.tag.as_deref().unwrap_or_default()))
            }
            _ => None,
        })
        .collect();
    Mine { images }
}

struct Undoing<'a> {
    context: &'a Context,
    kept: Kept,
    mine: Mine,
}

impl Undoing<'_> {
    async fn undo(&self, step: &Step, begun: &StepProgress) -> Undone {
        let Some(before) = &begun.before else { return Undone::Restored };
        let desired = &step.resource.desired;
        let now = desired.observe(self.context).await;
        if let StepState::Done(after) = &begun.state
            && !is_same(&now, after)
            && !matches!(now, State::Unknown { .. })
        {
            if is_same(&now, &before.state) && !matches!(now, State::Unknown { .. }) {
                return Undone::Restored;
            }
            return Undone::Left(changed_since(step, &now, after, before, &self.kept));
        }
        match desired.undo(self.context, before, &self.kept, &self.mine).await {
            Ok(undone) => undone,
            Err(failed) => Undone::Left(failed.message),
        }
    }
}

fn changed_since(step: &Step, now: &State, after: &State, before: &Before, kept: &Kept) -> String {
    let mut reason = format!(
        "{} was changed by somebody else since: it is {now}, and this run left it {after}",
        step.resource.id()
    );
    for (name, file) in &before.kept {
        reason
            .push_str(&format!("; what was there before ({name}) is kept in {}", kept.path(file).display()));
    }
    reason
}
