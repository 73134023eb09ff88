//! PUBLISH and its acknowledgements, against another codec.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use kaa_proto::QoS;
use kaa_proto::mqtt::{Incoming, PacketType, Session, SessionOptions, filter};
use mqttbytes::v4;

/// What mqttbytes reads behind a guard is what a session hands out, with the right answer; what
/// mqttbytes writes is what a session writes.
///
/// The first byte is that of a packet, the rest what follows its fixed header; and it is where a
/// topic ends in the rest.
///
/// # Panics
/// If that does not hold.
pub fn publish_differential(data: &[u8]) {
    let &[first, ref body @ ..] = data else {
        return;
    };
    if (3..=7).contains(&(first >> 4)) && body.len() < 0x4000 {
        compare_read(first, body);
    }
    let (topic, payload) = body.split_at(usize::from(first >> 2).min(body.len()));
    if let (Ok(topic), Some(qos)) = (std::str::from_utf8(topic), QoS::from_number(first & 3)) {
        compare_write(topic, payload, qos);
    }
}

fn compare_read(first: u8, body: &[u8]) {
    let mut frame = vec![first];
    match body.len() {
        len @ 0..=0x7f => frame.push(len as u8),
        len => frame.extend([0x80 | (len & 0x7f) as u8, (len >> 7) as u8]),
    }
    frame.extend_from_slice(body);
    let (mut session, now) = connected();
    let mut input = &frame[..];
    let ours = session.handle_input(now, &mut input);
    let id_of = |id: u16| id.to_be_bytes();
    match (read_guarded(first, body, &frame), ours) {
        (None, ours) => assert!(matches!(ours, Some(Incoming::Failed(_))), "{ours:?}"),
        (Some(v4::Packet::Publish(theirs)), Some(Incoming::Message(ours))) => {
            assert_eq!(ours.topic, theirs.topic);
            assert_eq!(ours.payload, theirs.payload);
            assert_eq!((ours.dup, ours.retain), (theirs.dup, theirs.retain));
            assert_eq!(ours.qos as u8, theirs.qos as u8);
            let [high, low] = id_of(theirs.pkid);
            let answer: &[u8] = match ours.qos {
                QoS::AtMostOnce => &[],
                QoS::AtLeastOnce => &[0x40, 2, high, low],
                QoS::ExactlyOnce => &[0x50, 2, high, low],
            };
            assert_eq!(sent(&mut session), answer);
        }
        (Some(theirs), Some(Incoming::Unexpected { packet, id })) => {
            let (their_packet, their_id) = match theirs {
                v4::Packet::PubAck(ack) => (PacketType::PubAck, ack.pkid),
                v4::Packet::PubRec(ack) => (PacketType::PubRec, ack.pkid),
                v4::Packet::PubRel(ack) => (PacketType::PubRel, ack.pkid),
                v4::Packet::PubComp(ack) => (PacketType::PubComp, ack.pkid),
                theirs => panic!("{theirs:?}"),
            };
            assert_eq!((packet, id), (their_packet, their_id));
        }
        (theirs, ours) => panic!("{theirs:?} is not {ours:?}"),
    }
}

/// What mqttbytes reads, if a strict reader may.
fn read_guarded(first: u8, body: &[u8], frame: &[u8]) -> Option<v4::Packet> {
    let flags = first & 0xf;
    let guarded = match first >> 4 {
        3 => !(flags & 0b1000 != 0 && flags & 0b0110 == 0),
        6 => flags == 2 && body.len() == 2 && body != [0, 0],
        _ => flags == 0 && body.len() == 2 && body != [0, 0],
    };
    if !guarded {
        return None;
    }
    let packet = v4::read(&mut BytesMut::from(frame), frame.len()).ok()?;
    if let v4::Packet::Publish(publish) = &packet {
        let topic = &publish.topic;
        if topic.is_empty() || topic.contains(['+', '#', '\0']) {
            return None;
        }
    }
    Some(packet)
}

fn compare_write(topic: &str, payload: &[u8], qos: QoS) {
    let (mut session, _) = connected();
    let published = session.publish((), topic, payload, qos);
    assert_eq!(published.is_ok(), filter::check_topic(topic).is_ok());
    let mut theirs = BytesMut::new();
    if published.is_ok() {
        let (their_qos, pkid) = match qos {
            QoS::AtMostOnce => (mqttbytes::QoS::AtMostOnce, 0),
            QoS::AtLeastOnce => (mqttbytes::QoS::AtLeastOnce, 1),
            QoS::ExactlyOnce => (mqttbytes::QoS::ExactlyOnce, 1),
        };
        let payload = Bytes::copy_from_slice(payload);
        let mut publish = v4::Publish::from_bytes(topic, their_qos, payload);
        publish.pkid = pkid;
        assert!(publish.write(&mut theirs).is_ok());
    }
    assert_eq!(sent(&mut session), theirs);
}

fn connected() -> (Session<()>, Instant) {
    #[allow(
        clippy::disallowed_methods,
        reason = "any instant will do: nothing is due"
    )]
    let now = Instant::now();
    let mut session =
        Session::new(now, &SessionOptions::new("fuzz")).expect("the options are right");
    let mut connack = &b"\x20\x02\x00\x00"[..];
    assert_eq!(
        session.handle_input(now, &mut connack),
        Some(Incoming::Connected)
    );
    sent(&mut session);
    (session, now)
}

fn sent(session: &mut Session<()>) -> Vec<u8> {
    let mut out = Vec::new();
    session.poll_transmit(&mut out);
    out
}
