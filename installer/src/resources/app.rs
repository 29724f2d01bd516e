//! Apps of Marathon. What Marathon adds to a definition by itself does not count when the two are compared.

mod definition;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, App, State};
use ferry_model::report::Failed;
use http::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::{Kept, Manage, Mine, Undone, unknown};
use crate::context::{Context, Manner};

/// What the kept definition is called in the journal.
const DEFINITION: &str = "definition";
/// An agent may have to pull the image first.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_secs(1);
/// Marathon is at work on the app already.
const CONFLICT: u16 = 409;

impl Manage for App {
    fn wanted(&self) -> State {
        State::present([("matches", "yes")])
    }

    fn summary(&self, action: Action) -> String {
        format!("{action} app {} of Marathon at {}", self.id(), self.endpoint)
    }

    fn undo_summary(&self, before: &State) -> String {
        match before {
            State::Present { .. } => "put back its definition".into(),
            _ => "remove it; images on its agent stay".into(),
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Owned(definition::text(&self.definition)))
    }

    async fn observe(&self, context: &Context) -> State {
        let live = match self.get(context).await {
            Ok(Some(live)) => live,
            Ok(None) => return State::Absent,
            Err(failed) => return unknown(failed),
        };
        let seen = definition::project(&self.definition, &live);
        let text = definition::text(&seen);
        let fields = Digest::of(text.as_bytes()).hex();
        let matches = definition::normal(&self.definition) == definition::normal(&seen);
        let matches = if matches { "yes" } else { "no" };
        // Whether it runs is no part of it: that comes and goes, and undoing must not depend on it.
        State::present([("matches", matches), ("sha256", &fields)]).with_text(text)
    }

    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let Some(live) = self.get(context).await? else { return Ok(BTreeMap::new()) };
        let old = definition::text(&definition::writable(&live));
        Ok(BTreeMap::from([(DEFINITION.to_owned(), kept.save(old.as_bytes())?)]))
    }

    async fn apply(&self, context: &Context, action: Action, _task: &Task) -> Result<(), Failed> {
        let deadline = Instant::now() + PATIENCE;
        if action == Action::Restart {
            self.send(context, Method::POST, &self.url("/restart"), None, deadline).await?;
        } else {
            self.send(context, Method::PUT, &self.url(""), Some(&self.definition), deadline).await?;
        }
        self.wait(context, deadline).await
    }

    async fn undo(
        &self,
        context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let deadline = Instant::now() + PATIENCE;
        let Some(name) = before.kept.get(DEFINITION) else {
            self.send(context, Method::DELETE, &self.url(""), None, deadline).await?;
            return self.gone(context, deadline).await.map(|()| Undone::Restored);
        };
        let old: Value = kept.read_json(name)?;
        if self.get(context).await?.is_some_and(|live| definition::writable(&live) == old) {
            return Ok(Undone::Restored);
        }
        self.send(context, Method::PUT, &self.url(""), Some(&old), deadline).await?;
        Ok(Undone::Restored)
    }
}

trait Asked {
    fn url(&self, rest: &str) -> String;
    async fn get(&self, context: &Context) -> Result<Option<Value>, Failed>;
    async fn send(
        &self,
        context: &Context,
        method: Method,
        url: &str,
        body: Option<&Value>,
        deadline: Instant,
    ) -> Result<(), Failed>;
    async fn wait(&self, context: &Context, deadline: Instant) -> Result<(), Failed>;
    async fn gone(&self, context: &Context, deadline: Instant) -> Result<(), Failed>;
}

impl Asked for App {
    fn url(&self, rest: &str) -> String {
        format!("{}/v2/apps{}{rest}", self.endpoint, self.id())
    }

    async fn get(&self, context: &Context) -> Result<Option<Value>, Failed> {
        let client = context.client(Manner::Brief).await?;
        let (status, mut answer) =
            client.json(Method::GET, &self.url(""), None, None).await.map_err(|error| Failed::new(&error))?;
        match answer.get_mut("app").map(Value::take) {
            _ if status != 200 => Ok(None),
            Some(app @ Value::Object(_)) => Ok(Some(app)),
            _ => {
                let message = format!("{} does not answer as Marathon does", self.endpoint);
                Err(Failed::because(Class::Protocol, message))
            }
        }
    }

    /// Sends a change, as soon as Marathon is done with the one before.
    async fn send(
        &self,
        context: &Context,
        method: Method,
        url: &str,
        body: Option<&Value>,
        deadline: Instant,
    ) -> Result<(), Failed> {
        let client = context.client(Manner::Patient).await?;
        loop {
            let answer = client.json(method.clone(), url, body, None).await;
            let (status, _) = answer.map_err(|error| Failed::new(&error))?;
            if status != CONFLICT {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let message = format!("Marathon is still at work on another change of {}", self.id());
                return Err(Failed::because(Class::Transient, message)
                    .hint("look at its deployments, and run the same command again"));
            }
            sleep(PAUSE).await;
        }
    }

    async fn wait(&self, context: &Context, deadline: Instant) -> Result<(), Failed> {
        loop {
            let live = self.get(context).await?.unwrap_or_default();
            let Some(trouble) = trouble(&live) else { return Ok(()) };
            if Instant::now() >= deadline {
                let message = format!("app {} does not run: {trouble}", self.id());
                return Err(Failed::because(Class::Local, message)
                    .hint("see that the agent has the image and the files that the report lists under what is left to do by hand"));
            }
            sleep(PAUSE).await;
        }
    }

    async fn gone(&self, context: &Context, deadline: Instant) -> Result<(), Failed> {
        while self.get(context).await?.is_some() {
            if Instant::now() >= deadline {
                let message = format!("app {} is still there", self.id());
                return Err(Failed::because(Class::Transient, message));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Why the app is not yet as its definition says, if so.
fn trouble(app: &Value) -> Option<String> {
    let number = |key: &str| app[key].as_u64().unwrap_or(0);
    let is_checked = app["healthChecks"].as_array().is_some_and(|checks| !checks.is_empty());
    let (wanted, running, healthy) = (number("instances"), number("tasksRunning"), number("tasksHealthy"));
    let deployments = app["deployments"].as_array().map_or(0, Vec::len);
    let good = if is_checked { healthy } else { running };
    if good >= wanted && deployments == 0 {
        return None;
    }
    let last = app.pointer("/lastTaskFailure/message").and_then(Value::as_str).unwrap_or_default();
    let last: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
    let separator = if last.is_empty() { "" } else { "; the last failure: " };
    Some(format!("{running} of {wanted} run, {healthy} are healthy{separator}{last}"))
}
