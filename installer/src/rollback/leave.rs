//! Giving up to take a run back.

use ferry_model::journal::JournalEvent;
use ferry_model::plan::{Plan, Step};

use super::ended::where_kept;
use super::order::undo_order;
use crate::Error;
use crate::journal::{Journal, Progress, RunFolder, StepProgress, StepState};
use crate::resources::Kept;

/// Ends the undo of a run where it is: what is not undone is left as it is, which is noted. Asks nothing and changes nothing at the
/// site, so that it never fails because of that.
pub(crate) fn leave(
    plan: &Plan,
    run: &RunFolder,
    journal: &Journal,
    progress: &Progress,
) -> Result<(), Error> {
    let (steps, kept) = (undo_order(plan, progress), run.kept());
    let noted = steps.into_iter().filter_map(|(step, begun)| {
        Some(JournalEvent::Left { step: step.id, reason: reason(step, begun, &kept)? })
    });
    journal.append(noted.chain([JournalEvent::UndoEnded]))
}

/// Why it is as it is; nothing where that is noted already.
fn reason(step: &Step, begun: &StepProgress, kept: &Kept) -> Option<String> {
    let (how, why) = match &begun.state {
        StepState::Left(_) if !begun.undoing => return None,
        StepState::Left(why) => ("half taken back", format!(": {why}")),
        _ if begun.undoing => ("half taken back", String::new()),
        _ => ("not taken back", String::new()),
    };
    let kept = begun.before.as_ref().map(|before| where_kept(before, kept)).unwrap_or_default();
    Some(format!("{} is left as it is, {how} (`rollback --leave`){why}{kept}", step.resource.id()))
}
