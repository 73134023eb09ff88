//! What a server session does with each packet, both ways.

use super::*;
use crate::mqtt::server::{Received, ServerFailure, ServerOptions, ServerSession};
use crate::mqtt::{ConnectRefusal, InvalidTopic, PublishError};

/// A CONNECT of the client `c`, clean session, keep alive 10 s.
pub(super) const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c";

/// A server session, its clock, and a transport that takes everything at once.
pub(super) struct Server {
    pub(super) session: ServerSession,
    now: Instant,
}

impl Server {
    pub(super) fn new() -> Self {
        let now = start();
        let session = ServerSession::new(now, ServerOptions::default());
        Self { session, now }
    }

    pub(super) fn connected() -> Self {
        let mut server = Self::new();
        server.feed(CONNECT);
        server.session.accept(server.now);
        assert_eq!(server.sent(), b"\x20\x02\x00\x00");
        server
    }

    /// Feeds `input` at once, grants all that is asked for; what came of it.
    pub(super) fn feed(&mut self, mut input: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let (shown, subscribe) = match self.session.handle_input(self.now, &mut input) {
                None => return seen,
                Some(Received::Subscribe { id, filters }) => {
                    let filters: Vec<_> =
                        filters.iter().map(|(f, qos)| (f.to_owned(), qos)).collect();
                    (format!("subscribe {filters:?}"), Some((id, filters)))
                }
                Some(received) => (show_received(&received), None),
            };
            seen.push(shown);
            if let Some((id, filters)) = subscribe {
                let granted: Vec<_> = filters.iter().map(|&(_, qos)| Some(qos)).collect();
                self.session.grant(id, &granted);
            }
        }
    }

    pub(super) fn sent(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let len = self.session.poll_transmit(&mut out);
        self.session.handle_written(len);
        out
    }
}

fn show_received(received: &Received<'_>) -> String {
    match received {
        Received::Connect(connect) => format!(
            "connect {} {:?} {:?} {}s clean={} will={:?}",
            connect.client_id,
            connect.user,
            connect.password,
            connect.keep_alive,
            connect.clean_session,
            connect.will.map(|will| (will.topic.to_owned(), will.qos)),
        ),
        Received::Publish(message) => show(&Incoming::Message(*message)),
        Received::Oversize(oversize) => show(&Incoming::Oversize(*oversize)),
        Received::Acknowledged(id) => format!("acknowledged {id}"),
        Received::Subscribe { filters, .. } => format!("subscribe {filters:?}"),
        Received::Unsubscribe(filters) => {
            format!("unsubscribe {:?}", filters.iter().collect::<Vec<_>>())
        }
        Received::Disconnect => "disconnect".into(),
        Received::Unexpected { packet, id } => format!("unexpected {packet} {id}"),
        Received::Failed(violation) => format!("failed: {violation}"),
    }
}

#[test]
fn a_connect_is_shown_whole_and_input_waits_for_the_decision() {
    let mut server = Server::new();
    let connect = b"\x10\x26\x00\x04MQTT\x04\xee\x00\x3c\x00\x08device-1\x00\x03w/t\x00\x01x\x00\x03kaa\x00\x03\xff\x00p";
    let mut input = &[&connect[..], b"\xc0\x00"].concat()[..];
    let seen = server
        .session
        .handle_input(server.now, &mut input)
        .map(|received| show_received(&received));
    assert_eq!(
        seen.unwrap(),
        "connect device-1 Some(\"kaa\") Some([255, 0, 112]) 60s clean=true \
         will=Some((\"w/t\", AtLeastOnce))"
    );
    assert!(
        server
            .session
            .handle_input(server.now, &mut input)
            .is_none()
    );
    assert_eq!(input, b"\xc0\x00");
    server.session.accept(server.now);
    assert!(
        server
            .session
            .handle_input(server.now, &mut input)
            .is_none()
    );
    assert_eq!(server.sent(), b"\x20\x02\x00\x00\xd0\x00");
}

