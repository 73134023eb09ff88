//! Input in pieces.

use std::fmt::Write as _;
use std::time::Instant;

use kaa_proto::QoS;
use kaa_proto::mqtt::server::{Received, ServerOptions, ServerSession};
use kaa_proto::mqtt::{Incoming, Session, SessionOptions};

/// Any bytes give the same events whole, in single bytes and in random pieces; the answers to
/// them are no longer than they are; and what a session said is still said after it failed.
///
/// The first byte chooses the pieces, the second the role and the limit, the rest is the input.
///
/// # Panics
/// If that does not hold.
pub fn decode_pieces(data: &[u8]) {
    let &[seed, mode, ref input @ ..] = data else {
        return;
    };
    let run = match mode & 1 {
        0 => client,
        _ => server,
    };
    let whole = run(mode, input, &mut |rest| rest);
    assert_eq!(run(mode, input, &mut |_| 1), whole);
    let mut state = u32::from(seed) + 1;
    let mut random = |rest: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 24) as usize % rest.min(1 + usize::from(seed))
    };
    assert_eq!(run(mode, input, &mut random), whole);
}

/// Feeds all of `input` to a client, in pieces as long as `cut` says of what is left.
fn client(mode: u8, mut input: &[u8], cut: &mut dyn FnMut(usize) -> usize) -> String {
    let now = now();
    let mut options = SessionOptions::new("fuzz");
    options.max_packet_in = limit(mode);
    let mut session = Session::<u8>::new(now, &options).expect("the options are right");
    let mut sent = Vec::new();
    let mut seen = String::new();
    if mode & 2 != 0 {
        // Otherwise nothing gets past the first packet.
        let mut connack = &b"\x20\x02\x00\x00"[..];
        assert_eq!(
            session.handle_input(now, &mut connack),
            Some(Incoming::Connected)
        );
        for (key, qos) in [(1, QoS::AtLeastOnce), (2, QoS::ExactlyOnce)] {
            assert_eq!(session.publish(key, "a", b"", qos), Ok(()));
        }
        assert_eq!(session.subscribe(3, &[("a", QoS::AtMostOnce)]), Ok(()));
        assert_eq!(session.unsubscribe(4, &["a"]), Ok(()));
    }
    session.poll_transmit(&mut sent);
    session.handle_written(now, sent.len());
    let len = input.len();
    while !input.is_empty() {
        let (mut piece, rest) = input.split_at(cut(input.len()));
        input = rest;
        while let Some(incoming) = session.handle_input(now, &mut piece) {
            show(&mut seen, &incoming);
        }
        assert!(piece.is_empty(), "input was left over");
    }
    assert!(session.unwritten() <= len, "answers outgrow the input");
    let end = (session.failure(), session.in_flight(), session.traffic());
    seen + &format!("{end:?}")
}

/// As [`client`], for a server that lets everybody in and grants everything.
fn server(mode: u8, mut input: &[u8], cut: &mut dyn FnMut(usize) -> usize) -> String {
    let now = now();
    let mut options = ServerOptions::default();
    options.max_packet_in = limit(mode);
    let mut session = ServerSession::new(now, options);
    let mut seen = String::new();
    if mode & 2 != 0 {
        let mut connect = &b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c"[..];
        assert!(session.handle_input(now, &mut connect).is_some());
        session.accept(now);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            assert!(session.publish("a", b"", qos).is_ok());
        }
    }
    let mut sent = Vec::new();
    session.poll_transmit(&mut sent);
    session.handle_written(sent.len());
    let len = input.len();
    while !input.is_empty() {
        let (mut piece, rest) = input.split_at(cut(input.len()));
        input = rest;
        loop {
            let asked = match session.handle_input(now, &mut piece) {
                None => break,
                Some(Received::Subscribe { id, filters }) => {
                    let _ = write!(seen, "{:?};", filters.iter().collect::<Vec<_>>());
                    Some(id)
                }
                Some(Received::Publish(message)) => {
                    show(&mut seen, &Incoming::Message(message));
                    None
                }
                Some(received) => {
                    let _ = write!(seen, "{received:?};");
                    None
                }
            };
            match asked {
                Some(id) => session.grant(id, &[Some(QoS::AtMostOnce)]),
                None => session.accept(now),
            }
        }
        assert!(piece.is_empty(), "input was left over");
    }
    // PINGRESP is as long as PINGREQ, CONNACK is shorter than CONNECT, SUBACK than SUBSCRIBE.
    assert!(session.unwritten() <= len, "answers outgrow the input");
    let end = (session.failure(), session.in_flight(), session.is_over());
    seen + &format!("{end:?}")
}

/// Everything that an event says; `Debug` leaves payloads out.
fn show(seen: &mut String, incoming: &Incoming<'_, u8>) {
    let _ = write!(seen, "{incoming:?};");
    if let Incoming::Message(message) = incoming {
        let _ = write!(seen, "{:?}{:?};", message.topic, message.payload);
    }
}

/// Small limits, so that small inputs exceed them.
fn limit(mode: u8) -> usize {
    64 + 8 * usize::from(mode >> 2)
}

#[allow(
    clippy::disallowed_methods,
    reason = "any instant will do: nothing is due"
)]
fn now() -> Instant {
    Instant::now()
}
