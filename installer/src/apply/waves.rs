//! Nodes go in waves: the canaries first, the others only behind them, and none any more once too many have failed.

use std::collections::BTreeMap;

use ferry_model::plan::{Desired, Plan, Step, StepId};

use crate::context::Context;

/// The wave of those that go first, alone.
const CANARY: u32 = 0;

/// How far the waves have come.
#[derive(Debug)]
pub(super) struct Waves {
    allowed: usize,
    /// Nodes that have not ended yet, each with its wave.
    open: BTreeMap<StepId, u32>,
    /// Those that failed, in that order.
    failed: Vec<(u32, StepId)>,
}

impl Waves {
    /// For the steps that `is_done` does not know; `allowed` may fail.
    pub(super) fn new(plan: &Plan, allowed: usize, is_done: impl Fn(&Step) -> bool) -> Self {
        let open = plan.steps.iter().filter(|step| !is_done(step));
        let open = open.filter_map(|step| Some((step.id, wave(step)?))).collect();
        Self { allowed, open, failed: Vec::new() }
    }

    /// Whether all waves before that of the step have ended.
    pub(super) fn has_come(&self, step: &Step) -> bool {
        wave(step).is_none_or(|wave| self.open.values().all(|other| *other >= wave))
    }

    /// The failure for which the step is not tried any more.
    pub(super) fn holds_back(&self, step: &Step) -> Option<StepId> {
        let wave = wave(step)?;
        let before = || self.failed.iter().filter(|(other, _)| *other < wave);
        let canary = before().find(|(other, _)| *other == CANARY);
        canary.or_else(|| before().nth(self.allowed)).map(|(_, step)| *step)
    }

    /// The step was not tried, for a reason of its own.
    pub(super) fn left_out(&mut self, step: StepId) {
        self.open.remove(&step);
    }

    pub(super) fn ended(&mut self, step: StepId, good: bool) {
        if let (Some(wave), false) = (self.open.remove(&step), good) {
            self.failed.push((wave, step));
        }
    }
}

fn wave(step: &Step) -> Option<u32> {
    match &step.resource.desired {
        Desired::NodeSetup(setup) => Some(setup.wave),
        _ => None,
    }
}

/// How many nodes may fail before no further wave begins.
pub(super) fn failures_allowed(context: &Context) -> usize {
    context.site.site.nodes.configure.as_ref().map_or(0, |configure| configure.max_failures)
}

/// Tells how many nodes are left as they are, and for which failure.
pub(super) fn tell(context: &Context, plan: &Plan, held: &[(StepId, StepId)]) {
    let find = |id: StepId| plan.steps.iter().find(|step| step.id == id);
    let mut left: BTreeMap<StepId, usize> = BTreeMap::new();
    for (step, root) in held {
        let are_nodes = find(*step).and_then(wave).is_some() && find(*root).and_then(wave).is_some();
        *left.entry(*root).or_default() += usize::from(are_nodes);
    }
    for (root, count) in left.into_iter().filter(|(_, count)| *count > 0) {
        let Some(Desired::NodeSetup(root)) = find(root).map(|step| &step.resource.desired) else { continue };
        let who = if root.wave == CANARY { "the canary " } else { "node " };
        let others = match count {
            1 => "1 more node is left as it was".to_owned(),
            count => format!("{count} more nodes are left as they were"),
        };
        context.events.warn(format!("{who}{} failed: {others}", root.node));
    }
}

#[cfg(test)]
mod tests {
    use ferry_model::node::NodeDesired;
    use ferry_model::plan::{Action, NodeSetup, Reach, Resource, State, Sudo};

    use super::*;

    /// Nodes with these waves, as steps from 1.
    fn plan(waves: &[u32]) -> Plan {
        let step = |(index, wave): (usize, &u32)| {
            let setup = NodeSetup {
                node: format!("n{index}").parse().unwrap(),
                reach: Reach::Local { sudo: Sudo::No },
                desired: NodeDesired::default(),
                authorities: BTreeMap::new(),
                wave: *wave,
                time_limit: 1,
            };
            Step {
                id: StepId(u32::try_from(index).unwrap() + 1),
                action: Action::Update,
                resource: Resource::new(Desired::NodeSetup(Box::new(setup)), "because"),
                summary: String::new(),
                before: State::Absent,
                diff: None,
                bytes: 0,
                undo: String::new(),
                after: Vec::new(),
                one_of: Vec::new(),
            }
        };
        crate::plan::testing::of(waves.iter().enumerate().map(step).collect())
    }

    /// Which steps go together when these fail; what is held back is in no wave.
    fn waves(waves: &[u32], allowed: usize, failing: &[u32]) -> Vec<Vec<u32>> {
        let plan = plan(waves);
        let mut ledger = Waves::new(&plan, allowed, |_| false);
        let mut waiting: Vec<&Step> = plan.steps.iter().collect();
        let mut went = Vec::new();
        loop {
            waiting.retain(|step| {
                let held = ledger.holds_back(step).is_some();
                if held {
                    ledger.left_out(step.id);
                }
                !held
            });
            let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|step| ledger.has_come(step));
            waiting = later;
            if now.is_empty() {
                assert!(waiting.is_empty(), "they wait for nothing");
                return went;
            }
            for step in &now {
                ledger.ended(step.id, !failing.contains(&step.id.0));
            }
            went.push(now.iter().map(|step| step.id.0).collect());
        }
    }

    #[test]
    fn canaries_go_first_and_hold_back_all() {
        let order = [0, 1, 1, 2, 2, 3];
        for (allowed, failing, expected) in [
            (0, vec![], vec![vec![1], vec![2, 3], vec![4, 5], vec![6]]),
            (0, vec![1], vec![vec![1]]),
            (5, vec![1], vec![vec![1]]),
            (0, vec![2], vec![vec![1], vec![2, 3]]),
            (1, vec![2], vec![vec![1], vec![2, 3], vec![4, 5], vec![6]]),
            (1, vec![2, 5], vec![vec![1], vec![2, 3], vec![4, 5]]),
            (1, vec![2, 3], vec![vec![1], vec![2, 3]]),
        ] {
            assert_eq!(waves(&order, allowed, &failing), expected, "{allowed} {failing:?}");
        }
        // A canary that is right already is no step.
        assert_eq!(waves(&[1, 1, 2], 0, &[]), vec![vec![1, 2], vec![3]]);
    }
}
