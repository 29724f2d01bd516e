//! The registry's login for pods: a Secret of the kind that kubelets read, and its name with the service accounts whose pods use it.
//! Logins of other registries in the same Secret, and other names with the accounts, stay.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, PullSecret, State};
use ferry_model::report::Failed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::key_patch::{TRIES, change, contended};
use super::{Kept, Manage, Mine, Undone, unknown, without};
use crate::cluster::{Cluster, MANAGER, Place, Target};
use crate::context::Context;

/// The type of such Secrets, and their key.
const TYPE: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";
/// What the kept document is called in the journal.
const BEFORE: &str = "before";

/// What undoing needs.
#[derive(Serialize, Deserialize)]
struct Document {
    /// The Secret's key; nothing where there was no Secret.
    secret: Option<Value>,
    /// What it was given.
    given: Value,
    /// The accounts that did not name it.
    accounts: Vec<String>,
}

impl Manage for PullSecret {
    fn wanted(&self) -> State {
        State::present([("login", "right"), ("accounts", "")])
    }

    fn summary(&self, action: Action) -> String {
        format!(
            "{action} Secret {} with the login for {}, used by pods of {}",
            self.name,
            self.registry,
            self.service_accounts.join(", ")
        )
    }

    fn undo_summary(&self, before: &State) -> String {
        match before {
            State::Absent => "remove it, and take it from the service accounts".into(),
            _ => "put back what it was, also with the service accounts".into(),
        }
    }

    fn refusal(&self, before: &State) -> Option<Failed> {
        let other = before.property("login").filter(|login| *login == "of another type")?;
        let message = format!("Secret {} is there, and {other} than {TYPE}", self.name);
        Some(
            Failed::because(Class::Input, message)
                .hint("choose another name: `cluster: {pullSecrets: [{name: …}]}`"),
        )
    }

    async fn observe(&self, context: &Context) -> State {
        self.look(context).await.unwrap_or_else(unknown)
    }

    async fn observe_to_undo(&self, context: &Context) -> State {
        let without_login = async {
            let cluster = self.target(context).await?;
            if cluster.get(&self.place()).await?.is_none() {
                return Ok(State::Absent);
            }
            Ok(State::present([("accounts", self.accounts_without(&cluster).await?.join(", "))]))
        };
        without_login.await.unwrap_or_else(unknown)
    }

    fn owned(&self, seen: &State) -> State {
        // Whose login it is, the undo finds by what it was given.
        without(seen, &["login"])
    }

    async fn keep(&self, context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        let cluster = self.target(context).await?;
        let live = cluster.get(&self.place()).await?;
        let secret = live.as_ref().map(|live| live["data"].get(KEY).cloned().unwrap_or(Value::Null));
        let given = self.with_login(context, live.as_ref()).await?;
        let accounts = self.accounts_without(&cluster).await?;
        let document = Document { secret, given, accounts };
        let text = serde_json::to_vec(&document).expect("texts can be written as JSON");
        Ok(BTreeMap::from([(BEFORE.to_owned(), kept.save(&text)?)]))
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let cluster = self.target(context).await?;
        let mut is_there = false;
        for _ in 0..TRIES {
            let live = cluster.get(&self.place()).await?;
            let mut wanted = live.clone().unwrap_or_else(|| self.manifest());
            wanted["data"][KEY] = self.with_login(context, live.as_ref()).await?;
            is_there = live.as_ref() == Some(&wanted) || cluster.put(&wanted).await?.is_some();
            if is_there {
                break;
            }
        }
        if !is_there {
            return Err(contended(&self.place(), "changed"));
        }
        for account in &self.service_accounts {
            let found = change(&cluster, &self.account(account), |live| self.add_to(live)).await?;
            if found.is_none() {
                let message = format!("there is no {} in {}", self.account(account), cluster.name());
                return Err(Failed::because(Class::NotFound, message)
                    .hint("`cluster: {pullSecrets: [{serviceAccounts: …}]}` names those that are there"));
            }
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
        let Some(name) = before.kept.get(BEFORE) else { return Ok(Undone::Restored) };
        let document: Document = kept.read_json(name)?;
        let cluster = self.target(context).await?;
        let live = cluster.get(&self.place()).await?;
        let now = live.as_ref().map(|live| live["data"].get(KEY).unwrap_or(&Value::Null));
        let is_back = now == document.secret.as_ref();
        // What pods use stays with the accounts that they run as.
        if now.is_some_and(|now| !is_back && *now != document.given) {
            return Ok(Undone::Left(format!(
                "Secret {} was changed by somebody else since, and stays with the service accounts; what it was is kept in {}",
                self.name,
                kept.path(name).display()
            )));
        }
        for account in &document.accounts {
            change(&cluster, &self.account(account), |live| self.take_from(live)).await?;
        }
        match &document.secret {
            _ if live.is_none() || is_back => {}
            Some(old) => {
                change(&cluster, &self.place(), |live| live["data"][KEY] = old.clone()).await?;
            }
            None => cluster.delete(&self.place()).await?,
        }
        Ok(Undone::Restored)
    }
}

trait Logins {
    fn place(&self) -> Place;
    fn account(&self, name: &str) -> Place;
    fn manifest(&self) -> Value;
    fn add_to(&self, account: &mut Value);
    fn take_from(&self, account: &mut Value);
    fn is_named_by(&self, account: &Value) -> bool;
    async fn target(&self, context: &Context) -> Result<Cluster, Failed>;
    async fn look(&self, context: &Context) -> Result<State, Failed>;
    async fn accounts_without(&self, cluster: &Cluster) -> Result<Vec<String>, Failed>;
    async fn with_login(&self, context: &Context, live: Option<&Value>) -> Result<Value, Failed>;
}

impl Logins for PullSecret {
    fn place(&self) -> Place {
        Place::core("Secret", self.name.namespace(), self.name.name())
    }

