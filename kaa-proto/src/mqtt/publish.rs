//! The hot path: PUBLISH and the packets of four bytes, read in place and written straight into
//! the output, without an allocation and with every check of MQTT 3.1.1.

use super::filter::check_received_topic;
use super::packet::{Delivery, MAX_REMAINING, PacketId, PacketType, Publish};
use super::violation::Violation;
use crate::QoS;

/// Reads what follows the fixed header of a PUBLISH. `first` is its first byte, whose flags are
/// known to be valid.
pub(super) fn read_publish(first: u8, body: &[u8]) -> Result<Publish<'_>, Violation> {
    let short = || Violation::Length {
        packet: PacketType::Publish,
        length: body.len(),
    };
    let (length, rest) = body.split_first_chunk().ok_or_else(short)?;
    let (topic, rest) = rest
        .split_at_checked(u16::from_be_bytes(*length).into())
        .ok_or_else(short)?;
    let (delivery, payload) = match first & 0b0110 {
        0 => (Delivery::Forgotten, rest),
        qos => {
            let (id, rest) = rest.split_first_chunk().ok_or_else(short)?;
            let id = packet_id(PacketType::Publish, *id)?;
            match qos {
                0b0010 => (Delivery::Acknowledged(id), rest),
                _ => (Delivery::Assured(id), rest),
            }
        }
    };
    let topic = std::str::from_utf8(topic).map_err(|_| Violation::NotUtf8(PacketType::Publish))?;
    check_received_topic(topic).map_err(|problem| Violation::Topic {
        packet: PacketType::Publish,
        problem,
    })?;
    Ok(Publish {
        dup: first & 0b1000 != 0,
        delivery,
        retain: first & 0b0001 != 0,
        topic,
        payload,
    })
}

/// Reads what follows the fixed header of a packet that holds a packet identifier and nothing
/// else.
pub(super) fn read_id(packet: PacketType, body: &[u8]) -> Result<PacketId, Violation> {
    match body {
        &[high, low] => packet_id(packet, [high, low]),
        _ => Err(Violation::Length {
            packet,
            length: body.len(),
        }),
    }
}

pub(super) fn packet_id(packet: PacketType, bytes: [u8; 2]) -> Result<PacketId, Violation> {
    PacketId::new(u16::from_be_bytes(bytes)).ok_or(Violation::PacketIdZero(packet))
}

/// The size of a PUBLISH in bytes, fixed header included; `None` if MQTT cannot express it.
pub(super) fn publish_size(topic: &str, payload: &[u8], qos: QoS) -> Option<usize> {
    let remaining = publish_remaining(topic, payload, qos);
    (remaining <= MAX_REMAINING).then(|| 1 + length_digits(remaining) + remaining)
}

/// Appends a PUBLISH whose topic was checked and whose size is possible. Nothing is ever sent
/// again on a live link, so DUP is 0; nothing is retained.
pub(super) fn write_publish(out: &mut Vec<u8>, topic: &str, payload: &[u8], delivery: Delivery) {
    let remaining = publish_remaining(topic, payload, delivery.qos());
    out.reserve(5 + remaining);
    out.push((PacketType::Publish as u8) << 4 | (delivery.qos() as u8) << 1);
    write_length(out, remaining);
    out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    out.extend_from_slice(topic.as_bytes());
    if let Some(id) = delivery.id() {
        out.extend_from_slice(&id.get().to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// Appends a packet that holds a packet identifier and nothing else.
pub(super) fn write_id(out: &mut Vec<u8>, packet: PacketType, id: PacketId) {
    let [high, low] = id.get().to_be_bytes();
    out.extend_from_slice(&[packet.first_byte(), 2, high, low]);
}

/// Appends a remaining length (section 2.2.3).
pub(super) fn write_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    out.push(length as u8);
}

/// How many bytes a remaining length takes.
pub(super) const fn length_digits(length: usize) -> usize {
    match length {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

const fn publish_remaining(topic: &str, payload: &[u8], qos: QoS) -> usize {
    let id = match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce | QoS::ExactlyOnce => 2,
    };
    (2 + topic.len() + id).saturating_add(payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u16) -> PacketId {
        PacketId::new(id).unwrap()
    }

    /// MQTT 3.1.1 section 3.3: topic `a/b`, packet identifier 10, payload `hi`.
    #[test]
    fn a_publish_is_written_as_the_standard_shows() {
        let mut out = vec![0xee];
        write_publish(&mut out, "a/b", b"hi", Delivery::Forgotten);
        assert_eq!(out, b"\xee\x30\x07\x00\x03a/bhi");
        for (delivery, first) in [
            (Delivery::Acknowledged(id(10)), 0x32),
            (Delivery::Assured(id(10)), 0x34),
        ] {
            out.clear();
            write_publish(&mut out, "a/b", b"hi", delivery);
            assert_eq!(out[0], first);
            assert_eq!(out[1..], *b"\x09\x00\x03a/b\x00\x0ahi");
            let read = read_publish(first, &out[2..]).unwrap();
            assert_eq!((read.topic, read.payload), ("a/b", &b"hi"[..]));
            assert_eq!((read.delivery, read.dup), (delivery, false));
        }
    }

    #[test]
    fn acknowledgements_are_four_bytes_with_their_reserved_flags() {
        for (packet, first) in [
            (PacketType::PubAck, 0x40),
            (PacketType::PubRec, 0x50),
            (PacketType::PubRel, 0x62),
            (PacketType::PubComp, 0x70),
            (PacketType::UnsubAck, 0xb0),
        ] {
            let mut out = Vec::new();
            write_id(&mut out, packet, id(0x1234));
            assert_eq!(out, [first, 0x02, 0x12, 0x34]);
            assert_eq!(read_id(packet, &out[2..]), Ok(id(0x1234)));
        }
    }

    /// The table of MQTT 3.1.1 section 2.2.3.
    #[test]
    fn remaining_lengths_are_written_as_the_table_shows() {
        for (length, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = Vec::new();
            write_length(&mut out, length);
            assert_eq!(out, bytes);
            assert_eq!(length_digits(length), bytes.len());
        }
    }

    #[test]
    fn the_size_is_known_before_anything_is_written() {
        for len in [0, 1, 122, 123, 124, 16_378, 16_379, 16_380] {
            let payload = vec![0; len];
            for (qos, delivery) in [
                (QoS::AtMostOnce, Delivery::Forgotten),
                (QoS::AtLeastOnce, Delivery::Acknowledged(id(1))),
            ] {
                let mut out = Vec::new();
                write_publish(&mut out, "a", &payload, delivery);
                assert_eq!(publish_size("a", &payload, qos), Some(out.len()));
            }
        }
    }
}
