//! In whichever pieces bytes come, and in whichever they are written: what comes of them is the same.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod choices;

use kaa_proto::commands::Pending;
use kaa_proto::connection::{Connection, Demand, Event, LinkId, Options};
use kaa_proto::endpoint::{self, EndpointOptions, Observation, Subscriptions};
use kaa_proto::metadata;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::{LinkId as ServerLink, PlatformServer};
use kaa_proto::request::{Confirm, RequestExt};
use kaa_proto::telemetry::Sample;
use kaa_tests::clock::Clock;
use kaa_tests::operations;
use kaa_tests::packets::packet;
use proptest::prelude::*;

const CONNACK: &[u8] = b"\x20\x02\x00\x00";
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
/// More than a client takes here, less than a packet may have.
const OVERSIZE: usize = 3_000;

fn publish(topic: &str, payload: &[u8], qos: u8) -> Vec<u8> {
    let mut body = vec![0, topic.len() as u8];
    body.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        body.extend([0, 9]);
    }
    body.extend_from_slice(payload);
    packet(0x30 | qos << 1, &body)
}

/// What a server may say to a client that has asked for a few things, and what it may not.
fn from_server() -> impl Strategy<Value = Vec<u8>> {
    let answer = (
        prop::sample::select(vec![
            "dcx/T/json",
            "epmx/T/get",
            "cex/T/command/reboot",
            "cmx/T/config/json",
            "zzz/T/x",
        ]),
        prop::option::of(1_u32..5),
        prop::sample::select(vec!["/status", "/status", "/error", ""]),
        prop::sample::select(vec![
            "",
            "{}",
            r#"[{"id":1},{"id":2,"payload":{}}]"#,
            r#"{"configId":"a","config":1}"#,
            r#"{"statusCode":400,"reasonPhrase":"no"}"#,
            "not JSON",
        ]),
        0_u8..3,
    );
    let answer = answer.prop_map(|(path, id, suffix, payload, qos)| {
        let id = id.map_or_else(String::new, |id| format!("/{id}"));
        let topic = format!(
            "kp1/demo-v1/{}{id}{suffix}",
            path.replace('T', "JTjdbENzHh")
        );
        publish(&topic, payload.as_bytes(), qos)
    });
    prop_oneof![
        8 => answer,
        4 => (0_u8..12).prop_map(|id| packet(0x40, &[0, id])),
        2 => (0_u8..12, prop::collection::vec(0_u8..3, 1..4))
            .prop_map(|(id, codes)| packet(0x90, &[&[0, id], &codes[..]].concat())),
        1 => Just(packet(0xd0, &[])),
        1 => Just(publish("kp1/demo-v1/dcx/JTjdbENzHh/json/1/status", &[b'x'; OVERSIZE], 1)),
        1 => prop::collection::vec(any::<u8>(), 1..8),
    ]
}

/// What a client may say to the platform, and what it may not.
fn from_client() -> impl Strategy<Value = Vec<u8>> {
    let ask = (
        prop::sample::select(vec![
            "dcx/T/json",
            "epmx/T/get",
            "epmx/T/update/keys",
            "cex/T/command/reboot",
            "cex/T/result/reboot",
            "cmx/T/config/json",
            "cmx_ota/T/applied/json",
            "bcx/T/token",
            "zzz/T/x",
        ]),
        prop::option::of(1_u32..100),
        prop::sample::select(vec![
            "",
            "{}",
            r#"{"observe":true}"#,
            r#"[{"id":1,"statusCode":200}]"#,
            r#"{"configId":"97016dbe"}"#,
            "not JSON",
        ]),
        0_u8..3,
    );
    let ask = ask.prop_map(|(path, id, payload, qos)| {
        let id = id.map_or_else(String::new, |id| format!("/{id}"));
        let topic = format!("kp1/demo-v1/{}{id}", path.replace('T', "JTjdbENzHh"));
        publish(&topic, payload.as_bytes(), qos)
    });
    prop_oneof![
        8 => ask,
        2 => prop::sample::select(vec!["#", "kp1/+/cmx/#", "a+"]).prop_map(|filter| {
            packet(0x82, &[&[0, 5, 0, filter.len() as u8], filter.as_bytes(), &[1]].concat())
        }),
        2 => (0_u8..4, prop::sample::select(vec![0x40, 0x50, 0x62, 0x70]))
            .prop_map(|(id, first)| packet(first, &[0, id])),
        1 => Just(packet(0xc0, &[])),
        1 => prop::collection::vec(any::<u8>(), 1..8),
    ]
}

/// Lengths of pieces; they are used again and again.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![3 => 1_usize..4, 1 => 1_usize..200], 1..12)
}

