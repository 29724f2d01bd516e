//! Frames of raw blocks, whose layout follows from sizes alone, and the headers of all frames.
//!
//! Source: [RFC 8878](https://www.rfc-editor.org/rfc/rfc8878), sections 3.1.1.1 (frame header) and 3.1.1.2 (blocks).
//! A raw frame here has a 10-byte header (magic, descriptor, window of 128 KiB, content size in 4 bytes) and blocks
//! of 128 KiB, each behind a 3-byte header. No checksum: sha256 is stronger and already there.

use crate::Error;

/// Content bytes of a frame, but for a blob's last.
pub const FRAME_CONTENT: u64 = 4 << 20;
/// Content bytes of a raw block, but for a frame's last: the most that the format allows.
pub const BLOCK_CONTENT: u64 = 128 << 10;
/// Bytes of a raw frame's header.
pub const FRAME_HEADER: u64 = 10;
/// Bytes of a block's header.
pub const BLOCK_HEADER: u64 = 3;
/// The largest window that a frame may declare, the most that plain `zstd` takes without flags.
pub const MAX_WINDOW: u64 = 8 << 20;

const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Frame content size in 4 bytes, not single-segment, no checksum, no dictionary.
const DESCRIPTOR: u8 = 0b1000_0000;
/// 2^17: exponent 7 above 2^10, mantissa 0.
const WINDOW: u8 = 7 << 3;

/// Bytes of one raw frame around `content` bytes (at most [`FRAME_CONTENT`], at least 1).
pub const fn raw_frame_size(content: u64) -> u64 {
    FRAME_HEADER + content.div_ceil(BLOCK_CONTENT) * BLOCK_HEADER + content
}

/// Bytes of all raw frames around `content` bytes; nothing takes no frame.
pub const fn raw_size(content: u64) -> u64 {
    let whole = content / FRAME_CONTENT;
    let rest = content % FRAME_CONTENT;
    whole * raw_frame_size(FRAME_CONTENT) + if rest == 0 { 0 } else { raw_frame_size(rest) }
}

/// The header of a raw frame around `content` bytes.
pub fn raw_frame_header(content: u64) -> [u8; 10] {
    let size = u32::try_from(content).expect("a frame holds at most 4 MiB").to_le_bytes();
    [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], DESCRIPTOR, WINDOW, size[0], size[1], size[2], size[3]]
}

/// The header of a raw block.
pub fn raw_block_header(content: u64, last: bool) -> [u8; 3] {
    let value = u32::try_from(content).expect("a block holds at most 128 KiB") << 3 | u32::from(last);
    let bytes = value.to_le_bytes();
    [bytes[0], bytes[1], bytes[2]]
}

/// What stands in a run of raw frames at a content position: either headers that come first, or content.
///
/// The one place that knows the arithmetic; reader, writer and verifier all walk with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawBlock {
    /// Where the block's headers (the frame's too, for its first block) begin, from the start of the run.
    pub start: u64,
    /// Bytes of headers before the content.
    pub header_size: u64,
    /// Content bytes of the block.
    pub content: u64,
    /// Content bytes of its frame.
    pub frame_content: u64,
    /// Whether it is the first of its frame.
    pub first: bool,
    /// Whether it is the last of its frame.
    pub last: bool,
}

impl RawBlock {
    /// The block that holds content byte `position` of a blob of `size` bytes (`position < size`).
    pub fn at(position: u64, size: u64) -> Self {
        let frame = position / FRAME_CONTENT;
        let frame_content = FRAME_CONTENT.min(size - frame * FRAME_CONTENT);
        let block = position % FRAME_CONTENT / BLOCK_CONTENT;
        let content = BLOCK_CONTENT.min(frame_content - block * BLOCK_CONTENT);
        let first = block == 0;
        let frame_start = frame * raw_frame_size(FRAME_CONTENT);
        let start = if first {
            frame_start
        } else {
            frame_start + FRAME_HEADER + block * (BLOCK_HEADER + BLOCK_CONTENT)
        };
        let last = (block + 1) * BLOCK_CONTENT >= frame_content;
        let header_size = if first { FRAME_HEADER + BLOCK_HEADER } else { BLOCK_HEADER };
        Self { start, header_size, content, frame_content, first, last }
    }

    /// Bytes of a run, from its start, that hold its first `content` bytes (1 to `size`).
    pub fn end_of(content: u64, size: u64) -> u64 {
        let block = Self::at(content - 1, size);
        block.start + block.header_size + (content - 1) % BLOCK_CONTENT + 1
    }

    /// Appends the block's headers.
    pub fn write_headers(&self, out: &mut Vec<u8>) {
        if self.first {
            out.extend_from_slice(&raw_frame_header(self.frame_content));
        }
        out.extend_from_slice(&raw_block_header(self.content, self.last));
    }

