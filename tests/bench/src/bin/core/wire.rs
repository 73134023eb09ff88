//! What a platform answers.

use kaa_bench::packets::{self, Packet};

/// The messages of QoS 1 that were sent: their topics and packet identifiers.
fn published(mut sent: &[u8]) -> impl Iterator<Item = (&[u8], u16)> {
    std::iter::from_fn(move || {
        let (packet, length) = packets::next(sent)?;
        sent = &sent[length..];
        Some(packet)
    })
    .filter_map(|packet| match packet {
        Packet::Publish { topic, id } => Some((topic, id?)),
        _ => None,
    })
}

/// Where the last packet begins.
pub(crate) fn start_of_last(bytes: &[u8]) -> usize {
    let (mut last, mut end) = (0, 0);
    while let Some((_, length)) = packets::next(&bytes[end..]) {
        (last, end) = (end, end + length);
    }
    last
}

/// PUBACK for each message, and nothing else.
pub(crate) fn acknowledge(sent: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    published(sent).for_each(|(_, id)| packets::puback(&mut out, id));
    out
}

/// Acknowledges and confirms what was published; the platform's own packet identifiers go on.
#[derive(Default)]
pub(crate) struct Platform {
    last: u16,
}

impl Platform {
    /// PUBACK and an empty `/status` of QoS 1 for each message of QoS 1 in `sent`, in order.
    pub(crate) fn answer(&mut self, sent: &[u8]) -> Vec<u8> {
        self.answer_with(sent, b"")
    }

    /// The same, with something in the `/status`.
    pub(crate) fn answer_with(&mut self, sent: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (topic, id) in published(sent) {
            packets::puback(&mut out, id);
            self.last = self.last % u16::MAX + 1;
            packets::publish(&mut out, [topic, b"/status"], Some(self.last), payload);
        }
        out
    }
}
