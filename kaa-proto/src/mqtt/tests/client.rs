//! What a session does with each packet, both ways.

use super::*;
use crate::mqtt::filter::InvalidTopic;
use crate::mqtt::{LinkFailure, Login, PublishError, SubscribeError};

#[test]
fn connect_is_in_the_output_at_once_and_connack_brings_the_link_up() {
    let mut link = Link::new(&options());
    assert!(!link.session.is_connected() && link.session.window() == 0);
    assert_eq!(
        link.sent(),
        b"\x10\x14\x00\x04MQTT\x04\x02\x00\x3c\x00\x08device-1"
    );
    assert_eq!(link.feed(CONNACK), ["connected"]);
    assert!(link.session.is_connected() && link.session.window() == 100);
}

#[test]
fn every_refusal_is_a_named_cause_and_the_end_of_the_link() {
    for (code, name) in [
        (1, "ProtocolVersion"),
        (2, "ClientId"),
        (3, "ServerUnavailable"),
        (4, "BadLogin"),
        (5, "NotAuthorized"),
    ] {
        let mut link = Link::new(&options());
        link.sent();
        assert_eq!(
            link.feed(&[0x20, 2, 0, code, 0x30, 0]),
            [format!("refused {name}")]
        );
        let Some(LinkFailure::Refused(refusal)) = link.session.failure() else {
            panic!("no refusal");
        };
        assert_eq!(refusal.code(), code);
        assert_eq!(link.session.poll_timeout(), None);
    }
}

#[test]
fn no_connack_in_time_is_a_failure() {
    let mut link = Link::new(&options());
    link.sent();
    assert_eq!(link.session.poll_timeout(), Some(link.now + secs(10)));
    link.advance(secs(9));
    assert_eq!(link.session.failure(), None);
    link.advance(secs(1));
    assert_eq!(link.session.failure(), Some(LinkFailure::NoConnAck));
    assert_eq!(link.feed(CONNACK), [""; 0]);
}

#[test]
fn who_speaks_early_is_heard_in_order_and_waits_for_acknowledgements_from_connack_on() {
    let mut link = Link::new(&SessionOptions {
        max_in_flight: 1,
        connack_within: secs(60),
        ..options()
    });
    link.session.speak_early();
    assert!(!link.session.is_connected() && link.session.window() == 1);
    let subscribed = link.session.subscribe(1, &[("a", QoS::AtMostOnce)]);
    assert_eq!(subscribed, Ok(()));
    let published = link.session.publish(2, "b", b"", QoS::AtLeastOnce);
    assert_eq!(published, Ok(()));
    let sent = link.sent();
    assert!(sent.ends_with(b"\x82\x06\x00\x01\x00\x01a\x00\x32\x05\x00\x01b\x00\x02"));
    // `acknowledge_within` is over, but nothing could be acknowledged.
    link.advance(secs(40));
    assert_eq!(link.feed(CONNACK), ["connected"]);
    link.advance(secs(29));
    assert_eq!(link.session.failure(), None);
    link.advance(secs(1));
    assert_eq!(link.session.failure(), Some(LinkFailure::Unacknowledged));
}

#[test]
fn nothing_is_published_before_connack() {
    let mut link = Link::new(&options());
    link.sent();
    let refused = link.session.publish(1, "a", b"", QoS::AtMostOnce);
    assert_eq!(refused, Err(PublishError::NotConnected));
    let refused = link.session.subscribe(1, &[("a", QoS::AtMostOnce)]);
    assert_eq!(refused, Err(SubscribeError::NotConnected));
    assert_eq!(link.sent(), b"");
}

#[test]
fn a_publish_of_qos_0_is_done_when_it_is_written() {
    let mut link = Link::connected(&options());
    link.publish(7, QoS::AtMostOnce);
    assert_eq!(link.written(), [0; 0]);
    assert_eq!(link.sent(), b"\x30\x07\x00\x03a/bhi");
    assert_eq!(link.written(), [7]);
    assert_eq!(link.session.in_flight(), 0);
}

