//! What a client session hands to its caller.

use std::fmt;

use super::packet::PacketType;
use super::refusal::ConnectRefusal;
use super::violation::Violation;
use crate::QoS;
use crate::topic::shortened;

/// What one packet of the server meant. Texts and payloads borrow from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming<'a, K> {
    /// CONNACK: the link is up.
    Connected,
    /// CONNACK: it will not be. The link is over.
    Refused(ConnectRefusal),
    /// A message. If it has to be acknowledged, that is done.
    Message(Message<'a>),
    /// The server has the message that was published with this key: PUBACK, or PUBCOMP for QoS 2.
    Acknowledged(K),
    /// The server answered the SUBSCRIBE with this key.
    Subscribed {
        /// The caller's key.
        key: K,
        /// One result for each filter, in the order they were asked for.
        granted: Granted<'a>,
    },
    /// The server answered the UNSUBSCRIBE with this key.
    Unsubscribed(K),
    /// A message over the limit. Its payload was skipped; if it had to be acknowledged, that is
    /// done, so that it does not come again.
    Oversize(Oversize<'a>),
    /// What nobody asked for, ignored and harmless: an acknowledgement of a packet identifier
    /// that is not out (or not for that, or not written yet), a PUBREL of one that is not held
    /// (answered by PUBCOMP), or a repeated QoS 2 PUBLISH (answered by PUBREC, not delivered
    /// again).
    Unexpected {
        /// The kind of packet.
        packet: PacketType,
        /// Its packet identifier.
        id: u16,
    },
    /// The server broke the protocol. The link is over.
    Failed(Violation),
}

/// A message from the server.
///
/// `Debug` shortens the token in the topic and leaves the payload out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// A valid topic name. It may hold control characters.
    pub topic: &'a str,
    /// Any bytes, or none.
    pub payload: &'a [u8],
    /// At which QoS it came.
    pub qos: QoS,
    /// The server says that it sent it before.
    pub dup: bool,
    /// The server had kept it.
    pub retain: bool,
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &shortened(self.topic))
            .field("payload_len", &self.payload.len())
            .field("qos", &self.qos)
            .field("dup", &self.dup)
            .field("retain", &self.retain)
            .finish()
    }
}

/// A message whose payload was skipped because its packet was over the limit.
///
/// `Debug` shortens the token in the topic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Oversize<'a> {
    /// A valid topic name. It may hold control characters.
    pub topic: &'a str,
    /// The size of the packet in bytes, fixed header included.
    pub size: usize,
    /// At which QoS it came.
    pub qos: QoS,
}

impl fmt::Debug for Oversize<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oversize")
            .field("topic", &shortened(self.topic))
            .field("size", &self.size)
            .field("qos", &self.qos)
            .finish()
    }
}

/// The results of a SUBSCRIBE, one for each filter in the order they were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted<'a>(&'a [u8]);

impl<'a> Granted<'a> {
    /// `codes` are 0, 1, 2 or 0x80.
    pub(super) const fn new(codes: &'a [u8]) -> Self {
        Self(codes)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: there is at least one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The QoS that was granted, which may be another than was asked for, or the refusal.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<QoS, FilterRefused>> + use<'a> {
        self.0
            .iter()
            .map(|&code| QoS::from_number(code).ok_or(FilterRefused))
    }
}

/// The server refused one filter of a SUBSCRIBE (return code 0x80). The others are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterRefused;

impl fmt::Display for FilterRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server refused the filter")
    }
}

impl std::error::Error for FilterRefused {}
