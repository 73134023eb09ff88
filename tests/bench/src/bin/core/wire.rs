//! What a platform answers, written by hand.

use bytes::{BufMut as _, Bytes, BytesMut};

/// The packets that were sent, first byte and body.
pub(crate) fn packets(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut packets = Vec::new();
    while let [first, rest @ ..] = bytes {
        let (mut length, mut digits) = (0, 0);
        for byte in rest {
            length |= usize::from(byte & 0x7f) << (7 * digits);
            digits += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (body, next) = rest[digits..].split_at(length);
        packets.push((*first, body));
        bytes = next;
    }
    packets
}

/// Where the last packet begins.
pub(crate) fn start_of_last(bytes: &[u8]) -> usize {
    let (_, body) = packets(bytes).pop().unwrap();
    bytes.len() - body.len() - if body.len() < 128 { 2 } else { 3 }
}

/// A PUBLISH of QoS 1.
pub(crate) fn publish(out: &mut BytesMut, topic: &str, id: u16) {
    let length = 2 + topic.len() + 2;
    out.put_u8(0x32);
    match length {
        0..128 => out.put_u8(length as u8),
        _ => out.put_slice(&[length as u8 | 0x80, (length >> 7) as u8]),
    }
    out.put_u16(topic.len() as u16);
    out.put_slice(topic.as_bytes());
    out.put_u16(id);
}

/// A PUBACK.
pub(crate) fn puback(out: &mut BytesMut, id: u16) {
    out.put_slice(&[0x40, 2]);
    out.put_u16(id);
}

/// Acknowledges and confirms what was published; the platform's own packet identifiers go on.
#[derive(Default)]
pub(crate) struct Platform {
    last: u16,
}

impl Platform {
    /// PUBACK and an empty `/status` of QoS 1 for each PUBLISH of QoS 1 in `sent`, in order.
    pub(crate) fn answer(&mut self, sent: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        for (first, body) in packets(sent) {
            if first >> 4 != 3 {
                continue;
            }
            let (length, rest) = body.split_at(2);
            let (topic, rest) =
                rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
            puback(&mut out, u16::from_be_bytes([rest[0], rest[1]]));
            let topic = format!("{}/status", std::str::from_utf8(topic).unwrap());
            self.last = self.last % u16::MAX + 1;
            publish(&mut out, &topic, self.last);
        }
        out.freeze()
    }
}
