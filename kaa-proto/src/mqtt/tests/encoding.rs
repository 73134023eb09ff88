//! The bytes of what is sent, typed from MQTT 3.1.1, and the defects of common writers: a packet
//! that is wrong, or half of one, must never leave.

use super::*;
use crate::mqtt::connect::write_connect;
use crate::mqtt::{InvalidTopic, Login, PublishError, SessionError, SubscribeError};

/// A session whose output may be as large as MQTT can express.
fn unlimited() -> Link {
    let mut options = options();
    options.max_packet_out = 268_435_460;
    Link::connected(&options)
}

fn connect(options: &SessionOptions) -> Vec<u8> {
    Link::new(options).sent()
}

/// MQTT 3.1.1 section 3.1: protocol name, level 4, flags, keep alive, and the payload in order.
#[test]
fn connect_has_the_flags_of_what_it_holds() {
    let mut options = SessionOptions::new("id");
    options.keep_alive = Some(secs(10));
    assert_eq!(
        connect(&options),
        b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x0a\x00\x02id"
    );
    options.keep_alive = None;
    options.login = Some(Login::new("user"));
    assert_eq!(
        connect(&options),
        b"\x10\x14\x00\x04MQTT\x04\x82\x00\x00\x00\x02id\x00\x04user"
    );
    options.keep_alive = Some(secs(65_535));
    options.login = Some(Login::new("user").with_password(*b"\xff\x00\xfe"));
    assert_eq!(
        connect(&options),
        b"\x10\x19\x00\x04MQTT\x04\xc2\xff\xff\x00\x02id\x00\x04user\x00\x03\xff\x00\xfe"
    );
}

/// E8: an empty user name or password is not an absent one, an empty client identifier is legal
/// in a clean session, and a password never goes without a user name (that cannot be said).
#[test]
fn e8_empty_credentials_keep_their_flags() {
    let mut options = SessionOptions::new("");
    assert_eq!(
        connect(&options),
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
    );
    options.login = Some(Login::new("").with_password(""));
    assert_eq!(
        connect(&options),
        b"\x10\x10\x00\x04MQTT\x04\xc2\x00\x3c\x00\x00\x00\x00\x00\x00"
    );
}

/// E1: flags were written at an index counted from the start of the buffer.
#[test]
fn e1_connect_is_right_behind_other_bytes_too() {
    let mut options = SessionOptions::new("id");
    options.login = Some(Login::new("u").with_password("p"));
    let mut out = b"twelve bytes".to_vec();
    write_connect(&mut out, &options);
    assert_eq!(
        out,
        b"twelve bytes\x10\x14\x00\x04MQTT\x04\xc2\x00\x3c\x00\x02id\x00\x01u\x00\x01p"
    );
}

/// E2 and E9: without an identifier nothing is written, and QoS 0 has none.
#[test]
fn e2_without_an_identifier_nothing_is_written() {
    let mut options = options();
    options.max_in_flight = 1;
    let mut link = Link::connected(&options);
    link.publish(1, QoS::AtLeastOnce);
    link.sent();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let full = link.session.publish(2, "a", b"", qos);
        assert_eq!(full, Err(PublishError::WindowFull));
        assert_eq!(link.sent(), b"");
    }
    link.session.publish(2, "a", b"", QoS::AtMostOnce).unwrap();
    assert_eq!(link.sent(), b"\x30\x03\x00\x01a");
}

