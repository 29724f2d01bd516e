//! Containers: looking at them, making them, starting and ending them.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde::Deserialize;

use super::{ContainerSpec, Daemon, MAX_INSPECT, logs, unless};
use crate::Error;

/// The most that the last lines of a container may take.
const MAX_LOGS: u64 = 1 << 20;

/// A container as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The name that its image was asked for by.
    pub image: String,
    /// Its image's id, as [`Daemon::image_id`] has it.
    pub image_id: String,
    /// Whether it runs. One that ends again and again does not, while it waits for its next start.
    pub running: bool,
    /// `created`, `running`, `restarting`, `exited`, …
    pub status: String,
    /// What its program ended with, last time.
    pub exit_code: i64,
    /// Why the daemon could not run it, last time.
    pub error: String,
    /// How often the daemon has started it again.
    pub restart_count: u64,
    /// When it was made, as RFC 3339 has it.
    pub created: String,
    /// Its labels; those of the image too.
    pub labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    image: String,
    created: String,
    #[serde(default)]
    restart_count: u64,
    state: State,
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    running: bool,
    restarting: bool,
    exit_code: i64,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
    // `null` where there are none.
    labels: Option<BTreeMap<String, String>>,
}

impl From<Inspected> for ContainerState {
    fn from(inspected: Inspected) -> Self {
        let Inspected { id, name, image, created, restart_count, state, config } = inspected;
        Self {
            id,
            name: name.trim_start_matches('/').to_owned(),
            image: config.image,
            image_id: image,
            running: state.running && !state.restarting,
            status: state.status,
            exit_code: state.exit_code,
            error: state.error,
            restart_count,
            created,
            labels: config.labels.unwrap_or_default(),
        }
    }
}

impl Daemon {
    /// The container of this name or id, as it is; `None` where there is none.
    pub async fn inspect_container(&self, name: &str) -> Result<Option<ContainerState>, Error> {
        let place = self.url(&["containers", name, "json"], &[]).await?;
        let url = (&place.0).into();
        let action = format!("look at the container {name}");
        let reply = match self.ask(&action, Method::GET, place, None, Duration::ZERO).await {
            Ok(reply) => reply,
            Err(error) if error.status() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let body = reply.bytes(MAX_INSPECT, &self.client).await?;
        let inspected: Inspected = serde_json::from_slice(&body)
            .map_err(|_| Error::Protocol { url, reason: "it does not describe a container".into() })?;
        Ok(Some(inspected.into()))
    }

    /// Makes a container, which does not run yet. Gives its id.
    pub async fn create_container(&self, name: &str, spec: &ContainerSpec) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            id: String,
        }
        let place = self.url(&["containers", "create"], &[("name", name)]).await?;
        let url = (&place.0).into();
        let action = format!("create the container {name}");
        let reply = self.ask(&action, Method::POST, place, Some(spec.request()), Duration::ZERO).await?;
        let body = reply.bytes(MAX_INSPECT, &self.client).await?;
        let created: Created = serde_json::from_slice(&body)
            .map_err(|_| Error::Protocol { url, reason: "it does not say what it created".into() })?;
        Ok(created.id)
    }

    /// Starts a container. Gives whether it had to.
    pub async fn start_container(&self, name: &str) -> Result<bool, Error> {
        let place = self.url(&["containers", name, "start"], &[]).await?;
        let action = format!("start the container {name}");
        unless(304, self.ask(&action, Method::POST, place, None, Duration::ZERO).await)
    }

    /// Asks a container to end, and ends it after `limit` (whole seconds). Gives whether it ran.
    pub async fn stop_container(&self, name: &str, limit: Duration) -> Result<bool, Error> {
        let seconds = limit.as_secs().to_string();
        let place = self.url(&["containers", name, "stop"], &[("t", &seconds)]).await?;
        let action = format!("stop the container {name}");
        unless(304, self.ask(&action, Method::POST, place, None, limit).await)
    }

    /// Gives a container another name, such as to keep it while its successor proves itself.
    pub async fn rename_container(&self, name: &str, new: &str) -> Result<(), Error> {
        let place = self.url(&["containers", name, "rename"], &[("name", new)]).await?;
        let action = format!("rename the container {name} to {new}");
        self.ask(&action, Method::POST, place, None, Duration::ZERO).await.map(drop)
    }

    /// Removes a container, running or not; what it has written into folders of this host stays. Gives whether there
    /// was one.
    pub async fn remove_container(&self, name: &str) -> Result<bool, Error> {
        let place = self.url(&["containers", name], &[("force", "true")]).await?;
        let action = format!("remove the container {name}");
        unless(404, self.ask(&action, Method::DELETE, place, None, Duration::ZERO).await)
    }

    /// The last lines that a container has said, for an error message.
    pub async fn last_lines(&self, name: &str, count: usize) -> Result<String, Error> {
        let count = count.to_string();
        let query = [("stdout", "true"), ("stderr", "true"), ("tail", count.as_str())];
        let place = self.url(&["containers", name, "logs"], &query).await?;
        let action = format!("read what the container {name} says");
        let reply = self.ask(&action, Method::GET, place, None, Duration::ZERO).await?;
        Ok(logs::text(&reply.bytes(MAX_LOGS, &self.client).await?))
    }
}
