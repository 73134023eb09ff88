//! The server's end of TLS, in memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::certificates::Identity;

/// What a server needs to speak TLS as `identity`, in these versions.
///
/// # Panics
/// If the identity is of no use.
#[must_use]
pub fn server_config(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    server_config_for(identity, versions, None)
}

/// As [`server_config`], but with an authority in PEM each client needs a certificate of it.
///
/// # Panics
/// If the identity or the authority is of no use.
#[must_use]
pub fn server_config_for(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
    client_ca: Option<&str>,
) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match client_ca {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            let all = CertificateDer::pem_slice_iter(pem.as_bytes());
            roots.add_parsable_certificates(all.filter_map(Result::ok));
            let provider = Arc::clone(&provider);
            match WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build() {
                Ok(verifier) => verifier,
                Err(error) => panic!("the authority cannot be used: {error}"),
            }
        }
    };
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let (Ok(chain), Ok(key), Ok(config)) = (chain, key, config) else {
        panic!("the identity cannot be read");
    };
    match config
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
    {
        Ok(config) => Arc::new(config),
        Err(error) => panic!("the identity cannot be used: {error}"),
    }
}

/// The server's end of one link.
#[derive(Debug)]
pub struct TlsEnd(ServerConnection);

impl TlsEnd {
    /// Before the handshake.
    ///
    /// # Panics
    /// If rustls cannot begin.
    #[must_use]
    pub fn new(config: &Arc<ServerConfig>) -> Self {
        match ServerConnection::new(Arc::clone(config)) {
            Ok(connection) => Self(connection),
            Err(error) => panic!("the server cannot begin: {error}"),
        }
    }

    /// Takes what came, and gives what was in it; none if it is no TLS.
    pub fn open(&mut self, mut sealed: &[u8]) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        while !sealed.is_empty() {
            if !matches!(self.0.read_tls(&mut sealed), Ok(1..)) {
                break;
            }
            self.0.process_new_packets().ok()?;
            // The end of what there is says `WouldBlock`.
            let _ = self.0.reader().read_to_end(&mut plain);
        }
        Some(plain)
    }

    /// What is to be sent, with `plain` at its end.
    pub fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        let mut rest = plain;
        // It takes some at a time only.
        loop {
            let taken = self.0.writer().write(rest).unwrap_or_default();
            rest = rest.get(taken..).unwrap_or_default();
            while self.0.wants_write() {
                let _ = self.0.write_tls(&mut sealed);
            }
            if rest.is_empty() || taken == 0 {
                return sealed;
            }
        }
    }

    /// Whether the handshake is over.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.0.is_handshaking()
    }

    /// Whether the client has said that it will send no more.
    pub fn has_client_closed(&mut self) -> bool {
        self.0
            .process_new_packets()
            .is_ok_and(|state| state.peer_has_closed())
    }
}
