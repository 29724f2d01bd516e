//! Certificates: given ones, or ones that Ferry makes and keeps.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ServeError;
use crate::replace::{self, Guise};

const DAY: u64 = 24 * 60 * 60;
/// Sites keep an authority for as long as they keep the cluster.
const AUTHORITY_LIFE: u64 = 3650 * DAY;
/// As long as browsers accept.
const SERVER_LIFE: u64 = 820 * DAY;
/// A server certificate is renewed at the first start within this time before its end.
const RENEW_BEFORE: u64 = 60 * DAY;
/// Clocks in closed networks go wrong: certificates are valid from well before they were made.
const BACKDATE: u64 = 30 * DAY;

/// The TLS side of the server, from a PEM certificate chain and key.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, ServeError> {
    let pem = |path: &Path, reason: String| ServeError::Pem { path: path.to_owned(), reason };
    let text = read(certificate)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(pem(certificate, "it has no certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| pem(key, error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| pem(certificate, error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Files of a generated certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    /// What clients must trust.
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// When the files in the directory end, and what they are for.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    /// Seconds since 1970.
    authority_ends: u64,
    server_ends: u64,
    names: Vec<String>,
}

/// What the certificates in a directory are good for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CertificateState {
    /// The names that the server's holds for.
    pub(crate) names: Vec<String>,
    /// Whether those are exactly the ones asked for.
    pub(crate) covers: bool,
    /// Whether neither certificate is near its end, and every file is there.
    pub(crate) valid: bool,
    /// The digest of the authority's certificate.
    pub(crate) authority: String,
    /// The digest of the server's.
    pub(crate) server: String,
}

/// When the server's certificate ends that [`generate`] has made in `directory`, where that is known.
pub(crate) fn server_ends(directory: &Path) -> Option<SystemTime> {
    let record: Record = serde_json::from_slice(&fs::read(directory.join("certificates.json")).ok()?).ok()?;
    (record.server_ends > 0).then(|| UNIX_EPOCH + Duration::from_secs(record.server_ends))
}

/// Looks at what [`generate`] has made in `directory`, without changing anything.
pub(crate) fn state(
    directory: &Path,
    names: &[String],
    now: SystemTime,
) -> Result<CertificateState, ServeError> {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let record: Record = fs::read(directory.join("certificates.json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let names = all_names(names)?;
    let exist =
        ["ca.crt", "ca.key", "server.crt", "server.key"].iter().all(|name| directory.join(name).exists());
    let fresh = record.authority_ends > now + SERVER_LIFE && record.server_ends > now + RENEW_BEFORE;
    let digest = |name: &str| {
        let text = fs::read(directory.join(name));
        text.map(|text| ferry_model::Digest::of(&text).short()).unwrap_or_default()
    };
    Ok(CertificateState {
        covers: record.names == names,
        names: record.names,
        valid: exist && fresh,
        authority: digest("ca.crt"),
        server: digest("server.crt"),
    })
}

/// The certificate for `names` in `directory`: the one that is there while it fits, else a new one. The authority is
/// made once, so that clients need to be told only once.
pub(crate) fn generate(directory: &Path, names: &[String], now: SystemTime) -> Result<Generated, ServeError> {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let file = |name: &str| directory.join(name);
    let files =
        Generated { authority: file("ca.crt"), certificate: file("server.crt"), key: file("server.key") };
    let (authority_key, record_file) = (file("ca.key"), file("certificates.json"));
    create_directory(directory)?;

    let mut record: Record =
        fs::read(&record_file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let exists = |paths: &[&Path]| paths.iter().all(|path| path.exists());
    let authority_fits =
        record.authority_ends > now + SERVER_LIFE && exists(&[&files.authority, &authority_key]);
    let names = all_names(names)?;
    let server_fits = authority_fits
        && record.server_ends > now + RENEW_BEFORE
        && record.names == names
        && exists(&[&files.certificate, &files.key]);
    if server_fits {
        return Ok(files);
    }
    // Whoever is killed between a key and its certificate leaves no record that vouches for the pair.
    let vouch = |record: &Record| {
        let text = serde_json::to_vec_pretty(record).expect("a record has only numbers and strings");
        write(&record_file, &text, PUBLIC)
    };
    record = Record { authority_ends: record.authority_ends, ..Record::default() };
    let key = if authority_fits {
        vouch(&record)?;
        let text = String::from_utf8_lossy(&read(&authority_key)?).into_owned();
        KeyPair::from_pem(&text)
            .map_err(|error| ServeError::Pem { path: authority_key.clone(), reason: error.to_string() })?
    } else {
        remove(&record_file)?;
        let key = KeyPair::generate()?;
        record.authority_ends = now + AUTHORITY_LIFE;
        let certificate = authority(now, record.authority_ends, &key).self_signed(&key)?;
        write(&authority_key, key.serialize_pem().as_bytes(), SECRET)?;
        write(&files.authority, certificate.pem().as_bytes(), PUBLIC)?;
        vouch(&record)?;
        key
    };
    let issuer = Issuer::new(authority(now, record.authority_ends, &key), key);
    let server_key = KeyPair::generate()?;
    record.server_ends = now + SERVER_LIFE;
    let certificate = server(&names, now, record.server_ends)?.signed_by(&server_key, &issuer)?;
    write(&files.key, server_key.serialize_pem().as_bytes(), SECRET)?;
    write(&files.certificate, certificate.pem().as_bytes(), PUBLIC)?;
    record.names = names;
    vouch(&record)?;
    Ok(files)
}

/// The parameters of the authority. Its name ends in a piece of its key, so that an authority that was made anew is
/// not taken for the old one.
fn authority(now: u64, ends: u64, key: &KeyPair) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let piece = ferry_model::Digest::of(key.public_key_raw()).short();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("Ferry authority {piece}"));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut parameters, now, ends);
    parameters
}

