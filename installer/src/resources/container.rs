//! Containers of a docker daemon.
//!
//! One that is replaced is not removed: it is stopped and keeps all that it was made with, passwords of its environment too,
//! under a name of its own (`NAME-before-ID`), so that the undo brings back that very container and not one like it. That is
//! also why containers are started again "unless stopped" and not "always": those kept would come up with the next boot.

mod engine;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Container, Opening, State};
use ferry_model::report::Failed;
use ferry_transfer::{Bind, ContainerSpec, ContainerState, Daemon, Network, Port, Restart};

pub(crate) use self::engine::is_own;
use self::engine::{MANAGED, inspect, own, remove, runs_on, short, stop};
use super::daemon_image::{daemon, known_id};
use super::{Kept, Manage, Mine, Undone, unknown, without};
use crate::context::Context;
use crate::htpasswd::{self, Htpasswd};

/// The digest of what it was made from.
const SPEC: &str = "io.ferry.spec";
/// The secrets that it was made with, hashed as passwords are: who can read this can read its environment as well.
const SECRETS: &str = "io.ferry.secrets";
/// The user in that hash.
const USER: &str = "environment";
/// The name of what is kept of a container that was there.
const ID: &str = "container";

impl Manage for Container {
    fn wanted(&self) -> State {
        let mut properties = vec![
            ("image", self.config.to_string()),
            ("running", "yes".to_owned()),
            ("spec", digest(self).hex()),
        ];
        if !self.secrets.is_empty() {
            properties.push(("secrets", "as in the site file".to_owned()));
        }
        State::present(properties)
    }

    fn summary(&self, action: Action) -> String {
        let name = &self.name;
        let opening = match &self.opening {
            Opening::Host => "on the host's network".to_owned(),
            Opening::Published { address: Some(address), port, .. } => format!("at port {port} of {address}"),
            Opening::Published { address: None, port, .. } => format!("at port {port}"),
        };
        match action {
            Action::Restart => format!("restart container {name}"),
            Action::Update => {
                format!("run container {name} from {} {opening} in place of what runs now", self.image)
            }
            Action::Create | Action::Check => format!("run container {name} from {} {opening}", self.image),
        }
    }

    fn undo_summary(&self, before: &State) -> String {
        match before.property("running") {
            Some("yes") => "bring back the container that ran before".into(),
            Some(_) => "bring back the container that was there, stopped".into(),
            None => "stop and remove it".into(),
        }
    }

    async fn observe(&self, context: &Context) -> State {
        look(self, context).await.unwrap_or_else(unknown)
    }

    /// It may have ended, and its passwords may have been changed since: it is known by what it was made from.
    async fn observe_to_undo(&self, context: &Context) -> State {
        // Its secrets do not tell whose it is, and may be gone by now.
        Self { secrets: BTreeMap::new(), ..self.clone() }.observe(context).await
    }

    fn owned(&self, seen: &State) -> State {
        without(seen, &["running", "secrets"])
    }

    async fn keep(&self, _context: &Context, kept: &Kept) -> Result<BTreeMap<String, String>, Failed> {
        match own(&daemon(&self.daemon)?, &self.name).await? {
            Some(found) => Ok(BTreeMap::from([(ID.to_owned(), kept.save(found.id.as_bytes())?)])),
            None => Ok(BTreeMap::new()),
        }
    }

    async fn apply(&self, context: &Context, _action: Action, _task: &Task) -> Result<(), Failed> {
        let (daemon, name) = (daemon(&self.daemon)?, &self.name);
        let secrets = secrets(self, context).await?;
        match own(&daemon, name).await? {
            // What it takes up, it reads when it starts.
            Some(found) if fits(self, &found, &secrets) => stop(&daemon, name).await?,
            Some(found) => {
                stop(&daemon, name).await?;
                let renamed = daemon.rename_container(&found.id, &kept_name(name, &found.id)).await;
                renamed.map_err(|error| Failed::new(&error))?;
                create(self, &daemon, &secrets).await?;
            }
            None => create(self, &daemon, &secrets).await?,
        }
        match daemon.start_container(name).await {
            Ok(_) => runs_on(&daemon, name).await,
            Err(error) => Err(Failed::new(&error)),
        }
    }

    async fn undo(
        &self,
        _context: &Context,
        before: &Before,
        kept: &Kept,
        _mine: &Mine,
    ) -> Result<Undone, Failed> {
        let daemon = daemon(&self.daemon)?;
        let Some(file) = before.kept.get(ID) else { return take_away(self, &daemon).await };
        let id = String::from_utf8_lossy(&kept.read(file)?).into_owned();
        bring_back(self, &daemon, &id, before.state.property("running") == Some("yes")).await
    }
}

async fn look(container: &Container, context: &Context) -> Result<State, Failed> {
    let daemon = daemon(&container.daemon)?;
    let Some(found) = own(&daemon, &container.name).await? else { return Ok(State::Absent) };
    let spec = found.labels.get(SPEC).map_or("unknown", String::as_str);
    let running = if found.running { "yes" } else { "no" };
    let image = known_id(found.image_id.clone(), container.config, &container.manifests);
    let mut properties = vec![("image", image.as_str()), ("running", running), ("spec", spec)];
    if !container.secrets.is_empty() {
        let fit = knows(&found, &secrets(container, context).await?);
        properties.push(("secrets", if fit { "as in the site file" } else { "others" }));
    }
    Ok(State::present(properties))
}

