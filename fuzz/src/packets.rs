//! MQTT packets, written by hand for the other side of what is fuzzed.

/// A packet with its length.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut rest = body.len();
    loop {
        let more = if rest > 0x7f { 0x80 } else { 0 };
        packet.push((rest & 0x7f) as u8 | more);
        rest >>= 7;
        if rest == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// A PUBLISH; `id` counts where the quality is not 0.
pub(crate) fn publish(topic: &[u8], payload: &[u8], qos: u8, id: u16) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend_from_slice(payload);
    packet(0x30 | qos << 1, &body)
}

/// A text with its length.
pub(crate) fn text(text: &[u8]) -> Vec<u8> {
    let len = text.len().min(0xffff);
    let mut all = (len as u16).to_be_bytes().to_vec();
    all.extend_from_slice(&text[..len]);
    all
}
