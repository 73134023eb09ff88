//! MQTT 3.1.1 as it stands on the wire: what a device says, whatever it is written with, and the
//! packets that the doctor makes up himself.
//!
//! The core's readers judge and acknowledge; here even what is wrong has to be seen.

/// A packet, as far as the doctor looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect(Connect),
    /// With its return code.
    ConnAck(u8),
    Publish(Publish),
    PubAck(u16),
    /// With its filters.
    Subscribe(Vec<String>),
    PingReq,
    PingResp,
    Disconnect,
    /// Another kind, by its first byte.
    Other(u8),
    /// What cannot be read; with the first byte.
    Broken(u8),
}

/// What a device introduces itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    /// 4 is MQTT 3.1.1.
    pub(crate) level: u8,
    pub(crate) is_clean: bool,
    pub(crate) has_will: bool,
    /// Seconds; 0: none.
    pub(crate) keep_alive: u16,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    /// 0 with QoS 0.
    pub(crate) packet_id: u16,
}

/// Cuts what comes on one direction of a link into packets.
#[derive(Debug, Default)]
pub(crate) struct Framer(Vec<u8>);

impl Framer {
    /// Takes bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole packet, as its bytes and what they mean.
    pub(crate) fn next(&mut self) -> Option<(Vec<u8>, Packet)> {
        let (header, end) = extent(&self.0)?;
        let rest = self.0.split_off(end);
        let bytes = std::mem::replace(&mut self.0, rest);
        let packet = read(&bytes, header).unwrap_or_else(|| Packet::Broken(bytes[0]));
        Some((bytes, packet))
    }
}

impl Publish {
    /// A message of the platform at QoS 0.
    pub(crate) fn plain(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: 0,
            packet_id: 0,
        }
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = u16::try_from(self.topic.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes()
            .to_vec();
        body.extend_from_slice(self.topic.as_bytes());
        if self.qos > 0 {
            body.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        body.extend_from_slice(&self.payload);
        framed(0x30 | self.qos << 1, &body)
    }
}

/// The CONNACK that refuses by this code.
pub(crate) const fn refusal(code: u8) -> [u8; 4] {
    [0x20, 2, 0, code]
}

/// The PUBACK of that packet.
pub(crate) const fn acknowledgement(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0x40, 2, high, low]
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).unwrap_or_default();
        left /= 128;
        bytes.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// The length of the header and of the whole packet at the front, if it is there. A length that
/// never ends makes all of it one packet, which cannot be read.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << (7 * (index - 1));
        if byte & 0x80 == 0 {
            let end = index + 1 + length;
            return (bytes.len() >= end).then_some((index + 1, end));
        }
    }
    (bytes.len() >= 5).then_some((1, bytes.len()))
}

fn read(bytes: &[u8], header: usize) -> Option<Packet> {
    let first = *bytes.first()?;
    let mut body = Body(bytes.get(header..)?);
    Some(match first {
        0x10 => Packet::Connect(connect(&mut body)?),
        0x20 => Packet::ConnAck(*body.0.get(1)?),
        0x30..=0x3f => Packet::Publish(publish(first, &mut body)?),
        0x40 => Packet::PubAck(body.number()?),
        0x82 => {
            body.number()?;
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                filters.push(body.text()?);
                body.byte()?;
            }
            Packet::Subscribe(filters)
        }
        0xc0 => Packet::PingReq,
        0xd0 => Packet::PingResp,
        0xe0 => Packet::Disconnect,
        0x50 | 0x62 | 0x70 | 0x90 | 0xa2 | 0xb0 => Packet::Other(first),
        _ => return None,
    })
}

fn connect(body: &mut Body<'_>) -> Option<Connect> {
    body.text()?;
    let level = body.byte()?;
    let flags = body.byte()?;
    let keep_alive = body.number()?;
    // The client identifier: without one it is no CONNECT.
    body.text()?;
    Some(Connect {
        level,
        is_clean: flags & 0x02 != 0,
        has_will: flags & 0x04 != 0,
        keep_alive,
    })
}

fn publish(first: u8, body: &mut Body<'_>) -> Option<Publish> {
    let topic = body.text()?;
    let qos = first >> 1 & 3;
    let packet_id = match qos {
        0 => 0,
        1 | 2 => body.number()?,
        _ => return None,
    };
    Some(Publish {
        topic,
        payload: body.0.to_vec(),
        qos,
        packet_id,
    })
}

/// What is left of the body of a packet.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.number()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(framer: &mut Framer) -> Vec<Packet> {
        std::iter::from_fn(|| framer.next().map(|(_, packet)| packet)).collect()
    }

    #[test]
    fn packets_are_read_from_bytes_in_any_pieces() {
        let bytes = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c\x82\x06\x00\x01\x00\x01a\x00\xc0\x00\xe0\x00";
        let connect = Packet::Connect(Connect {
            level: 4,
            is_clean: true,
            has_will: false,
            keep_alive: 60,
        });
        let expected = [
            connect,
            Packet::Subscribe(vec!["a".into()]),
            Packet::PingReq,
            Packet::Disconnect,
        ];
        for piece in 1..bytes.len() {
            let mut framer = Framer::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(piece) {
                framer.feed(part);
                seen.extend(packets(&mut framer));
            }
            assert_eq!(seen, expected, "{piece}");
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_made_and_its_bytes_are_kept() {
        for (qos, packet_id) in [(0, 0), (1, 60_000)] {
            let message = Publish {
                qos,
                packet_id,
                ..Publish::plain("a/b", vec![b'x'; 20_000])
            };
            let mut framer = Framer::default();
            framer.feed(&message.encode());
            let (bytes, packet) = framer.next().unwrap();
            assert_eq!(bytes, message.encode());
            assert_eq!(packet, Packet::Publish(message));
        }
    }

    #[test]
    fn what_is_no_packet_is_said_to_be_none() {
        let mut framer = Framer::default();
        framer.feed(b"\xf0\x00\x36\x03\x00\x01a\x30\xff\xff\xff\xff\xff");
        let broken = [0xf0, 0x36, 0x30].map(Packet::Broken);
        assert_eq!(packets(&mut framer), broken);
    }
}
