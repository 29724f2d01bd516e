//! Images into a daemon, and out of the way.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::BytesMut;
use ferry_model::event::Task;
use http::{HeaderValue, Method, header};
use serde::Deserialize;

use super::{Daemon, MAX_INSPECT, unless};
use crate::bridge::Part;
use crate::exchange::{Call, Payload, Reply};
use crate::{BlobSource, Error};

/// The daemon unpacks between the last byte that it gets and its answer.
const UNPACKING: Duration = Duration::from_secs(1800);
/// The longest line of progress.
const MAX_LINE: usize = 1 << 20;

/// A line of what the daemon says while it loads.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    stream: String,
    error: String,
}

/// What a daemon with containerd's image store says of it, among pairs of words.
/// See <https://docs.docker.com/engine/storage/containerd/>.
const CONTAINERD_STORE: [&str; 2] = ["driver-type", "io.containerd.snapshotter.v1"];

impl Daemon {
    /// Whether the daemon keeps images as containerd does, with their manifests, and knows each by its manifest's digest: docker
    /// 29 by default, others from 24 on where they were told to. Such a daemon loads OCI archives too.
    pub async fn keeps_manifests(&self) -> Result<bool, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            // `null` where a driver has nothing to say.
            driver_status: Option<Vec<Vec<String>>>,
        }
        let place = self.url(&["info"], &[]).await?;
        let url = (&place.0).into();
        let reply =
            self.ask("ask docker how it keeps images", Method::GET, place, None, Duration::ZERO).await?;
        let body = reply.bytes(MAX_INSPECT, &self.client).await?;
        let info: Info = serde_json::from_slice(&body)
            .map_err(|_| Error::Protocol { url, reason: "it does not describe a docker daemon".into() })?;
        Ok(info.driver_status.unwrap_or_default().iter().any(|pair| *pair == CONTAINERD_STORE))
    }

    /// Loads an archive as `docker save` makes it, or an OCI archive where the daemon takes those, of `size` bytes. Gives the names (or ids) of the images that came
    /// out of it.
    pub async fn load(
        &self,
        archive: Arc<dyn BlobSource>,
        size: u64,
        task: &Task,
    ) -> Result<Vec<String>, Error> {
        const ACTION: &str = "load the image";
        let (url, access) = self.url(&["images", "load"], &[]).await?;
        let part = Part { source: &archive, start: 0, length: size, task, sent: AtomicU64::new(0) };
        let send = || part.send();
        let call = Call::new(Method::POST, url, &access)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"))
            .body(Payload::Stream(&send))
            .patience(UNPACKING);
        let reply = self.client.send(&call).await.map_err(|error| self.refusal(ACTION, error))?;
        self.read_progress(ACTION, reply).await
    }

    /// A daemon says 200 before it knows how it ends; an error comes as a line of what follows.
    async fn read_progress(&self, action: &str, reply: Reply) -> Result<Vec<String>, Error> {
        let Reply { mut response, permit: _permit } = reply;
        let (mut loaded, mut buffer) = (Vec::new(), BytesMut::new());
        let mut ended = false;
        while !ended {
            match self.client.next_chunk(&mut response).await? {
                Some(chunk) => buffer.extend_from_slice(&chunk),
                None => {
                    ended = true;
                    buffer.extend_from_slice(b"\n");
                }
            }
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Line = serde_json::from_slice(&buffer.split_to(end + 1)).unwrap_or_default();
                if !line.error.is_empty() {
                    let message = line.error.chars().filter(|c| !c.is_control()).take(300).collect();
                    return Err(Error::Engine { action: action.to_owned(), status: 200, message });
                }
                let name = ["Loaded image: ", "Loaded image ID: "]
                    .iter()
                    .find_map(|prefix| line.stream.strip_prefix(prefix));
                loaded.extend(name.map(|name| name.trim().to_owned()));
            }
            if buffer.len() > MAX_LINE {
                return Err(Error::TooLarge { url: response.url().into(), limit: MAX_LINE as u64 });
            }
        }
        if loaded.is_empty() {
            let message = "it does not say that it has".to_owned();
            return Err(Error::Engine { action: action.to_owned(), status: 200, message });
        }
        Ok(loaded)
    }

    /// Gives an image one more name, taking that from the image that has it.
    pub async fn tag_image(&self, image: &str, repository: &str, tag: &str) -> Result<(), Error> {
        let place = self.url(&["images", image, "tag"], &[("repo", repository), ("tag", tag)]).await?;
        let action = format!("tag {image} as {repository}:{tag}");
        self.ask(&action, Method::POST, place, None, Duration::ZERO).await.map(drop)
    }

    /// Takes a name from an image, and removes the image with its last name. Refused while a container uses it. Gives
    /// whether there was one.
    pub async fn remove_image(&self, name: &str) -> Result<bool, Error> {
        let place = self.url(&["images", name], &[]).await?;
        let action = format!("remove the image {name}");
        unless(404, self.ask(&action, Method::DELETE, place, None, Duration::ZERO).await)
    }
}
