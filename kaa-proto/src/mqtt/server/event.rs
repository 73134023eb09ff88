//! What a server session is made from, and what it hands to its caller.

use std::fmt;
use std::time::Duration;

use super::connect::Connect;
use super::filters::{Filters, RequestedFilters};
use crate::mqtt::event::{Message, Oversize};
use crate::mqtt::packet::{PacketId, PacketType};
use crate::mqtt::refusal::ConnectRefusal;
use crate::mqtt::violation::Violation;

/// The limits of a server session. 0 is nothing, it never means unlimited.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The largest packet that is taken in bytes; a larger PUBLISH is skipped. Default 1 MiB.
    pub max_packet_in: usize,
    /// The largest PUBLISH that is sent in bytes. Default 1 MiB.
    pub max_packet_out: usize,
    /// How many messages of QoS 1 and 2 may be unacknowledged. Default 1,000.
    pub max_in_flight: u16,
    /// Nothing is published while at least this many bytes are unwritten. Default 1 MiB.
    pub high_water: usize,
    /// How long the client has for its CONNECT, and the caller for its decision; at most 1 h.
    /// Default 10 s.
    pub connect_within: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_packet_in: 1 << 20,
            max_packet_out: 1 << 20,
            max_in_flight: 1_000,
            high_water: 1 << 20,
            connect_within: Duration::from_secs(10),
        }
    }
}

/// What one packet of the client meant. Texts and payloads borrow from the input.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received<'a> {
    /// Somebody wants in: call `accept` or `refuse`.
    Connect(Connect<'a>),
    /// A message. If it has to be acknowledged, that is done.
    Publish(Message<'a>),
    /// A message over the limit. Its payload was skipped; if it had to be acknowledged, that is
    /// done.
    Oversize(Oversize<'a>),
    /// The client has the message with this packet identifier: PUBACK, or PUBCOMP for QoS 2.
    Acknowledged(u16),
    /// A SUBSCRIBE: call `grant`.
    Subscribe {
        /// What `grant` wants to know.
        id: SubscribeId,
        /// Valid topic filters, at least one.
        filters: RequestedFilters<'a>,
    },
    /// An UNSUBSCRIBE with valid topic filters, at least one. UNSUBACK is in the output.
    Unsubscribe(Filters<'a>),
    /// DISCONNECT: the link is over.
    Disconnect,
    /// What nobody asked for, ignored and harmless, as for the client's
    /// [`Incoming::Unexpected`](crate::mqtt::Incoming::Unexpected).
    Unexpected {
        /// The kind of packet.
        packet: PacketType,
        /// Its packet identifier.
        id: u16,
    },
    /// The client broke the protocol. The link is over.
    Failed(Violation),
}

/// A SUBSCRIBE that waits for its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct SubscribeId {
    /// Its packet identifier.
    pub(super) id: PacketId,
    /// How many filters it has.
    pub(super) filters: usize,
}

/// Why a link is over other than by DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerFailure {
    /// CONNECT, or the decision about it, did not come in time.
    NoConnect,
    /// The client was refused.
    Refused(ConnectRefusal),
    /// The client was silent for more than one and a half times its keep alive interval
    /// (MQTT-3.1.2-24).
    KeepAliveTimeout,
    /// The client broke the protocol.
    Violation(Violation),
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnect => f.write_str("no CONNECT in time"),
            Self::Refused(refusal) => write!(f, "connect refused: {refusal}"),
            Self::KeepAliveTimeout => f.write_str("the client was silent for too long"),
            Self::Violation(violation) => write!(f, "protocol violation: {violation}"),
        }
    }
}

impl std::error::Error for ServerFailure {}
