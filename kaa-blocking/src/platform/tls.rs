//! What a local platform needs for TLS.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

/// The certificate that a local platform shows to its MQTT clients, its key, and whether clients
/// need one too. TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct LocalTls {
    config: Arc<ServerConfig>,
}

impl LocalTls {
    /// From PEM: the chain, the platform's own certificate first; the key, as PKCS#8, SEC1 or
    /// PKCS#1, not encrypted; and the authorities of which every client must have a certificate,
    /// or `None` if clients need none.
    ///
    /// # Errors
    /// One of them cannot be used. Keys are not repeated.
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        client_ca: Option<&[u8]>,
    ) -> Result<Self, LocalTlsError> {
        let broken = LocalTlsError::BadCertificate;
        let chain = certificates(chain, LocalTlsError::NoCertificate, broken)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            match matches!(error, pem::Error::NoItemsFound) {
                true => LocalTlsError::NoKey,
                false => LocalTlsError::BadKey,
            }
        })?;
        let provider = Arc::new(default_provider());
        let verifier = match client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(text) => {
                let builder = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(authorities(text)?),
                    Arc::clone(&provider),
                );
                builder.build().map_err(|_| LocalTlsError::BadClientCa)?
            }
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let builder = builder.with_client_cert_verifier(verifier);
                builder.with_single_cert(chain, key)
            })
            .map_err(|error| refusal(&error))?;
        let config = Arc::new(config);
        Ok(Self { config })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

/// The key is not shown.
impl fmt::Debug for LocalTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTls").finish_non_exhaustive()
    }
}

/// Why [`LocalTls`] cannot be made: the caller's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalTlsError {
    /// There is no certificate in the chain.
    NoCertificate,
    /// A certificate of the chain is broken.
    BadCertificate,
    /// There is no private key, or an encrypted one.
    NoKey,
    /// The private key is broken, or of a kind that is not known.
    BadKey,
    /// The private key is another certificate's.
    KeyMismatch,
    /// There is no certificate among the authorities of clients.
    NoClientCa,
    /// A certificate of the authorities of clients is broken.
    BadClientCa,
}

impl fmt::Display for LocalTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => "there is no PEM certificate in the certificate chain",
            Self::BadCertificate => "a certificate of the chain is broken",
            Self::NoKey => "there is no PEM private key that is not encrypted",
            Self::BadKey => "the private key is broken or of an unknown kind",
            Self::KeyMismatch => "the private key does not belong to the certificate",
            Self::NoClientCa => "there is no PEM certificate of a client authority",
            Self::BadClientCa => "the certificate of a client authority is broken",
        })
    }
}

impl std::error::Error for LocalTlsError {}

fn certificates(
    text: &[u8],
    none: LocalTlsError,
    broken: LocalTlsError,
) -> Result<Vec<CertificateDer<'static>>, LocalTlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(none),
        all => all.map_err(|_| broken),
    }
}

fn authorities(text: &[u8]) -> Result<RootCertStore, LocalTlsError> {
    let (none, broken) = (LocalTlsError::NoClientCa, LocalTlsError::BadClientCa);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text, none, broken)? {
        roots.add(certificate).map_err(|_| broken)?;
    }
    Ok(roots)
}

/// What certificate and key that are both read are refused for.
fn refusal(error: &Error) -> LocalTlsError {
    if *error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
        return LocalTlsError::KeyMismatch;
    }
    match matches!(error, Error::InvalidCertificate(_)) {
        true => LocalTlsError::BadCertificate,
        false => LocalTlsError::BadKey,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaa_tests::certificates::{Authority, Key, Server};

    #[test]
    fn what_cannot_be_used_is_told_apart_and_keys_are_not_shown() {
        let authority = Authority::new("Root");
        let own = authority.server(Server::Good, Key::EcPkcs8);
        let other = authority.server(Server::Good, Key::RsaPkcs1);
        let (chain, key) = (own.chain_pem.as_str(), own.key_pem.as_str());
        let root = authority.certificate_pem();
        let make = |chain: &str, key: &str, ca: Option<&str>| {
            let ca = ca.map(str::as_bytes);
            let made = LocalTls::from_pem(chain.as_bytes(), key.as_bytes(), ca);
            made.map(|tls| format!("{tls:?}"))
        };
        assert_eq!(make(chain, key, Some(&root)), Ok("LocalTls { .. }".into()));
        assert_eq!(make(&other.chain_pem, &other.key_pem, None).err(), None);

        let broken = "-----BEGIN CERTIFICATE-----\nMTIz\n-----END CERTIFICATE-----\n";
        let cut = root.replace("-----END", "----END");
        let bad_key = broken.replace("CERTIFICATE", "PRIVATE KEY");
        let sealed = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        for (chain, key, ca, error) in [
            ("", key, None, LocalTlsError::NoCertificate),
            (key, key, None, LocalTlsError::NoCertificate),
            (broken, key, None, LocalTlsError::BadCertificate),
            (&cut, key, None, LocalTlsError::BadCertificate),
            (chain, "", None, LocalTlsError::NoKey),
            (chain, chain, None, LocalTlsError::NoKey),
            (chain, &sealed, None, LocalTlsError::NoKey),
            (chain, &bad_key, None, LocalTlsError::BadKey),
            (chain, &other.key_pem, None, LocalTlsError::KeyMismatch),
            (chain, key, Some(key), LocalTlsError::NoClientCa),
            (chain, key, Some(broken), LocalTlsError::BadClientCa),
            (chain, key, Some(&cut), LocalTlsError::BadClientCa),
        ] {
            assert_eq!(make(chain, key, ca), Err(error));
        }
    }
}
