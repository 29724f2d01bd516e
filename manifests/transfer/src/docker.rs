use ferry_model::event::Task;

use crate::{Error, Options, Sink};

/// A docker daemon on this machine.
#[derive(Clone, Debug)]
pub struct Daemon {}

impl Daemon {
    /// The daemon that `DOCKER_HOST` names (`unix://…` only), or the usual one.
    pub fn from_environment(options: &Options) -> Result<Self, Error> {
        todo!()
    }
    /// The image's id (its config's digest, as a text); `None` where there is no such image.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, Error> {
        todo!()
    }
    /// Streams the image as `docker save` makes it.
    pub async fn save(&self, name: &str, sink: &mut dyn Sink, task: &Task) -> Result<u64, Error> {
        todo!()
    }
}