/// E3: lengths were cut to 16 bits, so that a message went to another topic.
#[test]
fn e3_texts_over_65535_bytes_are_refused() {
    let (longest, too_long) = ("a".repeat(65_535), "a".repeat(65_536));
    let mut link = unlimited();
    let refused = link.session.publish(1, &too_long, b"", QoS::AtMostOnce);
    assert_eq!(refused, Err(PublishError::BadTopic(InvalidTopic::TooLong)));
    let bad = SubscribeError::BadFilter {
        index: 0,
        problem: InvalidTopic::TooLong,
    };
    let refused = link.session.subscribe(1, &[(&too_long, QoS::AtMostOnce)]);
    assert_eq!(refused, Err(bad));
    assert_eq!(link.session.unsubscribe(1, &[&too_long]), Err(bad));
    assert_eq!(link.sent(), b"");

    link.session
        .publish(1, &longest, b"x", QoS::AtMostOnce)
        .unwrap();
    let sent = link.sent();
    assert_eq!(sent[..6], *b"\x30\x82\x80\x04\xff\xff");
    assert_eq!(sent.len(), 6 + 65_535 + 1);
    link.session
        .subscribe(1, &[(&longest, QoS::AtMostOnce)])
        .unwrap();
    let sent = link.sent();
    assert_eq!(sent[..8], *b"\x82\x84\x80\x04\x00\x01\xff\xff");
    assert_eq!(sent.len(), 8 + 65_535 + 1);

    for (options, error) in [
        (SessionOptions::new(&*too_long), SessionError::ClientId),
        (
            SessionOptions {
                login: Some(Login::new(&*too_long)),
                ..options()
            },
            SessionError::User,
        ),
        (
            SessionOptions {
                login: Some(Login::new("").with_password(too_long.as_bytes())),
                ..options()
            },
            SessionError::Password,
        ),
    ] {
        assert_eq!(Session::<u32>::new(start(), &options).err(), Some(error));
    }
}

/// E4: a packet over 268,435,455 bytes left its first byte behind.
#[test]
fn e4_what_mqtt_cannot_express_is_refused_whole() {
    let mut link = unlimited();
    let payload = vec![0; 268_435_453];
    let refused = link.session.publish(1, "a", &payload, QoS::AtMostOnce);
    let limit = 268_435_460;
    let size = usize::MAX;
    assert_eq!(refused, Err(PublishError::TooLarge { size, limit }));
    assert_eq!(link.sent(), b"");
}

/// E5: no filters, empty filters, identifier 0.
#[test]
fn e5_subscribes_without_filters_are_refused() {
    let mut link = Link::connected(&options());
    let session = &mut link.session;
    assert_eq!(session.subscribe(1, &[]), Err(SubscribeError::NoFilters));
    assert_eq!(session.unsubscribe(1, &[]), Err(SubscribeError::NoFilters));
    let bad = SubscribeError::BadFilter {
        index: 1,
        problem: InvalidTopic::Empty,
    };
    let filters = [("a", QoS::AtMostOnce), ("", QoS::AtMostOnce)];
    assert_eq!(session.subscribe(1, &filters), Err(bad));
    assert_eq!(session.unsubscribe(1, &["a", ""]), Err(bad));
    assert_eq!(link.sent(), b"");
}

/// E6: identifiers wrap around 0 on every kind of packet.
#[test]
fn e6_identifier_0_is_never_written() {
    let mut link = Link::connected(&options());
    for round in 0..70_000_u32 {
        let id = (round % 65_535 + 1) as u16;
        let [high, low] = id.to_be_bytes();
        link.session
            .publish(round, "a", b"", QoS::AtLeastOnce)
            .unwrap();
        assert_eq!(link.sent(), [0x32, 5, 0, 1, b'a', high, low]);
        assert_eq!(link.written(), [round]);
        link.feed(&[0x40, 2, high, low]);
    }
}

/// E7: the topic was not checked.
#[test]
fn e7_topics_that_are_none_are_refused() {
    let mut link = Link::connected(&options());
    for topic in ["", "a/+", "#", "a\0b", "a\u{7f}"] {
        let refused = link.session.publish(1, topic, b"", QoS::AtLeastOnce);
        assert!(
            matches!(refused, Err(PublishError::BadTopic(_))),
            "{topic:?}"
        );
    }
    assert_eq!(link.sent(), b"");
}

/// Packets of the crate are appended behind those that are written in place.
#[test]
fn control_packets_are_appended_to_what_is_pending() {
    let mut link = Link::connected(&options());
    link.publish(1, QoS::AtMostOnce);
    link.session
        .subscribe(2, &[("é/#", QoS::ExactlyOnce)])
        .unwrap();
    link.session.unsubscribe(3, &["+"]).unwrap();
    link.session.disconnect();
    assert_eq!(
        link.sent(),
        b"\x30\x07\x00\x03a/bhi\
          \x82\x09\x00\x01\x00\x04\xc3\xa9/#\x02\
          \xa2\x05\x00\x02\x00\x01+\
          \xe0\x00"
    );
    assert_eq!(link.session.traffic().packets_out, 5);
}
