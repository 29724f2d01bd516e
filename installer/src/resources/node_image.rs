//! (being written)

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, NodeImage, State};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone};
use crate::context::Context;

impl Manage for NodeImage {
    fn wanted(&self) -> State {
        State::present([("ready", "yes")])
    }

    fn summary(&self, action: Action) -> String {
        format!("{action}")
    }

    fn undo_summary(&self, _before: &State) -> String {
        String::new()
    }

    async fn observe(&self, _context: &Context) -> State {
        State::Unknown { reason: "not written yet".into() }
    }

    async fn apply(&self, _context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        Err(Failed::because(Class::Internal, "not written yet"))
    }

    async fn undo(
        &self,
        _context: &Context,
        _before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        Err(Failed::because(Class::Internal, "not written yet"))
    }
}
