//! A chart as `multipart/form-data` ([RFC 7578](https://www.rfc-editor.org/rfc/rfc7578)), put together as it is sent: a
//! few lines of framing around the archive's own stream, so that the length is known and nothing is held.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::ChartArchive;
use crate::{BlobSource, ChunkReader, SourceError};

/// The body of an upload.
pub(super) struct Form {
    boundary: String,
    before: Bytes,
    archive: Arc<dyn BlobSource>,
    size: u64,
    behind: Bytes,
}

impl Form {
    /// The chart, and its provenance where it has one.
    pub(super) fn new(file: &str, chart: &ChartArchive<'_>) -> Self {
        // Of the content's digest: the same upload is the same bytes, and no archive holds its own digest.
        let boundary = format!("ferry-{}", &chart.digest.hex()[..40]);
        let before = field(&boundary, "chart", file, "application/gzip");
        let mut behind = b"\r\n".to_vec();
        if let Some(provenance) = &chart.provenance {
            behind.extend_from_slice(&field(
                &boundary,
                "prov",
                &format!("{file}.prov"),
                "application/octet-stream",
            ));
            behind.extend_from_slice(provenance);
            behind.extend_from_slice(b"\r\n");
        }
        behind.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let (archive, size) = (Arc::clone(&chart.source), chart.size);
        Self { boundary, before, archive, size, behind: behind.into() }
    }

    pub(super) fn content_type(&self) -> HeaderValue {
        HeaderValue::try_from(format!("multipart/form-data; boundary={}", self.boundary))
            .expect("hex digits are fit for a header")
    }

    pub(super) fn length(&self) -> u64 {
        self.before.len() as u64 + self.size + self.behind.len() as u64
    }
}

/// What precedes a field's content.
fn field(boundary: &str, name: &str, file: &str, media_type: &str) -> Bytes {
    // As browsers do: a quote or a line's end in a name would end it.
    let file = file.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\nContent-Type: {media_type}\r\n\r\n"
    )
    .into()
}

impl BlobSource for Form {
    fn open(&self, from: u64) -> Result<Box<dyn ChunkReader>, SourceError> {
        debug_assert_eq!(from, 0, "a form is sent whole");
        let archive = self.archive.open(0)?;
        Ok(Box::new(FormReader {
            stretches: [
                Stretch::Bytes(self.before.clone()),
                Stretch::Archive(archive),
                Stretch::Bytes(self.behind.clone()),
            ]
            .into(),
        }))
    }
}

struct FormReader {
    stretches: VecDeque<Stretch>,
}

enum Stretch {
    Bytes(Bytes),
    Archive(Box<dyn ChunkReader>),
}

impl ChunkReader for FormReader {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        while let Some(stretch) = self.stretches.front_mut() {
            let chunk = match stretch {
                Stretch::Bytes(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
                Stretch::Archive(reader) => reader.next_chunk()?,
            };
            if chunk.is_some() {
                return Ok(chunk);
            }
            self.stretches.pop_front();
        }
        Ok(None)
    }
}
