//! What Mosquitto's suites try on clients, beyond the vectors.

use super::*;

fn feed_connected(bytes: &[u8]) -> Vec<String> {
    Link::connected(&options()).feed(bytes)
}

fn feed_greeting(bytes: &[u8]) -> Vec<String> {
    let mut link = Link::new(&options());
    link.sent();
    link.feed(bytes)
}

#[test]
fn every_illegal_flag_nibble_is_refused_by_the_first_byte() {
    for (first, legal) in [
        (0x40, 0),
        (0x50, 0),
        (0x60, 2),
        (0x70, 0),
        (0x90, 0),
        (0xb0, 0),
        (0xd0, 0),
    ] {
        for flags in 0..16 {
            let refused = !feed_connected(&[first | flags]).is_empty();
            assert_eq!(refused, flags != legal, "{:#04x}", first | flags);
        }
    }
    for flags in 0..16 {
        let refused = !feed_connected(&[0x30 | flags]).is_empty();
        let illegal = matches!(flags, 0x6 | 0x7 | 0xe | 0xf | 0x8 | 0x9);
        assert_eq!(refused, illegal, "{:#04x}", 0x30 | flags);
        let refused = !feed_greeting(&[0x20 | flags]).is_empty();
        assert_eq!(refused, flags != 0, "{:#04x}", 0x20 | flags);
    }
}

