//! Keys of ConfigMaps and Secrets that somebody else made. Only these keys change, in one write that nobody can have come before; then
//! whoever reads the object starts anew.

mod kept;
pub(super) mod mark;

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, KeyPatch, NewValue, State, TakenUpBy};
use ferry_model::report::Failed;
use ferry_model::site::{PatchedKind, Workload};
use serde_json::{Value, json};

use super::{Kept, Manage, Mine, Undone, unknown, without};
use crate::cluster::fields::text;
use crate::cluster::{Cluster, Place, Target};
use crate::context::Context;
use crate::workloads::{self, Read};
use kept::Document;

/// What the kept document is called in the journal.
const KEYS: &str = "keys";
/// Tries to change an object while others change it.
pub(super) const TRIES: u32 = 10;

impl Manage for KeyPatch {
    fn wanted(&self) -> State {
        State::present([("matches", "yes")])
    }

    fn summary(&self, _action: Action) -> String {
        let keys: Vec<&str> = self.set.keys().map(String::as_str).collect();
        let taken_up = match &self.restart {
            TakenUpBy::Readers => ", and restart what reads it".to_owned(),
            TakenUpBy::These { workloads } => format!(", and restart {}", shown(workloads)),
            TakenUpBy::Nobody => String::new(),
        };
        format!("set {} in {} {}{taken_up}", keys.join(", "), self.object, self.name)
    }

