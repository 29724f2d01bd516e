//! Nodes that resolve the registry's name, trust it and pull from it. The work is done by this program on the node; here it is sent
//! there, and what it says is told.
//!
//! What a node was asked to be is kept with the run, so that undoing a later run brings that back and not what stood there before
//! Ferry came.

mod previous;
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::node::{NodeDesired, NodeReport, Security};
use ferry_model::plan::{Action, NodeSetup, State};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone, seen_diff, unknown};
use crate::context::Context;
use crate::fleet::{Means, Target, Work};

pub(crate) use previous::Previous;

/// What the kept document of this run is called in the journal.
const ASKED: &str = "asked";
/// What that of the run before is called.
const BEFORE: &str = "before";

impl Manage for NodeSetup {
    fn wanted(&self) -> State {
        State::present([("right", "yes")])
    }

    fn summary(&self, _action: Action) -> String {
        format!("set up node {}", self.node)
    }

    fn summary_from(&self, action: Action, before: &State) -> String {
        let summary = match action {
            Action::Restart => format!("set up node {} again", self.node),
            _ => self.summary(action),
        };
        match before {
            State::Unknown { .. } => format!("{summary}, which cannot be looked at now"),
            State::Present { .. } => {
                let said = before.property("does").filter(|does| !does.is_empty());
                format!("{summary}: {}", said.unwrap_or("prove it"))
            }
            State::Absent => summary,
        }
    }

    fn undo_summary(&self, _before: &State) -> String {
        "put its files back as they were".into()
    }

    fn diff_from(&self, before: &State) -> Option<String> {
        seen_diff(before)
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    /// What cannot be reached is not begun, so there is nothing to undo of it.
    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let (asked, _) = self.complete(context);
        let said = self.ask(context, Work::Look, &asked).await?;
        context.fleet.leave(&self.node, digest(&asked), said);
        let text = serde_json::to_vec(&asked).expect("it has only strings, numbers and lists");
        let mut files = BTreeMap::from([(ASKED.to_owned(), kept.save(&text)?)]);
        if let Some(before) = context.previous.of(context, &self.node)? {
            files.insert(BEFORE.to_owned(), kept.save(&before)?);
        }
        Ok(files)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let (desired, missing) = self.complete(context);
        if let Some(missing) = missing.first() {
            let message =
                format!("node {}: the authority that it shall trust is not there: {missing}", self.node);
            return Err(Failed::because(Class::Input, message));
        }
        let digest = digest(&desired);
        context.fleet.take(&self.node, digest);
        context.fleet.note_proven(&self.node, digest, false);
        told::refuse_failures(&self.node, &self.ask(context, Work::Apply, &desired).await?)?;
        let proof = self.ask(context, Work::Check, &desired).await?;
        told::refuse_unproven(&self.node, &proof)?;
        context.fleet.note_proven(&self.node, digest, true);
        // A proof is a look as well: where it is passed, there is nothing to change.
        context.fleet.leave(&self.node, digest, proof);
        Ok(())
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        if before.state.property("right") == Some("yes") {
            return Ok(Undone::Restored);
        }
        let (desired, _) = self.complete(context);
        told::refuse_failures(&self.node, &self.ask(context, Work::Undo, &desired).await?)?;
        if let Some(file) = before.kept.get(BEFORE) {
            let before = kept.read(file)?;
            let before: NodeDesired = serde_json::from_slice(&before).map_err(|error| {
                Failed::because(
                    Class::Protocol,
                    format!("what node {} was is kept unreadably: {error}", self.node),
                )
            })?;
            told::refuse_failures(&self.node, &self.ask(context, Work::Apply, &before).await?)?;
        }
        Ok(Undone::Restored)
    }
}

trait OnNode {
    /// What it shall be like, with the authorities' texts; and the files that are not there yet.
    fn complete(&self, context: &Context) -> (NodeDesired, Vec<String>);

    async fn ask(&self, context: &Context, work: Work, desired: &NodeDesired) -> Result<NodeReport, Failed>;

    async fn look(&self, context: &Context) -> Result<State, Failed>;
}

impl OnNode for NodeSetup {
    fn complete(&self, context: &Context) -> (NodeDesired, Vec<String>) {
        let (mut desired, mut missing) = (self.desired.clone(), Vec::new());
        for registry in &mut desired.registries {
            let Some(path) = self.authorities.get(&registry.address) else { continue };
            match std::fs::read_to_string(context.absolute(path)) {
                Ok(text) => registry.security = Security::Https { authority: Some(text) },
                Err(error) => missing.push(format!("{}: {error}", path.display())),
            }
        }
        (desired, missing)
    }

    async fn ask(&self, context: &Context, work: Work, desired: &NodeDesired) -> Result<NodeReport, Failed> {
        let limit = Duration::from_secs(self.time_limit.into());
        let target = Target { node: &self.node, reach: &self.reach, limit };
        let means = Means { secrets: &context.secrets, clusters: &context.clusters };
        context.fleet.ask(means, target, work, desired).await
    }

    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let (desired, missing) = self.complete(context);
        let digest = digest(&desired);
        let report = match context.fleet.take(&self.node, digest) {
            Some(said) => said,
            None => self.ask(context, Work::Look, &desired).await?,
        };
        told::refuse_failures(&self.node, &report)?;
        let mut seen = told::Seen::of(&report);
        if !missing.is_empty() {
            seen.waits_for_authority();
        }
        // Without a bundle nothing is brought about, only compared and taken back: whether a registry answers right now is no part of
        // it.
        let is_to_be_proven = seen.is_right() && context.bundle.is_some();
        if is_to_be_proven && !context.fleet.is_proven(&self.node, digest) {
            let report = self.ask(context, Work::Check, &desired).await?;
            if let Err(failed) = told::refuse_unproven(&self.node, &report) {
                seen.is_unproven(&failed);
            } else {
                context.fleet.note_proven(&self.node, digest, true);
            }
        }
        Ok(seen.state())
    }
}

fn digest(desired: &NodeDesired) -> Digest {
    Digest::of(&serde_json::to_vec(desired).expect("it has only strings, numbers and lists"))
}
