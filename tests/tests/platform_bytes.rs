//! The platform against bytes typed out by hand, as the clients of Mosquitto send them when they
//! are used as the device API page shows.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::platform::{LinkId, Platform, PlatformServer};
use kaa_tests::clock::Clock;
use kaa_tests::device::name;
use kaa_tests::operations::{platform, reboot};
use kaa_tests::sniffer::{Seen, Sniffer};

/// `mosquitto_pub` without `-i`: no client ID, clean session, keep alive 60 s.
const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";
const DISCONNECT: &[u8] = b"\xe0\x00";

/// Nothing comes that was not asked for.
const QUIET: &[(&str, &str)] = &[("unsolicited-config", "off")];

/// A server and its clock; transports take everything at once.
struct Wire {
    server: PlatformServer,
    clock: Clock,
}

impl Wire {
    fn new(switches: &[(&str, &str)]) -> Self {
        Self {
            server: PlatformServer::new(platform(switches), 1),
            clock: Clock::new(),
        }
    }

    fn connect(&mut self) -> LinkId {
        let link = self.server.handle_accepted(self.clock.now());
        self.check(link, CONNECT, CONNACK);
        link
    }

    /// What comes of these bytes on the same link.
    fn exchange(&mut self, link: LinkId, input: &[u8]) -> Vec<u8> {
        self.server.handle_input(self.clock.now(), link, input);
        self.read(link)
    }

    fn read(&mut self, link: LinkId) -> Vec<u8> {
        let mut out = Vec::new();
        let length = self.server.poll_transmit(link, &mut out);
        self.server.handle_written(self.clock.now(), link, length);
        out
    }

    #[track_caller]
    fn check(&mut self, link: LinkId, input: &[u8], expected: &[u8]) {
        let out = self.exchange(link, input);
        let (out, expected) = (out.escape_ascii(), expected.escape_ascii());
        assert_eq!(out.to_string(), expected.to_string());
    }

    /// A message at QoS 0 and what comes of it, as topics and payloads: `topic payload`. The
    /// lengths are not typed out; other tests here do that.
    #[track_caller]
    fn ask(&mut self, link: LinkId, topic: &str, payload: &str) -> Vec<String> {
        let topic = format!("kp1/demo-v1/{topic}");
        let length = u8::try_from(2 + topic.len() + payload.len()).unwrap();
        let topic_length = u8::try_from(topic.len()).unwrap();
        assert!(length < 128);
        let head = [0x30, length, 0, topic_length];
        let input = [&head[..], topic.as_bytes(), payload.as_bytes()].concat();
        let out = self.exchange(link, &input);
        let messages = Sniffer::default().messages(&out).into_iter();
        let line = |seen: Seen| {
            let topic = seen.topic.replace("kp1/demo-v1/", "");
            format!("{topic} {}", String::from_utf8_lossy(&seen.payload))
        };
        messages.map(line).collect()
    }

    fn saw(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.server.poll_event())
            .map(|event| event.kind.name())
            .collect()
    }
}

#[test]
fn mosquitto_pub_and_sub_in_two_terminals_as_the_page_shows() {
    let mut wire = Wire::new(QUIET);
    let subscriber = wire.connect();
    // -t kp1/demo-v1/dcx/JTjdbENzHh/json/42/status
    let subscribe = b"\x82\x2e\x00\x01\x00\x29kp1/demo-v1/dcx/JTjdbENzHh/json/42/status\x00";
    wire.check(subscriber, subscribe, b"\x90\x03\x00\x01\x00");
    let publisher = wire.connect();
    let publish = b"\x30\x37\x00\x22kp1/demo-v1/dcx/JTjdbENzHh/json/42{\"temperature\": 21}";
    let answer = b"\x30\x2b\x00\x29kp1/demo-v1/dcx/JTjdbENzHh/json/42/status";
    wire.check(publisher, publish, answer);
    assert_eq!(wire.read(subscriber), answer);
    wire.check(publisher, DISCONNECT, b"");
    assert_eq!(wire.server.poll_hang_up(), Some(publisher));
    let now = wire.clock.now();
    wire.server.handle_closed(now, publisher);
    assert_eq!(
        wire.saw(),
        [
            "link-opened",
            "link-opened",
            "connected",
            "telemetry",
            "disconnected",
            "link-closed"
        ]
    );
}