#[test]
fn a_publish_of_qos_1_is_done_at_puback_in_any_order() {
    let mut link = Link::connected(&options());
    link.publish(7, QoS::AtLeastOnce);
    link.publish(8, QoS::AtLeastOnce);
    assert_eq!(
        link.sent(),
        b"\x32\x09\x00\x03a/b\x00\x01hi\x32\x09\x00\x03a/b\x00\x02hi"
    );
    assert_eq!(link.session.window(), 98);
    let seen = link.feed(b"\x40\x02\x00\x02\x40\x02\x00\x01\x40\x02\x00\x01");
    assert_eq!(
        seen,
        ["acknowledged 8", "acknowledged 7", "unexpected PUBACK 1"]
    );
    assert_eq!(link.session.window(), 100);
}

#[test]
fn a_publish_of_qos_2_is_done_at_pubcomp() {
    let mut link = Link::connected(&options());
    link.publish(7, QoS::ExactlyOnce);
    assert_eq!(link.sent(), b"\x34\x09\x00\x03a/b\x00\x01hi");
    // Neither PUBACK nor PUBCOMP is what it waits for.
    assert_eq!(
        link.feed(b"\x40\x02\x00\x01\x70\x02\x00\x01"),
        ["unexpected PUBACK 1", "unexpected PUBCOMP 1"]
    );
    assert_eq!(link.feed(b"\x50\x02\x00\x01"), [""; 0]);
    assert_eq!(link.sent(), b"\x62\x02\x00\x01");
    assert_eq!(link.feed(b"\x50\x02\x00\x01"), ["unexpected PUBREC 1"]);
    assert_eq!(link.session.in_flight(), 1);
    assert_eq!(link.feed(b"\x70\x02\x00\x01"), ["acknowledged 7"]);
    assert_eq!(link.session.in_flight(), 0);
}

/// An acknowledgement of bytes that the server cannot have is none.
#[test]
fn what_was_not_written_whole_cannot_be_acknowledged() {
    let mut link = Link::connected(&options());
    link.publish(7, QoS::AtLeastOnce);
    let mut out = Vec::new();
    link.session.poll_transmit(&mut out);
    link.session.handle_written(link.now, 10);
    assert_eq!(link.feed(b"\x40\x02\x00\x01"), ["unexpected PUBACK 1"]);
    assert_eq!(link.session.unwritten(), 1);
    link.session.handle_written(link.now, 1);
    assert_eq!(link.written(), [7]);
    assert_eq!(link.feed(b"\x40\x02\x00\x01"), ["acknowledged 7"]);
}

#[test]
fn publishes_are_written_in_order_and_each_with_its_last_byte() {
    let mut link = Link::connected(&options());
    link.publish(1, QoS::AtMostOnce);
    link.publish(2, QoS::AtLeastOnce);
    link.publish(3, QoS::AtMostOnce);
    let mut out = b"before".to_vec();
    assert_eq!(link.session.poll_transmit(&mut out), 29);
    assert_eq!(out.len(), 35);
    for (n, keys) in [(8, &[][..]), (1, &[1]), (11, &[2]), (8, &[]), (5, &[3])] {
        link.session.handle_written(link.now, n);
        assert_eq!(link.written(), keys);
    }
    assert_eq!(link.session.unwritten(), 0);
}

#[test]
fn received_messages_are_acknowledged_and_those_of_qos_2_come_once() {
    let mut link = Link::connected(&options());
    assert_eq!(link.feed(b"\x30\x05\x00\x01ahi"), ["message a hi qos0"]);
    assert_eq!(link.sent(), b"");
    assert_eq!(
        link.feed(b"\x3b\x07\x00\x01a\x00\x05hi"),
        ["message a hi qos1 dup retain"]
    );
    assert_eq!(link.sent(), b"\x40\x02\x00\x05");
    let qos_2 = b"\x34\x07\x00\x01a\x00\x05hi";
    assert_eq!(link.feed(qos_2), ["message a hi qos2"]);
    assert_eq!(link.sent(), b"\x50\x02\x00\x05");
    assert_eq!(link.feed(qos_2), ["unexpected PUBLISH 5"]);
    assert_eq!(link.sent(), b"\x50\x02\x00\x05");
    assert_eq!(link.feed(b"\x62\x02\x00\x05"), [""; 0]);
    assert_eq!(link.sent(), b"\x70\x02\x00\x05");
    assert_eq!(link.feed(b"\x62\x02\x00\x05"), ["unexpected PUBREL 5"]);
    assert_eq!(link.sent(), b"\x70\x02\x00\x05");
    assert_eq!(link.feed(qos_2), ["message a hi qos2"]);
}

