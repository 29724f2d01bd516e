//! Repositories of bkrepo. One that is there stays as it is.

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, BkrepoRepository, Desired, State};
use ferry_model::report::Failed;
use ferry_transfer::{Bkrepo, BkrepoProblem, Created, NewRepository, RepositoryInfo};

use super::bkrepo_project::{may_not_make, not_made, patiently};
use super::{Kept, Maker, Manage, Mine, Undone};
use crate::bkrepo::{explained, problem, reason};
use crate::context::{Context, Manner};

impl Manage for BkrepoRepository {
    fn wanted(&self) -> State {
        State::present([("format", self.format.to_string().as_str()), ("uploads", "yes")])
    }

    fn summary(&self, _action: Action) -> String {
        let Self { repository, bkrepo, format, .. } = self;
        if self.create {
            let access = if self.public { "public" } else { "private" };
            format!("make the {access} {format} repository {repository} in bkrepo at {bkrepo}")
        } else {
            format!("wait until PaaS has made the repository {repository} in bkrepo at {bkrepo}")
        }
    }

    fn undo_summary(&self, _before: &State) -> String {
        if self.create {
            "remove it, if nothing is left in it".into()
        } else {
            "nothing to undo: PaaS makes it".into()
        }
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        let format = before.property("format")?;
        let message = if format != self.format.to_string() {
            format!(
                "{} is a {format} repository of bkrepo, and a {} one is needed",
                self.repository, self.format
            )
        } else if before.property("uploads") == Some("no") {
            format!("{} passes on what another server has, and takes no uploads", self.repository)
        } else {
            return None;
        };
        Some(Failed::because(Class::Input, message).hint("name another repository in the site file"))
    }

    async fn observe(&self, context: &Context) -> State {
        let looked = async {
            context.bkrepos.trouble.of_looking()?;
            let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Brief).await?;
            find(self, context, &bkrepo).await
        };
        match looked.await {
            Ok(Some(found)) => {
                let uploads =
                    if matches!(found.category.as_str(), "LOCAL" | "COMPOSITE") { "yes" } else { "no" };
                State::present([("format", found.kind.as_str()), ("uploads", uploads)])
            }
            Ok(None) => State::Absent,
            Err(failed) => State::Unknown { reason: reason(&failed) },
        }
    }

    async fn apply(&self, context: &Context, action: Action, task: &Task) -> Result<(), Failed> {
        self.make(context, action, task).await.map(drop)
    }

    async fn make(&self, context: &Context, _action: Action, _task: &Task) -> Result<Maker, Failed> {
        let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Brief).await?;
        let wait = patiently(
            self.patience,
            async || find(self, context, &bkrepo).await,
            |found| found.is_some() || self.create,
        );
        if wait.await?.is_some() {
            return Ok(Maker::Untold);
        }
        if !self.create {
            return Err(not_made(&format!("the repository {}", self.repository), self.patience));
        }
        let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Patient).await?;
        let (kind, public) = (self.format.to_string(), self.public);
        let new = NewRepository { repository: &self.repository, kind: &kind, public, description: "" };
        match bkrepo.create_repository(&new).await {
            Ok(Created::Made) => Ok(Maker::Step),
            Ok(Created::Existed) => Ok(Maker::Untold),
            Err(error) => Err(may_not_make(context, &error)),
        }
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        _kept: &Kept,
        mine: &Mine,
    ) -> Result<Undone, Failed> {
        if before.state != State::Absent || !self.create {
            return Ok(Undone::Restored);
        }
        let bkrepo = context.bkrepo_at(&self.bkrepo, Manner::Patient).await?;
        // PaaS makes the same ones, and puts its own into them later.
        if !mine.made.contains(&Desired::BkrepoRepository(self.clone()).id()) {
            let is_there = find(self, context, &bkrepo).await?.is_some();
            let left = || {
                format!(
                    "the repository {} stays in bkrepo: it is not known to be this run's",
                    self.repository
                )
            };
            return Ok(if is_there { Undone::Left(left()) } else { Undone::Restored });
        }
        match bkrepo.delete_repository(&self.repository).await {
            Ok(_) => Ok(Undone::Restored),
            Err(error) if problem(&error) == Some(BkrepoProblem::NotEmpty) => Ok(Undone::Left(format!(
                "the repository {} stays in bkrepo: something is in it that this run did not bring",
                self.repository
            ))),
            Err(error) => Err(Failed::new(&error)),
        }
    }
}

async fn find(
    repository: &BkrepoRepository,
    context: &Context,
    bkrepo: &Bkrepo,
) -> Result<Option<RepositoryInfo>, Failed> {
    let access = context.site.site.bkrepo.as_ref().map(|section| &section.access);
    bkrepo.repository(&repository.repository).await.map_err(|error| explained(&error, access))
}
