//! The server's end of TLS, in memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use crate::certificates::Identity;

/// How a server speaks TLS 1.2 and 1.3; with an authority of clients, each needs a certificate of
/// it. All is PEM.
///
/// # Panics
/// Something cannot be used.
#[must_use]
pub fn server_config(identity: &Identity, client_ca: Option<&str>) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let verifier = match client_ca {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            let all = CertificateDer::pem_slice_iter(pem.as_bytes());
            roots.add_parsable_certificates(all.filter_map(Result::ok));
            let provider = Arc::clone(&provider);
            must(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build())
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
    let chain = must(chain.collect::<Result<Vec<_>, _>>());
    let key = must(PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()));
    let config =
        must(ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions());
    let config = config.with_client_cert_verifier(verifier);
    Arc::new(must(config.with_single_cert(chain, key)))
}

/// One connection.
#[derive(Debug)]
pub(crate) struct TlsEnd(ServerConnection);

impl TlsEnd {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Self {
        Self(must(ServerConnection::new(Arc::clone(config))))
    }

    /// What is in the records that came, and whether the connection is broken.
    pub(crate) fn receive(&mut self, mut records: &[u8]) -> (Vec<u8>, bool) {
        let mut plain = Vec::new();
        while !records.is_empty() {
            if self.0.read_tls(&mut records).is_err() || self.0.process_new_packets().is_err() {
                return (plain, true);
            }
            // It says that there is no more for now as an error.
            let _ = self.0.reader().read_to_end(&mut plain);
        }
        (plain, false)
    }

    /// The records for this, and for what TLS has to say.
    pub(crate) fn send(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        let mut rest = plain;
        loop {
            let taken = self.0.writer().write(rest).unwrap_or_default();
            rest = rest.get(taken..).unwrap_or_default();
            while self.0.wants_write() {
                must(self.0.write_tls(&mut records));
            }
            if rest.is_empty() {
                return records;
            }
        }
    }
}

fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the server's end of TLS: {error}"))
}
