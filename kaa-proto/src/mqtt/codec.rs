//! The control packets of `mqttbytes`, under a strict shell. Nothing else names that crate.
//!
//! Its reader is safe but lax and its writer validates nothing and may leave half a packet behind.
//! So: what is read was judged byte by byte before (type, flags and length by the reader, the rest
//! here), what is written was validated before, and it is written into an empty scratch buffer
//! that is appended only when that succeeded.

use bytes::BytesMut;
use mqttbytes::v4;

use super::packet::{MAX_PACKET, PacketId, PacketType};
use super::publish::{packet_id, read_id, write_length};
use super::refusal::ConnectRefusal;
use super::violation::Violation;
use crate::QoS;

/// A packet that could not be written; nothing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritable;

/// Reads what follows the fixed header of a CONNACK. Whether a session is present does not
/// matter to a client that keeps none.
pub(super) fn read_connack(body: &[u8]) -> Result<Result<(), ConnectRefusal>, Violation> {
    let packet = PacketType::ConnAck;
    match *body {
        [0 | 1, 0] => Ok(Ok(())),
        [0, code] => ConnectRefusal::from_code(code)
            .map(Err)
            .ok_or(Violation::ReturnCode { packet, code }),
        [flags, _] => Err(Violation::ConnAckFlags(flags)),
        _ => Err(Violation::Malformed(packet)),
    }
}

/// Reads what follows the fixed header of a SUBACK: which packet it answers, and the valid return
/// codes.
pub(super) fn read_suback(body: &[u8]) -> Result<(PacketId, &[u8]), Violation> {
    let packet = PacketType::SubAck;
    let malformed = Violation::Malformed(packet);
    let (id, codes) = body.split_first_chunk().ok_or(malformed)?;
    let id = packet_id(packet, *id)?;
    if let Some(&code) = codes.iter().find(|code| !matches!(code, 0..=2 | 0x80)) {
        return Err(Violation::ReturnCode { packet, code });
    }
    match read(packet, body) {
        Some(v4::Packet::SubAck(_)) => Ok((id, codes)),
        _ => Err(malformed),
    }
}

/// Reads what follows the fixed header of an UNSUBACK.
pub(super) fn read_unsuback(body: &[u8]) -> Result<PacketId, Violation> {
    let packet = PacketType::UnsubAck;
    let id = read_id(packet, body)?;
    match read(packet, body) {
        Some(v4::Packet::UnsubAck(_)) => Ok(id),
        _ => Err(Violation::Malformed(packet)),
    }
}

/// The size of a SUBSCRIBE in bytes, fixed header included.
pub(super) fn subscribe_size(filters: &[(&str, QoS)]) -> usize {
    packet_size(filters.iter().map(|(filter, _)| 3 + filter.len()).sum())
}

/// The size of an UNSUBSCRIBE in bytes, fixed header included.
pub(super) fn unsubscribe_size(filters: &[&str]) -> usize {
    packet_size(filters.iter().map(|filter| 2 + filter.len()).sum())
}

/// Appends a SUBSCRIBE with filters that were checked, at least one.
pub(super) fn write_subscribe(
    out: &mut Vec<u8>,
    id: PacketId,
    filters: &[(&str, QoS)],
) -> Result<(), Unwritable> {
    let subscribe = v4::Subscribe {
        pkid: id.get(),
        filters: filters
            .iter()
            .map(|&(filter, qos)| v4::SubscribeFilter::new(filter.to_owned(), their_qos(qos)))
            .collect(),
    };
    append(out, |scratch| subscribe.write(scratch))
}

/// Appends an UNSUBSCRIBE with filters that were checked, at least one.
pub(super) fn write_unsubscribe(
    out: &mut Vec<u8>,
    id: PacketId,
    filters: &[&str],
) -> Result<(), Unwritable> {
    let unsubscribe = v4::Unsubscribe {
        pkid: id.get(),
        topics: filters.iter().map(|&filter| filter.to_owned()).collect(),
    };
    append(out, |scratch| unsubscribe.write(scratch))
}

/// Appends a CONNACK: the return code 0, or a refusal.
#[cfg(feature = "platform")]
pub(super) fn write_connack(out: &mut Vec<u8>, refusal: Option<ConnectRefusal>) {
    let code = match refusal {
        None => v4::ConnectReturnCode::Success,
        Some(ConnectRefusal::ProtocolVersion) => v4::ConnectReturnCode::RefusedProtocolVersion,
        Some(ConnectRefusal::ClientId) => v4::ConnectReturnCode::BadClientId,
        Some(ConnectRefusal::ServerUnavailable) => v4::ConnectReturnCode::ServiceUnavailable,
        Some(ConnectRefusal::BadLogin) => v4::ConnectReturnCode::BadUserNamePassword,
        Some(ConnectRefusal::NotAuthorized) => v4::ConnectReturnCode::NotAuthorized,
    };
    // Its length is fixed, so that this cannot fail.
    let _ = append(out, |scratch| v4::ConnAck::new(code, false).write(scratch));
}

/// Appends a SUBACK with one result for each filter, at least one.
#[cfg(feature = "platform")]
pub(super) fn write_suback(
    out: &mut Vec<u8>,
    id: PacketId,
    granted: impl Iterator<Item = Option<QoS>>,
) {
    let codes = granted.map(|granted| match granted {
        Some(qos) => v4::SubscribeReasonCode::Success(their_qos(qos)),
        None => v4::SubscribeReasonCode::Failure,
    });
    let suback = v4::SubAck::new(id.get(), codes.collect());
    // It is shorter than the SUBSCRIBE that it answers, so that this cannot fail.
    let _ = append(out, |scratch| suback.write(scratch));
}

/// Appends a packet that is a fixed header and nothing else: PINGREQ, PINGRESP, DISCONNECT.
pub(super) fn write_bare(out: &mut Vec<u8>, packet: PacketType) {
    out.extend_from_slice(&[packet.first_byte(), 0]);
}

/// Has the crate read a packet that was judged to be right as far as the bytes tell.
fn read(packet: PacketType, body: &[u8]) -> Option<v4::Packet> {
    let mut header = vec![packet.first_byte()];
    write_length(&mut header, body.len());
    let mut frame = BytesMut::with_capacity(header.len() + body.len());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(body);
    v4::read(&mut frame, MAX_PACKET).ok()
}

/// Has the crate write a packet into an empty buffer, and appends it if that succeeded.
fn append(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut BytesMut) -> Result<usize, mqttbytes::Error>,
) -> Result<(), Unwritable> {
    let mut scratch = BytesMut::new();
    write(&mut scratch).map_err(|_| Unwritable)?;
    out.extend_from_slice(&scratch);
    Ok(())
}

/// The size of a packet with an identifier and this much payload.
const fn packet_size(payload: usize) -> usize {
    let remaining = 2 + payload;
    1 + super::publish::length_digits(remaining) + remaining
}

const fn their_qos(qos: QoS) -> mqttbytes::QoS {
    match qos {
        QoS::AtMostOnce => mqttbytes::QoS::AtMostOnce,
        QoS::AtLeastOnce => mqttbytes::QoS::AtLeastOnce,
        QoS::ExactlyOnce => mqttbytes::QoS::ExactlyOnce,
    }
}
