//! Charts in helm repositories: ChartMuseum's, Harbor's, bkrepo's.

use std::sync::Arc;

use bytes::Bytes;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, ChartUpload, State};
use ferry_model::report::Failed;
use ferry_transfer::{ChartArchive, Overwrite};

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::context::{Context, Manner};
use crate::push::BundleBlob;

/// A provenance file is a few kilobytes of text.
const MOST_PROVENANCE: u64 = 1 << 20;

impl Manage for ChartUpload {
    fn wanted(&self) -> State {
        State::present([("digest", self.archive.to_string())])
    }

    fn summary(&self, action: Action) -> String {
        let verb = match action {
            Action::Create => "upload",
            Action::Update => "replace",
            Action::Restart | Action::Check => "check",
        };
        format!("{verb} chart {} {} in {}", self.name, self.version, self.repository)
    }

    fn undo_summary(&self, before: &State) -> String {
        match before {
            State::Absent => "delete it".into(),
            _ => "cannot be undone: the chart that was there is overwritten, as the site file says".into(),
        }
    }

    fn bytes(&self) -> u64 {
        self.size
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        let other = before.property("digest").filter(|digest| *digest != self.archive.to_string())?;
        (!self.overwrite).then(|| {
            let message = format!(
                "chart {} {} is in {} with other content, {other}, and stays",
                self.name, self.version, self.repository
            );
            Failed::because(Class::Input, message)
                .hint("say `overwrite: true` for this helm repository in the site file to replace it")
                .hint("or give the chart another version: what is published under one should not change")
        })
    }

    async fn observe(&self, context: &Context) -> State {
        let found = match context.helm_repository(self, Manner::Brief).await {
            Ok(repository) => {
                repository.chart(&self.name, &self.version).await.map_err(|error| Failed::new(&error))
            }
            Err(failed) => Err(failed),
        };
        match found {
            Ok(Some(digest)) => State::present([("digest", digest.to_string())]),
            Ok(None) => State::Absent,
            Err(failed) => unknown(failed),
        }
    }

    async fn apply(&self, context: &Context, _action: Action, task: &Task) -> Result<(), Failed> {
        let bundle = context.bundle()?;
        let provenance = self.provenance.map(|digest| bundle.read_all(&digest, MOST_PROVENANCE));
        let provenance = provenance.transpose().map_err(|error| Failed::new(&error))?.map(Bytes::from);
        let source = BundleBlob { bundle: bundle.clone(), digest: self.archive, size: self.size };
        let archive = ChartArchive {
            name: &self.name,
            version: &self.version,
            digest: self.archive,
            size: self.size,
            source: Arc::new(source),
            provenance,
            overwrite: if self.overwrite { Overwrite::Yes } else { Overwrite::No },
        };
        let repository = context.helm_repository(self, Manner::Patient).await?;
        repository.upload_chart(&archive, task).await.map(drop).map_err(|error| Failed::new(&error))
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        if before.state.meets(&self.wanted()) {
            return Ok(Undone::Restored);
        }
        let (name, version, place) = (&self.name, &self.version, &self.repository);
        if before.state != State::Absent {
            return Ok(Undone::Left(format!(
                "chart {name} {version} of {place} replaced another, which is not kept"
            )));
        }
        let repository = context.helm_repository(self, Manner::Patient).await?;
        let found = repository.chart(name, version).await.map_err(|error| Failed::new(&error))?;
        if found.is_some_and(|digest| digest != self.archive) {
            return Ok(Undone::Left(format!(
                "chart {name} {version} of {place} is another by now, which somebody else uploaded"
            )));
        }
        repository.delete_chart(name, version).await.map_err(|error| Failed::new(&error))?;
        Ok(Undone::Restored)
    }
}
