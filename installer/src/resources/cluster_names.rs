//! Names that the cluster's own DNS answers: in the Corefile of CoreDNS, and in that of NodeLocal DNS where that does not ask CoreDNS.
//! Each is changed in one write that nobody can have come before, and proven by asking the DNS servers themselves.

mod proof;
mod put_back;
mod source;

use std::borrow::Cow;
use std::collections::BTreeMap;

use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::host::Host;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, ClusterNames, State};
use ferry_model::report::Failed;
use serde_json::{Value, json};
use similar::TextDiff;

use super::key_patch::{change, mark};
use super::{Kept, Manage, Mine, Undone, seen_diff, unknown, without};
use crate::cluster::{Cluster, Target};
use crate::context::Context;
use crate::corefile::{Corefile, CorefileError, Edited, Entry, Others};
use crate::workloads;
pub(crate) use put_back::{PUT_BACK, put_back_notes};
use source::{COREFILE, sources};

impl Manage for ClusterNames {
    fn wanted(&self) -> State {
        State::present([("matches", "yes"), ("conflicts", "")])
    }

    fn summary(&self, _action: Action) -> String {
        let count = self.names.len();
        let names: Vec<&str> = self.names.keys().take(3).map(Host::as_str).collect();
        let more =
            if count > names.len() { format!(" and {} more", count - names.len()) } else { String::new() };
        format!("have the cluster's DNS answer for {}{more}", names.join(", "))
    }

    fn undo_summary(&self, _before: &State) -> String {
        "put the Corefile back as it was; where others have changed it since, take out only these names"
            .into()
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn diff_from(&self, before: &State) -> Option<String> {
        seen_diff(before)
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        let conflicts = before.property("conflicts").filter(|conflicts| !conflicts.is_empty())?;
        Some(conflict(conflicts))
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    fn owned(&self, seen: &State) -> State {
        // Who delivers the Corefile may change, and the Corefile be as it was.
        without(seen, &[PUT_BACK])
    }

    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let cluster = self.target(context).await?;
        let mut files = BTreeMap::new();
        for source in sources(&cluster, self.config_map.as_ref()).await? {
            let workloads = source.read().readers(&cluster).await?;
            let annotations = workloads::annotations(&cluster, source.namespace(), &workloads).await?;
            let marked = mark::stands(&source.object);
            let document = json!({"corefile": source.text()?, "annotations": annotations, "marked": marked});
            files.insert(source.place.to_string(), kept.save(document.to_string().as_bytes())?);
        }
        Ok(files)
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let cluster = self.target(context).await?;
        let sources = sources(&cluster, self.config_map.as_ref()).await?;
        for source in &sources {
            let mut outcome = Ok(());
            let live = change(&cluster, &source.place, |live| {
                outcome = self.edit(live).map(|edited| {
                    if live["data"][COREFILE] != edited.text {
                        mark::set(live);
                    }
                    live["data"][COREFILE] = Value::from(edited.text);
                });
            })
            .await?;
            outcome?;
            let Some(live) = live.filter(mark::stands) else { continue };
            let text = live["data"][COREFILE].as_str().unwrap_or_default();
            if !Corefile::read(text).map_err(|error| Failed::new(&error))?.reloads() {
                source.restart(&cluster, &live).await?;
            }
            if source.is_of_nodes {
                let place = &source.place;
                context.events.note(format!("pods ask NodeLocal DNS, which forwards elsewhere: the names are in {place} too, and it takes them up within two minutes"));
            }
        }
        proof::prove(context, &cluster, self).await?;
        for source in &sources {
            change(&cluster, &source.place, mark::remove).await?;
        }
        Ok(())
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let cluster = self.target(context).await?;
        let mut left = Vec::new();
        for source in sources(&cluster, self.config_map.as_ref()).await? {
            let Some(name) = before.kept.get(&source.place.to_string()) else { continue };
            let document: Value = kept.read_json(name)?;
            let old = document["corefile"].as_str().unwrap_or_default().to_owned();
            let mut outcome = Ok(true);
            let live = change(&cluster, &source.place, |live| {
                let now = live["data"][COREFILE].as_str().unwrap_or_default();
                outcome = self.undone(&old, now).map(|(text, is_whole)| {
                    live["data"][COREFILE] = Value::from(text);
                    mark::put_back(live, document["marked"] == true);
                    is_whole
                });
            })
            .await?;
            if !outcome? {
                left.push(format!("{}, as it was, is kept in {}", source.place, kept.path(name).display()));
            }
            let text = live.as_ref().and_then(|live| live["data"][COREFILE].as_str()).unwrap_or_default();
            if !Corefile::read(text).is_ok_and(|corefile| corefile.reloads()) {
                let annotations = serde_json::from_value(document["annotations"].clone()).unwrap_or_default();
                workloads::restart_back(&cluster, source.namespace(), &annotations).await?;
            }
        }
        if left.is_empty() {
            return Ok(Undone::Restored);
        }
        Ok(Undone::Left(format!(
            "the names are taken out, and the entries of others that they had replaced are not back, since the Corefile was changed by somebody else: {}",
            left.join("; ")
        )))
    }
}

fn conflict(conflicts: &str) -> Failed {
    Failed::because(Class::Input, format!("the cluster's DNS has other addresses for them: {conflicts}"))
        .hint("take those entries away, or give the site file the same addresses")
        .hint("`cluster: {dns: {replace: true}}` puts the site file's in their place")
}

trait Named {
    async fn target(&self, context: &Context) -> Result<Cluster, Failed>;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    fn entries(&self) -> Vec<Entry>;
    fn others(&self) -> Others;
    fn with_names(&self, text: &str) -> Result<Edited, CorefileError>;
    fn edit(&self, live: &Value) -> Result<Edited, Failed>;
    fn undone(&self, old: &str, now: &str) -> Result<(String, bool), Failed>;
}

impl Named for ClusterNames {
    async fn target(&self, context: &Context) -> Result<Cluster, Failed> {
        context.clusters.get(&Target::from(&self.cluster)).await
    }

    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = self.target(context).await?;
        let (mut diffs, mut conflicts) = (String::new(), Vec::new());
        let mut is_taken_up = true;
        let sources = sources(&cluster, self.config_map.as_ref()).await?;
        for source in &sources {
            let old = source.text()?;
            let edited = self.with_names(old).map_err(|error| source.failed(&error))?;
            conflicts.extend(edited.conflicts);
            is_taken_up &= !mark::stands(&source.object);
            if edited.text != old {
                let name = source.place.to_string();
                let diff = TextDiff::from_lines(old, &edited.text);
                diffs.push_str(&diff.unified_diff().context_radius(3).header(&name, &name).to_string());
            }
        }
        conflicts.sort();
        conflicts.dedup();
        let told: Vec<String> = conflicts
            .iter()
            .map(|conflict| {
                let addresses: Vec<String> = conflict.addresses.iter().map(ToString::to_string).collect();
                format!("{} is {}", conflict.name, addresses.join(" and "))
            })
            .collect();
        let matches = if diffs.is_empty() && told.is_empty() && is_taken_up { "yes" } else { "no" };
        let mut properties = vec![("matches", matches.to_owned()), ("conflicts", told.join(", "))];
        let put_back = put_back::told(&sources);
        if !put_back.is_empty() {
            properties.push((PUT_BACK, put_back));
        }
        Ok(State::present(properties).with_text(diffs))
    }

