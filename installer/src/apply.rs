//! Applying a plan: its steps, each when those it needs are done, several at once, each noted before and after.
//!
//! A step that fails holds back only those that need it. Cut off anywhere, the next `apply` goes on: a step that was begun is
//! taken again, which every kind of resource allows. Images are pushed together ([`images`]); nodes go in waves ([`waves`]).

mod images;
mod waves;

use std::collections::{BTreeMap, BTreeSet};

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::{Before, JournalEvent};
use ferry_model::plan::{Desired, Plan, State, Step, StepId};
use ferry_model::report::Failed;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::Error;
use crate::context::Context;
use crate::journal::{Journal, Progress, RunFolder, StepState};
use crate::resources::{Kept, Maker, Manage as _};
use images::Images;
use waves::{Waves, failures_allowed};

/// Steps that have ended, each with whether it is done; or why the journal cannot be written.
type Ended = Result<Vec<(StepId, bool)>, Error>;

/// Takes the steps of `plan` that `progress` does not know as done. Fails only if the journal cannot be written; what fails
/// at the site is noted there.
pub async fn apply(
    context: &Context,
    plan: &Plan,
    run: &RunFolder,
    journal: &Journal,
    progress: &Progress,
) -> Result<(), Error> {
    context.events.stage("apply", Some(plan.bytes()), Some(plan.steps.len() as u64));
    let worker = Worker { context, journal, kept: run.kept(), progress };
    let mut ledger = Ledger::new(plan, progress, failures_allowed(context));
    let mut running: FuturesUnordered<LocalBoxFuture<'_, Ended>> = FuturesUnordered::new();
    loop {
        let held = ledger.held_back();
        if !held.is_empty() {
            waves::tell(context, plan, &held);
            journal
                .append(held.into_iter().map(|(step, because)| JournalEvent::NotTried { step, because }))?;
        }
        let (images, others) =
            ledger.ready(context.site.site.limits.steps.max(1).saturating_sub(running.len()));
        if !images.is_empty() {
            running.push(Images::new(&worker, images).take().boxed_local());
        }
        for step in others {
            running.push(worker.take(step).boxed_local());
        }
        let Some(ended) = running.next().await else { break };
        ended?.into_iter().for_each(|(step, good)| ledger.ended(step, good));
    }
    journal.append([JournalEvent::Ended])
}

/// Which steps wait, run, and have ended.
struct Ledger<'a> {
    waiting: Vec<&'a Step>,
    good: BTreeSet<StepId>,
    /// Those that failed or were held back, with the failure at the root of it.
    bad: BTreeMap<StepId, StepId>,
    waves: Waves,
}

impl<'a> Ledger<'a> {
    fn new(plan: &'a Plan, progress: &Progress, failures_allowed: usize) -> Self {
        let is_done = |step: &Step| matches!(progress.state(step.id), Some(StepState::Done(_)));
        let good = plan.steps.iter().filter(|step| is_done(step)).map(|step| step.id).collect();
        let waiting = plan.steps.iter().filter(|step| !is_done(step)).collect();
        let waves = Waves::new(plan, failures_allowed, is_done);
        Self { waiting, good, bad: BTreeMap::new(), waves }
    }

    /// Takes out the steps that can no longer be taken, each with the failure that holds it back.
    fn held_back(&mut self) -> Vec<(StepId, StepId)> {
        let mut held = Vec::new();
        // Steps stand behind what they need, so one pass finds all.
        let (bad, waves) = (&mut self.bad, &mut self.waves);
        let root = |step: &Step, bad: &BTreeMap<StepId, StepId>, waves: &Waves| {
            let lacking = step.lacks_all(|need| bad.contains_key(&need));
            let mut needs = step.after.iter().chain(step.one_of.iter().filter(|_| lacking));
            needs.find_map(|need| bad.get(need).copied()).or_else(|| waves.holds_back(step))
        };
        self.waiting.retain(|step| match root(step, bad, waves) {
            Some(root) => {
                bad.insert(step.id, root);
                waves.left_out(step.id);
                held.push((step.id, root));
                false
            }
            None => true,
        });
        held
    }

