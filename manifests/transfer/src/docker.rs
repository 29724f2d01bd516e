//! Images out of a docker daemon on this machine.

use bytes::Bytes;
use ferry_model::event::Task;
use url::Url;

use crate::auth::Access;
use crate::download::{Download, Output};
use crate::exchange::Call;
use crate::{Client, Error, Expected, Options, Resume, Sink};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The most that the description of an image may take.
const MAX_INSPECT: u64 = 4 << 20;

/// A docker daemon on this machine.
#[derive(Clone, Debug)]
pub struct Daemon {
    client: Client,
    host: String,
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
        Ok(Self { client: Client::on_socket(socket.as_ref(), options.clone())?, host })
    }

    /// The image's id (its config's digest, as a text); `None` where there is no such image.
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