#[test]
fn empty_passwords_and_user_names_are_not_absent() {
    for (connect, login) in [
        (
            &b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c"[..],
            "None None",
        ),
        (
            b"\x10\x0f\x00\x04MQTT\x04\x82\x00\x00\x00\x01c\x00\x00",
            "Some(\"\") None",
        ),
        (
            b"\x10\x11\x00\x04MQTT\x04\xc2\x00\x00\x00\x01c\x00\x00\x00\x00",
            "Some(\"\") Some([])",
        ),
    ] {
        let seen = Server::new().feed(connect);
        assert_eq!(seen, [format!("connect c {login} 0s clean=true will=None")]);
    }
}

#[test]
fn a_refused_client_gets_its_code_and_is_not_heard_any_more() {
    let mut server = Server::new();
    server.feed(CONNECT);
    server.session.refuse(ConnectRefusal::NotAuthorized);
    assert_eq!(server.sent(), b"\x20\x02\x00\x05");
    assert!(server.session.is_over());
    assert_eq!(
        server.session.failure(),
        Some(ServerFailure::Refused(ConnectRefusal::NotAuthorized))
    );
    assert_eq!(server.feed(b"\xc0\x00"), [""; 0]);
}

#[test]
fn another_protocol_level_and_a_missing_client_id_are_answered_before_the_end() {
    for (connect, answer) in [
        (
            &b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x01c"[..],
            b"\x20\x02\x00\x01",
        ),
        (
            b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x0a\x00\x00",
            b"\x20\x02\x00\x02",
        ),
    ] {
        let mut server = Server::new();
        assert!(server.feed(connect)[0].starts_with("failed"));
        assert_eq!(server.sent(), answer);
        assert!(server.session.is_over());
    }
}

#[test]
fn a_connect_that_is_for_something_else_or_ends_early_is_refused() {
    for (connect, problem) in [
        (
            &b"\x10\x0d\x00\x04mqtt\x04\x02\x00\x0a\x00\x01c"[..],
            "CONNECT for another protocol",
        ),
        (
            b"\x10\x07\x00\x04MQTT\x04",
            "CONNECT with a remaining length of 7",
        ),
        (
            b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01\0",
            "CONNECT with U+0000 in a text",
        ),
    ] {
        let mut server = Server::new();
        assert_eq!(server.feed(connect), [format!("failed: {problem}")]);
    }
}

#[test]
fn messages_of_a_client_are_acknowledged_and_those_of_qos_2_come_once() {
    let mut server = Server::connected();
    let seen = server.feed(
        b"\x31\x05\x00\x01ahi\x32\x05\x00\x01a\x00\x07\x34\x05\x00\x01a\x00\x08\x3c\x05\x00\x01a\x00\x08\
          \x62\x02\x00\x08\x62\x02\x00\x09",
    );
    assert_eq!(
        seen,
        [
            "message a hi qos0 retain",
            "message a  qos1",
            "message a  qos2",
            "unexpected PUBLISH 8",
            "unexpected PUBREL 9"
        ]
    );
    assert_eq!(
        server.sent(),
        b"\x40\x02\x00\x07\x50\x02\x00\x08\x50\x02\x00\x08\x70\x02\x00\x08\x70\x02\x00\x09"
    );
}

#[test]
fn messages_to_a_client_wait_for_their_own_acknowledgement() {
    let mut server = Server::connected();
    let session = &mut server.session;
    assert_eq!(session.publish("a", b"hi", QoS::AtMostOnce), Ok(None));
    assert_eq!(session.publish("a", b"hi", QoS::AtLeastOnce), Ok(Some(1)));
    assert_eq!(session.publish("a", b"hi", QoS::ExactlyOnce), Ok(Some(2)));
    assert_eq!(session.in_flight(), 2);
    assert_eq!(
        server.sent(),
        b"\x30\x05\x00\x01ahi\x32\x07\x00\x01a\x00\x01hi\x34\x07\x00\x01a\x00\x02hi"
    );
    assert_eq!(
        server.feed(b"\x40\x02\x00\x02\x40\x02\x00\x01\x50\x02\x00\x02\x70\x02\x00\x02"),
        ["unexpected PUBACK 2", "acknowledged 1", "acknowledged 2"]
    );
    assert_eq!(server.sent(), b"\x62\x02\x00\x02");
    assert_eq!(server.session.in_flight(), 0);
}

