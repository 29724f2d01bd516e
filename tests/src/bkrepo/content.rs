//! Bodies: counted, hashed and put on disk while they come.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use super::Keeping;
use super::answer::{Refusal, Stop};

const CHUNK: usize = 64 * 1024;

/// What is known of a file's bytes, and where they lie. A folder has none.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) md5: String,
    pub(super) file: Option<Arc<TempPath>>,
}

/// Takes bytes in.
struct Taking {
    size: u64,
    sha256: Sha256,
    md5: Md5,
    file: Option<NamedTempFile>,
}

impl Taking {
    fn new(keeping: Keeping, folder: &Path) -> io::Result<Self> {
        let file = match keeping {
            Keeping::OnDisk => Some(NamedTempFile::new_in(folder)?),
            Keeping::DigestsOnly => None,
        };
        Ok(Self { size: 0, sha256: Sha256::new(), md5: Md5::new(), file })
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        self.md5.update(bytes);
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }

    fn finish(self) -> Content {
        Content {
            size: self.size,
            sha256: hex(&self.sha256.finalize()),
            md5: hex(&self.md5.finalize()),
            file: self.file.map(|file| Arc::new(file.into_temp_path())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn disk(error: &io::Error) -> Stop {
    Refusal::system(format!("the stand-in's own disk: {error}")).into()
}

/// Receives a body to its end, or up to where the connection is to be cut.
pub(super) async fn receive(
    mut body: Body,
    (keeping, folder): (Keeping, &Path),
    cut_after: Option<u64>,
) -> Result<Content, Stop> {
    let mut taking = Taking::new(keeping, folder).map_err(|error| disk(&error))?;
    loop {
        if cut_after.is_some_and(|limit| taking.size >= limit) {
            return Err(Stop::Cut);
        }
        let Some(frame) = body.frame().await else { break };
        // The client has gone.
        let frame = frame.map_err(|_| Stop::Cut)?;
        if let Some(bytes) = frame.data_ref() {
            taking.take(bytes).map_err(|error| disk(&error))?;
        }
    }
    Ok(taking.finish())
}

/// Keeps bytes that are at hand.
pub(super) fn keep(bytes: &[u8], keeping: Keeping, folder: &Path) -> io::Result<Content> {
    let mut taking = Taking::new(keeping, folder)?;
    taking.take(bytes)?;
    Ok(taking.finish())
}

/// Puts parts together.
pub(super) fn merge(parts: &[Content], keeping: Keeping, folder: &Path) -> io::Result<Content> {
    let mut taking = Taking::new(keeping, folder)?;
    let mut chunk = vec![0; CHUNK];
    for part in parts {
        let path = part.file.as_deref().ok_or(io::ErrorKind::NotFound)?;
        let mut file = File::open(path)?;
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            taking.take(&chunk[..read])?;
        }
    }
    Ok(taking.finish())
}

/// A part of a file as an answer's body, which may break off early.
pub(super) fn send(path: &Path, from: u64, length: u64, cut_after: Option<u64>) -> io::Result<Body> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    Ok(Body::new(Sending { file, left: length, cut_after }))
}

struct Sending {
    file: File,
    left: u64,
    cut_after: Option<u64>,
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.cut_after == Some(0) {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        let wanted = self.left.min(CHUNK as u64).min(self.cut_after.unwrap_or(u64::MAX));
        let mut chunk = vec![0; usize::try_from(wanted).unwrap_or(CHUNK)];
        if let Err(error) = self.file.read_exact(&mut chunk) {
            return Poll::Ready(Some(Err(error)));
        }
        self.left -= wanted;
        self.cut_after = self.cut_after.map(|left| left - wanted);
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
