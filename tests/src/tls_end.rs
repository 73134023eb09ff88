//! The server's end of TLS, in memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

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
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let (Ok(chain), Ok(key), Ok(config)) = (chain, key, config) else {
        panic!("the identity cannot be read");
    };
    match config.with_no_client_auth().with_single_cert(chain, key) {
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
        let _ = self.0.writer().write_all(plain);
        while self.0.wants_write() {
            let _ = self.0.write_tls(&mut sealed);
        }
        sealed
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
