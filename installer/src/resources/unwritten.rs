//! Kinds that are being written.

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{
    Action, AgentPlugin, RedisEntries, SaasModule, SaasPackage, State,
};
use ferry_model::report::Failed;

use super::{Kept, Manage, Mine, Undone};
use crate::context::Context;

macro_rules! unwritten {
    ($($kind:ty),*) => { $(
        impl Manage for $kind {
            fn wanted(&self) -> State {
                State::Absent
            }
            fn summary(&self, _action: Action) -> String {
                String::new()
            }
            fn undo_summary(&self, _before: &State) -> String {
                String::new()
            }
            async fn observe(&self, _context: &Context) -> State {
                State::Unknown { reason: "not written".into() }
            }
            async fn apply(&self, _context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
                Err(Failed::because(Class::Internal, "not written"))
            }
            async fn undo(&self, _: &Context, _: &Before, _: &Kept, _: &Mine) -> Result<Undone, Failed> {
                Err(Failed::because(Class::Internal, "not written"))
            }
        }
    )* };
}

unwritten!(
    AgentPlugin,
    RedisEntries,
    SaasModule,
    SaasPackage
);