/// In the order of what they answer, for each kind (MQTT-4.6.0-2 to -4).
#[test]
fn acknowledgements_go_out_in_the_order_of_what_they_answer() {
    let mut link = Link::connected(&options());
    for key in 1..=3 {
        link.publish(key, QoS::ExactlyOnce);
    }
    link.sent();
    link.feed(
        b"\x32\x05\x00\x01a\x00\x09\x34\x05\x00\x01a\x00\x08\x50\x02\x00\x03\
          \x32\x05\x00\x01a\x00\x04\x50\x02\x00\x01\x34\x05\x00\x01a\x00\x02\
          \x50\x02\x00\x02\x32\x05\x00\x01a\x00\x07",
    );
    assert_eq!(
        link.sent(),
        b"\x40\x02\x00\x09\x50\x02\x00\x08\x62\x02\x00\x03\x40\x02\x00\x04\
          \x62\x02\x00\x01\x50\x02\x00\x02\x62\x02\x00\x02\x40\x02\x00\x07"
    );
}

#[test]
fn subscribes_are_answered_filter_by_filter() {
    let mut link = Link::connected(&options());
    let filters = [
        ("a/+", QoS::AtMostOnce),
        ("b", QoS::AtLeastOnce),
        ("c/#", QoS::ExactlyOnce),
    ];
    link.session.subscribe(5, &filters).unwrap();
    link.session.unsubscribe(6, &["b", "c/#"]).unwrap();
    assert_eq!(
        link.sent(),
        b"\x82\x12\x00\x01\x00\x03a/+\x00\x00\x01b\x01\x00\x03c/#\x02\
          \xa2\x0a\x00\x02\x00\x01b\x00\x03c/#"
    );
    assert_eq!(
        link.feed(b"\x90\x05\x00\x01\x00\x80\x01\xb0\x02\x00\x02"),
        [
            "subscribed 5 [Ok(0), Err(FilterRefused), Ok(1)]",
            "unsubscribed 6"
        ]
    );
    assert_eq!(
        link.feed(b"\x90\x03\x00\x01\x00\xb0\x02\x00\x02"),
        ["unexpected SUBACK 1", "unexpected UNSUBACK 2"]
    );
}

#[test]
fn a_suback_for_another_number_of_filters_is_a_violation() {
    let mut link = Link::connected(&options());
    link.session
        .subscribe(5, &[("a", QoS::AtMostOnce)])
        .unwrap();
    link.sent();
    assert_eq!(
        link.feed(b"\x90\x04\x00\x01\x00\x00"),
        ["failed: SUBACK with 2 return codes for 1 filters"]
    );
}

#[test]
fn the_window_and_the_output_have_their_bounds() {
    let mut options = options();
    options.max_in_flight = 2;
    options.high_water = 100;
    let mut link = Link::connected(&options);
    link.publish(1, QoS::AtLeastOnce);
    link.publish(2, QoS::ExactlyOnce);
    let full = link.session.publish(3, "a", b"", QoS::AtLeastOnce);
    assert_eq!(full, Err(PublishError::WindowFull));
    link.publish(3, QoS::AtMostOnce);
    let large = [0; 200];
    link.session
        .publish(4, "a", &large, QoS::AtMostOnce)
        .unwrap();
    let full = link.session.publish(5, "a", b"", QoS::AtMostOnce);
    assert_eq!(full, Err(PublishError::OutputFull));
    let full = link.session.subscribe(6, &[("a", QoS::AtMostOnce)]);
    assert_eq!(full, Err(SubscribeError::OutputFull));
    link.sent();
    // Subscribes have a window of their own.
    link.session
        .subscribe(6, &[("a", QoS::AtMostOnce)])
        .unwrap();
    link.session.unsubscribe(7, &["a"]).unwrap();
    let full = link.session.unsubscribe(8, &["a"]);
    assert_eq!(full, Err(SubscribeError::WindowFull));
    assert_eq!(link.written(), [1, 2, 3, 4]);
}

