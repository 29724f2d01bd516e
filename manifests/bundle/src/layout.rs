//! Where everything lies: tar members, and the frames between their contents.

use crate::frame;
use crate::seek_table::FrameSize;

/// The name of the layout marker.
pub const OCI_LAYOUT: &str = "oci-layout";
/// The content of the layout marker (OCI image layout, "oci-layout file").
pub const OCI_LAYOUT_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The name of the OCI index.
pub const INDEX: &str = "index.json";
/// The name of the catalog.
pub const CATALOG: &str = "bundle.json";
/// The name of the catalog's signature.
pub const SIGNATURE: &str = "bundle.json.minisig";

const TAR_BLOCK: u64 = 512;

/// The name of a blob.
pub fn blob_name(digest: &ferry_model::Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Zeros behind `size` bytes of content, up to the next tar block.
const fn padding(size: u64) -> u64 {
    (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK
}

/// What stands between the content of one member (of `previous` bytes; `None` at the start) and the next: padding
/// and a tar header, as one raw frame.
pub fn joint(previous: Option<u64>, name: &str, size: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(previous.map_or(0, padding)).expect("below 512")];
    content.extend_from_slice(header(name, size).as_bytes());
    frame::raw_frames(&content)
}

/// Bytes of [`joint`], without making it.
pub const fn joint_size(previous: Option<u64>) -> u64 {
    let padding = match previous {
        Some(size) => padding(size),
        None => 0,
    };
    frame::raw_frame_size(padding + TAR_BLOCK)
}

/// What stands behind the last member: padding and the two zero blocks that end a tar archive, as one raw frame.
pub fn trailer(previous: u64) -> Vec<u8> {
    frame::raw_frames(&vec![0; usize::try_from(padding(previous) + 2 * TAR_BLOCK).expect("below 1536")])
}

/// The sizes of a frame that [`joint`] or [`trailer`] made.
pub fn single_frame_size(frame: &[u8]) -> FrameSize {
    let stored = u32::try_from(frame.len()).expect("a joint is small");
    FrameSize {
        stored,
        content: stored - u32::try_from(frame::FRAME_HEADER + frame::BLOCK_HEADER).expect("13 fits"),
    }
}

/// The sizes of the raw frames around `content` bytes.
pub fn raw_frame_sizes(content: u64) -> impl Iterator<Item = FrameSize> {
    (0..content.div_ceil(frame::FRAME_CONTENT)).map(move |index| {
        let content = frame::FRAME_CONTENT.min(content - index * frame::FRAME_CONTENT);
        let narrow = |value: u64| u32::try_from(value).expect("a frame is about 4 MiB");
        FrameSize { stored: narrow(frame::raw_frame_size(content)), content: narrow(content) }
    })
}

/// A tar header in GNU form: its base-256 sizes reach past 8 GiB and every tar reads them.
fn header(name: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).expect("our names are short and relative");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joints_have_their_size() {
        for previous in [None, Some(0), Some(1), Some(511), Some(512), Some(513)] {
            let joint = joint(previous, "index.json", 9 << 30);
            assert_eq!(joint.len() as u64, joint_size(previous));
            let content = zstd::decode_all(&joint[..]).unwrap();
            assert_eq!(content.len() as u32, single_frame_size(&joint).content);
            let header = tar::Header::from_byte_slice(&content[content.len() - 512..]);
            assert_eq!(header.entry_size().unwrap(), 9 << 30);
        }
    }
}
