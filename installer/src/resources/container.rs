//! Containers of a docker daemon.
//!
//! One that is replaced is not removed: it is stopped and keeps all that it was made with, passwords of its environment too,
//! under a name of its own (`NAME-before-ID`), so that the undo brings back that very container and not one like it. That is
//! also why containers are started again "unless stopped" and not "always": those kept would come up with the next boot.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_model::journal::Before;
use ferry_model::plan::{Action, Container, Opening, State};
use ferry_model::report::Failed;
use ferry_transfer::{Bind, ContainerSpec, ContainerState, Daemon, Network, Port, Restart};
use tokio::time::sleep;

use super::daemon_image::daemon;
use super::{Kept, Manage, Mine, Undone};
use crate::context::Context;
use crate::htpasswd::{self, Htpasswd};

/// On every container that Ferry makes.
const MANAGED: &str = "io.ferry.managed";
/// The digest of what it was made from.
const SPEC: &str = "io.ferry.spec";
/// The secrets that it was made with, hashed as passwords are: who can read this can read its environment as well.
const SECRETS: &str = "io.ferry.secrets";
/// The user in that hash.
const USER: &str = "environment";
/// The name of what is kept of a container that was there.
const ID: &str = "container";

/// How long a program may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// For how long a container must run before it is taken for running: one with bad settings ends at once.
const TRIAL: Duration = Duration::from_millis(900);
/// How often it is looked at meanwhile.
const LOOKS: u32 = 6;
/// Lines that a failure shows.
const LINES: usize = 10;

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
        match look(self, context).await {
            Ok(state) => state,
            Err(failed) => State::Unknown { reason: failed.message },
        }
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
    let mut properties = vec![("image", found.image_id.as_str()), ("running", running), ("spec", spec)];
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
        && found.image_id == container.config.to_string()
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

/// What a container is made from, secrets by where they are.
fn digest(container: &Container) -> Digest {
    Digest::of(&serde_json::to_vec(container).expect("texts, numbers and lists can be written as JSON"))
}

/// A digest of all secrets: a hash for passwords takes no more than 72 bytes.
fn together(secrets: &BTreeMap<String, String>) -> String {
    Digest::of(&serde_json::to_vec(secrets).expect("texts can be written as JSON")).hex()
}

fn knows(found: &ContainerState, secrets: &BTreeMap<String, String>) -> bool {
    let hashed = found.labels.get(SECRETS).and_then(|text| Htpasswd::parse(text).ok());
    hashed.is_some_and(|hashed| hashed.verify(USER, &together(secrets)))
}

fn is_own(found: &ContainerState) -> bool {
    found.labels.contains_key(MANAGED)
}

/// The container of this name, if it is one of Ferry's. Fails where it is another's, which is never touched.
async fn own(daemon: &Daemon, name: &str) -> Result<Option<ContainerState>, Failed> {
    match inspect(daemon, name).await?.filter(|found| found.name == name) {
        Some(found) if !is_own(&found) => {
            let message = format!(
                "the container {name} (of {}, {}) was not made by Ferry and is left alone",
                found.image, found.status
            );
            Err(Failed::because(Class::Local, message)
                .hint("remove or rename it, or choose another name for the container in the site file"))
        }
        found => Ok(found),
    }
}

async fn inspect(daemon: &Daemon, name: &str) -> Result<Option<ContainerState>, Failed> {
    daemon.inspect_container(name).await.map_err(|error| Failed::new(&error))
}

async fn stop(daemon: &Daemon, name: &str) -> Result<(), Failed> {
    daemon.stop_container(name, GRACE).await.map(drop).map_err(|error| Failed::new(&error))
}

/// Ends it first as its program likes to be ended.
async fn remove(daemon: &Daemon, id: &str) -> Result<(), Failed> {
    stop(daemon, id).await?;
    daemon.remove_container(id).await.map(drop).map_err(|error| Failed::new(&error))
}

/// Waits whether a container that was started stays.
async fn runs_on(daemon: &Daemon, name: &str) -> Result<(), Failed> {
    for _ in 0..LOOKS {
        sleep(TRIAL / LOOKS).await;
        let Some(found) = inspect(daemon, name).await? else {
            return Err(Failed::because(
                Class::Local,
                format!("the container {name} is gone after its start"),
            ));
        };
        if !found.running || found.restart_count > 0 {
            return Err(ended(daemon, &found).await);
        }
    }
    Ok(())
}