    /// Takes out the steps that can be taken now: all images, and up to `limit` others.
    fn ready(&mut self, limit: usize) -> (Vec<&'a Step>, Vec<&'a Step>) {
        let (mut images, mut others) = (Vec::new(), Vec::new());
        let (good, bad, waves) = (&self.good, &self.bad, &self.waves);
        self.waiting.retain(|&step| {
            let is_image = matches!(step.resource.desired, Desired::Image(_));
            let fits = is_image || others.len() < limit;
            let is_tried = |need: &StepId| good.contains(need) || bad.contains_key(need);
            let has_needs =
                step.after.iter().all(|need| good.contains(need)) && step.one_of.iter().all(is_tried);
            if !fits || !waves.has_come(step) || !has_needs {
                return true;
            }
            if is_image {
                images.push(step);
            } else {
                others.push(step);
            }
            false
        });
        (images, others)
    }

    fn ended(&mut self, step: StepId, good: bool) {
        self.waves.ended(step, good);
        if good {
            self.good.insert(step);
        } else {
            self.bad.insert(step, step);
        }
    }
}

/// Takes steps.
struct Worker<'a> {
    context: &'a Context,
    journal: &'a Journal,
    kept: Kept,
    progress: &'a Progress,
}

impl Worker<'_> {
    async fn take(&self, step: &Step) -> Ended {
        let desired = &step.resource.desired;
        let refusal = desired.refusal(&step.before);
        // Why it is left is told as the failure that it is.
        let title = match &refusal {
            Some(_) => format!("leave {}", step.resource.id()),
            None => step.summary.clone(),
        };
        let task = self.context.events.start(&title, (step.bytes > 0).then_some(step.bytes));
        let outcome = match refusal {
            Some(failed) => Err(failed),
            None => match self.note_start(step).await? {
                Ok(()) => self.make(step, &task).await?,
                Err(failed) => Err(failed),
            },
        };
        let outcome = match outcome {
            Ok(()) => self.prove(step).await,
            Err(failed) => Err(failed),
        };
        match outcome {
            Ok(after) => {
                self.journal.append([JournalEvent::Done { step: step.id, after }])?;
                task.finish();
                Ok(vec![(step.id, true)])
            }
            Err(failure) => {
                task.fail(&failure);
                self.journal.append([JournalEvent::Failed { step: step.id, failure }])?;
                Ok(vec![(step.id, false)])
            }
        }
    }

    /// Changes it, and notes where nobody else can have made it.
    async fn make(&self, step: &Step, task: &Task) -> Result<Result<(), Failed>, Error> {
        let made = step.resource.desired.make(self.context, step.action, task).await;
        if made == Ok(Maker::Step) {
            self.journal.append([JournalEvent::Made { step: step.id }])?;
        }
        Ok(made.map(drop))
    }

    /// Keeps what the undo needs and notes the step. One that an earlier process began has that already: what stands there
    /// now may be its half.
    async fn note_start(&self, step: &Step) -> Result<Result<(), Failed>, Error> {
        if self.progress.steps.get(&step.id).is_some_and(|known| known.before.is_some()) {
            return Ok(Ok(()));
        }
        let desired = &step.resource.desired;
        let kept = match desired.keep(self.context, &self.kept).await {
            Ok(kept) => kept,
            Err(failed) => return Ok(Err(failed)),
        };
        let state = if step.resource.desired.is_check() {
            step.before.clone()
        } else {
            desired.observe(self.context).await
        };
        let before = Before { state: without_text(state), kept };
        self.journal.append([JournalEvent::Started { step: step.id, before }])?;
        Ok(Ok(()))
    }

    /// Looks whether the step has come to what was planned.
    async fn prove(&self, step: &Step) -> Result<ferry_model::plan::State, Failed> {
        let desired = &step.resource.desired;
        let (after, wanted) = (desired.observe(self.context).await, desired.wanted());
        if after.meets(&wanted) {
            return Ok(without_text(after));
        }
        if let State::Unknown { reason } = after {
            let message = format!("{} cannot be looked at after the step: {reason}", step.resource.id());
            return Err(
                Failed::because(Class::Local, message).hint("run the same command again: it looks first")
            );
        }
        let message = format!("{} is {after} after the step, and should be {wanted}", step.resource.id());
        Err(Failed::because(Class::Verification, message))
    }
}

fn without_text(state: ferry_model::plan::State) -> ferry_model::plan::State {
    match state {
        ferry_model::plan::State::Present { properties, .. } => {
            ferry_model::plan::State::Present { properties, text: None }
        }
        other => other,
    }
}
