//! An authority, made or read, and what it signs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::MAX_DAYS;
use super::files::Pair;
use crate::cli::failure::Failure;

/// What certificates are older than they say: clocks of other machines may be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, which others trust.
    certificate: String,
    files: Pair,
}

/// What a certificate is good for.
pub(super) enum Use<'a> {
    /// To be reached under these hosts, and to reach others; of a node that is called so.
    Node(&'a str, &'a [String]),
    /// To reach nodes, under this name.
    Client(&'a str),
}

impl Authority {
    /// The one in these files, which was made under this name; made, if there are none.
    pub(super) fn of(files: Pair, name: &str, written: &mut Vec<PathBuf>) -> Result<Self, Failure> {
        let mut wanted = params(Vec::new(), name, MAX_DAYS)?;
        wanted.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let (certificate, key) = if files.is_there() {
            let (certificate, key) = files.read()?;
            let key = KeyPair::from_pem(&key).map_err(|error| {
                let path = files.key.display();
                Failure::Refused(format!("no key can be read from {path}: {error}"))
            })?;
            (certificate, key)
        } else {
            let key = new_key()?;
            let certificate = wanted.self_signed(&key).map_err(failed)?.pem();
            files.write(&certificate, &key.serialize_pem(), written)?;
            (certificate, key)
        };
        Ok(Authority {
            // Of its certificate nothing counts but its name and its key.
            issuer: Issuer::new(wanted, key),
            certificate,
            files,
        })
    }

    /// Makes a certificate and its key.
    pub(super) fn sign(
        &self,
        files: &Pair,
        what: Use<'_>,
        days: u32,
        written: &mut Vec<PathBuf>,
    ) -> Result<(), Failure> {
        let (names, name, uses) = match what {
            Use::Node(name, hosts) => (
                hosts.to_vec(),
                name,
                vec![
                    ExtendedKeyUsagePurpose::ServerAuth,
                    ExtendedKeyUsagePurpose::ClientAuth,
                ],
            ),
            Use::Client(name) => (Vec::new(), name, vec![ExtendedKeyUsagePurpose::ClientAuth]),
        };
        let mut wanted = params(names, name, days)?;
        wanted.is_ca = IsCa::ExplicitNoCa;
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.extended_key_usages = uses;
        wanted.use_authority_key_identifier_extension = true;
        let key = new_key()?;
        let certificate = wanted.signed_by(&key, &self.issuer).map_err(failed)?;
        self.check(certificate.der())?;
        files.write(&certificate.pem(), &key.serialize_pem(), written)
    }

    /// Whether those who trust this authority will trust a certificate: they will not if its key is
    /// another one's, or if it was made by other means, under another name.
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Failure> {
        self.verify(certificate).map_err(|why| {
            Failure::Refused(format!(
                "{} and {} do not belong together, or were not made by `braft certs`: {why}; use \
                 another --dir",
                self.files.certificate.display(),
                self.files.key.display()
            ))
        })
    }

    fn verify(&self, certificate: &CertificateDer<'_>) -> Result<(), String> {
        let authority = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let mut roots = RootCertStore::empty();
        let added = roots.add(authority.map_err(|error| error.to_string())?);
        added.map_err(|error| error.to_string())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| error.to_string())?;
        let verified = verifier.verify_client_cert(certificate, &[], UnixTime::now());
        verified.map(drop).map_err(|error| error.to_string())
    }
}

fn params(names: Vec<String>, name: &str, days: u32) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(names.clone()).map_err(|_| {
        let names = names.join(", ");
        Failure::Refused(format!(
            "one of these is neither a host name nor an IP address: {names}"
        ))
    })?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|_| Failure::Refused("the clock shows a time before 1970".to_owned()))?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + now + days * DAY;
    Ok(params)
}

fn new_key() -> Result<KeyPair, Failure> {
    KeyPair::generate().map_err(failed)
}

fn failed(error: rcgen::Error) -> Failure {
    Failure::Refused(format!("no certificate can be made: {error}"))
}
