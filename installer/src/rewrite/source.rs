//! A file that is being read: told by its beginning what it is, and rewritten piece by piece, several pieces at once.

use std::io::{self, Read};
use std::sync::Arc;

use ferry_references::{Format, format_of};

use super::chart::Chart;
use super::ground::Ground;
use super::judge::Judge;
use super::outcome::Outcome;
use super::pieces::{Pieces, line_ends};
use super::sink::Sink;
use super::text::{self, Seen};

/// How much of a file is read to tell what it is written in.
const BEGINNING: u64 = 8 << 10;
/// Pieces of a file that are worked on at once.
const MAX_THREADS: usize = 8;
/// No more pieces are worked on at once when those that are have so many bytes.
const MAX_AT_ONCE: u64 = 4 << 20;

/// A file that is being read.
pub(super) struct Source<R> {
    pub(super) reader: R,
    pub(super) beginning: Vec<u8>,
    name: Arc<str>,
    /// Absent where it is no text in which images are named.
    pub(super) format: Option<Format>,
}

impl<R: Read> Source<R> {
    pub(super) fn begin(mut reader: R, name: &Arc<str>) -> io::Result<Self> {
        let mut beginning = Vec::new();
        reader.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
        let is_binary = beginning.contains(&0);
        let format = format_of(name, &String::from_utf8_lossy(&beginning)).filter(|_| !is_binary);
        Ok(Self { reader, beginning, name: name.clone(), format })
    }

    pub(super) fn rewrite(
        self,
        sink: &mut Sink<'_>,
        ground: &Ground,
        (chart, ways): (Option<&Chart>, &[Vec<String>]),
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        let Some(format) = self.format else { return Ok(()) };
        outcome.texts += 1;
        let judge = Judge { known: &ground.known, chart, ways };
        let mut pieces = Pieces::new(self.beginning, self.reader, format);
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let mut lines = 0;
        loop {
            let (mut batch, begins) = (Vec::new(), pieces.given());
            while batch.len() < cores
                && pieces.given() - begins < MAX_AT_ONCE
                && let Some(piece) = pieces.next()?
            {
                let here = lines;
                lines += line_ends(&piece);
                batch.push((piece, here));
            }
            if batch.is_empty() {
                return Ok(());
            }
            let rewrite = |(piece, lines): &(Vec<u8>, usize)| -> io::Result<Seen> {
                let text = std::str::from_utf8(piece).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8, so it was not looked at")
                })?;
                let mut seen = text::rewrite(text, format, &judge, &self.name, *lines);
                if let Some(pods) = ground.pods.as_ref().filter(|_| format == Format::Yaml) {
                    seen.annotate(pods, text, &self.name, *lines);
                }
                Ok(seen)
            };
            for ((piece, _), seen) in batch.iter().zip(at_once(&batch, rewrite)) {
                let mut seen = seen?;
                sink.piece(piece, seen.text.take().as_deref())?;
                outcome.take(seen);
            }
        }
    }

    /// Hands it on as it is.
    pub(super) fn copy(mut self, sink: &mut Sink<'_>) -> io::Result<()> {
        sink.whole(&self.beginning, None)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.reader.read(&mut buffer)? {
                0 => return Ok(()),
                count => sink.whole(&buffer[..count], None)?,
            }
        }
    }
}

/// What comes of each item, worked out at once.
fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if let [item] = items {
        return vec![work(item)];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(|| work(item))).collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect()
    })
}
