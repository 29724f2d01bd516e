use ferry_model::Digest;
use ferry_model::digest::Hasher;

/// Where a download goes. It is told of bytes in order, without gaps.
pub trait Sink: Send {
    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// Forgets everything: the download starts over from its first byte.
    fn restart(&mut self) -> std::io::Result<()>;
}

/// What a download must turn out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Its digest, where known.
    pub digest: Option<Digest>,
    /// Its bytes, where known.
    pub size: Option<u64>,
}

/// The state of what a sink holds already.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// How many bytes.
    pub position: u64,
    /// Fed with exactly those bytes.
    pub hasher: Hasher,
}

/// What a server says about a file before it is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Its bytes, where the server says so.
    pub size: Option<u64>,
    /// Whether the server says that it serves ranges.
    pub ranges: bool,
}
