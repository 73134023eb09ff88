//! Why a link ended, or was never made.

use std::{error, fmt, io};

use crate::mqtt::{ConnectRefusal, LinkFailure, Violation};
#[cfg(feature = "tls")]
use crate::tls::TlsError;

/// The fate of one link. No request fails by it alone: what becomes of requests is told by
/// their own outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The dial failed: no address, nobody listens, no route.
    Dial(TransportError),
    /// There was no transport in time, or no end of the TLS handshake.
    DialTimeout,
    /// TLS failed, most often over a certificate; see [`TlsError`] for what needs an operator.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// The peer ended the transport before it sent anything. Some servers meet a client without
    /// TLS so at a port where they want it, and all do while they start; so it is retried as any
    /// failure of the network.
    Unwelcome,
    /// The server speaks TLS, and we do not: the URL has to begin with `mqtts://`. Needs an
    /// operator.
    TlsWanted,
    /// The transport failed.
    Transport(TransportError),
    /// The peer closed the transport. MQTT 3.1.1 has no words for why: a restart, missing
    /// credentials (FACTS trap 32), a revoked token (FACTS trap 34), another client with our
    /// client identifier.
    Eof,
    /// CONNACK refused us. All but "not available" need an operator.
    Refused(ConnectRefusal),
    /// There was no CONNACK in time.
    NoConnAck,
    /// The server did not answer a PINGREQ: the link is dead.
    KeepAliveTimeout,
    /// The window was full, and the server did not acknowledge the oldest message in time
    /// ([`Options::acknowledge_within`](super::Options::acknowledge_within)).
    Unacknowledged,
    /// The server broke MQTT.
    Violation(Violation),
    /// We closed it for good.
    Closed,
}

impl LinkError {
    /// Whether a person has to act before the next dial can do better. It is retried slowly.
    #[must_use]
    pub const fn needs_operator(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.needs_operator(),
            Self::TlsWanted => true,
            Self::Refused(refusal) => !matches!(refusal, ConnectRefusal::ServerUnavailable),
            Self::Dial(_)
            | Self::DialTimeout
            | Self::Unwelcome
            | Self::Transport(_)
            | Self::Eof
            | Self::NoConnAck
            | Self::KeepAliveTimeout
            | Self::Unacknowledged
            | Self::Violation(_)
            | Self::Closed => false,
        }
    }
}

impl From<LinkFailure> for LinkError {
    fn from(failure: LinkFailure) -> Self {
        match failure {
            LinkFailure::Refused(refusal) => Self::Refused(refusal),
            LinkFailure::NoConnAck => Self::NoConnAck,
            LinkFailure::KeepAliveTimeout => Self::KeepAliveTimeout,
            LinkFailure::Unacknowledged => Self::Unacknowledged,
            LinkFailure::Violation(violation) => Self::Violation(violation),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => write!(f, "the dial failed: {error}"),
            Self::DialTimeout => f.write_str("the dial took too long"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
            Self::Unwelcome => f.write_str(
                "closed by the server before it said anything; it may want TLS at this port",
            ),
            Self::TlsWanted => f.write_str("the server wants TLS at this port"),
            Self::Transport(error) => write!(f, "the transport failed: {error}"),
            Self::Eof => f.write_str("closed by the server"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::NoConnAck => f.write_str("the server did not answer CONNECT in time"),
            Self::KeepAliveTimeout => f.write_str("the server did not answer PINGREQ in time"),
            Self::Unacknowledged => f.write_str("the server did not acknowledge a message in time"),
            Self::Violation(violation) => write!(f, "the server broke the protocol: {violation}"),
            Self::Closed => f.write_str("closed by us"),
        }
    }
}

impl error::Error for LinkError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Dial(error) | Self::Transport(error) => Some(error),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::Refused(refusal) => Some(refusal),
            Self::Violation(violation) => Some(violation),
            Self::DialTimeout
            | Self::Unwelcome
            | Self::TlsWanted
            | Self::Eof
            | Self::NoConnAck
            | Self::KeepAliveTimeout
            | Self::Unacknowledged
            | Self::Closed => None,
        }
    }
}

