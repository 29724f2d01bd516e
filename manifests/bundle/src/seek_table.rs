//! The seek table, last in the file: a skippable frame with the sizes of all frames before it.
//!
//! Source: [zstd seekable format](https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md).
//! Ferry's reader needs only its footer, because the catalog says where things lie; other readers of the format need
//! all of it. [`verify`](crate::verify) checks that it is right.

use crate::Error;

/// Bytes of a skippable frame's header.
pub const HEADER: u64 = 8;
/// Bytes of one entry: compressed and plain size, 4 bytes each.
pub const ENTRY: u64 = 8;
/// Bytes of the footer: number of frames, descriptor, magic.
pub const FOOTER: u64 = 9;
/// The most frames that are accepted: 16 TiB of 4 MiB frames, and then some.
pub const MAX_FRAMES: u64 = 1 << 24;

const MAGIC: u32 = 0x184D_2A5E;
const FOOTER_MAGIC: u32 = 0x8F92_EAB1;

/// Sizes of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSize {
    /// Bytes in the file.
    pub stored: u32,
    /// Bytes of content.
    pub content: u32,
}

/// The table as it stands in the file.
pub fn encode(frames: &[FrameSize]) -> Vec<u8> {
    let size = frames.len() as u64 * ENTRY + FOOTER;
    let mut out = Vec::with_capacity(usize::try_from(HEADER + size).unwrap_or(0));
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&u32::try_from(size).expect("at most 2^24 frames").to_le_bytes());
    for frame in frames {
        out.extend_from_slice(&frame.stored.to_le_bytes());
        out.extend_from_slice(&frame.content.to_le_bytes());
    }
    out.extend_from_slice(&u32::try_from(frames.len()).expect("at most 2^24 frames").to_le_bytes());
    // No checksums, reserved bits 0.
    out.push(0);
    out.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
    out
}

/// Bytes of the whole table, read from the footer; `None` when `footer` (the last 9 bytes of a file) is none.
pub fn size_from_footer(footer: &[u8]) -> Option<Result<u64, Error>> {
    let footer: &[u8; 9] = footer.try_into().ok()?;
    let [n0, n1, n2, n3, descriptor, m0, m1, m2, m3] = *footer;
    if u32::from_le_bytes([m0, m1, m2, m3]) != FOOTER_MAGIC || descriptor != 0 {
        return None;
    }
    let frames = u64::from(u32::from_le_bytes([n0, n1, n2, n3]));
    Some(if frames > MAX_FRAMES {
        Err(Error::Limit { what: "the number of frames", value: frames, limit: MAX_FRAMES })
    } else {
        Ok(HEADER + frames * ENTRY + FOOTER)
    })
}