    fn undo_summary(&self, _before: &State) -> String {
        match self.restart {
            TakenUpBy::Nobody => "put the keys back as they were".into(),
            _ => "put the keys back as they were, and restart again".into(),
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        let text = |value: &NewValue| match value {
            NewValue::Text { text } => Some(text.clone()),
            NewValue::Secret { .. } => None,
        };
        let keys: Option<BTreeMap<&String, String>> =
            self.set.iter().map(|(key, value)| Some((key, text(value)?))).collect();
        keys.filter(|_| self.object == PatchedKind::ConfigMap).map(|keys| Cow::Owned(yaml(&json!(keys))))
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        let is_immutable = before.property("immutable").is_some();
        is_immutable.then(|| {
            let message = format!("{} {} can never be changed (`immutable: true`)", self.object, self.name);
            Failed::because(Class::Denied, message)
                .hint("whoever made it must make another, and have its readers name that")
        })
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    async fn observe_to_undo(&self, context: &Context) -> State {
        if self.text().is_some() {
            return self.observe(context).await;
        }
        let live = async { self.live(&self.target(context).await?).await };
        live.await.map_or_else(unknown, |_| State::present::<String, String>([]))
    }

    fn owned(&self, seen: &State) -> State {
        // Whose a secret key is, the undo finds by what it was given.
        if self.text().is_some() { seen.clone() } else { without(seen, &["matches", "immutable"]) }
    }

    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let cluster = self.target(context).await?;
        let live = self.live(&cluster).await?;
        let workloads = self.workloads(&cluster).await?;
        let document = Document {
            before: self.set.keys().map(|key| (key.clone(), live["data"].get(key).cloned())).collect(),
            after: self.values(context).await?,
            annotations: workloads::annotations(&cluster, self.name.namespace(), &workloads).await?,
            was_marked: mark::stands(&live),
        };
        Ok(BTreeMap::from([(KEYS.to_owned(), document.save(kept)?)]))
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let cluster = self.target(context).await?;
        match write(self, context, &cluster).await? {
            Some(restarted) => wait_for(self, &cluster, &restarted).await,
            None => Ok(()),
        }
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let Some(name) = before.kept.get(KEYS) else { return Ok(Undone::Restored) };
        let document: Document = kept.read_json(name)?;
        let cluster = self.target(context).await?;
        let mut theirs = Vec::new();
        change(&cluster, &self.place(), |live| theirs = document.put_back(live)).await?;
        workloads::restart_back(&cluster, self.name.namespace(), &document.annotations).await?;
        if theirs.is_empty() {
            return Ok(Undone::Restored);
        }
        Ok(Undone::Left(format!(
            "{} of {} {} was changed by somebody else since; what was there before is kept in {}",
            theirs.join(", "),
            self.object,
            self.name,
            kept.path(name).display()
        )))
    }
}

/// Writes the keys, and has whoever shall take them up start anew. Gives those to wait for; `None` if nothing was left to take up.
pub(super) async fn write(
    patch: &KeyPatch,
    context: &Context,
    cluster: &Cluster,
) -> Result<Option<Vec<Workload>>, Failed> {
    let values = patch.values(context).await?;
    let live = change(cluster, &patch.place(), |live| {
        let is_new = !has_all(live, &values);
        for (key, value) in &values {
            put_key(live, key, Some(value));
        }
        match patch.restart {
            TakenUpBy::Nobody => mark::remove(live),
            _ if is_new => mark::set(live),
            _ => {}
        }
    })
    .await?
    .ok_or_else(|| patch.not_there(cluster))?;
    patch.warn_of_owner(context, &live);
    if !mark::stands(&live) {
        return Ok(None);
    }
    let (namespace, workloads) = (patch.name.namespace(), patch.workloads(cluster).await?);
    let version =
        format!("{} {} {}", patch.object, patch.name.name(), text(&live, "/metadata/resourceVersion"));
    workloads::restart(cluster, namespace, &workloads, &version).await?;
    match patch.read().delete_failed_pods(cluster).await {
        Ok(pods) => pods.iter().for_each(|pod| {
            context.events.note(format!("failed pod {namespace}/{pod} was deleted: its Job starts another"));
        }),
        // They go by themselves too, later.
        Err(failed) if failed.class == Class::Denied => {
            context.events.warn(format!("failed pods of Jobs are left as they are: {}", failed.message));
        }
        Err(failed) => return Err(failed),
    }
    Ok(Some(workloads))
}

/// Waits until those that [`write`] restarted have taken it up.
pub(super) async fn wait_for(
    patch: &KeyPatch,
    cluster: &Cluster,
    restarted: &[Workload],
) -> Result<(), Failed> {
    workloads::wait_for(cluster, patch.name.namespace(), restarted).await?;
    change(cluster, &patch.place(), mark::remove).await.map(drop)
}

fn has_all(live: &Value, values: &BTreeMap<String, Value>) -> bool {
    values.iter().all(|(key, value)| live["data"].get(key) == Some(value))
}

/// Changes an object that is there, as often as others come before. Gives it as it is then; `None` if it is not there.
pub(super) async fn change(
    cluster: &Cluster,
    place: &Place,
    mut edit: impl FnMut(&mut Value),
) -> Result<Option<Value>, Failed> {
    for _ in 0..TRIES {
        let Some(live) = cluster.get(place).await? else { return Ok(None) };
        let mut changed = live.clone();
        edit(&mut changed);
        if changed == live {
            return Ok(Some(live));
        }
        if let Some(changed) = cluster.put(&changed).await? {
            return Ok(Some(changed));
        }
    }
    Err(contended(place, "changed"))
}

/// What could not be `done` to an object, however often it was tried.
pub(super) fn contended(place: &Place, done: &str) -> Failed {
    let message = format!("{place} could not be {done}: others change it all the time");
    Failed::because(Class::Transient, message).hint("run the same command again")
}

/// Gives a key of `data` this value, or takes it away.
fn put_key(object: &mut Value, key: &str, value: Option<&Value>) {
    match value {
        Some(value) => {
            if !object["data"].is_object() {
                object["data"] = json!({});
            }
            object["data"][key] = value.clone();
        }
        None => {
            if let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) {
                data.remove(key);
            }
        }
    }
}