#[test]
fn only_connack_comes_first_and_only_once() {
    for first in (0..=0xff).filter(|first| first >> 4 != 2) {
        assert_eq!(feed_greeting(&[first]).len(), 1, "{first:#04x}");
    }
    // CONNECT instead of CONNACK.
    assert_eq!(
        feed_greeting(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c"),
        ["failed: CONNECT at the wrong time or end"]
    );
    assert_eq!(
        feed_connected(CONNACK),
        ["failed: CONNACK at the wrong time or end"]
    );
}

#[test]
fn packets_that_only_clients_send_are_refused_by_the_first_byte() {
    for (first, name) in [
        (0x10, "CONNECT"),
        (0x82, "SUBSCRIBE"),
        (0xa2, "UNSUBSCRIBE"),
        (0xc0, "PINGREQ"),
        (0xe0, "DISCONNECT"),
    ] {
        assert_eq!(
            feed_connected(&[first]),
            [format!("failed: {name} at the wrong time or end")]
        );
    }
    // AUTH of MQTT 5.
    assert_eq!(
        feed_connected(&[0xf0]),
        ["failed: packet of the reserved type 15"]
    );
}

#[test]
fn a_fifth_byte_of_length_is_not_waited_for() {
    for first in [0x30, 0x32, 0x34, 0x40, 0x62, 0x90, 0xb0, 0xd0] {
        assert_eq!(
            feed_connected(&[first, 0x80, 0x80, 0x80, 0x80]),
            ["failed: remaining length of more than four bytes"],
            "{first:#04x}"
        );
        assert_eq!(feed_connected(&[first, 0x80, 0x80, 0x80]), [""; 0]);
    }
}

/// MQTT 3.1.1 has no rule against it.
#[test]
fn lengths_with_needless_bytes_are_taken() {
    let mut link = Link::connected(&options());
    assert_eq!(link.feed(b"\xd0\x80\x80\x00"), [""; 0]);
    assert_eq!(link.feed(b"\x30\x83\x00\x00\x01a"), ["message a  qos0"]);
}

#[test]
fn every_reserved_connack_bit_and_code_is_refused() {
    for flags in 2..=0xff {
        for code in [0, 5] {
            assert_eq!(
                feed_greeting(&[0x20, 2, flags, code]),
                [format!(
                    "failed: CONNACK with acknowledge flags {flags:#04x}"
                )]
            );
        }
    }
    // No session can be present where none is (MQTT-3.2.2-4).
    assert_eq!(
        feed_greeting(b"\x20\x02\x01\x05"),
        ["failed: CONNACK with acknowledge flags 0x01"]
    );
    for code in 6..=0xff {
        assert_eq!(
            feed_greeting(&[0x20, 2, 0, code]),
            [format!("failed: CONNACK with return code {code:#04x}")]
        );
    }
    for short in [&b"\x20\x00"[..], b"\x20\x01", b"\x20\x03"] {
        assert!(feed_greeting(short)[0].starts_with("failed"));
    }
    // A session that this client did not ask for is none of its business.
    assert_eq!(feed_greeting(b"\x20\x02\x01\x00"), ["connected"]);
}

#[test]
fn acknowledgements_nobody_asked_for_are_harmless() {
    let mut link = Link::connected(&options());
    let seen = link.feed(
        b"\x40\x02\x00\x01\x50\x02\x00\x01\x70\x02\x00\x01\x62\x02\x00\x01\
          \xb0\x02\x00\x01\x90\x03\x00\x01\x00\xd0\x00",
    );
    assert_eq!(
        seen,
        [
            "unexpected PUBACK 1",
            "unexpected PUBREC 1",
            "unexpected PUBCOMP 1",
            "unexpected PUBREL 1",
            "unexpected UNSUBACK 1",
            "unexpected SUBACK 1",
        ]
    );
    assert_eq!(link.sent(), b"\x70\x02\x00\x01", "only PUBREL is answered");
    assert!(link.session.is_connected());
}

/// One acknowledgement must not settle a packet of another kind that has the same identifier.
#[test]
fn an_acknowledgement_of_another_kind_settles_nothing() {
    let mut link = Link::connected(&options());
    link.publish(1, QoS::AtLeastOnce);
    link.session
        .subscribe(2, &[("a", QoS::AtMostOnce)])
        .unwrap();
    link.session.unsubscribe(3, &["a"]).unwrap();
    link.sent();
    let seen = link.feed(
        b"\xb0\x02\x00\x01\x90\x03\x00\x01\x00\x70\x02\x00\x01\x40\x02\x00\x02\
          \xb0\x02\x00\x02\x40\x02\x00\x03\x90\x03\x00\x03\x00",
    );
    assert!(seen.iter().all(|seen| seen.starts_with("unexpected")));
    assert_eq!(seen.len(), 7);
    assert_eq!(
        link.feed(b"\xb0\x02\x00\x03\x90\x03\x00\x02\x02\x40\x02\x00\x01"),
        ["unsubscribed 3", "subscribed 2 [Ok(2)]", "acknowledged 1"]
    );
}

/// A receiver may close the link over control characters and non-characters (MQTT-1.5.3, not
/// normative). It is not done: one such message would cost the link again and again.
#[test]
fn control_characters_in_topics_are_taken() {
    for (topic, shown) in [
        (&b"\x01"[..], "\\u{1}"),
        (b"\x1f", "\\u{1f}"),
        (b"\x7f", "\\u{7f}"),
        (b"\xc2\x9f", "\\u{9f}"),
        (b"\xef\xbf\xbf", "\\u{ffff}"),
        (b"\xf0\x90\x80\x80", "\\u{10000}"),
    ] {
        let length = topic.len() as u8;
        let packet = [&[0x30, length + 2, 0, length], topic].concat();
        assert_eq!(feed_connected(&packet), [format!("message {shown}  qos0")]);
    }
    // U+D800, an overlong slash, a lone continuation byte, and past the end of Unicode.
    for topic in [
        &b"\xed\xa0\x80"[..],
        b"\xc0\xaf",
        b"\x80",
        b"\xf4\x90\x80\x80",
    ] {
        let length = topic.len() as u8;
        let packet = [&[0x30, length + 2, 0, length], topic].concat();
        assert_eq!(
            feed_connected(&packet),
            ["failed: PUBLISH with a text that is not UTF-8"]
        );
    }
}

/// What other decoders take for a byte order mark is a character as any other (MQTT-1.5.3-3): a
/// topic with it is another topic.
#[test]
fn a_byte_order_mark_is_neither_skipped_nor_stripped() {
    assert_eq!(
        feed_connected(b"\x30\x09\x00\x07\xef\xbb\xbfa\xef\xbb\xbf"),
        ["message \\u{feff}a\\u{feff}  qos0"]
    );
    let mut link = Link::connected(&options());
    link.session
        .publish(1, "\u{feff}a", b"", QoS::AtMostOnce)
        .unwrap();
    assert_eq!(link.sent(), b"\x30\x06\x00\x04\xef\xbb\xbfa");
}

#[test]
fn retain_and_dup_are_told() {
    assert_eq!(
        feed_connected(b"\x31\x03\x00\x01a\x33\x05\x00\x01a\x00\x01\x3c\x05\x00\x01a\x00\x02"),
        [
            "message a  qos0 retain",
            "message a  qos1 retain",
            "message a  qos2 dup"
        ]
    );
}
