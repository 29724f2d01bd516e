//! Signing and checking the catalog, in minisign's format: the [minisign](https://jedisct1.github.io/minisign/) program
//! reads Ferry's keys and signatures, and Ferry reads its.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use blake2::Digest as _;
use ferry_model::report::Signer;

use crate::Error;

/// What is known about a bundle's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureState {
    /// There is none.
    Unsigned,
    /// There is one, and no public key was given to check it with.
    Unchecked {
        /// The key that it claims, as minisign prints it: 16 hex digits.
        key_id: String,
    },
    /// It holds.
    Verified {
        /// The key, as minisign prints it.
        key_id: String,
        /// The trusted comment: the bundle's name, version and catalog digest.
        comment: String,
    },
}

impl SignatureState {
    /// The same as documents say it.
    pub fn signer(&self) -> Signer {
        match self.clone() {
            Self::Unsigned => Signer::Unsigned,
            Self::Unchecked { key_id } => Signer::Unchecked { key: key_id },
            Self::Verified { key_id, comment } => Signer::Verified { key: key_id, comment },
        }
    }
}

impl fmt::Display for SignatureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("none"),
            Self::Unchecked { key_id } => write!(f, "by key {key_id}, not checked (no --public-key given)"),
            Self::Verified { key_id, .. } => write!(f, "good, by key {key_id}"),
        }
    }
}

/// The first line of every signature.
const UNTRUSTED_COMMENT: &str = "untrusted comment: signature of a Ferry bundle's bundle.json";

/// The key that a bundle's signature is checked with.
#[derive(Clone)]
pub struct PublicKey(minisign::PublicKey);

/// The key that a bundle is signed with.
#[derive(Clone)]
pub struct SecretKey(minisign::SecretKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

fn key_error(path: &Path) -> impl Fn(minisign::PError) -> Error {
    let path: PathBuf = path.to_owned();
    move |error| Error::Key { path: path.clone(), reason: error.to_string() }
}

/// Bytes of a public key: algorithm 2, key number 8, key 32.
const PUBLIC_KEY: usize = 2 + 8 + 32;
/// Bytes of a secret key: algorithms 6, salt 32, limits 16, key number 8, seed 32, public key 32, checksum 32.
const SECRET_KEY: usize = 6 + 32 + 16 + 8 + 32 + 32 + 32;

/// Whether the last line of a key file holds this many bytes.
fn has_bytes(text: &str, count: usize) -> bool {
    let line = text.lines().last().unwrap_or_default();
    BASE64.decode(line.trim()).is_ok_and(|bytes| bytes.len() == count)
}

/// minisign prints key numbers as one little-endian number.
fn key_id(number: &[u8]) -> String {
    let number = number.try_into().map(u64::from_le_bytes).unwrap_or_default();
    format!("{number:016X}")
}

impl PublicKey {
    /// Reads `text`: a public key file's two lines, or the one line of base64 alone. `path` is for errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let text = text.trim();
        if has_bytes(text, SECRET_KEY) {
            let reason = "this is the secret half of a pair: give the public one (.pub)".to_owned();
            return Err(Error::Key { path: path.to_owned(), reason });
        }
        let key = if text.contains('\n') {
            minisign::PublicKeyBox::from_string(text).and_then(minisign::PublicKeyBox::into_public_key)
        } else {
            minisign::PublicKey::from_base64(text)
        };
        key.map(Self).map_err(key_error(path))
    }

    /// Reads a public key file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("reading", path))?;
        Self::parse(&text, path)
    }

    /// The key's number as minisign prints it.
    pub fn key_id(&self) -> String {
        key_id(self.0.keynum())
    }
}

impl SecretKey {
    /// Reads a secret key file. An encrypted one needs its password.
    pub fn read(path: &Path, password: Option<String>) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("reading", path))?;
        if has_bytes(text.trim(), PUBLIC_KEY) {
            let reason = "this is the public half of a pair: give the secret one (.key)".to_owned();
            return Err(Error::Key { path: path.to_owned(), reason });
        }
        let parse = || minisign::SecretKeyBox::from_string(&text).map_err(key_error(path));
        let key = match password {
            Some(password) => parse()?.into_secret_key(Some(password)),
            None => parse()?.into_unencrypted_secret_key(),
        };
        key.map(Self).map_err(key_error(path))
    }

    /// The public half.
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        minisign::PublicKey::from_secret_key(&self.0)
            .map(PublicKey)
            .map_err(key_error(Path::new("(secret key)")))
    }

    /// Signs `data`: the content of a `.minisig` file.
    ///
    /// RFC 8032's deterministic signature, not the randomised one of the minisign crate: a signed bundle is
    /// reproducible too. Any minisign checks both.
    pub(crate) fn sign(&self, data: &[u8], trusted_comment: &str) -> String {
        // Layout of minisign's secret key: algorithms 6, salt 32, limits 16, key number 8, seed 32, public key 32.
        let bytes = self.0.to_bytes();
        let (number, seed) = (&bytes[54..62], &bytes[62..94]);
        let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed has 32 bytes");
        let signature = pair.sign(&blake2::Blake2b512::digest(data));
        let global = pair.sign(&[signature.as_ref(), trusted_comment.as_bytes()].concat());
        let signature = [b"ED", number, signature.as_ref()].concat();
        format!(
            "{UNTRUSTED_COMMENT}\n{}\ntrusted comment: {trusted_comment}\n{}\n",
            BASE64.encode(signature),
            BASE64.encode(global.as_ref())
        )
    }
}