/// What the operating system said, in a form that can be kept and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportError {
    kind: io::ErrorKind,
    text: String,
}

impl TransportError {
    /// An error of this kind; `text` is for people.
    pub fn new(kind: io::ErrorKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> io::ErrorKind {
        self.kind
    }
}

impl From<&io::Error> for TransportError {
    fn from(error: &io::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for TransportError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_must_mend_needs_an_operator() {
        use ConnectRefusal as R;
        let text = || TransportError::new(io::ErrorKind::InvalidData, "no route");
        let needing = [
            LinkError::TlsWanted,
            LinkError::Refused(R::ProtocolVersion),
            LinkError::Refused(R::ClientId),
            LinkError::Refused(R::BadLogin),
            LinkError::Refused(R::NotAuthorized),
        ];
        assert!(needing.iter().all(LinkError::needs_operator));
        let passing = [
            LinkError::Dial(text()),
            LinkError::Transport(text()),
            LinkError::Refused(R::ServerUnavailable),
            LinkError::Eof,
            LinkError::NoConnAck,
        ];
        assert!(!passing.iter().any(LinkError::needs_operator));
    }

    #[test]
    fn an_error_says_what_happened_and_why() {
        let error = io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens");
        let error = LinkError::Dial(TransportError::from(&error));
        assert_eq!(error.to_string(), "the dial failed: nobody listens");
        assert!(error::Error::source(&error).is_some());
        assert_eq!(LinkError::Eof.to_string(), "closed by the server");
    }

    #[test]
    fn every_cause_is_told_in_words_of_its_own() {
        let text = || TransportError::new(io::ErrorKind::NotFound, "no route");
        let cases = [
            (LinkError::Dial(text()), "the dial failed: no route"),
            (LinkError::DialTimeout, "the dial took too long"),
            (
                LinkError::Unwelcome,
                "closed by the server before it said anything; it may want TLS at this port",
            ),
            (LinkError::TlsWanted, "the server wants TLS at this port"),
            (
                LinkError::Transport(text()),
                "the transport failed: no route",
            ),
            (
                LinkError::Refused(ConnectRefusal::BadLogin),
                "refused: the user name or the password is wrong",
            ),
            (
                LinkError::NoConnAck,
                "the server did not answer CONNECT in time",
            ),
            (
                LinkError::KeepAliveTimeout,
                "the server did not answer PINGREQ in time",
            ),
            (
                LinkError::Unacknowledged,
                "the server did not acknowledge a message in time",
            ),
            (
                LinkError::Violation(Violation::RemainingLength),
                "the server broke the protocol: remaining length of more than four bytes",
            ),
            (LinkError::Closed, "closed by us"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
            let cause = error::Error::source(&error).map(ToString::to_string);
            let quoted = text.split_once(": ").map(|(_, cause)| cause.to_owned());
            assert_eq!(cause, quoted, "{text}");
        }
        assert_eq!(text().kind(), io::ErrorKind::NotFound);
        #[cfg(feature = "tls")]
        {
            let error = LinkError::Tls(TlsError::WrongName);
            let cause = error::Error::source(&error).unwrap().to_string();
            assert_eq!(error.to_string(), format!("TLS failed: {cause}"));
        }
    }

    #[test]
    fn what_ends_a_session_is_the_cause_of_the_end_of_its_link() {
        let refusal = ConnectRefusal::ClientId;
        let violation = Violation::RemainingLength;
        for (failure, cause) in [
            (LinkFailure::Refused(refusal), LinkError::Refused(refusal)),
            (LinkFailure::NoConnAck, LinkError::NoConnAck),
            (LinkFailure::KeepAliveTimeout, LinkError::KeepAliveTimeout),
            (LinkFailure::Unacknowledged, LinkError::Unacknowledged),
            (
                LinkFailure::Violation(violation),
                LinkError::Violation(violation),
            ),
        ] {
            assert_eq!(LinkError::from(failure), cause);
        }
    }
}
