//! The names by which OpenSSL finds authorities in a folder: a hash of the certificate's subject in its canonical form, as
//! `openssl x509 -hash` gives it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// An authority's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Its bytes.
    pub(super) der: Vec<u8>,
    /// What OpenSSL looks it up by.
    pub(super) hash: String,
}

impl Certificate {
    /// It alone, as text.
    pub(super) fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let lines = text.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
        format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
    }
}

/// All certificates of a PEM file, which has one at least.
pub(super) fn certificates(text: &str) -> Result<Vec<Certificate>, String> {
    let mut certificates = Vec::new();
    for block in Pem::iter_from_buffer(text.as_bytes()) {
        let block = block.map_err(|error| error.to_string())?;
        if block.label != "CERTIFICATE" {
            continue;
        }
        let (_, certificate) =
            X509Certificate::from_der(&block.contents).map_err(|error| error.to_string())?;
        let hash = hash(certificate.subject())?;
        certificates.push(Certificate { hash, der: block.contents });
    }
    if certificates.is_empty() { Err("no certificate is in it".to_owned()) } else { Ok(certificates) }
}

/// The first four bytes of SHA-1 over the canonical name, as a number of the machines that this was made for.
fn hash(name: &X509Name<'_>) -> Result<String, String> {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &canonical(name)?);
    let first: Vec<String> = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Ok(first.into_iter().rev().collect())
}

/// The sets of the name one behind the other, without what holds them together.
fn canonical(name: &X509Name<'_>) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for set in name.iter_rdn() {
        let mut attributes = Vec::new();
        for attribute in set.iter() {
            let mut pair = encoded(6, attribute.attr_type().as_bytes());
            pair.extend(value(attribute.attr_value())?);
            attributes.push(encoded(0x30, &pair));
        }
        // So DER wants sets.
        attributes.sort();
        all.extend(encoded(0x31, &attributes.concat()));
    }
    Ok(all)
}

/// Texts are compared without regard to their encoding, to the case of ASCII letters, and to how much white space there is.
fn value(value: &Any<'_>) -> Result<Vec<u8>, String> {
    let bytes = value.data;
    let text = match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString => {
            String::from_utf8(bytes.to_vec()).ok()
        }
        Tag::T61String => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units =
                bytes.chunks(2).map(|two| two.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        Tag::UniversalString => {
            let units =
                bytes.chunks(4).map(|four| four.iter().fold(0, |unit, byte| unit << 8 | u32::from(*byte)));
            units.map(char::from_u32).collect()
        }
        other => {
            let tag =
                u8::try_from(other.0).map_err(|_| format!("its subject has a value of kind {other}"))?;
            return Ok(encoded(tag, bytes));
        }
    };
    let text = text.ok_or("its subject has a text that is none")?;
    let is_space = |letter: char| letter.is_ascii_whitespace() || letter == '\u{b}';
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    Ok(encoded(12, words.join(" ").to_ascii_lowercase().as_bytes()))
}

fn encoded(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut bytes = vec![tag];
    match (content.len(), u8::try_from(length.len())) {
        (0..128, _) => bytes.push(length.first().copied().unwrap_or(0)),
        (_, Ok(count)) => bytes.extend([0x80 | count].into_iter().chain(length)),
        (_, Err(_)) => {}
    }
    bytes.extend(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500`: with `-subj` as shown, and
    /// `bmp` and `t61` with `string_mask` in a configuration. The hashes are what `openssl x509 -hash` says of them.
    #[test]
    fn authorities_have_the_names_that_openssl_gives_them() {
        for (pem, hash) in [
            // /C=CN/ST=SH/L=Shang Hai/O=example.com/CN=192.168.0.1
            (include_str!("certificates/seed.pem"), "9a4ad6fd"),
            // "/O=  Ferry   Corp  /CN=REGISTRY.Corp 容器仓库"
            (include_str!("certificates/spaces.pem"), "f51d5c72"),
            // /C=CN/O=Zed+OU=Alpha+emailAddress=Ops@Corp.com/CN=xxx…
            (include_str!("certificates/multi.pem"), "1eedf2a6"),
            // O=Überwachung  Ltd, CN=RegiStry
            (include_str!("certificates/bmp.pem"), "411860fa"),
            (include_str!("certificates/t61.pem"), "411860fa"),
        ] {
            let [certificate] = &certificates(pem).unwrap()[..] else { panic!("not one") };
            assert_eq!(certificate.hash, hash);
            assert_eq!(certificate.pem(), pem);
        }
    }

    #[test]
    fn a_file_may_have_several_and_must_have_one() {
        let [one, other] = [include_str!("certificates/seed.pem"), include_str!("certificates/bmp.pem")];
        let both = certificates(&format!("# first\n{one}\nsecond:\n{other}")).unwrap();
        assert_eq!(both.iter().map(|each| each.hash.as_str()).collect::<Vec<_>>(), ["9a4ad6fd", "411860fa"]);
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for text in ["", "nonsense", key, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"] {
            assert!(certificates(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_are_written_as_der_wants_them() {
        for (length, head) in [(0, &[0][..]), (127, &[127]), (128, &[0x81, 128]), (300, &[0x82, 1, 44])] {
            let bytes = encoded(12, &vec![b'x'; length]);
            assert_eq!(bytes[1..bytes.len() - length], *head);
        }
    }
}
