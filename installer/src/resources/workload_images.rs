//! Names of images in workloads that others made: changed where they stand and nowhere else, only while nobody else changes the
//! workload, and changed back the same way.

mod place;

use std::fmt::Write as _;

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, State, WorkloadImages};
use ferry_model::report::Failed;
use serde_json::{Value, json};

use super::key_patch::contended;
use super::{Kept, Manage, Mine, Undone, unknown};
use crate::cluster::{Cluster, Place, Target};
use crate::context::Context;

/// Tries to change a workload while others change it.
const TRIES: u32 = 20;

impl Manage for WorkloadImages {
    fn wanted(&self) -> State {
        State::present(self.values.iter().map(|(path, value)| (path, &value.to)))
    }

    fn summary(&self, _action: Action) -> String {
        let count = match self.values.len() {
            1 => "1 image".to_owned(),
            count => format!("{count} images"),
        };
        format!("let {} name {count} as the site does", self.name())
    }

    fn undo_summary(&self, _before: &State) -> String {
        "let it name them as before".into()
    }

    fn diff_from(&self, before: &State) -> Option<String> {
        let mut diff = format!("--- {}\n+++ {}\n", self.name(), self.name());
        for (path, value) in &self.values {
            let now = before.property(path).unwrap_or_default();
            if now != value.to {
                let _ = write!(diff, "@@ {path} @@\n-{now}\n+{}\n", value.to);
            }
        }
        Some(diff)
    }

    async fn observe(&self, context: &Context) -> State {
        let looked = async {
            let cluster = self.cluster(context).await?;
            let Some(live) = cluster.get(&self.place()).await? else { return Ok(State::Absent) };
            let now = |path: &String| {
                let found = place::find(&live, path).map_or_else(String::new, |(_, value)| value.to_owned());
                (path.clone(), found)
            };
            Ok(State::present(self.values.keys().map(now)))
        };
        looked.await.unwrap_or_else(unknown)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let changes: Vec<Change<'_>> = self
            .values
            .iter()
            .map(|(path, value)| Change { path, from: &value.from, to: &value.to })
            .collect();
        let cluster = self.cluster(context).await?;
        match self.change(&cluster, &changes).await? {
            Changed::Yes => Ok(()),
            Changed::Otherwise(how) => Err(Failed::because(Class::Local, how).hint(
                "somebody changes it at the same time; run the same command again to see what it names now",
            )),
            Changed::Gone => {
                let message = format!("{} is not in {} any more", self.place(), cluster.name());
                Err(Failed::because(Class::NotFound, message).hint("run the same command again"))
            }
        }
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        _kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let was = |path: &str| before.state.property(path);
        let changes: Vec<Change<'_>> = self
            .values
            .iter()
            .filter_map(|(path, value)| Some(Change { path, from: &value.to, to: was(path)? }))
            .collect();
        match self.change(&self.cluster(context).await?, &changes).await? {
            // What is not there names nothing.
            Changed::Yes | Changed::Gone => Ok(Undone::Restored),
            Changed::Otherwise(how) => Ok(Undone::Left(how)),
        }
    }
}

/// A value that shall be another.
struct Change<'a> {
    path: &'a str,
    from: &'a str,
    to: &'a str,
}

/// What came of changes.
enum Changed {
    Yes,
    /// A value is neither what it shall become nor what it was, or is not there; nothing was changed.
    Otherwise(String),
    /// There is no such workload.
    Gone,
}

trait Asked {
    fn place(&self) -> Place;
    async fn cluster(&self, context: &Context) -> Result<Cluster, Failed>;
    async fn change(&self, cluster: &Cluster, changes: &[Change<'_>]) -> Result<Changed, Failed>;
}

impl Asked for WorkloadImages {
    fn place(&self) -> Place {
        Place {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    async fn cluster(&self, context: &Context) -> Result<Cluster, Failed> {
        let target = Target { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        context.clusters.get(&target).await
    }

    /// All of them at once, or none.
    async fn change(&self, cluster: &Cluster, changes: &[Change<'_>]) -> Result<Changed, Failed> {
        let place = self.place();
        for _ in 0..TRIES {
            let Some(live) = cluster.get(&place).await? else { return Ok(Changed::Gone) };
            let mut operations = Vec::new();
            for Change { path, from, to } in changes {
                match place::find(&live, path) {
                    Some((_, now)) if now == *to => {}
                    Some((pointer, now)) if now == *from => {
                        operations.push(json!({"op": "replace", "path": pointer, "value": to}));
                    }
                    Some((_, now)) => {
                        return Ok(Changed::Otherwise(format!(
                            "{place}: {path} is {now} by now, and was {from}"
                        )));
                    }
                    None => return Ok(Changed::Otherwise(format!("{place} has no {path} any more"))),
                }
            }
            if operations.is_empty() {
                return Ok(Changed::Yes);
            }
            // Refused if anybody has changed anything since: places in lists may be others by then.
            let version = &live["metadata"]["resourceVersion"];
            operations
                .insert(0, json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}));
            if cluster.patch(&place, &Value::Array(operations)).await?.is_some() {
                return Ok(Changed::Yes);
            }
        }
        Err(contended(&place, "changed"))
    }
}
