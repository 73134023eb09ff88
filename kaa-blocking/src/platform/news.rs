//! What a local platform tells the one who started it.

use kaa_proto::platform::{Event, LinkId};

/// Something to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum News {
    /// What a device, or the platform for it, did.
    Event(Event),
    /// The broker was reached and subscribed to: devices are heard from now on.
    Attached,
    /// A connection is closed because TLS failed, mostly in the handshake: a certificate was
    /// refused, or the client does not speak TLS.
    TlsFailed {
        /// The connection.
        link: LinkId,
        /// Why; without secrets.
        cause: String,
    },
    /// Something outside is in the way, such as a broker that cannot be reached or want of
    /// descriptors. It is tried again.
    Trouble(String),
}

impl News {
    /// About what it takes in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Event(event) => size_of::<Self>() + event.weight(),
            Self::TlsFailed { cause: text, .. } | Self::Trouble(text) => {
                size_of::<Self>() + text.len()
            }
            Self::Attached => size_of::<Self>(),
        }
    }
}