trait Patched {
    fn place(&self) -> Place;
    fn read(&self) -> Read<'_>;
    fn not_there(&self, cluster: &Cluster) -> Failed;
    fn warn_of_owner(&self, context: &Context, live: &Value);
    async fn target(&self, context: &Context) -> Result<Cluster, Failed>;
    async fn live(&self, cluster: &Cluster) -> Result<Value, Failed>;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn values(&self, context: &Context) -> Result<BTreeMap<String, Value>, Failed>;
    async fn workloads(&self, cluster: &Cluster) -> Result<Vec<Workload>, Failed>;
}

impl Patched for KeyPatch {
    fn place(&self) -> Place {
        Place::core(&self.object.to_string(), self.name.namespace(), self.name.name())
    }

    fn read(&self) -> Read<'_> {
        Read { kind: self.object, namespace: self.name.namespace(), name: self.name.name() }
    }

    fn not_there(&self, cluster: &Cluster) -> Failed {
        let message = format!("there is no {} in {}", self.place(), cluster.name());
        Failed::because(Class::NotFound, message)
            .hint("what makes it must be installed first; then apply again")
    }

    /// Helm puts its own value back with the next upgrade.
    fn warn_of_owner(&self, context: &Context, live: &Value) {
        let release = text(live, "/metadata/annotations/meta.helm.sh~1release-name");
        if !release.is_empty() {
            let keys: Vec<&str> = self.set.keys().map(String::as_str).collect();
            context.events.warn(format!(
                "{} {} is helm's: the next upgrade of release {release} puts {} back, unless its values say the same",
                self.object,
                self.name,
                keys.join(", ")
            ));
        }
    }

    async fn target(&self, context: &Context) -> Result<Cluster, Failed> {
        context.clusters.get(&Target::from(&self.cluster)).await
    }

    async fn live(&self, cluster: &Cluster) -> Result<Value, Failed> {
        cluster.get(&self.place()).await?.ok_or_else(|| self.not_there(cluster))
    }

    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = self.target(context).await?;
        let live = self.live(&cluster).await?;
        let values = self.values(context).await?;
        let is_right = has_all(&live, &values);
        let matches = if is_right && !mark::stands(&live) { "yes" } else { "no" };
        let mut properties = vec![("matches", matches.to_owned())];
        if live["immutable"] == true && !is_right {
            properties.push(("immutable", "yes".to_owned()));
        }
        if self.text().is_none() {
            return Ok(State::present(properties));
        }
        let there = |key: &String| live["data"].get(key).map(|value| (key.clone(), value.clone()));
        let there: BTreeMap<String, Value> = self.set.keys().filter_map(there).collect();
        let shown = yaml(&json!(there));
        properties.push(("sha256", Digest::of(shown.as_bytes()).hex()));
        Ok(State::present(properties).with_text(shown))
    }

    /// As the API has them: a Secret's in base64.
    async fn values(&self, context: &Context) -> Result<BTreeMap<String, Value>, Failed> {
        let mut values = BTreeMap::new();
        for (key, value) in &self.set {
            let text = match value {
                NewValue::Text { text } => text.clone(),
                NewValue::Secret { source } => context.secrets.get(source).await?.reveal().to_owned(),
            };
            let value = match self.object {
                PatchedKind::ConfigMap => text,
                PatchedKind::Secret => STANDARD.encode(text),
            };
            values.insert(key.clone(), Value::from(value));
        }
        Ok(values)
    }

    async fn workloads(&self, cluster: &Cluster) -> Result<Vec<Workload>, Failed> {
        match &self.restart {
            TakenUpBy::Readers => self.read().readers(cluster).await,
            TakenUpBy::These { workloads } => Ok(workloads.clone()),
            TakenUpBy::Nobody => Ok(Vec::new()),
        }
    }
}

fn shown(workloads: &[Workload]) -> String {
    workloads.iter().map(Workload::to_string).collect::<Vec<_>>().join(", ")
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).expect("JSON can be written as YAML")
}