    fn account(&self, name: &str) -> Place {
        Place::core("ServiceAccount", self.name.namespace(), name)
    }

    fn manifest(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE, "data": {},
            "metadata": {"name": self.name.name(), "namespace": self.name.namespace(),
                "labels": {"app.kubernetes.io/managed-by": MANAGER}}})
    }

    fn add_to(&self, account: &mut Value) {
        if !self.is_named_by(account) {
            let mut names = account["imagePullSecrets"].as_array().cloned().unwrap_or_default();
            names.push(json!({"name": self.name.name()}));
            account["imagePullSecrets"] = Value::Array(names);
        }
    }

    fn take_from(&self, account: &mut Value) {
        let Some(names) = account["imagePullSecrets"].as_array_mut() else { return };
        names.retain(|entry| entry["name"] != self.name.name());
        if names.is_empty()
            && let Some(fields) = account.as_object_mut()
        {
            fields.remove("imagePullSecrets");
        }
    }

    fn is_named_by(&self, account: &Value) -> bool {
        let names = account["imagePullSecrets"].as_array();
        names.is_some_and(|names| names.iter().any(|entry| entry["name"] == self.name.name()))
    }

    async fn target(&self, context: &Context) -> Result<Cluster, Failed> {
        context.clusters.get(&Target::from(&self.cluster)).await
    }

    async fn look(&self, context: &Context) -> Result<State, Failed> {
        let cluster = self.target(context).await?;
        let namespace = self.name.namespace();
        if cluster.get(&Place::core("Namespace", "", namespace)).await?.is_none() {
            let message = format!("there is no namespace {namespace} in {}", cluster.name());
            return Err(Failed::because(Class::NotFound, message));
        }
        let Some(live) = cluster.get(&self.place()).await? else { return Ok(State::Absent) };
        let login = match live["data"].get(KEY) {
            _ if live["type"] != TYPE => "of another type",
            Some(value) if *value == self.with_login(context, Some(&live)).await? => "right",
            _ => "other",
        };
        let without = self.accounts_without(&cluster).await?.join(", ");
        Ok(State::present([("login", login.to_owned()), ("accounts", without)]))
    }

    /// The accounts that do not name it yet.
    async fn accounts_without(&self, cluster: &Cluster) -> Result<Vec<String>, Failed> {
        let mut without = Vec::new();
        for name in &self.service_accounts {
            let live = cluster.get(&self.account(name)).await?.unwrap_or_default();
            if !self.is_named_by(&live) {
                without.push(name.clone());
            }
        }
        Ok(without)
    }

    /// What the key shall hold: as it is, where it has this login, however that is written; else with it.
    async fn with_login(&self, context: &Context, live: Option<&Value>) -> Result<Value, Failed> {
        let password = context.secrets.get(&self.login.password).await?;
        let old = live.and_then(|live| live["data"].get(KEY));
        let bytes = old.and_then(|old| STANDARD.decode(old.as_str()?).ok());
        let mut config: Value = bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .filter(Value::is_object)
            .unwrap_or_else(|| json!({}));
        let both = STANDARD.encode(format!("{}:{}", self.login.user, password.reveal()));
        let registry = self.registry.to_string();
        let known = &config["auths"][&registry];
        let is_same = known["auth"] == both.as_str()
            || (known["username"] == self.login.user.as_str() && known["password"] == password.reveal());
        if let (true, Some(old)) = (is_same, old) {
            return Ok(old.clone());
        }
        if !config["auths"].is_object() {
            config["auths"] = json!({});
        }
        config["auths"][&registry] =
            json!({"username": self.login.user, "password": password.reveal(), "auth": both});
        Ok(Value::from(STANDARD.encode(config.to_string())))
    }
}