/// Makes a key pair: the texts of the secret and the public key file. Without a password the secret key is not
/// encrypted.
pub fn generate_keys(password: Option<&str>) -> Result<(String, String), Error> {
    let path = Path::new("(new key)");
    let fail = key_error(path);
    let pair = match password {
        Some(password) => minisign::KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
        None => minisign::KeyPair::generate_unencrypted_keypair(),
    };
    let pair = pair.map_err(&fail)?;
    let comment = format!("Ferry secret key {}", key_id(pair.pk.keynum()));
    let secret = pair.sk.to_box(Some(&comment)).map_err(&fail)?.to_string();
    let public = pair.pk.to_box().map_err(&fail)?.to_string();
    Ok((secret, public))
}

/// Four lines, and signatures of the right length: the minisign crate takes both for granted.
fn check_form(signature: &str) -> Result<(), Error> {
    let lines: Vec<&str> = signature.lines().collect();
    let decoded = |line: &str| BASE64.decode(line).map_or(0, |bytes| bytes.len());
    // Algorithm 2, key number 8, signature 64; and the signature of that with the trusted comment.
    let good = matches!(lines[..], [untrusted, first, trusted, second]
        if untrusted.starts_with("untrusted comment: ")
            && decoded(first) == 2 + 8 + 64
            && trusted.starts_with("trusted comment: ")
            && decoded(second) == 64
            && signature == format!("{}\n", lines.join("\n")));
    if good { Ok(()) } else { Err(Error::Signature { reason: "it is not in minisign's form".into() }) }
}

/// What a `.minisig` file says about `data`, checked when there is a key to check it with.
pub(crate) fn check(data: &[u8], signature: &str, key: Option<&PublicKey>) -> Result<SignatureState, Error> {
    let refuse = |error: minisign::PError| Error::Signature { reason: error.to_string() };
    check_form(signature)?;
    let parsed = minisign::SignatureBox::from_string(signature).map_err(refuse)?;
    // The signature does not cover this line, and no byte of a bundle goes unchecked.
    if signature.lines().next() != Some(UNTRUSTED_COMMENT) {
        return Err(Error::Signature { reason: "its first line is not the one that Ferry writes".into() });
    }
    let key_id = key_id(parsed.keynum());
    let Some(key) = key else { return Ok(SignatureState::Unchecked { key_id }) };
    minisign::verify(&key.0, &parsed, std::io::Cursor::new(data), true, false, false).map_err(refuse)?;
    Ok(SignatureState::Verified { key_id, comment: parsed.trusted_comment().map_err(refuse)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (SecretKey, PublicKey) {
        let folder = tempfile::tempdir().unwrap();
        let (secret, public) = generate_keys(None).unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, secret).unwrap();
        (SecretKey::read(&path, None).unwrap(), PublicKey::parse(&public, &path).unwrap())
    }

    #[test]
    fn signs_and_checks() {
        let (secret, public) = keys();
        assert_eq!(secret.public_key().unwrap().key_id(), public.key_id());
        let signature = secret.sign(b"data", "comment");
        assert_eq!(signature, secret.sign(b"data", "comment"), "deterministic");
        let verified = SignatureState::Verified { key_id: public.key_id(), comment: "comment".into() };
        assert_eq!(check(b"data", &signature, Some(&public)).unwrap(), verified);
        assert_eq!(
            check(b"data", &signature, None).unwrap(),
            SignatureState::Unchecked { key_id: public.key_id() }
        );
    }

    #[test]
    fn refuses_what_does_not_hold() {
        let (secret, public) = keys();
        let (_, other) = keys();
        let signature = secret.sign(b"data", "comment");
        for (data, signature, key) in [
            (&b"Data"[..], signature.clone(), &public),
            (b"data", signature.clone(), &other),
            (b"data", signature.replace("comment: comment", "comment: Comment"), &public),
            (b"data", signature.replace("untrusted comment: s", "untrusted comment: S"), &public),
            (b"data", "nonsense".to_owned(), &public),
            (b"data", signature.replace("=\n", "\n"), &public),
            (b"data", signature.trim_end()[..signature.len() - 30].to_owned(), &public),
        ] {
            assert!(matches!(check(data, &signature, Some(key)), Err(Error::Signature { .. })));
        }
    }
}