/// PUBLISH with the topic `a` takes five bytes beside its payload.
#[test]
fn output_at_its_mark_is_full() {
    for (payload, is_full) in [(94, false), (95, true)] {
        let mut options = options();
        options.high_water = 100;
        let mut link = Link::connected(&options);
        let payload = vec![0; payload];
        let session = &mut link.session;
        session.publish(1, "a", &payload, QoS::AtMostOnce).unwrap();
        let full = session.publish(2, "a", b"", QoS::AtMostOnce);
        assert_eq!(full == Err(PublishError::OutputFull), is_full);
    }
}

/// The server's acknowledgements and answers are what a slow link shows of its life.
#[test]
fn input_is_wanted_while_a_large_message_is_written_and_not_while_acknowledgements_wait() {
    let mut options = options();
    (options.high_water, options.max_packet_out) = (100, 1_000);
    let mut link = Link::connected(&options);
    let large = [0; 994];
    link.session
        .publish(1, "a", &large, QoS::AtMostOnce)
        .unwrap();
    for id in 1..=25 {
        assert!(link.session.wants_input(), "before {id}");
        link.feed(&[0x32, 5, 0, 1, b'a', 0, id]);
    }
    assert!(!link.session.wants_input());
    let mut out = Vec::new();
    link.session.poll_transmit(&mut out);
    link.session.handle_written(link.now, 1_000);
    assert!(!link.session.wants_input());
    link.session.handle_written(link.now, 1);
    assert!(link.session.wants_input());
}

#[test]
fn input_is_not_wanted_while_as_much_is_unwritten_as_there_may_be() {
    let mut options = options();
    (options.high_water, options.max_packet_out) = (100, 1_000);
    let mut link = Link::connected(&options);
    for payload in [94, 994] {
        let payload = vec![0; payload];
        let session = &mut link.session;
        session.publish(1, "a", &payload, QoS::AtMostOnce).unwrap();
    }
    assert_eq!(link.session.unwritten(), 1_099);
    assert!(link.session.wants_input());
    link.feed(b"\x32\x05\x00\x01a\x00\x01");
    assert!(!link.session.wants_input());
}

#[test]
fn keys_that_nobody_asks_for_do_not_pile_up() {
    let mut options = options();
    options.high_water = 3;
    let mut link = Link::connected(&options);
    for key in 0..3 {
        link.publish(key, QoS::AtMostOnce);
        link.sent();
    }
    let full = link.session.publish(3, "a", b"", QoS::AtMostOnce);
    assert_eq!(full, Err(PublishError::OutputFull));
    assert_eq!(link.written(), [0, 1, 2]);
    link.publish(3, QoS::AtMostOnce);
}

