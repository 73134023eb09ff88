//! What a session tells `tracing`: each packet, without what is in it.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "nothing is told")
)]

use super::in_flight::Awaits;
use super::packet::{Delivery, PacketId, PacketType};
#[cfg(feature = "tracing")]
use super::publish::{publish_size, read_publish};
use super::reader::Head;
use crate::trace::event;

/// A packet came whole; `content` stands behind its fixed header.
pub(super) fn received(head: &Head, content: &[u8]) {
    event!(
        "packet",
        TRACE,
        packet = %head.packet,
        bytes = head.size,
        id = received_id(head, content),
        qos = received_qos(head),
        topic = received_topic(head, content),
        code = received_code(head, content),
        "in"
    );
}

/// A packet of this size was appended to the output.
pub(super) fn appended(packet: PacketType, bytes: usize, id: Option<PacketId>) {
    event!("packet", TRACE, %packet, bytes, id = id.map(PacketId::get), "out");
}

/// A SUBSCRIBE or UNSUBSCRIBE was appended to the output.
pub(super) fn requested(awaits: Awaits, bytes: usize, id: PacketId) {
    match awaits {
        Awaits::UnsubAck => appended(PacketType::Unsubscribe, bytes, Some(id)),
        Awaits::PubAck | Awaits::PubRec | Awaits::PubComp | Awaits::SubAck { .. } => {
            appended(PacketType::Subscribe, bytes, Some(id));
        }
    }
}

/// A PUBLISH was appended to the output.
pub(super) fn published(topic: &str, payload: &[u8], delivery: Delivery) {
    event!(
        "packet",
        TRACE,
        packet = %PacketType::Publish,
        bytes = publish_size(topic, payload, delivery.qos()),
        id = delivery.id().map(PacketId::get),
        qos = delivery.qos() as u8,
        topic = crate::topic::shown(topic),
        "out"
    );
}

/// The packet identifier; a malformed packet may have none.
#[cfg(feature = "tracing")]
fn received_id(head: &Head, content: &[u8]) -> Option<u16> {
    match head.packet {
        PacketType::ConnAck | PacketType::PingResp => None,
        PacketType::Publish => {
            let publish = read_publish(head.first, content).ok()?;
            publish.delivery.id().map(PacketId::get)
        }
        PacketType::Connect
        | PacketType::PubAck
        | PacketType::PubRec
        | PacketType::PubRel
        | PacketType::PubComp
        | PacketType::Subscribe
        | PacketType::SubAck
        | PacketType::Unsubscribe
        | PacketType::UnsubAck
        | PacketType::PingReq
        | PacketType::Disconnect => content.first_chunk().map(|id| u16::from_be_bytes(*id)),
    }
}

#[cfg(feature = "tracing")]
fn received_qos(head: &Head) -> Option<u8> {
    (head.packet == PacketType::Publish).then_some(head.first >> 1 & 0b11)
}

#[cfg(feature = "tracing")]
fn received_topic(head: &Head, content: &[u8]) -> Option<String> {
    if head.packet != PacketType::Publish {
        return None;
    }
    let publish = read_publish(head.first, content).ok()?;
    Some(crate::topic::shown(publish.topic))
}

/// The return code of a CONNACK.
#[cfg(feature = "tracing")]
fn received_code(head: &Head, content: &[u8]) -> Option<u8> {
    let code = content.get(1).copied();
    code.filter(|_| head.packet == PacketType::ConnAck)
}
