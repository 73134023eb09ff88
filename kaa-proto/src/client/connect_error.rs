//! Why a client could not be started.

use std::fmt;
use std::io;

use crate::connection::InvalidOptions;
use crate::store::StoreError;
#[cfg(feature = "tls")]
use crate::tls::InvalidTls;

/// Why a client could not be started. No network was reached, and nothing was begun.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// An option cannot be kept.
    Options(InvalidOptions),
    /// The TLS options cannot be used.
    #[cfg(feature = "tls")]
    Tls(InvalidTls),
    /// The store cannot be used at all. Damage is no such error: it is set aside, and
    /// [`Client::store_status`](super::Client::store_status) tells of it.
    Store(StoreError),
    /// The operating system gave no thread, selector or entropy.
    System(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::System(error) => write!(f, "the client could not be started: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Options(error) => Some(error),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::System(error) => Some(error),
        }
    }
}

impl From<InvalidOptions> for ConnectError {
    fn from(error: InvalidOptions) -> Self {
        Self::Options(error)
    }
}

#[cfg(feature = "tls")]
impl From<InvalidTls> for ConnectError {
    fn from(error: InvalidTls) -> Self {
        Self::Tls(error)
    }
}

impl From<StoreError> for ConnectError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::error::Error as _;

    #[test]
    fn what_kept_a_client_from_starting_is_told_and_is_the_source() {
        let system = io::Error::from(io::ErrorKind::OutOfMemory);
        let cases = [
            (
                ConnectError::from(InvalidOptions::KickLimit),
                "kick_limit is 0",
            ),
            #[cfg(feature = "tls")]
            (
                ConnectError::from(InvalidTls::NotLoaded),
                "the TLS options were not loaded",
            ),
            (ConnectError::from(StoreError::Full), "the store is full"),
            (
                ConnectError::from(system),
                "the client could not be started: out of memory",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
            let source = error.source().map(ToString::to_string).unwrap();
            assert!(text.ends_with(&source), "{text}: {source}");
        }
    }
}
