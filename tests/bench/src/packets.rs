//! MQTT 3.1.1 by hand, as little and as fast as can be: what the null platform and the raw loop
//! read and write. What is malformed is theirs to regret.

/// The first byte of a PUBLISH with QoS 0; QoS 1 adds two.
const PUBLISH: u8 = 0x30;
/// The bit of QoS 1 in it.
const QOS_1: u8 = 0x02;

/// A packet that came.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// A message.
    Publish {
        /// Its topic.
        topic: &'a [u8],
        /// Its packet identifier, with QoS 1.
        id: Option<u16>,
    },
    /// A message was acknowledged.
    PubAck,
    /// A client says hello.
    Connect,
    /// And is welcome.
    ConnAck,
    /// Filters are asked for.
    Subscribe {
        /// The packet identifier.
        id: u16,
        /// How many there are.
        filters: usize,
    },
    /// They are granted.
    SubAck,
    /// Is somebody there?
    PingReq,
    /// A goodbye, or what nobody sends here.
    Other,
}

/// The packet at the front of `bytes`, and how long it is; `None` if it is not whole.
#[must_use]
pub fn next(bytes: &[u8]) -> Option<(Packet<'_>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let (mut length, mut digits) = (0, 0);
    loop {
        let byte = *rest.get(digits)?;
        length |= usize::from(byte & 0x7f) << (7 * digits);
        digits += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = rest.get(digits..digits + length)?;
    Some((
        read(first, body).unwrap_or(Packet::Other),
        1 + digits + length,
    ))
}

fn read(first: u8, body: &[u8]) -> Option<Packet<'_>> {
    Some(match first >> 4 {
        1 => Packet::Connect,
        2 => Packet::ConnAck,
        3 => {
            let (length, rest) = body.split_first_chunk()?;
            let (topic, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            let id = rest.first_chunk().map(|id| u16::from_be_bytes(*id));
            let id = id.filter(|_| first & QOS_1 != 0);
            Packet::Publish { topic, id }
        }
        4 => Packet::PubAck,
        8 => {
            let (id, mut rest) = body.split_first_chunk()?;
            let (id, mut filters) = (u16::from_be_bytes(*id), 0);
            while let Some((length, more)) = rest.split_first_chunk() {
                rest = more.get(usize::from(u16::from_be_bytes(*length)) + 1..)?;
                filters += 1;
            }
            Packet::Subscribe { id, filters }
        }
        9 => Packet::SubAck,
        12 => Packet::PingReq,
        _ => Packet::Other,
    })
}

/// A PUBLISH to a topic in pieces, with QoS 1 if it has a packet identifier.
pub fn publish(out: &mut Vec<u8>, topic: [&[u8]; 2], id: Option<u16>, payload: &[u8]) {
    let [front, back] = topic;
    let topic = front.len() + back.len();
    out.push(PUBLISH | id.map_or(0, |_| QOS_1));
    length(out, 2 + topic + id.map_or(0, |_| 2) + payload.len());
    out.extend_from_slice(&u16::try_from(topic).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(front);
    out.extend_from_slice(back);
    if let Some(id) = id {
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// A PUBACK.
pub fn puback(out: &mut Vec<u8>, id: u16) {
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

/// A SUBACK that grants so many filters with QoS 1.
pub fn suback(out: &mut Vec<u8>, id: u16, filters: usize) {
    out.push(0x90);
    length(out, 2 + filters);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend(std::iter::repeat_n(1, filters));
}

/// A CONNACK without a session.
pub fn connack(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x20, 2, 0, 0]);
}

/// A PINGRESP.
pub fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd0, 0]);
}

/// A CONNECT with a clean session and no keep-alive.
pub fn connect(out: &mut Vec<u8>, client_id: &str) {
    out.push(0x10);
    length(out, 12 + client_id.len());
    out.extend_from_slice(b"\x00\x04MQTT\x04\x02\x00\x00");
    text(out, client_id);
}

/// A SUBSCRIBE to filters with QoS 1.
pub fn subscribe(out: &mut Vec<u8>, filters: &[&str]) {
    out.push(0x82);
    length(
        out,
        2 + filters.iter().map(|filter| 3 + filter.len()).sum::<usize>(),
    );
    out.extend_from_slice(&[0, 1]);
    for filter in filters {
        text(out, filter);
        out.push(1);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let digit = u8::try_from(length % 128).unwrap_or_default();
        length /= 128;
        if length == 0 {
            return out.push(digit);
        }
        out.push(digit | 0x80);
    }
}