async fn ended(daemon: &Daemon, found: &ContainerState) -> Failed {
    let name = &found.name;
    let mut message = format!("the container {name} ended with {} after its start", found.exit_code);
    let said = daemon.last_lines(&found.id, LINES).await.unwrap_or_default();
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if !lines.is_empty() {
        message.push_str("; it said last: ");
        message.push_str(&lines.join(" | "));
    }
    Failed::because(Class::Local, message).hint(format!("`docker logs {name}` has all that it said"))
}

/// What a container is called while another has its name.
fn kept_name(name: &str, id: &str) -> String {
    format!("{name}-before-{}", short(id))
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// `/host/path:/container/path[:ro]`. Host paths may have colons.
fn bind(text: &str) -> Result<Bind, Failed> {
    let (paths, read_only) = text.strip_suffix(":ro").map_or((text, false), |paths| (paths, true));
    let (source, target) = paths.rsplit_once(':').ok_or_else(|| {
        Failed::because(Class::Internal, format!("`{text}` does not say where a container sees it"))
    })?;
    Ok(Bind { source: PathBuf::from(source), target: PathBuf::from(target), read_only })
}

#[cfg(test)]
mod tests {
    use ferry_model::site::SecretSource;

    use super::*;

    fn container() -> Container {
        Container {
            daemon: String::new(),
            name: "ferry-registry".into(),
            image: "registry.corp:5000/library/registry:2".into(),
            config: Digest::of(b"config"),
            command: vec!["serve".into()],
            environment: BTreeMap::new(),
            secrets: BTreeMap::from([("PASSWORD".to_owned(), SecretSource::Environment("REMOTE".into()))]),
            binds: vec!["/data:/var/lib/registry".into()],
            opening: Opening::Published { address: None, port: 5000, to: 5000 },
        }
    }

    fn found(labels: BTreeMap<String, String>) -> ContainerState {
        ContainerState {
            id: "0123456789abcdef".into(),
            name: "ferry-registry".into(),
            image: String::new(),
            image_id: Digest::of(b"config").to_string(),
            running: true,
            status: "running".into(),
            exit_code: 0,
            error: String::new(),
            restart_count: 0,
            created: String::new(),
            labels,
        }
    }

    #[test]
    fn binds_are_read_from_their_end() {
        let read = |text: &str| {
            let bind = bind(text).unwrap();
            (bind.source.display().to_string(), bind.target.display().to_string(), bind.read_only)
        };
        assert_eq!(read("/a:/b"), ("/a".into(), "/b".into(), false));
        assert_eq!(read("/a:/b:ro"), ("/a".into(), "/b".into(), true));
        assert_eq!(read("/da:ta/x:/b:ro"), ("/da:ta/x".into(), "/b".into(), true));
        bind("/nowhere").unwrap_err();
    }

    #[test]
    fn another_spec_image_or_secret_does_not_fit() {
        let (container, secrets) =
            (container(), |text: &str| BTreeMap::from([("PASSWORD".to_owned(), text.to_owned())]));
        // Longer than bcrypt can tell apart.
        let (one, other) =
            (secrets(&format!("{}1", "x".repeat(80))), secrets(&format!("{}2", "x".repeat(80))));
        let hash = htpasswd::entry(USER, &together(&one)).unwrap();
        let labels =
            BTreeMap::from([(SPEC.to_owned(), digest(&container).hex()), (SECRETS.to_owned(), hash)]);
        let running = found(labels);
        assert!(fits(&container, &running, &one));
        assert!(!fits(&container, &running, &other));
        let elsewhere = Container { binds: vec!["/other:/var/lib/registry".into()], ..container.clone() };
        assert!(!fits(&elsewhere, &running, &one));
        let newer = ContainerState { image_id: Digest::of(b"newer").to_string(), ..running.clone() };
        assert!(!fits(&container, &newer, &one));
        let unlabelled = found(BTreeMap::new());
        assert!(!fits(&container, &unlabelled, &one) && !is_own(&unlabelled));
    }
}
