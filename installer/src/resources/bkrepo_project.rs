//! Projects of bkrepo.

use std::time::{Duration, Instant};

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, BkrepoProject, State};
use ferry_model::report::Failed;
use ferry_transfer::{Bkrepo, Created};
use tokio::time::sleep;

use super::{Kept, Manage, Mine, Undone};
use crate::bkrepo::{explained, reason};
use crate::context::{Context, Manner};

/// Between two looks for what somebody else makes.
const PAUSE: Duration = Duration::from_secs(1);

impl Manage for BkrepoProject {
    fn wanted(&self) -> State {
        State::present([("exists", "yes")])
    }

    fn summary(&self, _action: Action) -> String {
        let Self { name, bkrepo, .. } = self;
        if self.create {
            format!("make the project {name} in bkrepo at {bkrepo}")
        } else {
            format!("wait until PaaS has made the project {name} in bkrepo at {bkrepo}")
        }
    }

    fn undo_summary(&self, _before: &State) -> String {
        if self.create {
            "leave it: bkrepo has no call that removes projects".into()
        } else {
            "nothing to undo: PaaS makes it".into()
        }
    }

    async fn observe(&self, context: &Context) -> State {
        let looked = async {
            let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Brief).await?;
            is_there(self, context, &bkrepo).await
        };
        match looked.await {
            Ok(true) => State::present([("exists", "yes")]),
            Ok(false) => State::Absent,
            Err(failed) => State::Unknown { reason: reason(&failed) },
        }
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Brief).await?;
        let wait = patiently(
            self.patience,
            async || is_there(self, context, &bkrepo).await,
            |there| *there || self.create,
        );
        if wait.await? {
            return Ok(());
        }
        if !self.create {
            return Err(not_made(&format!("the project {}", self.name), self.patience));
        }
        let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Patient).await?;
        let made =
            bkrepo.create_project(&self.name, "").await.map_err(|error| may_not_make(context, &error))?;
        if made == Created::Existed && !is_there(self, context, &bkrepo).await? {
            let message = format!("the project {} is in bkrepo, and the user may not see it", self.name);
            return Err(Failed::because(Class::Denied, message).hint(format!(
                "make the user a member of {} in bkrepo, or use a login that is (bkrepo's admin)",
                self.name
            )));
        }
        Ok(())
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Patient).await?;
        if before.state != State::Absent || !self.create || !is_there(self, context, &bkrepo).await? {
            return Ok(Undone::Restored);
        }
        Ok(Undone::Left(format!(
            "the project {} stays in bkrepo, which has no call that removes projects",
            self.name
        )))
    }
}

async fn is_there(project: &BkrepoProject, context: &Context, bkrepo: &Bkrepo) -> Result<bool, Failed> {
    let access = context.site.site.bkrepo.as_ref().map(|section| &section.access);
    bkrepo.project_exists(&project.name).await.map_err(|error| explained(&error, access))
}

/// Looks until what is seen is `enough`, or the time is over: then gives what was seen last. Waits for a bkrepo that does not
/// answer, too.
pub(super) async fn patiently<T>(
    seconds: u32,
    mut look: impl AsyncFnMut() -> Result<T, Failed>,
    enough: impl Fn(&T) -> bool,
) -> Result<T, Failed> {
    let deadline = Instant::now() + Duration::from_secs(seconds.into());
    loop {
        match look().await {
            Ok(seen) if enough(&seen) || Instant::now() >= deadline => return Ok(seen),
            // Waiting changes no password.
            Err(failed) if !failed.class.is_retryable() || Instant::now() >= deadline => return Err(failed),
            _ => sleep(PAUSE).await,
        }
    }
}

/// PaaS was waited for in vain.
pub(super) fn not_made(what: &str, patience: u32) -> Failed {
    Failed::because(Class::NotFound, format!("PaaS has not made {what} in {patience} s"))
        .hint("install PaaS (bkpaas3) and run it again, or let it be made: `bkrepo: {create: true}`")
}

pub(super) fn may_not_make(context: &Context, error: &ferry_transfer::Error) -> Failed {
    let access = context.site.site.bkrepo.as_ref().map(|section| &section.access);
    let failed = explained(error, access);
    match failed.class {
        Class::Denied => failed.hint("or wait for PaaS to make it: `bkrepo: {create: false}`"),
        _ => failed,
    }
}
