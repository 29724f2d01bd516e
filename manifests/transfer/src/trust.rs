//! Which certificates are trusted: the system's authorities, and those that the user names.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::{CaFile, Error};

/// The TLS settings for these authorities.
pub(crate) fn client_config(ca_files: &[CaFile]) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = Trust::new(ca_files, &provider)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Setup(source.into()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The standard verification, with two additions: authorities for one host alone, and certificates that are trusted
/// as they are.
///
/// The latter is what `openssl req -x509` makes and docker's own documentation recommends: a certificate that signs
/// itself, and is marked as an authority. webpki refuses such a one as a server's, though the user has named it.
#[derive(Debug)]
struct Trust {
    common: Anchors,
    by_host: HashMap<String, Anchors>,
}

#[derive(Debug)]
struct Anchors {
    verifier: Arc<WebPkiServerVerifier>,
    /// The certificates themselves.
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    fn new(ca_files: &[CaFile], provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let (system, system_certificates) = system_roots();
        let read = |host: Option<&str>| -> Result<Vec<(&CaFile, CertificateDer<'static>)>, Error> {
            let wanted = ca_files.iter().filter(|file| file.host.is_none() || file.host.as_deref() == host);
            Ok(wanted.map(read_certificates).collect::<Result<Vec<_>, _>>()?.concat())
        };
        let anchors = |host| Anchors::new(system.clone(), &system_certificates, read(host)?, provider);
        let hosts = ca_files.iter().filter_map(|file| file.host.as_deref());
        Ok(Self {
            common: anchors(None)?,
            by_host: hosts
                .map(|host| Ok((without_port(host).to_ascii_lowercase(), anchors(Some(host))?)))
                .collect::<Result<_, Error>>()?,
        })
    }

    fn anchors(&self, name: &ServerName<'_>) -> &Anchors {
        self.by_host.get(&name.to_str().to_ascii_lowercase()).unwrap_or(&self.common)
    }
}

impl Anchors {
    fn new(
        mut roots: RootCertStore,
        system: &[CertificateDer<'static>],
        named: Vec<(&CaFile, CertificateDer<'static>)>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        for (file, certificate) in &named {
            roots.add(certificate.clone()).map_err(|source| Error::CaFile {
                path: file.path.clone(),
                source: io::Error::new(io::ErrorKind::InvalidData, source),
            })?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|source| Error::Setup(source.into()))?;
        let named = named.into_iter().map(|(_, certificate)| certificate);
        Ok(Self { verifier, named: named.chain(system.iter().cloned()).collect() })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError as Bad;
        let anchors = self.anchors(server_name);
        match anchors.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            // webpki looks at the validity first, so what comes here lies within it.
            Err(rustls::Error::InvalidCertificate(Bad::Other(_) | Bad::UnknownIssuer | Bad::BadEncoding))
                if anchors.named.iter().any(|named| named == end_entity) =>
            {
                let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.common.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.common.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.common.verifier.supported_verify_schemes()
    }
}

/// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` count); Mozilla's where it has none at all.
fn system_roots() -> (RootCertStore, Vec<CertificateDer<'static>>) {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "part of the system's certificates cannot be read");
    }
    roots.add_parsable_certificates(found.certs.iter().cloned());
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    (roots, found.certs)
}

fn read_certificates(file: &CaFile) -> Result<Vec<(&CaFile, CertificateDer<'static>)>, Error> {
    let error = |source: io::Error| Error::CaFile { path: file.path.clone(), source };
    let bytes = std::fs::read(&file.path).map_err(error)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| error(io::Error::new(io::ErrorKind::InvalidData, source.to_string())))?;
    if certificates.is_empty() {
        return Err(error(io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate")));
    }
    Ok(certificates.into_iter().map(|certificate| (file, certificate)).collect())
}

/// TLS names hosts, not ports.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
    use std::io::Write as _;

    struct Made {
        file: tempfile::NamedTempFile,
        der: CertificateDer<'static>,
    }

    fn saved(pem: &str, der: &CertificateDer<'static>) -> Made {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        Made { file, der: der.clone() }
    }

    /// What `openssl req -x509` makes: signs itself, and says that it is an authority.
    fn self_signed(name: &str, until: i32) -> Made {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        saved(&certificate.pem(), certificate.der())
    }

    fn verify(
        ca_files: &[CaFile],
        certificate: &CertificateDer<'_>,
        name: &str,
    ) -> Result<(), rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = Trust::new(ca_files, &provider).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        trust.verify_server_cert(certificate, &[], &name, &[], now).map(|_| ())
    }

    fn ca_file(made: &Made, host: Option<&str>) -> Vec<CaFile> {
        vec![CaFile { host: host.map(str::to_owned), path: made.file.path().to_owned() }]
    }

    #[test]
    fn an_authority_and_what_it_signed() {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let leaf = CertificateParams::new(["r.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
        let authority = saved(&authority.pem(), authority.der());
        assert!(verify(&ca_file(&authority, None), leaf.der(), "r.example").is_ok());
        assert!(verify(&ca_file(&authority, Some("R.example:5000")), leaf.der(), "r.example").is_ok());
        assert!(verify(&ca_file(&authority, Some("other.example")), leaf.der(), "r.example").is_err());
        assert!(verify(&ca_file(&authority, None), leaf.der(), "other.example").is_err());
        assert!(verify(&[], leaf.der(), "r.example").is_err());
    }

    #[test]
    fn a_self_signed_certificate_that_is_named() {
        let made = self_signed("r.example", 2099);
        assert!(verify(&ca_file(&made, None), &made.der, "r.example").is_ok());
        assert!(verify(&ca_file(&made, None), &made.der, "other.example").is_err());
        assert!(verify(&[], &made.der, "r.example").is_err());
        assert!(verify(&ca_file(&made, None), &self_signed("r.example", 2099).der, "r.example").is_err());
        let expired = self_signed("r.example", 2020);
        assert!(verify(&ca_file(&expired, None), &expired.der, "r.example").is_err());
    }

    #[test]
    fn files_that_hold_no_certificate() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            file.as_file_mut().set_len(0).unwrap();
            std::fs::write(file.path(), text).unwrap();
            let files = [CaFile { host: None, path: file.path().to_owned() }];
            assert!(matches!(client_config(&files), Err(Error::CaFile { .. })), "{text}");
        }
    }
}
