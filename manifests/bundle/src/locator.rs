//! The locator: where the catalog lies. A skippable frame of fixed size right before the seek table, so that opening
//! a bundle of any size reads its tail and nothing else. Plain `zstd` skips it.
//!
//! Little-endian: `FERRYBDL`, major and minor version (2 bytes each), then 8 bytes each: the file's size; offset,
//! stored size and size of `bundle.json`; the same of `bundle.json.minisig` (all 0 in an unsigned bundle); then the
//! sha256 of `bundle.json`.

use ferry_model::{Digest, FormatVersion};

use crate::Error;

/// The version of the whole file format.
pub const FORMAT_VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };
/// Bytes of the locator with its frame header.
pub const LOCATOR_SIZE: u64 = 8 + PAYLOAD as u64;

const MAGIC: u32 = 0x184D_2A50;
const NAME: &[u8; 8] = b"FERRYBDL";
const PAYLOAD: usize = 8 + 4 + 7 * 8 + 32;

/// Where one member's content lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// First byte of its first frame.
    pub offset: u64,
    /// Bytes of its frames.
    pub stored_size: u64,
    /// Bytes of its content.
    pub size: u64,
}

/// What the locator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locator {
    /// The version of the file format.
    pub version: FormatVersion,
    /// Bytes of the whole file, all volumes joined.
    pub file_size: u64,
    /// Where `bundle.json` lies.
    pub catalog: Place,
    /// Where `bundle.json.minisig` lies; all 0 without.
    pub signature: Place,
    /// The sha256 of `bundle.json`.
    pub catalog_digest: Digest,
}

impl Locator {
    /// The locator as it stands in the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + PAYLOAD);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&u32::try_from(PAYLOAD).expect("104 fits").to_le_bytes());
        out.extend_from_slice(NAME);
        for number in [self.version.major, self.version.minor] {
            out.extend_from_slice(&u16::try_from(number).expect("versions are small").to_le_bytes());
        }
        let places =
            [self.catalog, self.signature].map(|place| [place.offset, place.stored_size, place.size]);
        for number in [self.file_size].iter().chain(places.iter().flatten()) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.catalog_digest.as_bytes());
        out
    }

    /// Reads a locator; `None` when `bytes` are none. A version that we do not know is an error.
    pub fn decode(bytes: &[u8]) -> Option<Result<Self, Error>> {
        let payload = bytes.strip_prefix(&MAGIC.to_le_bytes())?.get(4..)?.strip_prefix(NAME)?;
        if bytes.len() as u64 != LOCATOR_SIZE {
            return None;
        }
        let (version, numbers) = payload.split_at_checked(4)?;
        let half = |at: usize| u32::from(u16::from_le_bytes([version[at], version[at + 1]]));
        let version = FormatVersion { major: half(0), minor: half(2) };
        if !version.readable_by(FORMAT_VERSION) {
            return Some(Err(Error::Version { what: "the bundle", found: version, known: FORMAT_VERSION }));
        }
        let (numbers, digest) = numbers.split_at_checked(7 * 8)?;
        let number = |index: usize| {
            let bytes = numbers[index * 8..][..8].try_into().expect("eight bytes");
            u64::from_le_bytes(bytes)
        };
        let place =
            |first| Place { offset: number(first), stored_size: number(first + 1), size: number(first + 2) };
        let catalog_digest = Digest::from_bytes(digest.try_into().ok()?);
        Some(Ok(Self {
            version,
            file_size: number(0),
            catalog: place(1),
            signature: place(4),
            catalog_digest,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_newer_version() {
        let place = Place { offset: 7, stored_size: 8, size: 9 };
        let locator = Locator {
            version: FORMAT_VERSION,
            file_size: 1 << 40,
            catalog: place,
            signature: Place::default(),
            catalog_digest: Digest::of(b"catalog"),
        };
        let mut bytes = locator.encode();
        assert_eq!(bytes.len() as u64, LOCATOR_SIZE);
        assert_eq!(Locator::decode(&bytes).unwrap().unwrap(), locator);
        bytes[16] = 2;
        assert!(matches!(Locator::decode(&bytes), Some(Err(Error::Version { .. }))));
        bytes[8] = b'f';
        assert!(Locator::decode(&bytes).is_none());
        assert!(Locator::decode(&bytes[..50]).is_none());
    }
}
