//! Looking into a file while it flows past to be hashed: nothing is kept, and nothing is fetched twice.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use ferry_model::Digest;
use ferry_model::event::Task;
use ferry_model::failure::Class;
use ferry_transfer::{Client, Expected, Resume, Sink};
use tokio::task::JoinHandle;

use crate::Error;
use crate::fetch::ChannelReader;

/// What a file is, and what was seen in it.
pub(super) struct Seen<T> {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) sight: T,
}

/// Streams what `url` holds past `look`, which may end before the stream does. Where the download has to start over,
/// so does `look`.
pub(super) async fn look_through<T: Send + 'static>(
    client: &Client,
    url: &str,
    expected: Expected,
    task: &Task,
    look: impl Fn(&mut dyn Read) -> T + Send + Sync + 'static,
) -> Result<Seen<T>, Error> {
    let mut looking = Looking::start(Arc::new(look));
    let (digest, size) = client.fetch_url(url, expected, Resume::default(), &mut looking, task).await?;
    drop(looking.sender.take());
    let internal = |error: tokio::task::JoinError| Error::Entry {
        problem: error.to_string(),
        hint: None,
        class: Class::Internal,
    };
    let sight = looking.sight.await.map_err(internal)?;
    Ok(Seen { digest, size, sight })
}

/// Called anew when the stream starts over.
type Look<T> = Arc<dyn Fn(&mut dyn Read) -> T + Send + Sync>;

struct Looking<T> {
    look: Look<T>,
    /// `None` when the one who looks has seen enough.
    sender: Option<SyncSender<io::Result<Vec<u8>>>>,
    sight: JoinHandle<T>,
}

impl<T: Send + 'static> Looking<T> {
    fn start(look: Look<T>) -> Self {
        let (sender, receiver) = sync_channel(8);
        let looks = Arc::clone(&look);
        let sight = tokio::task::spawn_blocking(move || looks(&mut ChannelReader::new(receiver)));
        Self { look, sender: Some(sender), sight }
    }
}

impl<T: Send + 'static> Sink for Looking<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sender = self.sender.clone();
        let sent = sender.map(|sender| tokio::task::block_in_place(|| sender.send(Ok(bytes.to_vec()))));
        if sent.is_some_and(|sent| sent.is_err()) {
            self.sender = None;
        }
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        *self = Self::start(Arc::clone(&self.look));
        Ok(())
    }
}
