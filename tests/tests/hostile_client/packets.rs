//! Packets of a server, well-formed or not, written by hand.

use crate::peer::Scene;

/// The remaining length, as MQTT writes it.
pub(crate) fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        bytes.push(digit | if length > 0 { 0x80 } else { 0 });
        if length == 0 {
            return bytes;
        }
    }
}

/// A PUBLISH of QoS 0.
pub(crate) fn publish(topic: &str, payload: impl AsRef<[u8]>) -> Vec<u8> {
    publish_with(0x30, None, topic, payload)
}

/// A PUBLISH with this first byte and packet identifier.
pub(crate) fn publish_with(
    first: u8,
    id: Option<u16>,
    topic: &str,
    payload: impl AsRef<[u8]>,
) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut packet = publish_head(first, id, topic, payload.len());
    packet.extend(payload);
    packet
}

/// A PUBLISH without its payload, which is to be so long.
pub(crate) fn publish_head(first: u8, id: Option<u16>, topic: &str, payload: usize) -> Vec<u8> {
    let id = id.map(u16::to_be_bytes).into_iter().flatten();
    let id: Vec<u8> = id.collect();
    let mut packet = vec![first];
    packet.extend(length(2 + topic.len() + id.len() + payload));
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(id);
    packet
}

/// Answers every request that the client has sent so far, all at once.
pub(crate) fn answers(scene: &Scene, suffix: &str, payload: &[u8]) -> Vec<u8> {
    let answer = |topic: &String| publish(&format!("{topic}/{suffix}"), payload);
    scene.topics.iter().flat_map(answer).collect()
}

/// JSON of about this many bytes: arrays in arrays.
pub(crate) fn deep(bytes: usize) -> Vec<u8> {
    b"[".repeat(bytes)
}

/// JSON of about this many bytes: the smallest objects that there are.
pub(crate) fn wide(bytes: usize) -> Vec<u8> {
    list(r#"{"":0}"#, bytes)
}

/// A list of as many of these as fit.
pub(crate) fn list(element: &str, bytes: usize) -> Vec<u8> {
    let count = (bytes - 1) / (element.len() + 1);
    let list = vec![element; count.max(1)].join(",");
    format!("[{list}]").into_bytes()
}

/// Commands with IDs from `first` on, as many as fit.
pub(crate) fn commands(first: usize, bytes: usize) -> Vec<u8> {
    let mut list = String::from("[");
    for id in first.. {
        let command = format!(r#"{{"id":{id}}},"#);
        if list.len() + command.len() > bytes {
            break;
        }
        list += &command;
    }
    list.pop();
    (list + "]").into_bytes()
}