#[test]
fn a_request_without_id_gets_no_answer() {
    let mut wire = Wire::new(QUIET);
    let link = wire.connect();
    let publish = b"\x30\x33\x00\x1fkp1/demo-v1/dcx/JTjdbENzHh/json{\"temperature\":21}";
    wire.check(link, publish, b"");
    assert!(wire.saw().contains(&"telemetry"));
}

#[test]
fn qos_1_and_2_are_acknowledged_before_they_are_answered() {
    let mut wire = Wire::new(QUIET);
    let link = wire.connect();
    let publish = b"\x32\x27\x00\x22kp1/demo-v1/dcx/JTjdbENzHh/json/42\x00\x051";
    let answer = b"\x40\x02\x00\x05\
        \x32\x2d\x00\x29kp1/demo-v1/dcx/JTjdbENzHh/json/42/status\x00\x01";
    wire.check(link, publish, answer);
    wire.check(link, b"\x40\x02\x00\x01", b"");
    let publish = b"\x34\x27\x00\x22kp1/demo-v1/dcx/JTjdbENzHh/json/43\x00\x061";
    let answer = b"\x50\x02\x00\x06\
        \x34\x2d\x00\x29kp1/demo-v1/dcx/JTjdbENzHh/json/43/status\x00\x02";
    wire.check(link, publish, answer);
    wire.check(link, b"\x62\x02\x00\x06", b"\x70\x02\x00\x06");
    wire.check(link, b"\x50\x02\x00\x02", b"\x62\x02\x00\x02");
    wire.check(link, b"\x70\x02\x00\x02", b"");
    wire.check(link, b"\xc0\x00", b"\xd0\x00");
}