    /// Whether `bytes` are exactly the block's headers.
    pub fn headers_match(&self, bytes: &[u8]) -> bool {
        let mut expected = Vec::with_capacity(13);
        self.write_headers(&mut expected);
        bytes == expected
    }
}

/// `content` as raw frames.
pub fn raw_frames(content: &[u8]) -> Vec<u8> {
    let size = content.len() as u64;
    let mut out = Vec::with_capacity(usize::try_from(raw_size(size)).unwrap_or(0));
    let mut rest = content;
    while !rest.is_empty() {
        let block = RawBlock::at(size - rest.len() as u64, size);
        block.write_headers(&mut out);
        let (head, tail) = rest.split_at(usize::try_from(block.content).expect("a block fits into memory"));
        out.extend_from_slice(head);
        rest = tail;
    }
    out
}

/// The content size that a compressed frame declares, if the frame is one that a bundle may have: known content of
/// 1 byte to 4 MiB, a window of at most 8 MiB, no dictionary. `offset` is for the error.
pub fn declared_content(frame: &[u8], offset: u64) -> Result<u64, Error> {
    let refuse = |reason: &str| Error::Frame { offset, reason: reason.to_owned() };
    if frame.get(..4) != Some(&MAGIC) {
        return Err(refuse("not a zstd frame"));
    }
    let descriptor = *frame.get(4).ok_or_else(|| refuse("the frame header is cut off"))?;
    if descriptor & 0b1000 != 0 || descriptor & 0b11 != 0 {
        return Err(refuse("the frame needs a dictionary or uses reserved bits"));
    }
    let single_segment = descriptor & 0b10_0000 != 0;
    let mut at = 5;
    if !single_segment {
        let window = *frame.get(at).ok_or_else(|| refuse("the frame header is cut off"))?;
        let base = 1_u64 << (10 + (window >> 3));
        let window = base + base / 8 * u64::from(window & 7);
        if window > MAX_WINDOW {
            return Err(Error::Limit { what: "a frame's window", value: window, limit: MAX_WINDOW });
        }
        at += 1;
    }
    let width = match (descriptor >> 6, single_segment) {
        (0, false) => return Err(refuse("the frame does not declare its content size")),
        (0, true) => 1,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8,
    };
    let field = frame.get(at..at + width).ok_or_else(|| refuse("the frame header is cut off"))?;
    let mut value = [0; 8];
    value[..width].copy_from_slice(field);
    let content = u64::from_le_bytes(value) + if width == 2 { 256 } else { 0 };
    if content > FRAME_CONTENT {
        return Err(Error::Limit { what: "a frame's content", value: content, limit: FRAME_CONTENT });
    }
    if content == 0 {
        return Err(refuse("the frame is empty"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zstd_reads_raw_frames() {
        for size in [1, 2, 127 << 10, 128 << 10, (128 << 10) + 1, 4 << 20, (4 << 20) + 1, 9_000_000] {
            let content: Vec<u8> =
                (0..size).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let frames = raw_frames(&content);
            assert_eq!(frames.len() as u64, raw_size(u64::from(size)));
            assert_eq!(zstd::decode_all(&frames[..]).unwrap(), content);
            assert_eq!(declared_content(&frames, 0).unwrap(), u64::from(size).min(FRAME_CONTENT));
        }
        assert_eq!(raw_size(0), 0);
        assert!(raw_frames(&[]).is_empty());
    }

    #[test]
    fn hostile_frames_are_refused() {
        // 1 GiB window; 16 MiB content; a dictionary; unknown content; cut off.
        for header in [
            &[0x28, 0xb5, 0x2f, 0xfd, 0x80, 20 << 3, 1, 0, 0, 0][..],
            &[0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x38, 0, 0, 0, 1][..],
            &[0x28, 0xb5, 0x2f, 0xfd, 0x81, 0x38, 1, 0, 0, 0][..],
            &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38, 1, 0, 0, 0][..],
            &[0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x38, 1][..],
            b"PK\x03\x04"[..].into(),
        ] {
            assert!(declared_content(header, 0).is_err(), "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn blocks_tile_the_run(size in 1_u64..20_000_000, position in 0_u64..20_000_000) {
            let position = position % size;
            let block = RawBlock::at(position, size);
            let begin = position / BLOCK_CONTENT * BLOCK_CONTENT;
            prop_assert!(block.content > 0 && position < begin + block.content);
            let end = block.start + block.header_size + block.content;
            prop_assert_eq!(RawBlock::end_of(begin + block.content, size), end);
            if begin + block.content == size {
                prop_assert_eq!(end, raw_size(size));
            } else {
                prop_assert_eq!(end, RawBlock::at(begin + block.content, size).start);
            }
        }
    }
}
