//! What certificates say: how connections are made and taken.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};

use super::files::Tls;

/// The contents of all files, made ready.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) client: Arc<ClientConfig>,
    /// Takes no one without a certificate.
    pub(super) server: Arc<ServerConfig>,
    /// Takes those too, who are then nobody.
    pub(super) http: Arc<ServerConfig>,
    /// Tells the certificates of members from those of clients.
    pub(super) members: Arc<dyn ClientCertVerifier>,
}

impl Loaded {
    /// Reads the files; an error names the file, and never says what is in it.
    pub(super) fn read(files: &Tls) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let own = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| format!("no key can be read from {}: {error}", files.key.display()))?;
        let mut roots = RootCertStore::empty();
        trust(&mut roots, &files.authority)?;
        let members = Arc::new(roots.clone());
        if let Some(clients) = &files.clients {
            trust(&mut roots, clients)?;
        }
        let all = Arc::new(roots);
        let wrong = |error: &dyn std::fmt::Display| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            format!("{certificate} and {key} cannot be used: {error}")
        };
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?
            .with_root_certificates(members.clone())
            .with_client_auth_cert(own.clone(), key.clone_key());
        let mut client = client.map_err(|error| wrong(&error))?;
        // Certificates are looked at for each connection anew.
        client.resumption = Resumption::disabled();
        let server = |verifier, protocol: &str| {
            let config = ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(|error| wrong(&error))?
                .with_client_cert_verifier(verifier)
                .with_single_cert(own.clone(), key.clone_key());
            let mut config = config.map_err(|error| wrong(&error))?;
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
            Ok::<_, String>(Arc::new(config))
        };
        Ok(Loaded {
            client: Arc::new(client),
            server: server(verifier(&all, &provider, false)?, "h2")?,
            http: server(verifier(&all, &provider, true)?, "http/1.1")?,
            members: verifier(&members, &provider, false)?,
        })
    }
}

fn verifier(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    takes_nobody: bool,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let builder = if takes_nobody {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    let built = builder.build();
    built.map_err(|error| format!("the authorities cannot be used: {error}"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: &dyn std::fmt::Display| {
        format!(
            "no certificate can be read from {}: {error}",
            path.display()
        )
    };
    let bytes = fs::read(path).map_err(|error| unreadable(&error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| unreadable(&error))?;
    if all.is_empty() {
        return Err(unreadable(&"there is none in it"));
    }
    Ok(all)
}

fn trust(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            let path = path.display();
            format!("{path} has a certificate that is no authority: {error}")
        })?;
    }
    Ok(())
}
