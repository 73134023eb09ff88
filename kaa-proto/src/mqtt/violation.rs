//! What a peer did that MQTT 3.1.1 forbids.

use std::fmt;

use super::filter::InvalidTopic;
use super::packet::PacketType;

/// How the peer broke the protocol. The link is over (MQTT-4.8.0-1).
///
/// Nothing that the peer sent is repeated here but numbers: the rest may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Packet type 0 or 15.
    ReservedType(u8),
    /// A packet that this side never sends, or not at this time: anything but CONNACK first, a
    /// second CONNACK, a CONNECT from a server.
    UnexpectedPacket(PacketType),
    /// Flags of the first byte that the packet may not have (MQTT-2.2.2-2), such as QoS 3
    /// (MQTT-3.3.1-4) or DUP with QoS 0 (MQTT-3.3.1-2).
    Flags {
        /// Of which packet.
        packet: PacketType,
        /// The lower half of the first byte.
        flags: u8,
    },
    /// A remaining length of more than four bytes (section 2.2.3).
    RemainingLength,
    /// A remaining length that the packet cannot have, or that its fields do not fill exactly.
    Length {
        /// Of which packet.
        packet: PacketType,
        /// The remaining length in bytes.
        length: usize,
    },
    /// Larger than this side takes, and not a PUBLISH whose payload could be skipped.
    TooLarge {
        /// Which packet.
        packet: PacketType,
        /// Its size in bytes.
        size: usize,
        /// The most bytes that are taken.
        limit: usize,
    },
    /// Packet identifier 0 (MQTT-2.3.1-1).
    PacketIdZero(PacketType),
    /// A text that is not UTF-8 (MQTT-1.5.3-1).
    NotUtf8(PacketType),
    /// A topic or a filter that is none.
    Topic {
        /// Of which packet.
        packet: PacketType,
        /// What is wrong with it.
        problem: InvalidTopic,
    },
    /// Reserved flags in a CONNACK, or a session present although it refuses (MQTT-3.2.2-4).
    ConnAckFlags(u8),
    /// A reserved return code (MQTT-3.9.3-2 for SUBACK).
    ReturnCode {
        /// Of which packet.
        packet: PacketType,
        /// The code.
        code: u8,
    },
    /// A SUBACK without one return code for each filter (MQTT-3.9.3-1).
    SubAckCount {
        /// How many filters were subscribed to.
        filters: usize,
        /// How many return codes came.
        codes: usize,
    },
    /// A SUBSCRIBE or UNSUBSCRIBE without filters (MQTT-3.8.3-3, MQTT-3.10.3-2).
    NoFilters(PacketType),
    /// A requested QoS that is none, or reserved bits beside it (MQTT-3-8.3-4).
    RequestedQoS(u8),
    /// A CONNECT that is not for the protocol `MQTT` (MQTT-3.1.2-1).
    ProtocolName,
    /// A CONNECT for another level of the protocol than 4; answered with return code 1
    /// (MQTT-3.1.2-2).
    ProtocolLevel(u8),
    /// A CONNECT with flags that contradict each other (MQTT-3.1.2-3, -11 to -15, -22).
    ConnectFlags(u8),
    /// A CONNECT without client identifier for a session that is kept; answered with return code
    /// 2 (MQTT-3.1.3-8).
    NoClientId,
    /// U+0000 in a client identifier or a user name (MQTT-1.5.3-2).
    Nul(PacketType),
    /// A packet that cannot be read, with nothing more to say.
    Malformed(PacketType),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedType(number) => write!(f, "packet of the reserved type {number}"),
            Self::UnexpectedPacket(packet) => write!(f, "{packet} at the wrong time or end"),
            Self::Flags { packet, flags } => write!(f, "{packet} with flags {flags:#06b}"),
            Self::RemainingLength => f.write_str("remaining length of more than four bytes"),
            Self::Length { packet, length } => {
                write!(f, "{packet} with a remaining length of {length}")
            }
            Self::TooLarge {
                packet,
                size,
                limit,
            } => write!(f, "{packet} of {size} bytes, over the limit of {limit}"),
            Self::PacketIdZero(packet) => write!(f, "{packet} with packet identifier 0"),
            Self::NotUtf8(packet) => write!(f, "{packet} with a text that is not UTF-8"),
            Self::Topic { packet, problem } => write!(f, "{packet} with a topic that {problem}"),
            Self::ConnAckFlags(flags) => write!(f, "CONNACK with acknowledge flags {flags:#04x}"),
            Self::ReturnCode { packet, code } => write!(f, "{packet} with return code {code:#04x}"),
            Self::SubAckCount { filters, codes } => {
                write!(f, "SUBACK with {codes} return codes for {filters} filters")
            }
            Self::NoFilters(packet) => write!(f, "{packet} without filters"),
            Self::RequestedQoS(byte) => write!(f, "SUBSCRIBE with requested QoS {byte:#04x}"),
            Self::ProtocolName => f.write_str("CONNECT for another protocol"),
            Self::ProtocolLevel(level) => write!(f, "CONNECT for protocol level {level}"),
            Self::ConnectFlags(flags) => write!(f, "CONNECT with flags {flags:#04x}"),
            Self::NoClientId => f.write_str("CONNECT without client identifier for a kept session"),
            Self::Nul(packet) => write!(f, "{packet} with U+0000 in a text"),
            Self::Malformed(packet) => write!(f, "{packet} that cannot be read"),
        }
    }
}

impl std::error::Error for Violation {}
