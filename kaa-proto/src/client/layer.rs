//! What the bytes of a link go through: nothing, or TLS.

use super::{ConnectError, Options};
use crate::connection::LinkError;
#[cfg(feature = "tls")]
use crate::tls::{InvalidTls, Session, Tls, TlsError};

/// How links are secured.
pub(super) enum Security {
    None,
    #[cfg(feature = "tls")]
    Tls(Tls),
}

impl Security {
    /// What the target asks for.
    #[cfg(feature = "tls")]
    pub(super) fn new(options: &Options) -> Result<Self, ConnectError> {
        let target = options.target();
        match &options.loaded_tls {
            _ if !target.is_tls() => Ok(Self::None),
            Some(config) => Ok(Self::Tls(Tls::new(config, target.host())?)),
            None => Err(InvalidTls::NotLoaded.into()),
        }
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unnecessary_wraps, reason = "it can fail with TLS")]
    pub(super) const fn new(_: &Options) -> Result<Self, ConnectError> {
        Ok(Self::None)
    }

    /// The layer of a new link.
    pub(super) fn layer(&self) -> Result<Layer, LinkError> {
        match self {
            Self::None => Ok(Layer::Plain { is_fed: false }),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => {
                let session = tls.begin().map_err(LinkError::Tls)?;
                Ok(Layer::Tls(Box::new(session)))
            }
        }
    }
}

/// The layer of one link.
pub(super) enum Layer {
    Plain {
        /// Whether anything came yet.
        is_fed: bool,
    },
    #[cfg(feature = "tls")]
    Tls(Box<Session>),
}

#[cfg_attr(
    not(feature = "tls"),
    allow(
        clippy::needless_pass_by_ref_mut,
        clippy::ptr_arg,
        unused_variables,
        reason = "TLS changes what it is given"
    )
)]
impl Layer {
    /// Whether it carries the connection's bytes.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Plain { .. } => true,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.is_ready(),
        }
    }

    /// Passes on what came.
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        mut to: impl FnMut(&[u8]),
    ) -> Result<(), LinkError> {
        match self {
            Self::Plain { is_fed } => {
                if !*is_fed && speaks_tls(input) {
                    return Err(LinkError::TlsWanted);
                }
                *is_fed = true;
                to(input);
                Ok(())
            }
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.receive(input, to),
        }
    }

    /// Appends to `out`, which is empty, what is to be written. `pull` appends the connection's
    /// bytes and says how many.
    pub(super) fn send(
        &mut self,
        out: &mut Vec<u8>,
        mut pull: impl FnMut(&mut Vec<u8>) -> usize,
    ) -> Result<(), LinkError> {
        match self {
            Self::Plain { .. } => {
                pull(out);
                Ok(())
            }
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.send(out, pull).map_err(LinkError::Tls),
        }
    }

    /// `n` more bytes are with the transport; how many of the connection's that makes.
    pub(super) fn written(&mut self, n: usize) -> usize {
        match self {
            Self::Plain { .. } => n,
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.written(n),
        }
    }

    /// Nothing more will be sent but its own goodbye.
    pub(super) fn close(&mut self) {
        match self {
            Self::Plain { .. } => {}
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.close(),
        }
    }

    /// Appends what it has to say after a failure.
    pub(super) fn last_words(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Plain { .. } => {}
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.last_words(out),
        }
    }

    /// The transport ended like this; what that means for the link.
    pub(super) fn cut(&self, error: LinkError) -> LinkError {
        if !is_of_peer(&error) {
            // The network has a name for it.
            return error;
        }
        match self {
            Self::Plain { is_fed: false } => LinkError::Unwelcome,
            Self::Plain { is_fed: true } => error,
            #[cfg(feature = "tls")]
            Self::Tls(session) if !session.is_ready() => LinkError::Tls(TlsError::Cut),
            #[cfg(feature = "tls")]
            Self::Tls(_) => error,
        }
    }
}

/// Whether an end of the transport may be the peer's doing.
fn is_of_peer(error: &LinkError) -> bool {
    use std::io::ErrorKind as Kind;
    let LinkError::Transport(error) = error else {
        return true;
    };
    matches!(
        error.kind(),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof
    )
}

/// Whether the first bytes of a server are a TLS alert or handshake. No MQTT packet of a server
/// begins like that.
fn speaks_tls(input: &[u8]) -> bool {
    matches!(input.first(), Some(0x15 | 0x16))
}
