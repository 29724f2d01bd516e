//! Objects of the cluster. Made and changed by server-side apply, so that what others manage stays theirs; taken back by
//! putting what stood there before in its place, or by removing what was made.

mod compare;
mod data;
mod quantity;
mod remove;
mod seal;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Object, State};
use ferry_model::report::Failed;
use serde_json::{Value, json};

use super::key_patch::contended;
use super::{Kept, Manage, Mine, Undone, unknown, without};
use crate::cluster::{Cluster, Force, MANAGER, Place, Target};
use crate::context::Context;
use data::Filled as _;
pub(crate) use remove::remove;

/// What the kept object is called in the journal.
const OBJECT: &str = "object";
/// Tries to put an object back while others change it.
const TRIES: u32 = 5;
/// In a pod template, it makes a workload start its pods anew.
const RESTARTED: &str = "ferry/restarted-at";

impl Manage for Object {
    fn wanted(&self) -> State {
        State::present([("matches", "yes")])
    }

    fn summary(&self, action: Action) -> String {
        let keys: Vec<&str> =
            self.data_files.keys().chain(self.data_logins.keys()).map(String::as_str).collect();
        let with = if keys.is_empty() { String::new() } else { format!(" with {}", keys.join(", ")) };
        format!("{action} {}{with}", self.name())
    }

    fn undo_summary(&self, before: &State) -> String {
        match (before, self.manifest["kind"].as_str()) {
            (State::Present { .. }, _) => "put back what it was".into(),
            (_, Some("Namespace")) => "remove it, unless it holds what others made by then".into(),
            (_, Some("PersistentVolumeClaim")) => {
                "remove it, and with it all images that were pushed there".into()
            }
            _ => "remove it".into(),
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        self.is_public().then(|| Cow::Owned(yaml(&self.manifest)))
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    async fn observe_to_undo(&self, context: &Context) -> State {
        match self.live(context).await {
            Ok(Some(live)) if !self.is_public() => State::present([("sealed", seal::seal(self, &live))]),
            _ => self.observe(context).await,
        }
    }

    fn owned(&self, seen: &State) -> State {
        // Whether it matches says whether today's secrets are in it.
        if self.is_public() { seen.clone() } else { without(seen, &["matches"]) }
    }

    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let cluster = self.cluster(context).await?;
        let Some(live) = cluster.get(&self.place()).await? else { return Ok(BTreeMap::new()) };
        // JSON is YAML too, and holds every value as it is.
        let text = serde_json::to_vec_pretty(&live).expect("JSON can be written as JSON");
        Ok(BTreeMap::from([(OBJECT.to_owned(), kept.save(&text)?)]))
    }

    async fn apply(&self, context: &Context, action: Action, _task: &Task) -> Result<(), Failed> {
        let (cluster, place) = (self.cluster(context).await?, self.place());
        let live = cluster.get(&place).await?;
        if let (Action::Restart, Some(live)) = (action, &live)
            && live.pointer(TEMPLATE).is_some()
        {
            return restart(&cluster, &place, live).await;
        }
        let wanted = self.filled(context, live.as_ref()).await?;
        let is_ours =
            live.as_ref().is_some_and(|live| live.pointer(MANAGED_BY) == Some(&Value::from(MANAGER)));
        let applied = cluster.apply(&wanted, if is_ours { Force::Yes } else { Force::No }).await?;
        match &live {
            // Its change may have come with one of its configuration, which only new pods take up.
            Some(live) if live.pointer(TEMPLATE) == applied.pointer(TEMPLATE) => {
                restart(&cluster, &place, &applied).await
            }
            _ => Ok(()),
        }
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let (cluster, place) = (self.cluster(context).await?, self.place());
        let Some(name) = before.kept.get(OBJECT) else {
            return remove(&cluster, &self.manifest).await;
        };
        let old: Value = kept.read_json(name)?;
        put_back(&cluster, &place, &old).await
    }
}

/// The object as it would be sent, with its secrets.
pub(crate) async fn with_secrets(object: &Object, context: &Context) -> Result<Value, Failed> {
    object.filled(context, None).await
}

const MANAGED_BY: &str = "/metadata/labels/app.kubernetes.io~1managed-by";
const TEMPLATE: &str = "/spec/template";

trait Looked {
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn live(&self, context: &Context) -> Result<Option<Value>, Failed>;
    async fn cluster(&self, context: &Context) -> Result<Cluster, Failed>;
    fn place(&self) -> Place;
    fn is_public(&self) -> bool;
}

impl Looked for Object {
    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let Some(live) = self.live(context).await? else { return Ok(State::Absent) };
        let hidden = |matches: &str| {
            State::present([("matches", matches.to_owned()), ("sealed", seal::seal(self, &live))])
        };
        if !self.is_fillable(context) {
            // What is yet to be made cannot be there.
            return Ok(hidden("no"));
        }
        let wanted = self.filled(context, Some(&live)).await?;
        let projected = compare::project(&wanted, &live);
        let matches = if projected == wanted { "yes" } else { "no" };
        if !self.is_public() {
            return Ok(hidden(matches));
        }
        // That its fields are no longer what they were when the plan was made must be seen.
        let fields = Digest::of(projected.to_string().as_bytes()).hex();
        Ok(State::present([("matches", matches), ("sha256", &fields)]).with_text(yaml(&projected)))
    }

    /// What the cluster has of it. Of what is being removed nothing can be said.
    async fn live(&self, context: &Context) -> Result<Option<Value>, Failed> {
        let (cluster, place) = (self.cluster(context).await?, self.place());
        let live = cluster.get(&place).await?;
        if live.as_ref().is_some_and(|live| live.pointer("/metadata/deletionTimestamp").is_some()) {
            let reason = format!("{place} is being removed; try again when it is gone");
            return Err(Failed::because(Class::Transient, reason));
        }
        Ok(live)
    }

    async fn cluster(&self, context: &Context) -> Result<Cluster, Failed> {
        let target = Target { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        context.clusters.get(&target).await
    }

    fn place(&self) -> Place {
        Place::of(&self.manifest)
    }

    /// Whether its text may be shown to anybody.
    fn is_public(&self) -> bool {
        self.manifest["kind"] != "Secret" && self.data_files.is_empty() && self.data_logins.is_empty()
    }
}

/// Has a workload start its pods anew. Nothing else has anything to take up.
async fn restart(cluster: &Cluster, place: &Place, live: &Value) -> Result<(), Failed> {
    if live.pointer(TEMPLATE).is_none() {
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}});
    cluster.merge(place, &patch).await.map(drop)
}

/// Makes the object what it was, or makes it again.
async fn put_back(cluster: &Cluster, place: &Place, old: &Value) -> Result<Undone, Failed> {
    let old = compare::trim(old);
    for _ in 0..TRIES {
        let mut object = old.clone();
        if let Some(live) = cluster.get(place).await? {
            if compare::trim(&live) == old {
                return Ok(Undone::Restored);
            }
            object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        }
        if cluster.put(&object).await?.is_some() {
            return Ok(Undone::Restored);
        }
    }
    Err(contended(place, "put back"))
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).expect("JSON can be written as YAML")
}
