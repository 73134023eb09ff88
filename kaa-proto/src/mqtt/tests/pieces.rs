//! Input in any pieces gives the same events and the same answers, and a message that is too large
//! costs neither the link nor memory.

use super::*;
use crate::rng::Rng;

/// Every kind of packet that a server sends, some of them twice, in one stream.
fn stream(oversize: usize) -> Vec<u8> {
    let mut stream = b"\x20\x02\x00\x00\
        \x30\x0a\x00\x03a/bhello\
        \x32\x07\x00\x01a\x00\x07hi\
        \xd0\x00\
        \x34\x05\x00\x01a\x00\x08\
        \x3c\x05\x00\x01a\x00\x08\
        \x62\x02\x00\x08\
        \x62\x82\x00\x00\x09\
        \x40\x02\x00\x01\
        \x50\x02\x00\x02\
        \x70\x02\x00\x02\
        \x90\x04\x00\x03\x00\x80\
        \xb0\x02\x00\x04"
        .to_vec();
    let remaining = oversize - 4;
    assert!((16_384..2_097_152).contains(&remaining));
    for first in [0x32, 0x34, 0x3c] {
        stream.extend([
            first,
            0x80 | (remaining & 0x7f) as u8,
            0x80 | (remaining >> 7 & 0x7f) as u8,
            (remaining >> 14) as u8,
        ]);
        stream.extend(b"\x00\x05large\x01\x00");
        stream.extend(std::iter::repeat_n(0x30, remaining - 9));
    }
    stream.extend(b"\x62\x02\x01\x00\x31\x03\x00\x01z\x40\x02\x00\x05");
    stream
}

fn link() -> Link {
    let mut options = options();
    options.max_packet_in = 1_000;
    let mut link = Link::new(&options);
    link.sent();
    link
}

/// Feeds pieces of the lengths that `next` gives; events and answers.
fn feed(stream: &[u8], mut next: impl FnMut() -> usize) -> (Vec<String>, Vec<u8>) {
    let mut link = link();
    let (mut seen, mut sent, mut asked) = (Vec::new(), Vec::new(), false);
    let mut rest = stream;
    while !rest.is_empty() {
        // Those that the stream acknowledges, as soon as that is possible.
        let at = match asked {
            true => next().clamp(1, rest.len()),
            false => next().clamp(1, rest.len().min(4 - (stream.len() - rest.len()))),
        };
        let (piece, after) = rest.split_at(at);
        rest = after;
        seen.extend(link.feed(piece));
        if link.session.is_connected() && !asked {
            asked = true;
            link.publish(1, QoS::AtLeastOnce);
            link.publish(2, QoS::ExactlyOnce);
            link.session
                .subscribe(3, &[("a", QoS::AtMostOnce), ("b", QoS::AtMostOnce)])
                .unwrap();
            link.session.unsubscribe(4, &["a"]).unwrap();
        }
        sent.extend(link.sent());
    }
    (seen, sent)
}

#[test]
fn any_pieces_give_the_same_events() {
    let stream = stream(20_000);
    let (whole, answers) = feed(&stream, || usize::MAX);
    assert_eq!(
        whole,
        [
            "connected",
            "message a/b hello qos0",
            "message a hi qos1",
            "message a  qos2",
            "unexpected PUBLISH 8",
            "unexpected PUBREL 9",
            "acknowledged 1",
            "acknowledged 2",
            "subscribed 3 [Ok(0), Err(FilterRefused)]",
            "unsubscribed 4",
            "oversize large 20000 qos1",
            "oversize large 20000 qos2",
            "unexpected PUBLISH 256",
            "message z  qos0 retain",
            "unexpected PUBACK 5",
        ]
    );
    assert!(answers.ends_with(
        b"\x40\x02\x00\x07\x50\x02\x00\x08\x50\x02\x00\x08\x70\x02\x00\x08\x70\x02\x00\x09\
          \x62\x02\x00\x02\x40\x02\x01\x00\x50\x02\x01\x00\x50\x02\x01\x00\x70\x02\x01\x00"
    ));
    assert_eq!(feed(&stream, || 1), (whole.clone(), answers.clone()));
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let longest = 1 << rng.below(15);
        let pieces = feed(&stream, || 1 + rng.below(longest) as usize);
        assert_eq!(pieces, (whole.clone(), answers.clone()), "seed {seed}");
    }
}

/// What was answered before the damage may have left already, so only the events are compared.
#[test]
fn any_pieces_of_a_broken_stream_give_the_same_events() {
    let stream = &stream(20_000)[..120];
    let mut rng = Rng::new(1);
    for at in 4..stream.len() {
        let mut broken = stream.to_vec();
        broken[at] = rng.next_u64() as u8;
        let (whole, _) = feed(&broken, || usize::MAX);
        assert_eq!(feed(&broken, || 1).0, whole, "byte {at}");
        let (pieces, _) = feed(&broken, || 1 + rng.below(9) as usize);
        assert_eq!(pieces, whole, "byte {at}");
    }
}

#[test]
fn a_message_is_taken_up_to_the_limit_and_skipped_over_it() {
    let mut link = link();
    link.feed(CONNACK);
    // 3 bytes of fixed header, 3 of topic.
    let mut packet = b"\x30\xe5\x07\x00\x01a".to_vec();
    packet.resize(1_000, b'x');
    assert!(link.feed(&packet)[0].starts_with("message a xxx"));
    packet[1] = 0xe6;
    packet.push(b'x');
    assert_eq!(link.feed(&packet), ["oversize a 1001 qos0"]);
    assert_eq!(link.feed(b"\x30\x03\x00\x01a"), ["message a  qos0"]);
}

#[test]
fn an_oversize_message_is_acknowledged_when_it_is_over() {
    let mut link = link();
    link.feed(CONNACK);
    link.feed(b"\x32\xe6\x07\x00\x01a\x00\x09");
    link.feed(&[0; 992]);
    assert_eq!(link.sent(), b"");
    assert_eq!(link.feed(b"x"), ["oversize a 1001 qos1"]);
    assert_eq!(link.sent(), b"\x40\x02\x00\x09");
}

/// What is wrong with its first bytes is known before its last ones.
#[test]
fn a_malformed_oversize_message_is_not_waited_for() {
    for (header, reason) in [
        (
            &b"\x30\xff\xff\x7f\x00\x01#"[..],
            "failed: PUBLISH with a topic that has a wildcard where none may be",
        ),
        (
            b"\x32\xff\xff\x7f\x00\x01a\x00\x00",
            "failed: PUBLISH with packet identifier 0",
        ),
        (
            b"\x30\xe9\x07\x03\xe8",
            "failed: PUBLISH with a remaining length of 1001",
        ),
        (
            b"\x30\xff\xff\x7f\x03\xe7",
            "failed: PUBLISH of 2097155 bytes, over the limit of 1000",
        ),
    ] {
        let mut link = link();
        link.feed(CONNACK);
        assert_eq!(link.feed(header), [reason]);
    }
}

#[test]
fn other_packets_over_the_limit_are_violations() {
    let mut link = link();
    link.feed(CONNACK);
    assert_eq!(
        link.feed(b"\x90\xe6\x07"),
        ["failed: SUBACK of 1001 bytes, over the limit of 1000"]
    );
}
