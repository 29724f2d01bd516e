//! What a server's certificate says: until when, for which names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferry_model::host::Host;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Until when, and which names it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// When it ends.
    pub(super) ends: SystemTime,
    /// Of the names that were asked about, those that it is not for.
    pub(super) lacks: Vec<Host>,
}

/// Reads a certificate (DER).
pub(super) fn read(der: &[u8], names: &[Host]) -> Result<Certificate, String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    let der = CertificateDer::from(der);
    let certificate = ParsedCertificate::try_from(&der).map_err(|error| error.to_string())?;
    let is_for = |name: &Host| {
        ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
    };
    let lacks = names.iter().filter(|name| !is_for(name)).cloned().collect();
    Ok(Certificate { ends: UNIX_EPOCH + Duration::from_secs(seconds), lacks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn names_and_end() {
        let mut params =
            CertificateParams::new(["r.corp", "*.wild.corp", "10.0.0.5"].map(str::to_owned)).unwrap();
        params.not_after = date_time_ymd(2030, 1, 1);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let asked: Vec<Host> =
            ["r.corp", "a.wild.corp", "10.0.0.5", "other.corp", "10.0.0.6", "a.b.wild.corp"]
                .iter()
                .map(|name| name.parse().unwrap())
                .collect();
        let certificate = read(made.der(), &asked).unwrap();
        assert_eq!(certificate.ends, UNIX_EPOCH + Duration::from_secs(1_893_456_000));
        assert_eq!(certificate.lacks, asked[3..]);
        assert!(read(b"nonsense", &asked).is_err());
    }
}