fn pieces<'a>(mut bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut cuts = cuts.iter().cycle();
    std::iter::from_fn(move || {
        let cut = *cuts.next()?;
        let (piece, rest) = bytes.split_at(cut.min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What comes of bytes that a connected client with a few requests reads, in these pieces.
fn client(clock: &Clock, input: &[u8], cuts: &[usize]) -> Vec<String> {
    let (mut connection, link) = asking(clock);
    for piece in pieces(input, cuts) {
        connection.handle_input(clock.now(), link, piece);
    }
    connection.handle_timeout(clock.now());
    let mut seen: Vec<_> = std::iter::from_fn(|| connection.poll_event())
        .map(told)
        .collect();
    let mut sent = Vec::new();
    connection.poll_transmit(clock.now(), &mut sent);
    seen.push(sent.escape_ascii().to_string());
    seen.push(format!(
        "{:?} {:?}",
        connection.demand(),
        connection.statistics()
    ));
    seen
}

/// An event without the instant in it.
fn told(event: Event) -> String {
    match event {
        Event::LinkLost {
            link, error, was, ..
        } => format!("lost {link:?} {error:?} {was:?}"),
        event => format!("{event:?}"),
    }
}

/// A client that is connected, and has asked for a few things.
fn asking(clock: &Clock) -> (Connection, LinkId) {
    let now = clock.now();
    let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
    let options = Options::new("device")
        .max_packet_in(OVERSIZE - 500)
        .endpoint(endpoint);
    let mut connection = Connection::new(options, now, 1).unwrap();
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
    let key = connection.add_endpoint(now, name).unwrap();
    let Demand::Dial(link) = connection.demand() else {
        panic!("it does not dial");
    };
    connection.handle_connected(now, link);
    let mut out = Vec::new();
    let mut written = connection.poll_transmit(now, &mut out);
    connection.handle_written(now, link, written);
    connection.handle_input(now, link, CONNACK);
    let reboot = CommandType::new("reboot").unwrap();
    connection
        .observe(now, key, &Observation::Configuration(None))
        .unwrap();
    connection
        .observe(now, key, &Observation::Commands(reboot.clone()))
        .unwrap();
    connection.submit(now, key, &Sample::new(1)).unwrap();
    connection.submit(now, key, &metadata::Get::all()).unwrap();
    connection.submit(now, key, &Pending::new(reboot)).unwrap();
    written = connection.poll_transmit(now, &mut out);
    connection.handle_written(now, link, written);
    assert_eq!(connection.statistics().in_flight, 5);
    (connection, link)
}

/// What comes of bytes that the platform reads, in these pieces.
fn platform(input: &[u8], cuts: &[usize]) -> Vec<String> {
    let clock = Clock::new();
    let now = clock.now();
    let mut server = PlatformServer::new(operations::platform(&[]), 1);
    let link = server.handle_accepted(now);
    server.handle_input(now, link, CONNECT);
    for piece in pieces(input, cuts) {
        server.handle_input(now, link, piece);
    }
    let mut seen = vec![output(&mut server, link, &clock)];
    seen.extend(std::iter::from_fn(|| server.poll_event()).map(|event| event.to_string()));
    seen.push(format!("{:?}", server.poll_hang_up()));
    seen
}

fn output(server: &mut PlatformServer, link: ServerLink, clock: &Clock) -> String {
    let mut out = Vec::new();
    let mut len = server.poll_transmit(link, &mut out);
    while len > 0 {
        server.handle_written(clock.now(), link, len);
        len = server.poll_transmit(link, &mut out);
    }
    out.escape_ascii().to_string()
}

proptest! {
    #![proptest_config(choices::cases(3_000))]

    #[test]
    fn a_client_reads_the_same_in_any_pieces(
        packets in prop::collection::vec(from_server(), 0..12), cuts in cuts(),
    ) {
        let input = packets.concat();
        let clock = Clock::new();
        prop_assert_eq!(client(&clock, &input, &[usize::MAX]), client(&clock, &input, &cuts));
    }

    #[test]
    fn the_platform_reads_the_same_in_any_pieces(
        packets in prop::collection::vec(from_client(), 0..12), cuts in cuts(),
    ) {
        let input = packets.concat();
        prop_assert_eq!(platform(&input, &[usize::MAX]), platform(&input, &cuts));
    }

    #[test]
    fn a_request_is_sent_with_its_last_byte_in_whatever_pieces_it_is_written(cuts in cuts()) {
        let clock = Clock::new();
        let (mut connection, link) = asking(&clock);
        let now = clock.now();
        let key = connection.endpoints().next().unwrap().0;
        while connection.poll_event().is_some() {}
        // It has ended when it is sent.
        let sample = Sample::new("x".repeat(100)).confirm(Confirm::Nothing);
        connection.submit(now, key, &sample).unwrap();
        let mut out = Vec::new();
        let mut left = connection.poll_transmit(now, &mut out);
        prop_assert!(left > 100);
        for piece in pieces(&out, &cuts) {
            prop_assert_eq!(connection.poll_event(), None);
            connection.handle_written(now, link, piece.len());
            left -= piece.len();
        }
        prop_assert_eq!(left, 0);
        let event = connection.poll_event();
        let is_end = matches!(
            event,
            Some(Event::Endpoint { event: endpoint::Event::Completed { outcome: Ok(_), .. }, .. })
        );
        prop_assert!(is_end, "{:?}", event);
    }
}