/// Its secrets, by the variable that holds each.
async fn secrets(container: &Container, context: &Context) -> Result<BTreeMap<String, String>, Failed> {
    let mut secrets = BTreeMap::new();
    for (name, source) in &container.secrets {
        let secret = context.secrets.get(source).await?;
        secrets.insert(name.clone(), secret.reveal().to_owned());
    }
    Ok(secrets)
}

/// Whether a container was made from this.
fn fits(container: &Container, found: &ContainerState, secrets: &BTreeMap<String, String>) -> bool {
    found.labels.get(SPEC) == Some(&digest(container).hex())
        && known_id(found.image_id.clone(), container.config, &container.manifests)
            == container.config.to_string()
        && (secrets.is_empty() || knows(found, secrets))
}

async fn create(
    container: &Container,
    daemon: &Daemon,
    secrets: &BTreeMap<String, String>,
) -> Result<(), Failed> {
    let mut labels =
        BTreeMap::from([(MANAGED.to_owned(), "true".to_owned()), (SPEC.to_owned(), digest(container).hex())]);
    if !secrets.is_empty() {
        let hash = htpasswd::entry(USER, &together(secrets));
        let hash = hash.map_err(|problem| Failed::because(Class::Local, problem.to_string()))?;
        labels.insert(SECRETS.to_owned(), hash);
    }
    let mut environment = container.environment.clone();
    environment.extend(secrets.clone());
    let (network, ports) = match &container.opening {
        Opening::Host => (Network::Host, Vec::new()),
        Opening::Published { address, port, to } => {
            (Network::Bridge, vec![Port { address: *address, host: *port, container: *to }])
        }
    };
    let spec = ContainerSpec {
        image: container.image.clone(),
        command: container.command.clone(),
        environment,
        binds: container.binds.iter().map(|text| bind(text)).collect::<Result<_, _>>()?,
        ports,
        labels,
        restart: Restart::UnlessStopped,
        network,
        ..ContainerSpec::default()
    };
    daemon.create_container(&container.name, &spec).await.map(drop).map_err(|error| Failed::new(&error))
}

/// Removes the container, if it is the one of this step.
async fn take_away(container: &Container, daemon: &Daemon) -> Result<Undone, Failed> {
    let Some(found) = inspect(daemon, &container.name).await?.filter(is_own) else {
        return Ok(Undone::Restored);
    };
    if found.labels.get(SPEC) != Some(&digest(container).hex()) {
        return Ok(Undone::Left(format!(
            "container {} stays: another run has made it since",
            container.name
        )));
    }
    remove(daemon, &found.id).await?;
    Ok(Undone::Restored)
}

/// Lets the container with this id have the name again, running or not as it was.
async fn bring_back(container: &Container, daemon: &Daemon, id: &str, ran: bool) -> Result<Undone, Failed> {
    let name = &container.name;
    let Some(old) = inspect(daemon, id).await? else {
        return Ok(Undone::Left(format!("the container {name} from before, {}, is gone", short(id))));
    };
    if old.name != *name {
        if let Some(now) = own(daemon, name).await? {
            remove(daemon, &now.id).await?;
        }
        daemon.rename_container(id, name).await.map_err(|error| Failed::new(&error))?;
    }
    // Also where it runs: its files are those from before again.
    stop(daemon, id).await?;
    if ran {
        daemon.start_container(id).await.map_err(|error| Failed::new(&error))?;
        runs_on(daemon, id).await?;
    }
    Ok(Undone::Restored)
}

/// What a container is made from, secrets by where they are. The same image may come under another manifest next time.
fn digest(container: &Container) -> Digest {
    let container = Container { manifests: Vec::new(), ..container.clone() };
    Digest::of(&serde_json::to_vec(&container).expect("texts, numbers and lists can be written as JSON"))
}

/// A digest of all secrets: a hash for passwords takes no more than 72 bytes.
fn together(secrets: &BTreeMap<String, String>) -> String {
    Digest::of(&serde_json::to_vec(secrets).expect("texts can be written as JSON")).hex()
}

fn knows(found: &ContainerState, secrets: &BTreeMap<String, String>) -> bool {
    let hashed = found.labels.get(SECRETS).and_then(|text| Htpasswd::parse(text).ok());
    hashed.is_some_and(|hashed| hashed.verify(USER, &together(secrets)))
}

/// What a container is called while another has its name.
fn kept_name(name: &str, id: &str) -> String {
    format!("{name}-before-{}", short(id))
}

/// `/host/path:/container/path[:ro]`. Host paths may have colons.
fn bind(text: &str) -> Result<Bind, Failed> {
    let (paths, read_only) = text.strip_suffix(":ro").map_or((text, false), |paths| (paths, true));
    let (source, target) = paths.rsplit_once(':').ok_or_else(|| {
        Failed::because(Class::Internal, format!("`{text}` does not say where a container sees it"))
    })?;
    Ok(Bind { source: PathBuf::from(source), target: PathBuf::from(target), read_only })
}