    fn entries(&self) -> Vec<Entry> {
        // What is an address needs no resolving.
        let names = self.names.iter().filter(|(name, _)| name.ip().is_none());
        names.map(|(name, addresses)| (name.clone(), addresses.clone())).collect()
    }

    fn others(&self) -> Others {
        if self.replace { Others::Replace } else { Others::Keep }
    }

    fn with_names(&self, text: &str) -> Result<Edited, CorefileError> {
        Corefile::read(text)?.with_names(&self.entries(), self.others())
    }

    fn edit(&self, live: &Value) -> Result<Edited, Failed> {
        let text = live["data"][COREFILE].as_str().unwrap_or_default();
        let edited = self.with_names(text).map_err(|error| Failed::new(&error))?;
        match edited.conflicts.first() {
            // Somebody has made it since the plan.
            Some(first) => Err(conflict(&format!("{} among others", first.name))),
            None => Ok(edited),
        }
    }

    /// What a Corefile shall be after the undo, and whether that is all of what it was.
    fn undone(&self, old: &str, now: &str) -> Result<(String, bool), Failed> {
        let read = |text| Corefile::read(text).map_err(|error| Failed::new(&error));
        let entries = self.entries();
        let ours = self.with_names(old).map_err(|error| Failed::new(&error))?;
        if ours.text == now || now == old {
            return Ok((old.to_owned(), true));
        }
        let earlier = read(old)?.ours().map_err(|error| Failed::new(&error))?;
        let text = read(now)?.with_names(&earlier, Others::Keep).map_err(|error| Failed::new(&error))?.text;
        let kept = read(old)?.with_names(&entries, Others::Keep).map_err(|error| Failed::new(&error))?;
        Ok((text, kept.conflicts.is_empty()))
    }
}