#[test]
fn a_client_that_never_subscribes_gets_every_answer_of_the_page() {
    let mut wire = Wire::new(QUIET);
    let link = wire.connect();
    let cases: [(&str, &str, &str); 14] = [
        ("dcx/JTjdbENzHh/json/1", "[1,2]", "/status "),
        ("dcx/JTjdbENzHh/plain/humidity/2", "47%", "/status "),
        (
            "epmx/JTjdbENzHh/get/keys/3",
            "",
            r#"/status ["location","name"]"#,
        ),
        (
            "epmx/JTjdbENzHh/get/4",
            "",
            r#"/status {"location":"here","name":"Device name"}"#,
        ),
        ("epmx/JTjdbENzHh/update/keys/5", r#"{"a":1}"#, "/status "),
        ("epmx/JTjdbENzHh/delete/keys/6", r#"["a"]"#, "/status "),
        ("epmx/JTjdbENzHh/update/7", r#"{"b":1}"#, "/status "),
        (
            "cex/JTjdbENzHh/command/reboot/8",
            "{}",
            r#"/status [{"id":1,"payload":{"delay":5}}]"#,
        ),
        (
            "cex/JTjdbENzHh/result/reboot/9",
            r#"[{"id":1,"statusCode":200}]"#,
            "/status ",
        ),
        (
            "cmx/JTjdbENzHh/config/json/10",
            "{}",
            r#"/status {"configId":"97016dbe","statusCode":200,"reasonPhrase":"ok","config":{"key":"value"}}"#,
        ),
        (
            "cmx/JTjdbENzHh/applied/json/11",
            r#"{"configId":"97016dbe"}"#,
            "/status ",
        ),
        (
            "cmx_ota/JTjdbENzHh/config/json/12",
            r#"{"configId":"0.0.1"}"#,
            r#"/status {"configId":"0.0.2","statusCode":200,"reasonPhrase":"ok","config":{"link":"https://example.com/fw-0.0.2.bin"}}"#,
        ),
        (
            "cmx_ota/JTjdbENzHh/applied/json/13",
            r#"{"configId":"0.0.2"}"#,
            "/status ",
        ),
        ("bcx/JTjdbENzHh/token/14", "", r#"/status {"token":"2222"}"#),
    ];
    for (topic, payload, answer) in cases {
        assert_eq!(wire.ask(link, topic, payload), [format!("{topic}{answer}")]);
    }
    assert!(!wire.saw().contains(&"breach"));
}

#[test]
fn what_breaks_the_rules_is_answered_by_an_error() {
    let mut wire = Wire::new(QUIET);
    let link = wire.connect();
    let cases = [
        ("dcx/JTjdbENzHh/json/1", "{", 400),
        ("dcx/JTjdbENzHh/jsno/2", "1", 404),
        ("nox/JTjdbENzHh/json/3", "1", 404),
        ("dcx/nobody/json/4", "1", 401),
        ("epmx/JTjdbENzHh/update/5", "[]", 400),
        ("cex/JTjdbENzHh/result/reboot/6", "{}", 400),
        ("cmx/JTjdbENzHh/applied/json/7", r#"{"configId":""}"#, 400),
    ];
    for (topic, payload, status) in cases {
        let answers = wire.ask(link, topic, payload);
        let [answer] = &answers[..] else {
            panic!("{topic}: {answers:?}");
        };
        let start = format!(r#"{topic}/error {{"statusCode":{status},"reasonPhrase":""#);
        assert!(answer.starts_with(&start), "{answer}");
    }
}

#[test]
fn two_links_of_one_endpoint_get_what_they_ask_for_and_pushes_go_to_the_last_speaker() {
    let mut wire = Wire::new(QUIET);
    let (first, second) = (wire.connect(), wire.connect());
    let answer = ["dcx/JTjdbENzHh/json/1/status "];
    assert_eq!(wire.ask(first, "dcx/JTjdbENzHh/json/1", "1"), answer);
    assert_eq!(wire.ask(second, "dcx/JTjdbENzHh/json/1", "1"), answer);
    assert_eq!(wire.read(first), b"", "that was for the second");
    let now = wire.clock.now();
    let push = |platform: &mut Platform| {
        platform
            .command(now, &name().unwrap(), &reboot(), None)
            .unwrap();
    };
    wire.server.operate(now, push);
    let pushed = b"\x30\x3c\x00\x30kp1/demo-v1/cex/JTjdbENzHh/command/reboot/status[{\"id\":2}]";
    assert_eq!(wire.read(first), b"");
    let out = wire.read(second);
    assert_eq!(
        out.escape_ascii().to_string(),
        pushed.escape_ascii().to_string()
    );
}

#[test]
fn bytes_that_are_no_mqtt_end_their_link_and_no_other() {
    let mut wire = Wire::new(QUIET);
    let good = wire.connect();
    for input in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x30\x05\x00\x03a/b",
        b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00",
    ] {
        let now = wire.clock.now();
        let bad = wire.server.handle_accepted(now);
        wire.check(bad, input, b"");
        assert_eq!(wire.server.poll_hang_up(), Some(bad));
        wire.server.handle_closed(now, bad);
    }
    assert_eq!(wire.ask(good, "dcx/JTjdbENzHh/json/1", "1").len(), 1);
}

#[test]
fn a_client_that_says_nothing_for_one_and_a_half_intervals_is_dropped() {
    let mut wire = Wire::new(QUIET);
    let link = wire.connect();
    let due = wire.server.poll_timeout().unwrap();
    assert_eq!(due - wire.clock.now(), Duration::from_secs(90));
    wire.clock.advance_to(due);
    wire.server.handle_timeout(due);
    assert_eq!(wire.server.poll_hang_up(), Some(link));
}
