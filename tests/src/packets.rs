//! MQTT packets, written by hand for the other side of what is tested.

/// The first byte of a packet, and the length of what follows.
#[must_use]
pub fn head(first: u8, length: usize) -> Vec<u8> {
    let mut head = vec![first];
    let mut rest = length;
    loop {
        let more = if rest > 0x7f { 0x80 } else { 0 };
        head.push((rest & 0x7f) as u8 | more);
        rest >>= 7;
        if rest == 0 {
            return head;
        }
    }
}

/// A packet with its length.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = head(first, body.len());
    packet.extend_from_slice(body);
    packet
}

/// A PUBLISH; `id` counts where the quality is not 0.
#[must_use]
pub fn publish(topic: &[u8], payload: &[u8], qos: u8, id: u16) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend_from_slice(payload);
    packet(0x30 | qos << 1, &body)
}

/// A text with its length.
#[must_use]
pub fn text(text: &[u8]) -> Vec<u8> {
    let len = text.len().min(0xffff);
    let mut all = (len as u16).to_be_bytes().to_vec();
    all.extend_from_slice(&text[..len]);
    all
}