#[test]
fn subscribes_are_granted_by_the_caller_and_what_is_missing_is_refused() {
    let mut server = Server::connected();
    let mut input = &b"\x82\x0c\x00\x05\x00\x03a/+\x01\x00\x01b\x02"[..];
    let Some(Received::Subscribe { id, filters }) =
        server.session.handle_input(server.now, &mut input)
    else {
        panic!("no subscribe");
    };
    assert_eq!(
        filters.iter().collect::<Vec<_>>(),
        [("a/+", QoS::AtLeastOnce), ("b", QoS::ExactlyOnce)]
    );
    server.session.grant(id, &[Some(QoS::AtMostOnce)]);
    assert_eq!(server.sent(), b"\x90\x04\x00\x05\x00\x80");
    assert_eq!(
        server.feed(b"\xa2\x0a\x00\x06\x00\x03a/+\x00\x01b"),
        ["unsubscribe [\"a/+\", \"b\"]"]
    );
    assert_eq!(server.sent(), b"\xb0\x02\x00\x06");
}

#[test]
fn what_cannot_be_sent_to_a_client_is_refused_before_a_byte_is_written() {
    let options = ServerOptions {
        max_packet_out: 20,
        max_in_flight: 1,
        high_water: 30,
        ..ServerOptions::default()
    };
    let now = start();
    let session = ServerSession::new(now, options);
    let mut server = Server { session, now };
    let publish = |server: &mut Server, topic: &str, payload: &[u8], qos| {
        server.session.publish(topic, payload, qos)
    };
    let (q0, q1) = (QoS::AtMostOnce, QoS::AtLeastOnce);
    let early = publish(&mut server, "a", b"", q0);
    assert_eq!(early, Err(PublishError::NotConnected));
    server.feed(CONNECT);
    server.session.accept(now);
    server.sent();
    let wildcard = PublishError::BadTopic(InvalidTopic::Wildcard);
    assert_eq!(publish(&mut server, "a/+", b"", q0), Err(wildcard));
    let (size, limit) = (21, 20);
    assert_eq!(
        publish(&mut server, "a", &[0; 16], q0),
        Err(PublishError::TooLarge { size, limit })
    );
    assert_eq!(publish(&mut server, "a", &[0; 13], q1), Ok(Some(1)));
    let full = publish(&mut server, "a", b"", q1);
    assert_eq!(full, Err(PublishError::WindowFull));
    assert_eq!(publish(&mut server, "a", &[0; 5], q0), Ok(None));
    let full = publish(&mut server, "a", b"", q0);
    assert_eq!(full, Err(PublishError::OutputFull));
    assert_eq!(server.sent().len(), 20 + 10);
    assert_eq!(publish(&mut server, "a", b"", q0), Ok(None));
}

#[test]
fn a_subscribe_of_a_client_that_is_gone_is_not_answered() {
    let mut server = Server::connected();
    let mut input: &[u8] = b"\x82\x06\x00\x01\x00\x01a\x01";
    let Some(Received::Subscribe { id, .. }) = server.session.handle_input(server.now, &mut input)
    else {
        panic!("SUBSCRIBE was not taken for one");
    };
    server.feed(b"\xe0\x00");
    server.session.grant(id, &[Some(QoS::AtLeastOnce)]);
    assert_eq!(server.sent(), b"");
}

#[test]
fn a_silent_client_is_given_up_after_one_and_a_half_intervals() {
    let mut server = Server::connected();
    let (begin, half) = (server.now, Duration::from_millis(500));
    assert_eq!(server.session.poll_timeout(), Some(begin + secs(15)));
    server.now += secs(14);
    server.feed(b"\xc0\x00");
    assert_eq!(server.sent(), b"\xd0\x00");
    assert_eq!(server.session.poll_timeout(), Some(begin + secs(29)));
    server.session.handle_timeout(begin + secs(29) - half);
    assert_eq!(server.session.failure(), None);
    server.session.handle_timeout(begin + secs(29));
    assert_eq!(
        server.session.failure(),
        Some(ServerFailure::KeepAliveTimeout)
    );
    assert_eq!(server.session.poll_timeout(), None);
}

