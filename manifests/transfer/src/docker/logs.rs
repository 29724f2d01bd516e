//! What a container has said, as the daemon hands it on: pieces of standard output and standard error, each behind
//! eight bytes (which of them, three zeros, the length), or the plain text of a terminal.

/// The text of all pieces.
pub(super) fn text(mut stream: &[u8]) -> String {
    let mut said = Vec::new();
    while let Some((length, rest)) = piece(stream) {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        said.extend_from_slice(piece);
        stream = behind;
    }
    said.extend_from_slice(stream);
    String::from_utf8_lossy(&said).into_owned()
}

fn piece(stream: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = stream.split_first_chunk::<8>()?;
    let [0..=2, 0, 0, 0, length @ ..] = head else { return None };
    Some((u32::from_be_bytes(*length) as usize, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_plain_text() {
        for (stream, expected) in [
            (&b""[..], ""),
            (b"plain\n", "plain\n"),
            (b"\x01\0\0\0\0\0\0\x03one\x02\0\0\0\0\0\0\x04 two", "one two"),
            (b"\x01\0\0\0\xff\xff\xff\xffcut", "cut"),
            (b"\x01\0\0\0\0\0", "\u{1}\0\0\0\0\0"),
        ] {
            assert_eq!(text(stream), expected);
        }
    }
}
