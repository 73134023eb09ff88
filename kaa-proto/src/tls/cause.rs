//! Why TLS failed, in words that say what to do.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

use super::verifier::{IsAuthority, SelfSigned};

/// Why a link could not be secured, or is not any more. No request fails by it.
///
/// Most need an operator, and are tried again slowly; see [`needs_operator`](Self::needs_operator).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificate is of an authority that is not trusted.
    UnknownAuthority,
    /// The server's certificate is its own authority, and not trusted.
    SelfSigned,
    /// The server shows the certificate of an authority, which is trusted as that, and cannot be a
    /// server's too. `openssl req -x509` makes such ones unless it is told `CA:FALSE`.
    IsAuthority,
    /// The server's certificate is over, by the local clock.
    Expired(Option<CertificateTime>),
    /// The server's certificate begins later, by the local clock. A clock that was never set is
    /// the likely cause (a gateway without a battery boots in 1970), so this is retried as any
    /// failure of the network.
    NotYetValid(Option<CertificateTime>),
    /// The server's certificate is for another host.
    WrongName,
    /// The server's certificate was revoked.
    Revoked,
    /// The server's certificate cannot be used, for another reason.
    BadCertificate(String),
    /// The server wants a certificate of the client, and there is none.
    ClientCertificateMissing,
    /// The server does not take the client's certificate.
    ClientCertificateRefused(String),
    /// The server does not speak TLS at this port.
    NotTls,
    /// There is no version, cipher or signature that both sides have.
    Incompatible(String),
    /// The connection ended in the middle of the handshake: the network, a server that is
    /// starting, or one that does not speak TLS at this port. The first two pass, so this is
    /// retried as any failure of the network.
    Cut,
    /// The server gave up for a reason of its own.
    Alert(String),
    /// Anything else.
    Other(String),
}

/// What a certificate says, and the local clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateTime {
    /// When the certificate begins or ends.
    pub limit: SystemTime,
    /// The local time when it was looked at.
    pub local: SystemTime,
}

#[allow(clippy::wildcard_enum_match_arm, reason = "rustls may add to it")]
impl TlsError {
    /// `lacked`: the server asked for a certificate, and there was none.
    pub(super) fn new(error: &Error, lacked: bool) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::AlertReceived(alert) => Self::of_alert(*alert, lacked),
            // The header of a record; what is wrong in its content is said by its own name.
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            ) => Self::NotTls,
            Error::PeerIncompatible(reason) => Self::Incompatible(format!("{reason:?}")),
            error => Self::Other(error.to_string()),
        }
    }

    /// Whether a person has to act before the next dial can do better.
    #[must_use]
    pub const fn needs_operator(&self) -> bool {
        match self {
            Self::UnknownAuthority
            | Self::SelfSigned
            | Self::IsAuthority
            | Self::Expired(_)
            | Self::WrongName
            | Self::Revoked
            | Self::BadCertificate(_)
            | Self::ClientCertificateMissing
            | Self::ClientCertificateRefused(_)
            | Self::NotTls
            | Self::Incompatible(_) => true,
            Self::NotYetValid(_) | Self::Cut | Self::Alert(_) | Self::Other(_) => false,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired(None),
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired(Some(CertificateTime::new(*not_after, *time)))
            }
            CertificateError::NotValidYet => Self::NotYetValid(None),
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid(Some(CertificateTime::new(*not_before, *time)))
            }
            // The second is an authority of the same name, and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::Revoked => Self::Revoked,
            CertificateError::Other(OtherError(error)) if error.is::<SelfSigned>() => {
                Self::SelfSigned
            }
            CertificateError::Other(OtherError(error)) if error.is::<IsAuthority>() => {
                Self::IsAuthority
            }
            error => Self::BadCertificate(error.to_string()),
        }
    }

    fn of_alert(alert: AlertDescription, lacked: bool) -> Self {
        use AlertDescription as A;
        match alert {
            A::CertificateRequired | A::NoCertificate => Self::ClientCertificateMissing,
            // TLS 1.2 has no alert of its own for it.
            A::HandshakeFailure | A::BadCertificate | A::AccessDenied if lacked => {
                Self::ClientCertificateMissing
            }
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError => Self::ClientCertificateRefused(format!("{alert:?}")),
            A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity => {
                Self::Incompatible(format!("{alert:?}"))
            }
            alert => Self::Alert(format!("{alert:?}")),
        }
    }
}

impl CertificateTime {
    fn new(limit: UnixTime, local: UnixTime) -> Self {
        let time = |unix: UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(unix.as_secs());
        Self {
            limit: time(limit),
            local: time(local),
        }
    }
}

