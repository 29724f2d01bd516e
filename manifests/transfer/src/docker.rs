//! A docker daemon on this machine: images out of it and into it, and the containers that Ferry brings up.
//!
//! The [Engine API](https://docs.docker.com/reference/api/engine/version/v1.40/) from 1.40 on, docker 19.03's. What
//! changes something is sent once and not again: a daemon that says no means it.

mod container;
mod image;
mod logs;
mod registries;
mod spec;
mod version;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferry_model::event::Task;
use http::Method;
use tokio::sync::OnceCell;
use url::Url;

use crate::auth::Access;
use crate::download::{Download, Output};
use crate::exchange::{Call, Payload, Reply};
use crate::{Client, Error, Expected, Options, Resume, Sink};

pub use container::ContainerState;
pub use registries::DaemonRegistries;
pub use spec::{Bind, ContainerSpec, Network, Port, Restart};
pub use version::DaemonVersion;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The most that the description of an image may take.
const MAX_INSPECT: u64 = 4 << 20;
/// While it unpacks a layer or waits for the disk, a daemon says nothing.
const SILENCE: Duration = Duration::from_secs(300);

/// A docker daemon on this machine.
#[derive(Clone, Debug)]
pub struct Daemon {
    client: Client,
    host: String,
    /// Asked for once.
    version: Arc<OnceCell<DaemonVersion>>,
}

impl Daemon {
    /// The daemon that `DOCKER_HOST` names (`unix://…` only), or the usual one.
    pub fn from_environment(options: &Options) -> Result<Self, Error> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        Self::at(&host, options)
    }

    /// The daemon at `host`: `unix:///path`, or empty for the usual one.
    pub fn at(host: &str, options: &Options) -> Result<Self, Error> {
        let socket = match host {
            "" => DEFAULT_SOCKET,
            host => host.strip_prefix("unix://").ok_or_else(|| Error::Daemon {
                host: host.to_owned(),
                reason: "only unix:// sockets are supported".into(),
            })?,
        };
        let host = format!("unix://{socket}");
        if let Err(source) = std::fs::metadata(socket) {
            return Err(Error::Daemon { host, reason: source.to_string() });
        }
        let options = Options { stall_timeout: options.stall_timeout.max(SILENCE), ..options.clone() };
        Ok(Self { client: Client::on_socket(socket.as_ref(), options)?, host, version: Arc::default() })
    }

    /// The image's id, as a text: its config's digest, or that of its manifest or index where the daemon
    /// [keeps manifests](Self::keeps_manifests). `None` where there is no such image.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inspected {
            id: String,
        }
        let (url, access) = request(name, "json")?;
        let call = Call::new(http::Method::GET, url.clone(), &access);
        let body: Bytes = match self.client.request_bytes(&call, MAX_INSPECT).await {
            Ok((_, body)) => body,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.explain(error)),
        };
        let inspected: Inspected = serde_json::from_slice(&body).map_err(|_| Error::Protocol {
            url: (&url).into(),
            reason: "it does not describe an image".into(),
        })?;
        Ok(Some(inspected.id))
    }

    /// The engine's version: `20.10.24`.
    pub async fn version(&self) -> Result<String, Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            version: String,
        }
        let (url, access) = crate::client::web_access("http://docker/version")?;
        let call = Call::new(http::Method::GET, url.clone(), &access);
        let answer = self.client.request_bytes(&call, MAX_INSPECT).await;
        let (_, body) = answer.map_err(|error| self.explain(error))?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| Error::Protocol {
            url: (&url).into(),
            reason: "it does not say which version of docker it is".into(),
        })?;
        Ok(answer.version)
    }

    /// Streams the image as `docker save` makes it. Gives its size.
    pub async fn save(&self, name: &str, sink: &mut dyn Sink, task: &Task) -> Result<u64, Error> {
        let (url, access) = request(name, "get")?;
        let download = Download::new(&self.client, &url, &access, Expected::default(), Output { sink, task });
        let (_, size) = download.run(Resume::default()).await.map_err(|error| self.explain(error))?;
        Ok(size)
    }

    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Connect { source, .. } => {
                Error::Daemon { host: self.host.clone(), reason: deepest(&source) }
            }
            other => other,
        }
    }

    /// An address of the API, in the version that both sides speak: `path` is made of whole segments.
    async fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<(Url, Access), Error> {
        let version = self.describe().await?.speaks();
        let (mut url, access) = crate::client::web_access("http://docker/")?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().push(&format!("v{version}")).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok((url, access))
    }

    /// Sends one request once. `action` is what it is for: `start the container x`.
    async fn ask(
        &self,
        action: &str,
        method: Method,
        (url, access): (Url, Access),
        body: Option<serde_json::Value>,
        patience: Duration,
    ) -> Result<Reply, Error> {
        let mut call = Call::new(method, url, &access).patience(patience);
        if let Some(body) = body {
            let json = http::HeaderValue::from_static("application/json");
            call = call.header(http::header::CONTENT_TYPE, json);
            call = call.body(Payload::Bytes(body.to_string().into()));
        }
        self.client.send(&call).await.map_err(|error| self.refusal(action, error))
    }

    /// What the daemon's no means.
    fn refusal(&self, action: &str, error: Error) -> Error {
        let status = error.status();
        match (status, error) {
            (
                Some(status),
                Error::NotFound { message, .. }
                | Error::Refused { message, .. }
                | Error::Server { message, .. },
            ) => Error::Engine { action: action.to_owned(), status, message },
            (_, error) => self.explain(error),
        }
    }
}

/// Nothing to be done, or nothing there: what a daemon answers to a request that changes nothing.
fn unless(status: u16, answer: Result<Reply, Error>) -> Result<bool, Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.status() == Some(status) => Ok(false),
        Err(error) => Err(error),
    }
}

fn request(name: &str, what: &str) -> Result<(Url, Access), Error> {
    crate::client::web_access(&format!("http://docker/images/{name}/{what}"))
}

/// The cause at the bottom says what happened; those above it say that something did.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