#[test]
fn what_cannot_be_sent_is_refused_before_a_byte_is_written() {
    let mut options = options();
    options.max_packet_out = 64;
    let mut link = Link::connected(&options);
    let session = &mut link.session;
    assert_eq!(
        session.publish(1, "a", &[0; 60], QoS::AtMostOnce),
        Err(PublishError::TooLarge {
            size: 65,
            limit: 64
        })
    );
    session.publish(1, "a", &[0; 59], QoS::AtMostOnce).unwrap();
    for (topic, problem) in [
        ("", InvalidTopic::Empty),
        ("a/#", InvalidTopic::Wildcard),
        ("a\0", InvalidTopic::Character('\0')),
        ("a\u{1}", InvalidTopic::Character('\u{1}')),
    ] {
        let refused = session.publish(2, topic, b"", QoS::AtLeastOnce);
        assert_eq!(refused, Err(PublishError::BadTopic(problem)));
    }
    let index = 1;
    let problem = InvalidTopic::Wildcard;
    assert_eq!(
        session.subscribe(3, &[("a", QoS::AtMostOnce), ("b+", QoS::AtMostOnce)]),
        Err(SubscribeError::BadFilter { index, problem })
    );
    assert_eq!(session.subscribe(3, &[]), Err(SubscribeError::NoFilters));
    assert_eq!(session.unsubscribe(3, &[]), Err(SubscribeError::NoFilters));
    let long = "a".repeat(60);
    assert_eq!(
        session.subscribe(3, &[(&long, QoS::AtMostOnce)]),
        Err(SubscribeError::TooLarge {
            size: 67,
            limit: 64
        })
    );
    assert_eq!(
        session.unsubscribe(3, &[&long]),
        Err(SubscribeError::TooLarge {
            size: 66,
            limit: 64
        })
    );
    let (subscribed, unsubscribed) = (&long[..57], &long[..58]);
    session
        .subscribe(4, &[(subscribed, QoS::AtMostOnce)])
        .unwrap();
    session.unsubscribe(5, &[unsubscribed]).unwrap();
    assert_eq!(link.sent().len(), 3 * 64);
}

#[test]
fn disconnect_is_the_last_packet_and_nothing_is_heard_after_it() {
    let mut link = Link::connected(&options());
    link.publish(1, QoS::AtMostOnce);
    link.session.disconnect();
    link.session.disconnect();
    assert_eq!(link.session.poll_timeout(), None);
    assert_eq!(link.feed(b"\x32\x05\x00\x01a\x00\x05"), [""; 0]);
    assert_eq!(
        link.session.publish(2, "a", b"", QoS::AtMostOnce),
        Err(PublishError::NotConnected)
    );
    assert_eq!(link.sent(), b"\x30\x07\x00\x03a/bhi\xe0\x00");
    assert_eq!(link.written(), [1]);
    assert_eq!(link.session.failure(), None);
}

#[test]
fn after_a_violation_nothing_more_comes_out() {
    let mut link = Link::connected(&options());
    let seen = link.feed(b"\x32\x05\x00\x01a\x00\x05\xf0\x00\x30\x03\x00\x01a");
    assert_eq!(
        seen,
        ["message a  qos1", "failed: packet of the reserved type 15"]
    );
    assert!(matches!(
        link.session.failure(),
        Some(LinkFailure::Violation(_))
    ));
    assert_eq!(link.sent(), b"");
    assert_eq!(link.session.poll_timeout(), None);
    assert_eq!(link.feed(b"\x30\x03\x00\x01a"), [""; 0]);
}

#[test]
fn what_is_said_and_heard_is_counted() {
    let mut link = Link::connected(&options());
    link.publish(1, QoS::AtLeastOnce);
    link.sent();
    link.feed(b"\x40\x02\x00\x01\x30\x03\x00");
    let traffic = link.session.traffic();
    assert_eq!((traffic.packets_out, traffic.bytes_out), (2, 22 + 11));
    assert_eq!((traffic.packets_in, traffic.bytes_in), (2, 4 + 4 + 3));
}

#[test]
fn no_secret_is_ever_shown() {
    let mut options = options();
    options.login = Some(Login::new("kaa").with_password("hunter2"));
    let mut link = Link::connected(&options);
    let mut input = &b"\x30\x20\x00\x1akp1/v1/dcx/JTjdbENzHh/json21.5"[..];
    let shown = format!("{:?}", link.session.handle_input(link.now, &mut input));
    assert!(shown.contains("kp1/v1/dcx/JTj…/json") && !shown.contains("21.5"));
    let shown = format!("{:?}", link.session);
    assert!(!shown.contains("hunter") && !shown.contains("104"));
}