#[test]
fn connect_must_come_first_once_and_in_time() {
    assert_eq!(
        Server::new().feed(b"\xc0\x00"),
        ["failed: PINGREQ at the wrong time or end"]
    );
    assert_eq!(
        Server::connected().feed(CONNECT),
        ["failed: CONNECT at the wrong time or end"]
    );
    let mut server = Server::new();
    let deadline = server.session.poll_timeout().unwrap();
    server.session.handle_timeout(deadline);
    assert_eq!(server.session.failure(), Some(ServerFailure::NoConnect));
    assert_eq!(server.feed(CONNECT), [""; 0]);
}

#[test]
fn disconnect_ends_the_link_without_a_failure() {
    let mut server = Server::connected();
    assert_eq!(server.feed(b"\xe0\x00\xc0\x00"), ["disconnect"]);
    assert!(server.session.is_over() && server.session.failure().is_none());
    assert_eq!(server.sent(), b"");
    let refused = server.session.publish("a", b"", QoS::AtMostOnce);
    assert_eq!(refused, Err(PublishError::NotConnected));
}

#[test]
fn identifiers_to_a_client_go_around_those_that_are_stuck() {
    let mut server = Server::connected();
    let stuck = server.session.publish("a", b"", QoS::AtLeastOnce);
    assert_eq!(stuck, Ok(Some(1)));
    for _ in 0..70_000 {
        let id = server.session.publish("a", b"", QoS::AtLeastOnce);
        let [high, low] = id.unwrap().unwrap().to_be_bytes();
        assert!((high, low) != (0, 1) && (high, low) != (0, 0));
        server.sent();
        assert_eq!(server.feed(&[0x40, 2, high, low]).len(), 1);
    }
    assert_eq!(server.session.in_flight(), 1);
}

#[test]
fn a_login_is_never_shown_by_the_server() {
    let mut server = Server::new();
    let connect = b"\x10\x19\x00\x04MQTT\x04\xc2\x00\x00\x00\x01c\x00\x03kaa\x00\x05hunte";
    let mut shown = String::new();
    for byte in connect.chunks(1) {
        let mut input = byte;
        let received = server.session.handle_input(server.now, &mut input);
        shown += &format!("{received:?}");
        shown += &format!("{:?}", server.session);
    }
    assert!(shown.contains("has_password: true"));
    // As text, and as the list of bytes that a derived `Debug` would print.
    for secret in ["hunte", "104, 117, 110", "kaa", "107, 97, 97"] {
        assert!(!shown.contains(secret));
    }
}

#[test]
fn any_pieces_give_the_server_the_same_events() {
    let stream = b"\x30\x05\x00\x01ahi\x82\x0c\x00\x05\x00\x03a/+\x01\x00\x01b\x02\
        \xa2\x05\x00\x06\x00\x01b\xc0\x00\x34\x05\x00\x01a\x00\x08\x62\x82\x00\x00\x08\
        \x40\x02\x00\x01\xe0\x00\xc0\x00";
    let feed = |mut next: Box<dyn FnMut() -> usize>| {
        let mut server = Server::new();
        let mut seen = Vec::new();
        for part in [CONNECT, stream] {
            let mut rest = part;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(next().clamp(1, rest.len()));
                seen.extend(server.feed(piece));
                rest = after;
            }
            server.session.accept(server.now);
        }
        (seen, server.sent())
    };
    let whole = feed(Box::new(|| usize::MAX));
    assert_eq!(whole.0.len(), 7);
    assert_eq!(feed(Box::new(|| 1)), whole);
    for seed in 0..100 {
        let mut rng = crate::rng::Rng::new(seed);
        assert_eq!(feed(Box::new(move || 1 + rng.below(9) as usize)), whole);
    }
}

#[test]
fn packets_that_only_servers_send_and_illegal_flags_are_refused_by_the_first_byte() {
    for first in 0..=0xff_u8 {
        let legal = matches!(
            first,
            0x30..=0x35 | 0x3a..=0x3d | 0x40 | 0x50 | 0x62 | 0x70 | 0x82 | 0xa2 | 0xc0 | 0xe0
        );
        assert_eq!(
            Server::connected().feed(&[first]).is_empty(),
            legal,
            "{first:#04x}"
        );
        assert_eq!(
            Server::new().feed(&[first]).is_empty(),
            first == 0x10,
            "{first:#04x}"
        );
    }
}
