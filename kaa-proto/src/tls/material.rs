//! Reading certificates and keys, and what is wrong with them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::verifier::Verifier;

/// Why TLS cannot be set up: the caller's mistake, nothing was begun. Neither certificates nor
/// keys are repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTls {
    /// A file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The system has no authorities that could be trusted; give some with
    /// [`Options::ca`](super::Options::ca).
    NoSystemRoots,
    /// What was given as authorities holds no usable certificate, in PEM or DER.
    Authorities,
    /// What was given as the client's certificate holds none, in PEM or DER.
    Certificate,
    /// What was given as the client's key holds none that can be used: RSA of 2048 to 4096 bits,
    /// P-256, P-384 or Ed25519; as PKCS#8, SEC1 or PKCS#1, in PEM or DER, without a passphrase.
    Key,
    /// The client's key is not that of its certificate.
    KeyMismatch,
    /// The host of the URL is neither a DNS name nor an IP address.
    ServerName,
    /// A binding did not load the options.
    NotLoaded,
}

impl fmt::Display for InvalidTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable { path, reason } => {
                return write!(f, "{} cannot be read: {reason}", path.display());
            }
            Self::NoSystemRoots => "the system has no certificate authorities; give some",
            Self::Authorities => "the authorities hold no usable certificate, in PEM or DER",
            Self::Certificate => "the client's certificate is none, in PEM or DER",
            Self::Key => {
                "the client's key cannot be used: it has to be RSA of 2048 to 4096 bits, P-256, \
                 P-384 or Ed25519, as PKCS#8, SEC1 or PKCS#1 without a passphrase"
            }
            Self::KeyMismatch => "the client's key is not that of its certificate",
            Self::ServerName => "the host is neither a DNS name nor an IP address",
            Self::NotLoaded => "the TLS options were not loaded",
        })
    }
}

impl std::error::Error for InvalidTls {}

/// The certificates of authorities.
pub(super) fn authorities(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    // Old ones have no version that says what they may be used for.
    let is_usable = |der: &CertificateDer<'_>| webpki::anchor_from_trusted_cert(der).is_ok();
    certificates(bytes, is_usable).ok_or(InvalidTls::Authorities)
}

/// The client's certificate, and those between it and its authority.
pub(super) fn chain(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let is_usable = |der: &CertificateDer<'_>| webpki::EndEntityCert::try_from(der).is_ok();
    certificates(bytes, is_usable).ok_or(InvalidTls::Certificate)
}

/// The client's key.
pub(super) fn key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, InvalidTls> {
    let key = match is_pem(bytes) {
        true => PrivateKeyDer::from_pem_slice(bytes).ok(),
        false => PrivateKeyDer::try_from(bytes.to_vec()).ok(),
    };
    key.ok_or(InvalidTls::Key)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "rustls may add to it")]
pub(super) fn config(
    roots: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, InvalidTls> {
    if roots.is_empty() {
        return Err(InvalidTls::NoSystemRoots);
    }
    let mut store = RootCertStore::empty();
    // The system's store may hold some that cannot be read; those given are all of no use then.
    if store.add_parsable_certificates(roots).0 == 0 {
        return Err(InvalidTls::Authorities);
    }
    let provider = Arc::new(ring::default_provider());
    let store = Arc::new(store);
    let webpki = WebPkiServerVerifier::builder_with_provider(store.clone(), provider.clone())
        .build()
        .map_err(|_| InvalidTls::Authorities)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| InvalidTls::Authorities)?
        .dangerous()
        // It verifies as webpki does, and only names one failure better.
        .with_custom_certificate_verifier(Arc::new(Verifier::new(webpki, store)));
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => {
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => InvalidTls::KeyMismatch,
                    rustls::Error::InvalidCertificate(_) => InvalidTls::Certificate,
                    _ => InvalidTls::Key,
                })
        }
    }
}

fn certificates(
    bytes: &[u8],
    is_usable: impl Fn(&CertificateDer<'_>) -> bool,
) -> Option<Vec<CertificateDer<'static>>> {
    let certificates = match is_pem(bytes) {
        true => CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<Vec<_>, pem::Error>>()
            .ok()?,
        false => vec![CertificateDer::from(bytes.to_vec())],
    };
    (!certificates.is_empty() && certificates.iter().all(is_usable)).then_some(certificates)
}

fn is_pem(bytes: &[u8]) -> bool {
    let marker = b"-----BEGIN ";
    bytes.windows(marker.len()).any(|window| window == marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tls_cannot_be_set_up_with_is_told() {
        let unreadable = InvalidTls::Unreadable {
            path: "ca.pem".into(),
            reason: "no such file".into(),
        };
        let cases = [
            (unreadable, "ca.pem cannot be read: no such file"),
            (
                InvalidTls::NoSystemRoots,
                "the system has no certificate authorities; give some",
            ),
            (
                InvalidTls::Authorities,
                "the authorities hold no usable certificate, in PEM or DER",
            ),
            (
                InvalidTls::Certificate,
                "the client's certificate is none, in PEM or DER",
            ),
            (
                InvalidTls::Key,
                "the client's key cannot be used: it has to be RSA of 2048 to 4096 bits, P-256, \
                 P-384 or Ed25519, as PKCS#8, SEC1 or PKCS#1 without a passphrase",
            ),
            (
                InvalidTls::KeyMismatch,
                "the client's key is not that of its certificate",
            ),
            (
                InvalidTls::ServerName,
                "the host is neither a DNS name nor an IP address",
            ),
            (InvalidTls::NotLoaded, "the TLS options were not loaded"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