fn server(names: &[String], now: u64, ends: u64) -> Result<CertificateParams, ServeError> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "Ferry");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    validity(&mut parameters, now, ends);
    Ok(parameters)
}

fn validity(parameters: &mut CertificateParams, now: u64, ends: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + Duration::from_secs(now.saturating_sub(BACKDATE));
    parameters.not_after = epoch + Duration::from_secs(ends);
}

/// The names asked for and those that this host always has, sorted.
fn all_names(names: &[String]) -> Result<Vec<String>, ServeError> {
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"]
        .into_iter()
        .map(str::to_owned)
        .chain(names.iter().cloned())
        .collect();
    all.sort_unstable();
    all.dedup();
    let label_is_good = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_*".contains(c))
    };
    let is_good = |name: &str| {
        name.parse::<std::net::IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label_is_good))
    };
    match all.iter().find(|name| !is_good(name)) {
        Some(bad) => Err(ServeError::CertificateName { name: bad.clone() }),
        None => Ok(all),
    }
}

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

fn create_directory(path: &Path) -> Result<(), ServeError> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(error("creating", path))
}

fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    fs::read(path).map_err(error("reading", path))
}

fn remove(path: &Path) -> Result<(), ServeError> {
    replace::remove_file(path).map_err(error("removing", path))
}

/// Writes a file whole or not at all; a key is never readable by others, not even for a moment.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), ServeError> {
    replace::write_file(path, content, &Guise::with_mode(mode)).map_err(error("writing", path))
}

fn error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServeError {
    move |source| ServeError::File { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_once_and_renewed_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("tls");
        let now = SystemTime::now();
        let names = ["registry.corp".to_owned(), "10.0.0.5".to_owned()];
        let files = generate(&directory, &names, now).unwrap();
        let state = |files: &Generated| (read(&files.authority).unwrap(), read(&files.certificate).unwrap());
        let first = state(&files);
        acceptor(&files.certificate, &files.key).unwrap();
        for key in ["ca.key", "server.key"] {
            let mode = fs::metadata(directory.join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }

        generate(&directory, &names, now + Duration::from_secs(700 * DAY)).unwrap();
        assert_eq!(state(&files), first, "reused");

        generate(&directory, &names, now + Duration::from_secs(780 * DAY)).unwrap();
        let renewed = state(&files);
        assert_eq!(renewed.0, first.0, "the same authority");
        assert_ne!(renewed.1, first.1, "a new certificate near the old one's end");

        generate(&directory, &names[..1], now).unwrap();
        assert_ne!(state(&files).1, renewed.1, "other names need another certificate");

        generate(&directory, &names, now + Duration::from_secs(3000 * DAY)).unwrap();
        assert_ne!(
            state(&files).0,
            first.0,
            "a new authority before the old one ends before its certificates"
        );
        acceptor(&files.certificate, &files.key).unwrap();
    }

    #[test]
    fn a_pair_that_was_half_written_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let files = generate(folder.path(), &[], now).unwrap();
        let authority = read(&files.authority).unwrap();
        let old = read(&files.certificate).unwrap();
        // A folder in its place lets the new key be written and the certificate not.
        fs::remove_file(&files.certificate).unwrap();
        fs::create_dir(&files.certificate).unwrap();
        generate(folder.path(), &["registry.corp".to_owned()], now).unwrap_err();
        fs::remove_dir(&files.certificate).unwrap();
        fs::write(&files.certificate, old).unwrap();
        assert!(acceptor(&files.certificate, &files.key).is_err(), "they are no pair");
        assert!(!state(folder.path(), &[], now).unwrap().valid);
        generate(folder.path(), &[], now).unwrap();
        acceptor(&files.certificate, &files.key).unwrap();
        assert_eq!(read(&files.authority).unwrap(), authority, "clients trust that already");
    }

    #[test]
    fn bad_names_and_files() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "a b", "http://x", "a..b", "host:5000"] {
            let made = generate(folder.path(), &[bad.to_owned()], SystemTime::now());
            assert!(matches!(made, Err(ServeError::CertificateName { name }) if name == bad), "{bad}");
        }
        let files = generate(folder.path(), &[], SystemTime::now()).unwrap();
        assert!(matches!(acceptor(&files.key, &files.key), Err(ServeError::Pem { .. })));
        assert!(matches!(acceptor(&files.certificate, &files.certificate), Err(ServeError::Pem { .. })));
        assert!(
            matches!(acceptor(&files.authority, &files.key), Err(ServeError::Pem { .. })),
            "a key of another certificate"
        );
        assert!(matches!(acceptor(Path::new("/nowhere"), &files.key), Err(ServeError::File { .. })));
    }
}
