//! Reads MQTT from the wire for the harness, so that what was sent is known from its bytes and
//! not from what the library says about them.

/// A PUBLISH as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The quality of service, 0 to 2.
    pub qos: u8,
}

/// A packet as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Type and flags.
    pub first: u8,
    /// All of its bytes.
    pub size: usize,
    /// What follows the length.
    pub body: Vec<u8>,
}

impl Packet {
    /// What it carries, if it is a PUBLISH.
    #[must_use]
    pub fn message(&self) -> Option<Seen> {
        if self.first & 0xf0 != 0x30 {
            return None;
        }
        let (length, rest) = self.body.split_at_checked(2)?;
        let length = usize::from(length[0]) << 8 | usize::from(length[1]);
        let (topic, rest) = rest.split_at_checked(length)?;
        let qos = self.first >> 1 & 3;
        let payload = if qos == 0 { rest } else { rest.get(2..)? };
        Some(Seen {
            topic: String::from_utf8_lossy(topic).into_owned(),
            payload: payload.to_vec(),
            qos,
        })
    }
}

/// Collects the packets of one direction of a link.
#[derive(Debug, Default)]
pub struct Sniffer {
    /// The begin of a packet that is not complete.
    bytes: Vec<u8>,
}

impl Sniffer {
    /// Whether a packet has begun that is not complete.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The packets that are complete by now.
    pub fn packets(&mut self, input: &[u8]) -> Vec<Packet> {
        self.bytes.extend_from_slice(input);
        let (mut packets, mut begin) = (Vec::new(), 0);
        while let Some((first, start, end)) = extent(&self.bytes[begin..]) {
            packets.push(Packet {
                first,
                size: end,
                body: self.bytes[begin + start..begin + end].to_vec(),
            });
            begin += end;
        }
        self.bytes.drain(..begin);
        packets
    }

    /// The messages that are complete by now.
    pub fn messages(&mut self, input: &[u8]) -> Vec<Seen> {
        let packets = self.packets(input).into_iter();
        packets.filter_map(|packet| packet.message()).collect()
    }
}

/// First byte, begin and end of the body of the packet at the front, if it is complete.
fn extent(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let first = *bytes.first()?;
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << (7 * (index - 1));
        if byte & 0x80 == 0 {
            let end = index + 1 + length;
            return (bytes.len() >= end).then_some((first, index + 1, end));
        }
    }
    None
}