impl fmt::Display for CertificateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = humantime::format_rfc3339_seconds;
        write!(
            f,
            "{}; the local time is {}",
            date(self.limit),
            date(self.local)
        )
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAuthority => "the server's certificate is of an unknown authority",
            Self::SelfSigned => "the server's certificate is self-signed, and not trusted",
            Self::IsAuthority => {
                "the server's certificate is that of an authority, which no server may show; it \
                 needs one with CA:FALSE"
            }
            Self::Expired(Some(time)) => {
                return write!(f, "the server's certificate expired at {time}");
            }
            Self::Expired(None) => "the server's certificate expired",
            Self::NotYetValid(Some(time)) => {
                return write!(f, "the server's certificate is not valid before {time}");
            }
            Self::NotYetValid(None) => "the server's certificate is not valid yet",
            Self::WrongName => "the server's certificate is for another host",
            Self::Revoked => "the server's certificate was revoked",
            Self::BadCertificate(reason) => {
                return write!(f, "the server's certificate cannot be used: {reason}");
            }
            Self::ClientCertificateMissing => "the server wants a client certificate",
            Self::ClientCertificateRefused(alert) => {
                return write!(f, "the server refused the client certificate: {alert}");
            }
            Self::NotTls => "the server does not speak TLS at this port",
            Self::Incompatible(reason) => {
                return write!(f, "there is no version or cipher in common: {reason}");
            }
            Self::Cut => {
                "the connection ended during the handshake; it may be that the server does not \
                 speak TLS at this port"
            }
            Self::Alert(alert) => return write!(f, "the server gave up: {alert}"),
            Self::Other(reason) => reason,
        })
    }
}

impl std::error::Error for TlsError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway whose clock was never set; a person has to see that it is the clock.
    #[test]
    fn a_certificate_out_of_its_time_is_told_with_the_local_time() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let early = CertificateError::NotValidYetContext {
            time: at(100),
            not_before: at(1_767_225_600),
        };
        let late = CertificateError::ExpiredContext {
            time: at(1_767_225_600),
            not_after: at(1_000_000_000),
        };
        let told = |error| TlsError::new(&Error::InvalidCertificate(error), false).to_string();
        assert_eq!(
            told(early),
            "the server's certificate is not valid before 2026-01-01T00:00:00Z; \
             the local time is 1970-01-01T00:01:40Z"
        );
        assert_eq!(
            told(late),
            "the server's certificate expired at 2001-09-09T01:46:40Z; \
             the local time is 2026-01-01T00:00:00Z"
        );
    }

    /// TLS 1.2 has no alert of its own for a certificate that is missing.
    #[test]
    fn an_alert_is_read_by_whether_a_certificate_was_asked_for_in_vain() {
        use AlertDescription as A;
        let of = |alert, lacked| TlsError::new(&Error::AlertReceived(alert), lacked);
        let missing = TlsError::ClientCertificateMissing;
        assert_eq!(of(A::CertificateRequired, true), missing);
        assert_eq!(of(A::HandshakeFailure, true), missing);
        let incompatible = TlsError::Incompatible("HandshakeFailure".into());
        assert_eq!(of(A::HandshakeFailure, false), incompatible);
        let refused = TlsError::ClientCertificateRefused("UnknownCA".into());
        assert_eq!(of(A::UnknownCA, false), refused);
        assert!(refused.needs_operator() && missing.needs_operator());
        assert!(!of(A::InternalError, true).needs_operator());
    }

    #[test]
    fn each_failure_of_a_certificate_has_its_cause() {
        use CertificateError as C;
        let of = |error| TlsError::new(&Error::InvalidCertificate(error), false);
        assert_eq!(of(C::Expired), TlsError::Expired(None));
        assert_eq!(of(C::NotValidYet), TlsError::NotYetValid(None));
        assert_eq!(of(C::UnknownIssuer), TlsError::UnknownAuthority);
        assert_eq!(of(C::BadSignature), TlsError::UnknownAuthority);
        assert_eq!(of(C::NotValidForName), TlsError::WrongName);
        assert_eq!(of(C::Revoked), TlsError::Revoked);
        assert!(matches!(of(C::BadEncoding), TlsError::BadCertificate(_)));
        let reason = rustls::PeerIncompatible::NoCipherSuitesInCommon;
        assert_eq!(
            TlsError::new(&Error::PeerIncompatible(reason), false),
            TlsError::Incompatible("NoCipherSuitesInCommon".into())
        );
    }

    #[test]
    fn every_cause_is_told_in_words_of_its_own() {
        let why = || String::from("why");
        let cases = [
            (
                TlsError::UnknownAuthority,
                "the server's certificate is of an unknown authority",
            ),
            (
                TlsError::SelfSigned,
                "the server's certificate is self-signed, and not trusted",
            ),
            (
                TlsError::IsAuthority,
                "the server's certificate is that of an authority, which no server may show; it \
                 needs one with CA:FALSE",
            ),
            (TlsError::Expired(None), "the server's certificate expired"),
            (
                TlsError::NotYetValid(None),
                "the server's certificate is not valid yet",
            ),
            (
                TlsError::WrongName,
                "the server's certificate is for another host",
            ),
            (TlsError::Revoked, "the server's certificate was revoked"),
            (
                TlsError::BadCertificate(why()),
                "the server's certificate cannot be used: why",
            ),
            (
                TlsError::ClientCertificateMissing,
                "the server wants a client certificate",
            ),
            (
                TlsError::ClientCertificateRefused(why()),
                "the server refused the client certificate: why",
            ),
            (
                TlsError::NotTls,
                "the server does not speak TLS at this port",
            ),
            (
                TlsError::Incompatible(why()),
                "there is no version or cipher in common: why",
            ),
            (
                TlsError::Cut,
                "the connection ended during the handshake; it may be that the server does not \
                 speak TLS at this port",
            ),
            (TlsError::Alert(why()), "the server gave up: why"),
            (TlsError::Other(why()), "why"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
