//! The bundle's sinks as the transfer crate wants them: the bridge from asynchronous downloads to blocking files.

use std::io;

use ferry_bundle::{CompressedSink, StoredSink};
use ferry_transfer::Sink;

/// Keeps the kind of an I/O error (disk full) visible through the transfer.
fn to_io(error: ferry_bundle::Error) -> io::Error {
    let kind = match &error {
        ferry_bundle::Error::Io { source, .. } => source.kind(),
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Writes are short copies into the page cache, so they are done where the bytes arrive.
pub(super) struct StoredAdapter(pub(super) StoredSink);

impl Sink for StoredAdapter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes).map_err(to_io)
    }
    fn restart(&mut self) -> io::Result<()> {
        self.0.restart().map_err(to_io)
    }
}

/// Compression waits for free cores, so it must not hold up other downloads.
pub(super) struct CompressedAdapter(pub(super) CompressedSink);

impl Sink for CompressedAdapter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::task::block_in_place(|| self.0.write(bytes)).map_err(to_io)
    }
    fn restart(&mut self) -> io::Result<()> {
        self.0.restart().map_err(to_io)
    }
}

/// Small things, which are kept in memory.
pub(crate) struct Memory {
    pub(crate) content: Vec<u8>,
    limit: u64,
    /// What is said of more bytes than the limit: of how many, and the limit.
    refusal: fn(u64, u64) -> io::Error,
}

impl Memory {
    /// For a document of a size that is known.
    pub(super) fn new(size: u64) -> Self {
        let refusal =
            |value, limit| to_io(ferry_bundle::Error::Limit { what: "the content of a blob", value, limit });
        Self { content: Vec::new(), limit: size, refusal }
    }

    /// For a chart, of at most so many bytes.
    pub(crate) fn for_chart(limit: u64) -> Self {
        let refusal = |_, _| io::Error::other("it is larger than a chart may be");
        Self { content: Vec::new(), limit, refusal }
    }
}

impl Sink for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let value = (self.content.len() + bytes.len()) as u64;
        if value > self.limit {
            return Err((self.refusal)(value, self.limit));
        }
        self.content.extend_from_slice(bytes);
        Ok(())
    }
    fn restart(&mut self) -> io::Result<()> {
        self.content.clear();
        Ok(())
    }
}
