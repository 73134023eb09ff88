//! The server's certificate: verified by webpki, and told apart where it is self-signed.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

/// Decides as webpki does.
#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// What it trusts.
    roots: Arc<RootCertStore>,
}

impl Verifier {
    pub(super) const fn new(webpki: Arc<WebPkiServerVerifier>, roots: Arc<RootCertStore>) -> Self {
        Self { webpki, roots }
    }

    fn is_root(&self, certificate: &CertificateDer<'_>) -> bool {
        webpki::anchor_from_trusted_cert(certificate)
            .is_ok_and(|anchor| self.roots.roots.contains(&anchor))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.webpki
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| match is_untrusted(&error) {
                true if self.is_root(end_entity) => named(OtherError(Arc::new(IsAuthority))),
                true if is_self_signed(end_entity) => named(OtherError(Arc::new(SelfSigned))),
                _ => error,
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn named(error: OtherError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(error))
}

/// The second is what webpki says of a certificate that is marked as an authority.
const fn is_untrusted(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
    )
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.issuer() == certificate.subject())
}

/// Marks a certificate that is its own issuer, and not trusted.
#[derive(Debug)]
pub(super) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed")
    }
}

impl std::error::Error for SelfSigned {}

/// Marks a certificate that is trusted, but as an authority: webpki takes it for no server's.
#[derive(Debug)]
pub(super) struct IsAuthority;

impl fmt::Display for IsAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an authority's own")
    }
}

impl std::error::Error for IsAuthority {}
