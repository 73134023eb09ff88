//! The fourteen control packets, and what their first bytes tell before anything is buffered.

use std::fmt;
use std::num::NonZeroU16;

use super::violation::Violation;
use crate::QoS;

/// A packet identifier is never 0 (MQTT-2.3.1-1).
pub(super) type PacketId = NonZeroU16;

/// The largest packet MQTT can express: a first byte, four bytes of length, 268,435,455 bytes.
pub(super) const MAX_PACKET: usize = 5 + MAX_REMAINING;

/// The largest remaining length (section 2.2.3).
pub(super) const MAX_REMAINING: usize = 268_435_455;

/// The kind of a control packet (MQTT 3.1.1 section 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// Client to server: the first packet.
    Connect = 1,
    /// Server to client: the answer to CONNECT.
    ConnAck = 2,
    /// Either way: a message.
    Publish = 3,
    /// Either way: a QoS 1 message was taken.
    PubAck = 4,
    /// Either way: a QoS 2 message was taken (part 1).
    PubRec = 5,
    /// Either way: its packet identifier is released (part 2).
    PubRel = 6,
    /// Either way: so it is (part 3).
    PubComp = 7,
    /// Client to server: asks for messages.
    Subscribe = 8,
    /// Server to client: the answer to SUBSCRIBE.
    SubAck = 9,
    /// Client to server: asks for no more messages.
    Unsubscribe = 10,
    /// Server to client: the answer to UNSUBSCRIBE.
    UnsubAck = 11,
    /// Client to server: are you there?
    PingReq = 12,
    /// Server to client: I am.
    PingResp = 13,
    /// Client to server: the last packet.
    Disconnect = 14,
}

impl PacketType {
    /// What the upper half of the first byte says; 0 and 15 are reserved.
    pub(super) const fn of(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            _ => return None,
        })
    }

    /// The first byte of this packet, if it is not a PUBLISH.
    pub(super) const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.reserved_flags()
    }

    /// The lower half of the first byte where the standard fixes it (MQTT-2.2.2-1).
    const fn reserved_flags(self) -> u8 {
        if matches!(self, Self::PubRel | Self::Subscribe | Self::Unsubscribe) {
            0b0010
        } else {
            0
        }
    }

    /// Whether the lower half of the first byte may be `flags` (MQTT-2.2.2-2, MQTT-3.3.1-2,
    /// MQTT-3.3.1-4).
    const fn allows_flags(self, flags: u8) -> bool {
        if !matches!(self, Self::Publish) {
            return flags == self.reserved_flags();
        }
        match (flags >> 1) & 0b11 {
            0 => flags & 0b1000 == 0,
            1 | 2 => true,
            _ => false,
        }
    }

    /// Whether the packet may have this remaining length: exactly known for most, a lower bound
    /// for the others.
    pub(super) const fn allows_length(self, first: u8, length: usize) -> bool {
        match self {
            Self::PingReq | Self::PingResp | Self::Disconnect => length == 0,
            Self::ConnAck
            | Self::PubAck
            | Self::PubRec
            | Self::PubRel
            | Self::PubComp
            | Self::UnsubAck => length == 2,
            Self::Publish => length >= if first & 0b0110 == 0 { 2 } else { 4 },
            Self::SubAck => length >= 3,
            Self::Subscribe | Self::Unsubscribe => length >= 2,
            Self::Connect => length >= 10,
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
        })
    }
}

/// Which packets the peer may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepts(u16);

impl Accepts {
    /// By a client that waits for CONNACK (MQTT-3.2.0-1).
    pub(super) const CONNACK: Self = Self::of(&[PacketType::ConnAck]);

    /// By a client that is connected. A second CONNACK is not among them.
    pub(super) const FROM_SERVER: Self = Self::of(&[
        PacketType::Publish,
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubRel,
        PacketType::PubComp,
        PacketType::SubAck,
        PacketType::UnsubAck,
        PacketType::PingResp,
    ]);

    /// By a server that waits for CONNECT (MQTT-3.1.0-1).
    #[cfg(feature = "platform")]
    pub(super) const CONNECT: Self = Self::of(&[PacketType::Connect]);

    /// By a server afterwards. A second CONNECT is not among them (MQTT-3.1.0-2).
    #[cfg(feature = "platform")]
    pub(super) const FROM_CLIENT: Self = Self::of(&[
        PacketType::Publish,
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubRel,
        PacketType::PubComp,
        PacketType::Subscribe,
        PacketType::Unsubscribe,
        PacketType::PingReq,
        PacketType::Disconnect,
    ]);

    const fn of(types: &[PacketType]) -> Self {
        let mut bits = 0;
        let mut rest = types;
        while let [first, others @ ..] = rest {
            bits |= 1 << *first as u8;
            rest = others;
        }
        Self(bits)
    }

    /// What a packet is by its first byte alone, if that is good and wanted now.
    #[inline]
    pub(super) fn find(self, first: u8) -> Option<PacketType> {
        const GOOD: [Option<PacketType>; 256] = {
            let mut good = [None; 256];
            let mut first = 0;
            while first < good.len() {
                if let Ok(packet) = Accepts(u16::MAX).judge(first as u8) {
                    good[first] = Some(packet);
                }
                first += 1;
            }
            good
        };
        let packet = GOOD.get(usize::from(first)).copied().flatten()?;
        (self.0 & 1 << packet as u8 != 0).then_some(packet)
    }

    /// Judges a packet by its first byte alone.
    pub(super) const fn judge(self, first: u8) -> Result<PacketType, Violation> {
        let Some(packet) = PacketType::of(first) else {
            return Err(Violation::ReservedType(first >> 4));
        };
        if self.0 & 1 << packet as u8 == 0 {
            return Err(Violation::UnexpectedPacket(packet));
        }
        let flags = first & 0b1111;
        match packet.allows_flags(flags) {
            true => Ok(packet),
            false => Err(Violation::Flags { packet, flags }),
        }
    }
}

/// A received PUBLISH. Its parts borrow from the input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Publish<'a> {
    /// The sender says that it sent it before.
    pub(super) dup: bool,
    /// What the sender expects in return, with the packet identifier it is known by.
    pub(super) delivery: Delivery,
    /// It was kept by the server.
    pub(super) retain: bool,
    /// A valid topic name.
    pub(super) topic: &'a str,
    /// Any bytes.
    pub(super) payload: &'a [u8],
}

/// A QoS together with the packet identifier that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// QoS 0: sent and forgotten.
    Forgotten,
    /// QoS 1: acknowledged by PUBACK.
    Acknowledged(PacketId),
    /// QoS 2: assured to happen once, by PUBREC, PUBREL and PUBCOMP.
    Assured(PacketId),
}

impl Delivery {
    /// The identifier is there exactly if the QoS is not 0.
    pub(super) const fn new(qos: QoS, id: Option<PacketId>) -> Self {
        match (qos, id) {
            (QoS::AtLeastOnce, Some(id)) => Self::Acknowledged(id),
            (QoS::ExactlyOnce, Some(id)) => Self::Assured(id),
            _ => Self::Forgotten,
        }
    }

    pub(super) const fn qos(self) -> QoS {
        match self {
            Self::Forgotten => QoS::AtMostOnce,
            Self::Acknowledged(_) => QoS::AtLeastOnce,
            Self::Assured(_) => QoS::ExactlyOnce,
        }
    }

    pub(super) const fn id(self) -> Option<PacketId> {
        match self {
            Self::Forgotten => None,
            Self::Acknowledged(id) | Self::Assured(id) => Some(id),
        }
    }
}
