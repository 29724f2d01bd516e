//! Reads a text in pieces that stand for themselves, so that no file need fit into memory: documents of YAML, some lines of a
//! list.

use std::io::{self, Read};

use ferry_references::Format;

/// A piece ends at the first place behind so many bytes where it can.
const ENOUGH: usize = 256 << 10;
/// The largest piece: what is found in it takes several times as much memory.
pub(super) const MAX_PIECE: usize = 32 << 20;

/// Where a text of some format may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Documents,
    Lines,
    Nowhere,
}

impl Cut {
    fn of(format: Format) -> Self {
        match format {
            Format::Yaml | Format::Template => Self::Documents,
            Format::Environment | Format::List => Self::Lines,
            Format::Kustomization | Format::Compose | Format::Dockerfile => Self::Nowhere,
        }
    }

    /// The last place behind `from` where `bytes` may be cut.
    fn last(self, bytes: &[u8], from: usize) -> Option<usize> {
        match self {
            Self::Nowhere => None,
            Self::Lines => bytes[from..].iter().rposition(|byte| *byte == b'\n').map(|at| from + at + 1),
            Self::Documents => {
                let from = from.saturating_sub(4);
                // One more byte tells `---` from `----`.
                let is_marker = |bytes: &[u8]| bytes.starts_with(b"\n---") && bytes[4].is_ascii_whitespace();
                bytes[from..].windows(5).rposition(is_marker).map(|at| from + at + 1)
            }
        }
    }
}

/// The pieces of a text.
#[derive(Debug)]
pub(super) struct Pieces<R> {
    reader: R,
    cut: Cut,
    /// What was read and not handed out.
    ahead: Vec<u8>,
    ended: bool,
    /// How many bytes were handed out.
    given: u64,
}

impl<R: Read> Pieces<R> {
    /// `ahead` was read from `reader` before.
    pub(super) fn new(ahead: Vec<u8>, reader: R, format: Format) -> Self {
        Self { reader, cut: Cut::of(format), ahead, ended: false, given: 0 }
    }

    /// How many bytes were handed out.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// The next piece; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let piece = self.read()?;
        self.given += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Ok(piece)
    }

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if self.ended {
                return Ok(Some(std::mem::take(&mut self.ahead)).filter(|piece| !piece.is_empty()));
            }
            if self.ahead.len() >= ENOUGH {
                if let Some(at) = self.cut.last(&self.ahead, searched).filter(|at| *at > 0) {
                    let rest = self.ahead.split_off(at);
                    return Ok(Some(std::mem::replace(&mut self.ahead, rest)));
                }
                searched = self.ahead.len();
            }
            if self.ahead.len() > MAX_PIECE {
                let message = format!(
                    "a document of more than {} MiB is not looked at: have its objects written one by one, with `---` between them",
                    MAX_PIECE >> 20
                );
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
            }
            let wanted = ENOUGH.max(self.ahead.len());
            let read = self.reader.by_ref().take(wanted as u64).read_to_end(&mut self.ahead)?;
            self.ended = read < wanted;
        }
    }
}

/// How many lines end in it.
pub(super) fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| usize::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], format: Format) -> Vec<Vec<u8>> {
        let mut pieces = Pieces::new(Vec::new(), text, format);
        std::iter::from_fn(|| pieces.next().unwrap()).collect()
    }

    #[test]
    fn documents_stay_whole_and_nothing_is_lost() {
        let document = format!("---\nkind: A\ntext: |\n  ---\n  ----\n{}", "x: 1\n".repeat(1000));
        let text = document.repeat(400).into_bytes();
        let pieces = cut(&text, Format::Yaml);
        assert!(pieces.len() > 4, "{}", pieces.len());
        assert!(pieces.iter().all(|piece| piece.starts_with(b"---\n") && piece.len() < 2 * ENOUGH + 10_000));
        assert_eq!(pieces.concat(), text);
        assert_eq!(cut(&text, Format::Compose).len(), 1);
    }

    #[test]
    fn what_would_take_too_much_memory_is_refused() {
        let mut pieces = Pieces::new(Vec::new(), io::repeat(b'a'), Format::Yaml);
        assert_eq!(pieces.next().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(pieces.ahead.len() <= 2 * MAX_PIECE);
    }

    #[test]
    fn lists_are_cut_at_lines_and_one_document_nowhere() {
        let text = "hub.corp/a/b:1\n".repeat(100_000).into_bytes();
        let pieces = cut(&text, Format::List);
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.ends_with(b"\n")));
        assert_eq!(pieces.concat(), text);
        assert_eq!(cut(&text, Format::Yaml), [text]);
        assert_eq!(cut(b"", Format::Yaml).len(), 0);
    }
}
