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

/// Collects the packets of one direction of a link.
#[derive(Debug, Default)]
pub struct Sniffer {
    /// The begin of a packet that is not complete.
    bytes: Vec<u8>,
}

impl Sniffer {
    /// The first byte and the body of each packet that is complete by now.
    pub fn packets(&mut self, input: &[u8]) -> Vec<(u8, Vec<u8>)> {
        self.bytes.extend_from_slice(input);
        let mut packets = Vec::new();
        while let Some((first, start, end)) = extent(&self.bytes) {
            packets.push((first, self.bytes[start..end].to_vec()));
            self.bytes.drain(..end);
        }
        packets
    }

    /// The messages that are complete by now.
    pub fn messages(&mut self, input: &[u8]) -> Vec<Seen> {
        let packets = self.packets(input).into_iter();
        packets
            .filter_map(|(first, body)| message(first, &body))
            .collect()
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

fn message(first: u8, body: &[u8]) -> Option<Seen> {
    if first & 0xf0 != 0x30 {
        return None;
    }
    let (length, rest) = body.split_at_checked(2)?;
    let length = usize::from(length[0]) << 8 | usize::from(length[1]);
    let (topic, rest) = rest.split_at_checked(length)?;
    let qos = first >> 1 & 3;
    let payload = if qos == 0 { rest } else { rest.get(2..)? };
    Some(Seen {
        topic: String::from_utf8_lossy(topic).into_owned(),
        payload: payload.to_vec(),
        qos,
    })
}
